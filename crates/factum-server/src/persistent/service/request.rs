//! What clients ask, from the messages of the wire.

use std::time::Duration;

use factum_proto::kurrent::persistent_subscriptions::{
    create_req, delete_req, get_info_req, list_req, read_req, replay_parked_req,
    truncate_parked_req, update_req,
};
use factum_proto::kurrent::{StreamIdentifier, Uuid};
use factum_types::EventId;
use tonic::Status;

use crate::filter::{Filter, FilterOn};
use crate::persistent::config::GroupConfig;
use crate::persistent::error::SubscriptionError;
use crate::persistent::group::Action;
use crate::persistent::settings::{
    ANSWERED_AT_ONCE_MAX, GroupKey, Settings, SourceName, StartFrom, Strategy,
};
use crate::persistent::subscriptions::Selection;
use crate::wire;
use crate::wire::id::{self, IdKind};
use crate::wire::position;

/// A duration as the wire has it.
enum Time {
    Ticks(i64),
    Millis(i32),
}

impl Time {
    /// What is negative counts as none.
    fn duration(self) -> Duration {
        match self {
            Self::Ticks(ticks) => {
                Duration::from_nanos(u64::try_from(ticks).unwrap_or(0).saturating_mul(100))
            }
            Self::Millis(millis) => Duration::from_millis(u64::try_from(millis).unwrap_or(0)),
        }
    }
}

/// The settings of the messages `Create` and `Update`, which are alike but not the same type.
macro_rules! settings {
    ($message:ident, $asked:expr, $strategy:expr) => {{
        let asked = $asked;
        let timeout = asked.message_timeout.map(|time| match time {
            $message::settings::MessageTimeout::MessageTimeoutTicks(ticks) => Time::Ticks(ticks),
            $message::settings::MessageTimeout::MessageTimeoutMs(millis) => Time::Millis(millis),
        });
        let checkpoint = asked.checkpoint_after.map(|time| match time {
            $message::settings::CheckpointAfter::CheckpointAfterTicks(ticks) => Time::Ticks(ticks),
            $message::settings::CheckpointAfter::CheckpointAfterMs(millis) => Time::Millis(millis),
        });
        Settings {
            resolve_links: asked.resolve_links,
            extra_statistics: asked.extra_statistics,
            max_retry_count: count(asked.max_retry_count),
            min_checkpoint_count: count(asked.min_checkpoint_count),
            max_checkpoint_count: count(asked.max_checkpoint_count),
            checkpoint_after: checkpoint.map_or(Duration::ZERO, Time::duration),
            message_timeout: timeout.map_or(Duration::ZERO, Time::duration),
            live_buffer_size: count(asked.live_buffer_size),
            read_batch_size: count(asked.read_batch_size),
            history_buffer_size: count(asked.history_buffer_size),
            max_subscriber_count: count(asked.max_subscriber_count),
            strategy: $strategy,
        }
    }};
}

/// The group to create, and how.
///
/// # Errors
/// `INVALID_ARGUMENT` for what cannot be a request, `INTERNAL` for settings that cannot be.
pub(super) fn create(options: create_req::Options) -> Result<(GroupKey, GroupConfig), Status> {
    use create_req::options::StreamOption;
    let asked = options.settings.ok_or_else(|| missing("settings"))?;
    let (source, start, filter) = match options.stream_option {
        Some(StreamOption::Stream(stream)) => {
            use create_req::stream_options::RevisionOption;
            let start = match stream.revision_option {
                Some(RevisionOption::Revision(revision)) => at(revision),
                Some(RevisionOption::End(_)) => StartFrom::End,
                Some(RevisionOption::Start(_)) | None => StartFrom::Start,
            };
            (stream_source(stream.stream_identifier)?, start, None)
        }
        Some(StreamOption::All(all)) => {
            use create_req::all_options::{AllOption, FilterOption};
            let start = match all.all_option {
                Some(AllOption::Position(position)) => at(position.commit_position),
                Some(AllOption::End(_)) => StartFrom::End,
                Some(AllOption::Start(_)) | None => StartFrom::Start,
            };
            let filter = match all.filter_option {
                Some(FilterOption::Filter(filter)) => Some(filter),
                Some(FilterOption::NoFilter(_)) | None => None,
            };
            (SourceName::All, start, filter)
        }
        None => {
            let source = stream_source(options.stream_identifier)?;
            (source, at(asked.revision), None)
        }
    };
    let key = GroupKey {
        source,
        group: options.group_name,
    };
    let failed = |reason: String| SubscriptionError::failed(&key, reason);
    let strategy = if asked.consumer_strategy.is_empty() {
        strategy_number(asked.named_consumer_strategy)
    } else {
        Strategy::named(&asked.consumer_strategy)
    };
    let strategy = strategy.ok_or_else(|| {
        failed(format!(
            "consumer strategy {:?} does not exist",
            asked.consumer_strategy
        ))
    })?;
    let filter = filter
        .map(|filter| parse_filter(filter).map_err(failed))
        .transpose()?;
    let settings = settings!(create_req, asked, strategy);
    let mut config = GroupConfig::new(settings, start);
    config.filter = filter;
    Ok((key, config))
}

/// The group to change, and how.
///
/// # Errors
/// As for [`create`].
pub(super) fn update(options: update_req::Options) -> Result<(GroupKey, GroupConfig), Status> {
    use update_req::options::StreamOption;
    let asked = options.settings.ok_or_else(|| missing("settings"))?;
    let (source, start) = match options.stream_option {
        Some(StreamOption::Stream(stream)) => {
            use update_req::stream_options::RevisionOption;
            let start = match stream.revision_option {
                Some(RevisionOption::Revision(revision)) => at(revision),
                Some(RevisionOption::End(_)) => StartFrom::End,
                Some(RevisionOption::Start(_)) | None => StartFrom::Start,
            };
            (stream_source(stream.stream_identifier)?, start)
        }
        Some(StreamOption::All(all)) => {
            use update_req::all_options::AllOption;
            let start = match all.all_option {
                Some(AllOption::Position(position)) => at(position.commit_position),
                Some(AllOption::End(_)) => StartFrom::End,
                Some(AllOption::Start(_)) | None => StartFrom::Start,
            };
            (SourceName::All, start)
        }
        None => (
            stream_source(options.stream_identifier)?,
            at(asked.revision),
        ),
    };
    let key = GroupKey {
        source,
        group: options.group_name,
    };
    let number = asked.named_consumer_strategy;
    let strategy = strategy_number(number).ok_or_else(|| {
        SubscriptionError::failed(&key, format!("consumer strategy {number} does not exist"))
    })?;
    let settings = settings!(update_req, asked, strategy);
    Ok((key, GroupConfig::new(settings, start)))
}

/// Where to begin; the greatest numbers are how clients write −1.
const fn at(number: u64) -> StartFrom {
    match number {
        0 => StartFrom::Start,
        number if position::is_end(number) => StartFrom::End,
        number => StartFrom::At(number),
    }
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

const fn strategy_number(number: i32) -> Option<Strategy> {
    match number {
        0 => Some(Strategy::DispatchToSingle),
        1 => Some(Strategy::RoundRobin),
        2 => Some(Strategy::Pinned),
        _ => None,
    }
}

fn parse_filter(options: create_req::all_options::FilterOptions) -> Result<Filter, String> {
    use create_req::all_options::filter_options::Filter as By;
    let (on, expression) = match options.filter {
        Some(By::StreamIdentifier(expression)) => (FilterOn::StreamName, expression),
        Some(By::EventType(expression)) => (FilterOn::EventType, expression),
        None => return Err("the filter names neither streams nor types".to_owned()),
    };
    Filter::asked(on, expression.regex, expression.prefix)
}

/// The group to delete.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(super) fn delete(options: delete_req::Options) -> Result<GroupKey, Status> {
    use delete_req::options::StreamOption;
    let source = match options.stream_option {
        Some(StreamOption::StreamIdentifier(stream)) => stream_source(Some(stream))?,
        Some(StreamOption::All(_)) => SourceName::All,
        None => return Err(missing("stream option")),
    };
    Ok(GroupKey {
        source,
        group: options.group_name,
    })
}

/// The group to tell about.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(super) fn info(options: get_info_req::Options) -> Result<GroupKey, Status> {
    use get_info_req::options::StreamOption;
    let source = match options.stream_option {
        Some(StreamOption::StreamIdentifier(stream)) => stream_source(Some(stream))?,
        Some(StreamOption::All(_)) => SourceName::All,
        None => return Err(missing("stream option")),
    };
    Ok(GroupKey {
        source,
        group: options.group_name,
    })
}

/// Whose parked events to give again, and before which revision to stop.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(super) fn replay(
    options: replay_parked_req::Options,
) -> Result<(GroupKey, Option<u64>), Status> {
    use replay_parked_req::options::{StopAtOption, StreamOption};
    let source = match options.stream_option {
        Some(StreamOption::StreamIdentifier(stream)) => stream_source(Some(stream))?,
        Some(StreamOption::All(_)) => SourceName::All,
        None => return Err(missing("stream option")),
    };
    let key = GroupKey {
        source,
        group: options.group_name,
    };
    let stop_at = match options.stop_at_option {
        Some(StopAtOption::StopAt(number)) => Some(revision(number)?),
        Some(StopAtOption::NoLimit(_)) | None => None,
    };
    Ok((key, stop_at))
}

/// Whose parked events to give up, and before which revision to stop.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(super) fn truncate(
    options: truncate_parked_req::Options,
) -> Result<(GroupKey, Option<u64>), Status> {
    use truncate_parked_req::options::{StopAtOption, StreamOption};
    let source = match options.stream_option {
        Some(StreamOption::StreamIdentifier(stream)) => stream_source(Some(stream))?,
        Some(StreamOption::All(_)) => SourceName::All,
        None => return Err(missing("stream option")),
    };
    let key = GroupKey {
        source,
        group: options.group_name,
    };
    let stop_at = match options.stop_at_option {
        Some(StopAtOption::StopAt(number)) => Some(revision(number)?),
        Some(StopAtOption::NoLimit(_)) => None,
        // What is given up does not come back: nobody gives all up by saying nothing.
        None => return Err(missing("stop at option")),
    };
    Ok((key, stop_at))
}

/// A revision to stop at.
fn revision(number: i64) -> Result<u64, Status> {
    u64::try_from(number)
        .map_err(|_negative| Status::invalid_argument(format!("stop at {number} is negative")))
}

/// Which groups to tell about.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(super) fn list(options: list_req::Options) -> Result<Selection, Status> {
    use list_req::options::ListOption;
    use list_req::stream_option::StreamOption;
    match options.list_option {
        Some(ListOption::ListAllSubscriptions(_)) => Ok(Selection::Every),
        Some(ListOption::ListForStream(stream)) => match stream.stream_option {
            Some(StreamOption::Stream(stream)) => Ok(Selection::Of(stream_source(Some(stream))?)),
            Some(StreamOption::All(_)) => Ok(Selection::Of(SourceName::All)),
            None => Err(missing("stream option")),
        },
        None => Err(missing("list option")),
    }
}

/// Which group to join, how many events to take before answering, and how ids are to be written.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(super) fn join(options: read_req::Options) -> Result<(GroupKey, usize, IdKind), Status> {
    use read_req::options::{StreamOption, uuid_option::Content};
    let source = match options.stream_option {
        Some(StreamOption::StreamIdentifier(stream)) => stream_source(Some(stream))?,
        Some(StreamOption::All(_)) => SourceName::All,
        None => return Err(missing("stream option")),
    };
    let ids = match options.uuid_option.and_then(|option| option.content) {
        Some(Content::Structured(_)) => IdKind::Structured,
        Some(Content::String(_)) => IdKind::Text,
        None => return Err(missing("uuid option")),
    };
    let key = GroupKey {
        source,
        group: options.group_name,
    };
    let credit = usize::try_from(options.buffer_size).unwrap_or(0);
    Ok((key, credit, ids))
}

/// The ids of events, in either writing.
///
/// # Errors
/// `INVALID_ARGUMENT`: one is none, or there are more than a consumer can have.
pub(super) fn ids(ids: Vec<Uuid>) -> Result<Vec<u128>, Status> {
    if ids.len() > ANSWERED_AT_ONCE_MAX {
        return Err(Status::invalid_argument(format!(
            "the message has {} ids, and may have {ANSWERED_AT_ONCE_MAX}",
            ids.len()
        )));
    }
    ids.into_iter()
        .map(|id| id::read(Some(id)).map(EventId::as_u128))
        .collect()
}

/// What is to become of events that were not done.
pub(super) fn action(number: i32) -> Action {
    use read_req::nack::Action as Wire;
    match Wire::try_from(number) {
        Ok(Wire::Park) => Action::Park,
        Ok(Wire::Retry) => Action::Retry,
        Ok(Wire::Skip) => Action::Skip,
        Ok(Wire::Stop) => Action::Stop,
        Ok(Wire::Unknown) | Err(_) => Action::Unknown,
    }
}

fn stream_source(stream: Option<StreamIdentifier>) -> Result<SourceName, Status> {
    let name = wire::stream_name(stream)?;
    Ok(if name.as_str() == SourceName::All.as_str() {
        SourceName::All
    } else {
        SourceName::Stream(name)
    })
}

fn missing(what: &str) -> Status {
    Status::invalid_argument(format!("the request has no {what}"))
}

#[cfg(test)]
mod tests {
    use super::{ANSWERED_AT_ONCE_MAX, Time, action, at, ids, stream_source};
    use crate::persistent::group::Action;
    use crate::persistent::settings::{SourceName, StartFrom};
    use factum_proto::kurrent::{StreamIdentifier, Uuid, uuid};
    use std::time::Duration;

    #[test]
    fn both_writings_of_an_id_are_the_same() {
        let text = "b5936983-7577-53f7-88e5-5927b89c0422";
        let value: factum_types::EventId = text.parse().unwrap();
        let halves = uuid::Structured {
            most_significant_bits: i64::from_be_bytes(0xb593_6983_7577_53f7_u64.to_be_bytes()),
            least_significant_bits: i64::from_be_bytes(0x88e5_5927_b89c_0422_u64.to_be_bytes()),
        };
        let written = [
            uuid::Value::String(text.to_owned()),
            uuid::Value::Structured(halves),
        ];
        let written = written.map(|value| Uuid { value: Some(value) });
        assert_eq!(ids(written.to_vec()).unwrap(), [value.as_u128(); 2]);
        let wrong = Uuid {
            value: Some(uuid::Value::String("x".to_owned())),
        };
        assert_eq!(
            ids(vec![wrong]).unwrap_err().code(),
            tonic::Code::InvalidArgument
        );
        assert!(ids(vec![Uuid { value: None }]).is_err());
    }

    #[test]
    fn a_message_has_no_more_ids_than_a_consumer_can_have() {
        let many = |count| {
            let value = uuid::Value::String("b5936983-7577-53f7-88e5-5927b89c0422".to_owned());
            ids(vec![Uuid { value: Some(value) }; count])
        };
        let most = ANSWERED_AT_ONCE_MAX;
        assert_eq!(many(most).unwrap().len(), most);
        let refused = many(most + 1).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }

    #[test]
    fn times_come_in_two_units_and_starts_in_three() {
        assert_eq!(Time::Ticks(15_000).duration(), Duration::from_micros(1_500));
        assert_eq!(
            Time::Ticks(i64::MAX).duration(),
            Duration::from_nanos(u64::MAX)
        );
        assert_eq!(Time::Millis(7).duration(), Duration::from_millis(7));
        assert_eq!(Time::Millis(-1).duration(), Duration::ZERO);
        assert_eq!(at(0), StartFrom::Start);
        assert_eq!(at(7), StartFrom::At(7));
        assert_eq!(at(u64::MAX), StartFrom::End);
        assert_eq!(at(u64::MAX >> 1), StartFrom::End);
        assert_eq!(action(9), Action::Unknown);
        assert_eq!(action(4), Action::Stop);
    }

    #[test]
    fn all_may_be_named_as_a_stream() {
        let named = |name: &'static [u8]| {
            stream_source(Some(StreamIdentifier {
                stream_name: name.to_vec(),
            }))
        };
        assert_eq!(named(b"$all").unwrap(), SourceName::All);
        assert_eq!(named(b"s").unwrap().as_str(), "s");
        assert!(named(b"\xFF").is_err());
        assert!(stream_source(None).is_err());
    }
}

//! A read or a subscription as asked for, in one shape; combinations that make no sense are refused.

use factum_proto::kurrent::streams::ReadReq;
use factum_proto::kurrent::streams::read_req::Options;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::filter_options::{Filter as By, Window};
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, FilterOptions, ReadDirection, StreamOption,
    StreamOptions, uuid_option,
};
use factum_store::{Direction, ReadFrom, SubscribeFrom};
use factum_types::{RecordedEvent, Revision, StreamName};
use tonic::Status;

use crate::filter::{Filter, FilterOn};
use crate::links::{LinksAfter, LinksFrom};
use crate::wire::event::Shape;
use crate::wire::id::IdKind;
use crate::wire::{position, stream_name};

/// How many events are looked at between two checkpoints where the client does not say.
const WINDOW_DEFAULT: u32 = 32;

/// What is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) target: Target,
    pub(super) from: From,
    pub(super) direction: Direction,
    pub(super) resolve_links: bool,
    /// `None` for a subscription.
    pub(super) count: Option<u64>,
    pub(super) shape: Shape,
    /// Whether the client knows messages that came later: where a stream begins and ends.
    pub(super) positions: bool,
}

/// Of what.
#[derive(Debug)]
pub(super) enum Target {
    Stream(StreamName),
    All(Option<Filtered>),
}

/// From where: for reads that event included, for subscriptions excluded.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Start,
    End,
    Revision(u64),
    Position(u64),
}

/// A filter over `$all`.
#[derive(Debug, Clone)]
pub(super) struct Filtered {
    filter: Filter,
    /// After so many events that were looked at, a subscription is told where it is.
    pub(super) checkpoint_every: u64,
}

impl Filtered {
    /// The filter that a client asks for.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: there is nothing to filter by, or the pattern is none.
    fn parse(options: FilterOptions) -> Result<Self, Status> {
        let (on, expression) = match options.filter {
            Some(By::StreamIdentifier(expression)) => (FilterOn::StreamName, expression),
            Some(By::EventType(expression)) => (FilterOn::EventType, expression),
            None => {
                return Err(Status::invalid_argument(
                    "the filter names neither streams nor types",
                ));
            }
        };
        let window = match options.window {
            Some(Window::Max(0)) => {
                return Err(Status::invalid_argument(
                    "the window of the filter is 0 events",
                ));
            }
            Some(Window::Max(max)) => max,
            Some(Window::Count(_)) | None => WINDOW_DEFAULT,
        };
        let filter = Filter::asked(on, expression.regex, expression.prefix);
        Ok(Self {
            filter: filter.map_err(Status::invalid_argument)?,
            checkpoint_every: u64::from(window) * u64::from(options.checkpoint_interval_multiplier),
        })
    }

    /// Whether an event is wanted.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: the pattern takes too long on this name.
    pub(super) fn wants(&self, event: &RecordedEvent) -> Result<bool, Status> {
        self.filter.wants(event).map_err(Status::invalid_argument)
    }
}

impl Wanted {
    /// The request in one shape.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`.
    pub(super) fn parse(request: ReadReq) -> Result<Self, Status> {
        let options = request
            .options
            .ok_or_else(|| Status::invalid_argument("the request has no options"))?;
        let direction = match options.read_direction() {
            ReadDirection::Forwards => Direction::Forward,
            ReadDirection::Backwards => Direction::Backward,
        };
        let ids = ids(&options)?;
        let count = match options.count_option {
            Some(CountOption::Count(count)) => Some(count),
            Some(CountOption::Subscription(_)) => None,
            None => {
                return Err(Status::invalid_argument(
                    "neither a count nor a subscription is asked for",
                ));
            }
        };
        let filter = match options.filter_option {
            Some(FilterOption::Filter(filter)) => Some(filter),
            Some(FilterOption::NoFilter(_)) | None => None,
        };
        let (target, from) = match (options.stream_option, filter) {
            (Some(StreamOption::Stream(stream)), None) => stream_target(stream, direction)?,
            (Some(StreamOption::All(all)), filter) => (
                Target::All(filter.map(Filtered::parse).transpose()?),
                all_from(&all),
            ),
            (Some(StreamOption::Stream(_)), Some(_)) => {
                return Err(impossible("a filter, which only $all has, and a stream"));
            }
            (None, _) => {
                return Err(Status::invalid_argument(
                    "neither a stream nor $all is asked for",
                ));
            }
        };
        if count.is_none() && direction == Direction::Backward {
            return Err(impossible("a subscription and the direction backwards"));
        }
        if let (None, Target::All(Some(filter))) = (count, &target)
            && filter.checkpoint_every == 0
        {
            return Err(Status::invalid_argument(
                "the interval between checkpoints is 0 events",
            ));
        }
        Ok(Self {
            target,
            from,
            direction,
            resolve_links: options.resolve_links,
            count,
            shape: Shape { ids },
            positions: options
                .control_option
                .is_some_and(|control| control.compatibility > 0),
        })
    }
}

impl From {
    /// Where a read begins. Backwards over `$all` a position is where an event ends, so that the event that stands there is left out: whoever goes
    /// on from the last event that was given is not given it again.
    pub(super) fn read(self, direction: Direction) -> ReadFrom {
        match self {
            Self::Start => ReadFrom::Start,
            Self::End => ReadFrom::End,
            Self::Revision(revision) => ReadFrom::Revision(Revision::new(revision)),
            Self::Position(wire) => {
                let at = match direction {
                    Direction::Forward => wire,
                    Direction::Backward => wire.saturating_sub(1),
                };
                position::from_wire(at).map_or(ReadFrom::Start, ReadFrom::Position)
            }
        }
    }

    /// The same in a stream of links.
    pub(super) const fn links(self) -> LinksFrom {
        match self {
            Self::Start | Self::Position(_) => LinksFrom::Start,
            Self::End => LinksFrom::End,
            Self::Revision(number) => LinksFrom::Number(number),
        }
    }

    /// The same for following a stream of links.
    pub(super) const fn links_after(self) -> LinksAfter {
        match self {
            Self::Start | Self::Position(_) => LinksAfter::Start,
            Self::End => LinksAfter::End,
            Self::Revision(number) => LinksAfter::Number(number),
        }
    }

    pub(super) fn subscribe(self) -> SubscribeFrom {
        match self {
            Self::Start => SubscribeFrom::Start,
            Self::End => SubscribeFrom::End,
            Self::Revision(revision) => SubscribeFrom::AfterRevision(Revision::new(revision)),
            Self::Position(wire) => {
                position::from_wire(wire).map_or(SubscribeFrom::Start, SubscribeFrom::After)
            }
        }
    }
}

fn impossible(what: &str) -> Status {
    Status::invalid_argument(format!("The combination of {what} is invalid."))
}

fn ids(options: &Options) -> Result<IdKind, Status> {
    match options
        .uuid_option
        .as_ref()
        .and_then(|option| option.content.as_ref())
    {
        Some(uuid_option::Content::Structured(_)) => Ok(IdKind::Structured),
        Some(uuid_option::Content::String(_)) => Ok(IdKind::Text),
        None => Err(Status::invalid_argument(
            "the request does not say how ids are to be written",
        )),
    }
}

fn stream_target(options: StreamOptions, direction: Direction) -> Result<(Target, From), Status> {
    let from = match options.revision_option {
        // The first event is where a stream starts, and a read includes it whichever way it goes.
        Some(RevisionOption::Start(_)) if direction == Direction::Backward => From::Revision(0),
        Some(RevisionOption::Revision(revision)) if position::is_end(revision) => From::End,
        Some(RevisionOption::Revision(revision)) => From::Revision(revision),
        Some(RevisionOption::End(_)) => From::End,
        Some(RevisionOption::Start(_)) | None => From::Start,
    };
    Ok((
        Target::Stream(stream_name(options.stream_identifier)?),
        from,
    ))
}

fn all_from(options: &AllOptions) -> From {
    match options.all_option {
        Some(AllOption::Position(at)) if position::is_end(at.commit_position) => From::End,
        Some(AllOption::Position(at)) => From::Position(at.commit_position),
        Some(AllOption::End(_)) => From::End,
        Some(AllOption::Start(_)) | None => From::Start,
    }
}

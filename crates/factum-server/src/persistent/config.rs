//! Which groups there are: the last event of `$persistentSubscriptionConfig`.

use std::collections::BTreeMap;
use std::time::Duration;

use factum_store::{AppendBatch, EventStore, Kind, ReadRequest, Source, StoreError, StreamWrite};
use factum_types::{ExpectedRevision, NewEvent, RecordedEvent, Revision, StreamName};
use serde::{Deserialize, Serialize};

use super::checkpoint::{keeping, own_type};
use super::settings::{GroupKey, Settings, SourceName, StartFrom, Strategy};
use crate::filter::{Filter, FilterBy, FilterOn};
use crate::log::is_gone;
use crate::world::World;

const STREAM: &str = "$persistentSubscriptionConfig";
const TYPE: &str = "$PersistentConfig";
const VERSION: &str = "2";
const KEPT: u64 = 2;

/// What is known of a group beside how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupConfig {
    /// How it works.
    pub settings: Settings,
    /// Where it began.
    pub start: StartFrom,
    /// Which events of all it is for; every one when `None`, and for a stream.
    pub filter: Option<Filter>,
    /// What the end was when it was to begin there: the last point before it.
    pub(crate) end: Option<u64>,
}

impl GroupConfig {
    /// A group that is for everything of its source.
    #[must_use]
    pub const fn new(settings: Settings, start: StartFrom) -> Self {
        Self {
            settings,
            start,
            filter: None,
            end: None,
        }
    }

    /// The point after which it begins when it has no checkpoint.
    pub(crate) fn after(&self, source: &SourceName) -> Option<u64> {
        match self.start {
            StartFrom::End => self.end,
            start => start.after(source),
        }
    }
}

/// All groups, and the revision at which they stand.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) groups: BTreeMap<GroupKey, GroupConfig>,
    pub(crate) revision: Option<Revision>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    version: String,
    updated_by: String,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stream: String,
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<FilterEntry>,
    resolve_link_tos: bool,
    start_position: String,
    /// Ours: what `-1` meant when the group was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts_after: Option<u64>,
    extra_statistics: bool,
    message_timeout: u64,
    max_retry_count: u32,
    live_buffer_size: u32,
    history_buffer_size: u32,
    read_batch_size: u32,
    check_point_after: u64,
    min_check_point_count: u32,
    max_check_point_count: u32,
    max_subscriber_count: u32,
    named_consumer_strategy: String,
}

#[derive(Serialize, Deserialize)]
struct FilterEntry {
    on: FilterOn,
    by: FilterBy,
}

fn stream() -> Result<StreamName, StoreError> {
    StreamName::new(STREAM).map_err(|error| StoreError::invalid(error.to_string()))
}

/// The groups as they stand.
///
/// # Errors
/// Those of a read, and [`Kind::Internal`] when what stands there cannot be understood.
pub(crate) async fn load(store: &dyn EventStore) -> Result<Config, StoreError> {
    match load_readable(store).await? {
        (config, None) => Ok(config),
        (_, Some(damage)) => Err(damage),
    }
}

/// The groups as the last event says that can be read and understood, none if there is none; and what is wrong with the last of all, if
/// anything. Only in that case they may stand otherwise: they cannot be changed, since their revision is not that of the end.
///
/// # Errors
/// Those of a read but for damage.
pub(crate) async fn load_readable(
    store: &dyn EventStore,
) -> Result<(Config, Option<StoreError>), StoreError> {
    let request = ReadRequest::backward(Source::Stream(stream()?)).limit(KEPT);
    let mut events = store.read(request);
    let mut damage = None;
    while let Some(event) = events.next().await {
        let error = match event.and_then(|event| understood(&event)) {
            Ok(config) => return Ok((config, damage)),
            Err(error) => error,
        };
        if is_gone(&error) {
            let config = Config {
                revision: store.stream_info(stream()?).await?.last_revision,
                ..Config::default()
            };
            return Ok((config, damage));
        }
        if !matches!(error.kind(), Kind::Corrupt | Kind::Internal) {
            return Err(error);
        }
        damage.get_or_insert(error);
    }
    Ok((Config::default(), damage))
}

fn understood(event: &RecordedEvent) -> Result<Config, StoreError> {
    let groups = decode(&event.data).map_err(|reason| {
        let revision = event.revision;
        let text = format!("event {revision} of stream {STREAM} is not understood: {reason}");
        StoreError::new(Kind::Internal, text)
    })?;
    Ok(Config {
        groups,
        revision: Some(event.revision),
    })
}

/// Notes the groups, and what is to happen together with that. Gives the revision at which they stand then.
///
/// # Errors
/// [`Kind::Conflict`] when somebody else noted others; else those of an append.
pub(crate) async fn save(
    store: &dyn EventStore,
    world: &World,
    config: &Config,
    by: &str,
    with: Vec<StreamWrite>,
) -> Result<Revision, StoreError> {
    let data = encode(&config.groups, by)?;
    let stream = stream()?;
    let info = store.stream_info(stream.clone()).await?;
    let expected = config
        .revision
        .map_or(ExpectedRevision::NoStream, ExpectedRevision::Exactly);
    let event = NewEvent::json(world.event_id(), own_type(TYPE)?, data);
    let batch = AppendBatch::events(stream.clone(), expected, vec![event]);
    let batch = keeping(batch, &stream, info.settings, KEPT);
    let batch = with.into_iter().fold(batch, AppendBatch::and);
    let receipt = store.append(batch).await?;
    let revision = receipt.writes.first().and_then(|write| write.last_revision);
    revision.ok_or_else(|| StoreError::new(Kind::Internal, "an append gave no revision"))
}

fn encode(groups: &BTreeMap<GroupKey, GroupConfig>, by: &str) -> Result<Vec<u8>, StoreError> {
    let written = Written {
        version: VERSION.to_owned(),
        updated_by: by.to_owned(),
        entries: groups.iter().map(entry).collect(),
    };
    serde_json::to_vec(&written).map_err(|error| StoreError::invalid(error.to_string()))
}

fn entry((key, config): (&GroupKey, &GroupConfig)) -> Entry {
    let settings = &config.settings;
    Entry {
        stream: key.source.as_str().to_owned(),
        group: key.group.clone(),
        filter: config.filter.as_ref().map(|filter| FilterEntry {
            on: filter.on(),
            by: filter.by().clone(),
        }),
        resolve_link_tos: settings.resolve_links,
        start_position: config.start.show(&key.source),
        starts_after: config.end,
        extra_statistics: settings.extra_statistics,
        message_timeout: millis(settings.message_timeout),
        max_retry_count: settings.max_retry_count,
        live_buffer_size: settings.live_buffer_size,
        history_buffer_size: settings.history_buffer_size,
        read_batch_size: settings.read_batch_size,
        check_point_after: millis(settings.checkpoint_after),
        min_check_point_count: settings.min_checkpoint_count,
        max_check_point_count: settings.max_checkpoint_count,
        max_subscriber_count: settings.max_subscriber_count,
        named_consumer_strategy: settings.strategy.name().to_owned(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn decode(data: &[u8]) -> Result<BTreeMap<GroupKey, GroupConfig>, String> {
    let written: Written = serde_json::from_slice(data).map_err(|error| error.to_string())?;
    written.entries.into_iter().map(group).collect()
}

fn group(entry: Entry) -> Result<(GroupKey, GroupConfig), String> {
    let source = match entry.stream.as_str() {
        "$all" => SourceName::All,
        name => SourceName::Stream(StreamName::new(name).map_err(|error| error.to_string())?),
    };
    let start = StartFrom::parse(&source, &entry.start_position)
        .ok_or_else(|| format!("{:?} is not a start", entry.start_position))?;
    let name = &entry.named_consumer_strategy;
    let strategy = Strategy::named(name).ok_or_else(|| format!("{name:?} is not a strategy"))?;
    let filter = entry
        .filter
        .map(|filter| Filter::new(filter.on, filter.by))
        .transpose()?;
    let settings = Settings {
        resolve_links: entry.resolve_link_tos,
        extra_statistics: entry.extra_statistics,
        max_retry_count: entry.max_retry_count,
        min_checkpoint_count: entry.min_check_point_count,
        max_checkpoint_count: entry.max_check_point_count,
        checkpoint_after: Duration::from_millis(entry.check_point_after),
        message_timeout: Duration::from_millis(entry.message_timeout),
        live_buffer_size: entry.live_buffer_size,
        read_batch_size: entry.read_batch_size,
        history_buffer_size: entry.history_buffer_size,
        max_subscriber_count: entry.max_subscriber_count,
        strategy,
    };
    let config = GroupConfig {
        settings,
        start,
        filter,
        end: entry.starts_after,
    };
    let group = entry.group;
    Ok((GroupKey { source, group }, config))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use factum_types::StreamName;

    use super::{
        Filter, FilterBy, FilterOn, GroupConfig, GroupKey, Settings, SourceName, StartFrom,
        Strategy, decode, encode,
    };

    #[test]
    fn what_was_written_is_read() {
        let key = |source, group: &str| GroupKey {
            source,
            group: group.to_owned(),
        };
        let settings = Settings {
            strategy: Strategy::PinnedByCorrelation,
            extra_statistics: true,
            max_subscriber_count: 3,
            ..Settings::default()
        };
        let filter = Filter::new(FilterOn::EventType, FilterBy::Regex("^(?!A)".to_owned()));
        let all = GroupConfig {
            filter: Some(filter.unwrap()),
            end: Some(12),
            ..GroupConfig::new(settings, StartFrom::End)
        };
        let one = GroupConfig::new(Settings::default(), StartFrom::At(3));
        let stream = SourceName::Stream(StreamName::new("s").unwrap());
        let groups = BTreeMap::from([(key(SourceName::All, "a"), all), (key(stream, "b"), one)]);
        let written = encode(&groups, "admin").unwrap();
        assert_eq!(decode(&written).unwrap(), groups);
        assert!(decode(b"{}").unwrap_err().contains("version"));
    }
}

//! What `factum state` and `factum snapshot` share: the fold that is asked for, and points in the past of a stream.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use factum_framework::Repository;
use factum_framework::fold::Fold;
use factum_store::{EventStore, ReadFrom, ReadRequest};
use factum_types::{RecordedEvent, Revision, StreamName, Timestamp};

use crate::event_time;
use crate::failure::{Failure, Outcome};
use crate::store::Store;
use crate::ui::progress::counted;
use crate::{files, time};

/// A longer file of declarations is refused.
const FILE_BYTES_MAX: usize = 1 << 20;

/// How a stream is folded.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FoldArgs {
    /// A file that says what each type of event does to the state [default: data are merged, RFC 7396]
    #[arg(long, value_name = "FILE")]
    fold: Option<PathBuf>,
}

impl FoldArgs {
    /// The fold.
    pub(crate) fn read(&self) -> Outcome<Fold> {
        match &self.fold {
            None => Ok(Fold::merge()),
            Some(path) => Ok(Fold::declared(&declaration(path)?)
                .map_err(|error| Failure::from(error).while_doing(path.display()))?),
        }
    }

    /// The fold in words.
    pub(crate) fn words(&self) -> String {
        self.fold.as_ref().map_or_else(
            || "data merged".to_owned(),
            |path| path.display().to_string(),
        )
    }
}

/// The text of a file that declares something.
pub(crate) fn declaration(path: &Path) -> Outcome<String> {
    let bytes = files::read_whole(path, FILE_BYTES_MAX)?;
    String::from_utf8(bytes)
        .map_err(|error| Failure::error(format!("{} is not UTF-8: {error}", path.display())))
}

/// A point in the past of a stream: after so many events, or at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// After so many events.
    Version(u64),
    /// After all that happened up to this moment.
    Time(Timestamp),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix('v').unwrap_or(text);
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            let version = number.parse().map_err(|error| format!("{error}"))?;
            return Ok(Self::Version(version));
        }
        time::parse_moment(text).map(Self::Time).map_err(|error| {
            format!(
                "write a version (3), a day (2011-10-05) or a time (2011-10-05T09:30:00Z): {error}"
            )
        })
    }
}

impl At {
    /// The version of the stream at this point.
    pub(crate) async fn version(self, past: &Past) -> Outcome<u64> {
        match self {
            Self::Version(version) if version <= past.last => Ok(version),
            Self::Version(version) => {
                let (stream, last) = (&past.stream, past.last);
                let message = format!(
                    "stream {stream} has no version {version}: it has {}",
                    counted(last, "event")
                );
                Err(Failure::not_found(message).hint(format!(
                    "its last version is {last}; version n is the state after n events"
                )))
            }
            Self::Time(limit) => {
                let mut events = past.events.read(ReadRequest::stream(past.stream.clone()));
                while let Some(event) = events.next().await {
                    let event = event?;
                    if event_time::moment(&event) > limit {
                        return Ok(event.revision.number());
                    }
                }
                Ok(past.last)
            }
        }
    }
}

/// A stream that is there, and its past.
pub(crate) struct Past {
    events: std::sync::Arc<dyn EventStore>,
    pub(crate) repository: Repository,
    pub(crate) stream: StreamName,
    /// Its version now.
    pub(crate) last: u64,
}

impl Past {
    /// A stream; fails when it is not there.
    pub(crate) async fn of(store: &Store, stream: &StreamName) -> Outcome<Self> {
        let probe = ReadRequest::stream(stream.clone()).limit(1);
        store.events.read(probe).collect().await?;
        let info = store.events.stream_info(stream.clone()).await?;
        let events = std::sync::Arc::clone(&store.events);
        let snapshots = std::sync::Arc::clone(&store.snapshots);
        Ok(Self {
            repository: Repository::new(std::sync::Arc::clone(&events))
                .with_snapshot_store(snapshots),
            events,
            stream: stream.clone(),
            last: info.next_revision(),
        })
    }

    /// The same without snapshots.
    pub(crate) fn without_snapshots(mut self) -> Self {
        self.repository = Repository::new(std::sync::Arc::clone(&self.events));
        self
    }

    /// The event that made a version; `None` for version 0, or when it is hidden.
    pub(crate) async fn event(&self, version: u64) -> Outcome<Option<RecordedEvent>> {
        let Some(revision) = version.checked_sub(1).map(Revision::new) else {
            return Ok(None);
        };
        let request = ReadRequest::stream(self.stream.clone())
            .from(ReadFrom::Revision(revision))
            .limit(1);
        let found = self.events.read(request).collect().await?;
        Ok(found.into_iter().find(|event| event.revision == revision))
    }
}

#[cfg(test)]
mod tests {
    use super::At;
    use crate::time::parse_rfc3339;

    #[test]
    fn points_in_the_past_are_versions_days_or_times() {
        let time = |text: &str| At::Time(parse_rfc3339(text).unwrap());
        let check = |text: &str, expected: At| assert_eq!(text.parse(), Ok(expected), "{text}");
        check("0", At::Version(0));
        check("v12", At::Version(12));
        check("2011-10-05", time("2011-10-05T00:00:00Z"));
        check("2011-10-05T09:30:00+02:00", time("2011-10-05T07:30:00Z"));
        for bad in [
            "",
            "v",
            "-1",
            "3.5",
            "yesterday",
            "2011-13-01",
            "2011-10-05T09:30",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<At>().is_err(), "{bad}");
        }
    }
}

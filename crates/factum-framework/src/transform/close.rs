//! Ending the old streams with a link to the new ones.

use std::collections::{BTreeMap, BTreeSet};

use factum_store::{AppendBatch, EventStore};
use factum_types::{
    EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, Revision, StreamName,
};
use serde_json::json;

use super::STREAM_MOVED;
use super::report::Report;
use crate::error::Error;

/// What is known about the streams that were read, for closing them.
#[derive(Debug, Default)]
pub(super) struct Closing(BTreeMap<StreamName, Old>);

#[derive(Debug)]
struct Old {
    last: Revision,
    to: BTreeSet<StreamName>,
    is_closed: bool,
    has_failed: bool,
}

impl Closing {
    fn of(&mut self, event: &RecordedEvent) -> &mut Old {
        let old = self.0.entry(event.stream.clone()).or_insert_with(|| Old {
            last: event.revision,
            to: BTreeSet::new(),
            is_closed: false,
            has_failed: false,
        });
        old.last = event.revision;
        old.is_closed = false;
        old
    }

    /// The results of an event went there.
    pub(super) fn went(&mut self, event: &RecordedEvent, results: &[(StreamName, NewEvent)]) {
        let old = self.of(event);
        for (stream, _) in results {
            if !old.to.contains(stream) {
                old.to.insert(stream.clone());
            }
        }
    }

    /// An event was left out: its stream must stay open.
    pub(super) fn failed(&mut self, event: &RecordedEvent) {
        self.of(event).has_failed = true;
    }

    /// The stream ends with a link.
    pub(super) fn is_closed(&mut self, event: &RecordedEvent) {
        self.of(event).is_closed = true;
    }

    /// Closes every stream that has gone elsewhere and is not closed; without a store, as in a dry run, only counts them.
    ///
    /// A damaged event does not say whose it was, so that once there is one, every stream may have lost some, and none is closed.
    pub(super) async fn close(
        &self,
        store: Option<&dyn EventStore>,
        by: &str,
        report: &mut Report,
    ) -> Result<(), Error> {
        for (stream, old) in &self.0 {
            if old.has_failed {
                report.stays_open(stream);
            } else if old.is_closed {
                report.closed += 1;
            } else if !old.to.is_empty() {
                if report.damaged > 0 {
                    report.stays_open(stream);
                    continue;
                }
                let Some(store) = store else {
                    report.closed += 1;
                    continue;
                };
                match store.append(link(stream, old, by)?).await {
                    Ok(_) => report.closed += 1,
                    // It was written to since: the events that came are not in the new stream.
                    Err(error) if error.kind() == factum_store::Kind::Conflict => {
                        report.stays_open(stream);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

fn link(stream: &StreamName, old: &Old, by: &str) -> Result<AppendBatch, Error> {
    let to: Vec<_> = old.to.iter().map(StreamName::as_str).collect();
    let data = crate::codec::encode(&json!({ "to": to, "by": by }))?;
    let id: EventId = crate::env::derive_id(&["moved", stream.as_str(), &old.last.to_string()]);
    let event = NewEvent::json(id, EventType::new(STREAM_MOVED)?, data);
    let expected = ExpectedRevision::Exactly(old.last);
    Ok(AppendBatch::events(stream.clone(), expected, vec![event]))
}

//! What of a chunk is new, and what each stream must be like for it.

use std::sync::Arc;

use factum_store::{
    AppendBatch, Change, Condition, EventStore, ReadRequest, StreamState, StreamWrite,
};
use factum_types::{EventId, ExpectedRevision, Revision, StreamName};

use super::parse::{Chunk, Item};
use super::seen::{ContentHasher, KeyedMap};
use super::{Invalid, Tally};
use crate::failure::{Failure, Outcome};

/// What is known about the streams of the file.
pub(super) struct Planner {
    store: Arc<dyn EventStore>,
    hasher: ContentHasher,
    name: String,
    invalid: Invalid,
    store_is_empty: bool,
    streams: Vec<Track>,
    /// The stream written last, by its number.
    last: Option<usize>,
}

/// A stream of the file.
struct Track {
    stream: StreamName,
    state: State,
}

enum State {
    /// Not asked for yet.
    Unknown,
    /// Events follow after `next - 1`; `there` are the events it held that did not come yet.
    Known {
        next: u64,
        there: KeyedMap<EventId, There>,
    },
    /// Nothing can be added, for this reason.
    Refused(String),
}

/// An event that the store held before the import.
struct There {
    content: u64,
    revision: Revision,
}

/// What is to be appended of a chunk.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What is to be appended; `None` if nothing is new.
    pub(super) batch: Option<AppendBatch>,
    /// How many events that is.
    pub(super) events: u64,
    /// The first and the last line.
    pub(super) lines: (u64, u64),
    /// What is wrong with lines that are passed over.
    pub(super) wrong: Vec<String>,
}

impl Planner {
    /// Nothing is known yet, but whether the store holds anything at all.
    pub(super) fn new(
        store: Arc<dyn EventStore>,
        hasher: ContentHasher,
        name: String,
        invalid: Invalid,
        store_is_empty: bool,
    ) -> Self {
        Self {
            store,
            hasher,
            name,
            invalid,
            store_is_empty,
            streams: Vec::new(),
            last: None,
        }
    }

    /// What of a chunk is new. Streams are from here on taken to hold it.
    pub(super) async fn plan(
        &mut self,
        chunk: Chunk,
        tally: &mut Tally,
    ) -> Result<Plan, (Plan, Failure)> {
        tally.streams += chunk.streams.len() as u64;
        self.streams
            .extend(chunk.streams.into_iter().map(|stream| Track {
                stream,
                state: State::Unknown,
            }));
        let mut plan = Plan::default();
        let mut writes: Vec<StreamWrite> = Vec::new();
        let conditions = self.behind_the_last();
        let mut last_stream = None;
        for item in chunk.items {
            match self.judge(&item).await {
                Ok(Some(expected)) => {
                    plan.events += 1;
                    plan.lines = (
                        if plan.events == 1 {
                            item.line
                        } else {
                            plan.lines.0
                        },
                        item.line,
                    );
                    let run = (last_stream == Some(item.stream))
                        .then(|| writes.last_mut())
                        .flatten();
                    last_stream = Some(item.stream);
                    match run.map(|write| &mut write.change) {
                        Some(Change::Events(events)) => events.push(item.event),
                        _ => writes.extend(self.write(&item, expected, item.event.clone())),
                    }
                }
                Ok(None) => tally.already_there += 1,
                Err(failure) if self.invalid == Invalid::Skip && failure.kind == "line" => {
                    plan.wrong.push(failure.message);
                }
                Err(failure) => {
                    plan.batch = self.batch(writes, conditions, last_stream);
                    return Err((plan, failure));
                }
            }
        }
        plan.batch = self.batch(writes, conditions, last_stream);
        Ok(plan)
    }

    /// What ties a batch to the one before: lines land in their order, and not at all where one before them did not.
    fn behind_the_last(&self) -> Vec<Condition> {
        let track = self.last.and_then(|last| self.streams.get(last));
        let tie = |track: &Track| match track.state {
            State::Known { next, .. } => Some(Condition::Stream {
                stream: track.stream.clone(),
                expected: ExpectedRevision::Exactly(Revision::new(next.checked_sub(1)?)),
            }),
            State::Unknown | State::Refused(_) => None,
        };
        track.and_then(tie).into_iter().collect()
    }

    /// The batch of these writes, the last of which is to this stream.
    fn batch(
        &mut self,
        writes: Vec<StreamWrite>,
        conditions: Vec<Condition>,
        last: Option<usize>,
    ) -> Option<AppendBatch> {
        self.last = last.or(self.last);
        (!writes.is_empty()).then_some(AppendBatch { writes, conditions })
    }

    fn write(
        &self,
        item: &Item,
        expected: ExpectedRevision,
        event: factum_types::NewEvent,
    ) -> Option<StreamWrite> {
        let track = self.streams.get(item.stream)?;
        Some(StreamWrite::events(
            track.stream.clone(),
            expected,
            vec![event],
        ))
    }

    /// What the stream must be like for a new event; `None` for one that the store holds.
    async fn judge(&mut self, item: &Item) -> Outcome<Option<ExpectedRevision>> {
        let (name, line) = (&self.name, item.line);
        let Some(track) = self.streams.get_mut(item.stream) else {
            return Err(Failure::error(format!(
                "{name}:{line}: its stream was never announced"
            )));
        };
        if matches!(track.state, State::Unknown) {
            track.state = if self.store_is_empty {
                State::Known {
                    next: 0,
                    there: KeyedMap::new(),
                }
            } else {
                look(&*self.store, &self.hasher, &track.stream).await?
            };
        }
        let stream = &track.stream;
        let fails = |what: String| Failure {
            kind: "line",
            ..Failure::error(format!("{name}:{line}: {what}"))
        };
        match &mut track.state {
            State::Known { next, there } => {
                if let Some(held) = there.remove(&item.event.id) {
                    if held.content == item.content {
                        return Ok(None);
                    }
                    return Err(fails(format!(
                        "event {} is in stream {stream} already, at revision {}, with other content",
                        item.event.id, held.revision
                    ))
                    .hint("events never change; give the new fact an id of its own"));
                }
                let expected = match next.checked_sub(1) {
                    None => ExpectedRevision::NoStream,
                    Some(last) => ExpectedRevision::Exactly(Revision::new(last)),
                };
                *next += 1;
                Ok(Some(expected))
            }
            State::Refused(why) => Err(fails(why.clone())
                .hint("import into another store, or give the stream another name")),
            State::Unknown => Err(fails(format!("nothing is known about stream {stream}"))),
        }
    }
}

/// What the store holds of a stream.
async fn look(
    store: &dyn EventStore,
    hasher: &ContentHasher,
    stream: &StreamName,
) -> Outcome<State> {
    let info = store.stream_info(stream.clone()).await?;
    match info.state {
        StreamState::Missing => {
            return Ok(State::Known {
                next: 0,
                there: KeyedMap::new(),
            });
        }
        StreamState::Tombstoned => {
            return Ok(State::Refused(format!(
                "stream {stream} was closed for ever"
            )));
        }
        StreamState::Live | StreamState::Deleted => {}
    }
    let next = info.next_revision();
    let mut there = KeyedMap::new();
    let mut first = next;
    if info.state == StreamState::Live {
        let mut events = store.read(ReadRequest::stream(stream.clone()));
        while let Some(event) = events.next().await {
            let event = event?;
            first = first.min(event.revision.number());
            let content = hasher.hash(&event.event_type, event.content_type, &event.data);
            there.insert(
                event.id,
                There {
                    content,
                    revision: event.revision,
                },
            );
        }
    }
    // Events that reading no longer gives cannot be compared; they would be added a second time.
    if first > 0 {
        return Ok(State::Refused(format!(
            "the events of stream {stream} before revision {first} are hidden, so it cannot be told whether this one was among them"
        )));
    }
    Ok(State::Known { next, there })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use factum_store::{AppendBatch, EventStore, Kind, MemoryStore};
    use factum_types::{EventId, EventType, NewEvent, StreamName};

    use super::{Chunk, ContentHasher, Invalid, Item, Planner, Tally};

    /// One line, to a stream that did not come before.
    fn chunk(number: usize) -> Chunk {
        let id = EventId::from_bytes((number as u128 + 1).to_be_bytes());
        let event_type = EventType::new("Happened").unwrap();
        Chunk {
            items: vec![Item {
                line: number as u64 + 1,
                stream: number,
                content: 0,
                event: NewEvent::json(id, event_type, "1"),
            }],
            streams: vec![StreamName::new(format!("s-{number}")).unwrap()],
            ..Chunk::default()
        }
    }

    /// Batches that have no stream in common land one behind the other or not at all.
    #[test]
    fn a_batch_does_not_land_where_the_one_before_it_did_not() {
        let store = Arc::new(MemoryStore::new());
        let events = Arc::clone(&store) as Arc<dyn EventStore>;
        let (hasher, name) = (ContentHasher::default(), "in".to_owned());
        let mut planner = Planner::new(events, hasher, name, Invalid::Stop, true);
        let mut tally = Tally::default();
        let [first, second, third] = [0, 1, 2].map(|number| -> AppendBatch {
            let plan = pollster::block_on(planner.plan(chunk(number), &mut tally));
            plan.unwrap().batch.unwrap()
        });
        let append = |batch| pollster::block_on(store.append(batch));
        assert_eq!(append(second.clone()).unwrap_err().kind(), Kind::Conflict);
        append(first).unwrap();
        assert_eq!(append(third.clone()).unwrap_err().kind(), Kind::Conflict);
        append(second).unwrap();
        append(third).unwrap();
    }
}

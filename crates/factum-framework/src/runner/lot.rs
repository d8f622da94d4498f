//! The events of one consumer that are parked: those that failed, and those that wait behind them.
//!
//! Relies on: a stream, `factum.parked-<consumer>`, that every change is appended to with the expectation that nobody else changed it.
//! Never: forgets an event that was neither released nor skipped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use factum_store::{AppendBatch, ReadFrom, ReadRequest};
use factum_types::{
    EventId, ExpectedRevision, Metadata, Position, RecordedEvent, Revision, StreamName, Timestamp,
};

use crate::error::{Error, Kind};
use crate::note::{Note, ParkedNote};
use crate::repository::Repository;
use crate::retry::Retry;

/// What the streams of parked events begin with.
pub(crate) const CATEGORY: &str = "factum.parked-";

/// How often a change is tried when others change the same.
const ATTEMPTS: u32 = 16;

/// An event that waits.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) note: ParkedNote,
    pub(crate) since: Timestamp,
    /// Where it was first noted: the order in which entries wait, across queues.
    order: u64,
}

impl Entry {
    pub(crate) const fn position(&self) -> Position {
        Position::from_raw(self.note.position)
    }
}

/// All that waits for one consumer, as it is stored.
#[derive(Debug)]
pub(crate) struct Lot {
    stream: StreamName,
    /// How many notes were folded.
    version: u64,
    /// The queues, each under the partition that it is named by.
    partitions: BTreeMap<String, VecDeque<Entry>>,
    /// What waits in each partition, in order, and in which queue: an event that is for several waits in one queue for all.
    waiting: BTreeMap<String, BTreeMap<u64, String>>,
    positions: BTreeSet<Position>,
    retries: BTreeSet<String>,
    skipped: BTreeSet<Position>,
}

impl Lot {
    pub(crate) fn new(consumer: &str) -> Result<Self, Error> {
        Ok(Self {
            stream: StreamName::new(format!("{CATEGORY}{consumer}"))?,
            version: 0,
            partitions: BTreeMap::new(),
            waiting: BTreeMap::new(),
            positions: BTreeSet::new(),
            retries: BTreeSet::new(),
            skipped: BTreeSet::new(),
        })
    }

    /// Takes up what was stored since.
    pub(crate) async fn refresh(&mut self, repository: &Repository) -> Result<(), Error> {
        let request = ReadRequest::stream(self.stream.clone());
        let from = ReadFrom::Revision(Revision::new(self.version));
        let mut events = repository.store.read(request.from(from));
        while let Some(event) = events.next().await {
            let event = match event {
                Err(error) if error.kind() == factum_store::Kind::NotFound => return Ok(()),
                event => event?,
            };
            if let Some(note) = Note::read(&event)? {
                self.take(note, &event);
            }
            self.version = event.revision.number() + 1;
        }
        Ok(())
    }

    fn take(&mut self, note: Note, recorded: &RecordedEvent) {
        match note {
            Note::EventParked(note) => self.put(Entry {
                note,
                since: recorded.time,
                order: recorded.revision.number(),
            }),
            Note::RetryAsked { partition } if self.partitions.contains_key(&partition) => {
                self.retries.insert(partition);
            }
            Note::EventReleased {
                partition,
                position,
            } => self.remove(&partition, position),
            Note::EventSkipped {
                partition,
                position,
                ..
            } => {
                self.remove(&partition, position);
                self.skipped.insert(Position::from_raw(position));
                if self.partitions.contains_key(&partition) {
                    self.retries.insert(partition);
                }
            }
            _ => (),
        }
    }

    fn put(&mut self, entry: Entry) {
        let partition = entry.note.partition.clone();
        let queue = self.partitions.entry(partition.clone()).or_default();
        if self.positions.insert(entry.position()) {
            for name in entry.note.partitions() {
                let waiting = self.waiting.entry(name.to_owned()).or_default();
                waiting.insert(entry.order, partition.clone());
            }
            queue.push_back(entry);
            return;
        }
        // It failed once more: whoever wanted that has to want it again.
        self.retries.remove(&partition);
        if let Some(held) = queue
            .iter_mut()
            .find(|held| held.note.position == entry.note.position)
        {
            *held = Entry {
                order: held.order,
                ..entry
            };
        }
    }

    fn remove(&mut self, partition: &str, position: u64) {
        let Some(queue) = self.partitions.get_mut(partition) else {
            return;
        };
        let Some(index) = queue
            .iter()
            .position(|entry| entry.note.position == position)
        else {
            return;
        };
        if let Some(entry) = queue.remove(index) {
            for name in entry.note.partitions() {
                let Some(waiting) = self.waiting.get_mut(name) else {
                    continue;
                };
                waiting.remove(&entry.order);
                if waiting.is_empty() {
                    self.waiting.remove(name);
                }
            }
        }
        self.positions.remove(&Position::from_raw(position));
        if queue.is_empty() {
            self.partitions.remove(partition);
            self.retries.remove(partition);
        }
    }

    /// Whether an event was parked or given up, so that it is not to be handled in its turn.
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.positions.contains(&position) || self.skipped.contains(&position)
    }

    /// Whether anything waits that is for this partition.
    pub(crate) fn is_blocked(&self, partition: &str) -> bool {
        self.waiting.contains_key(partition)
    }

    /// The queue in which an event has to wait that is for these partitions: that of the last one that any of them waits for.
    pub(crate) fn behind(&self, partitions: &[String]) -> Option<String> {
        let waiting = partitions.iter().filter_map(|it| self.waiting.get(it));
        let last = waiting.filter_map(BTreeMap::last_key_value).max();
        last.map(|(_, queue)| queue.clone())
    }

    /// Whether nothing that waits comes before it in any of its partitions.
    fn is_free(&self, entry: &Entry) -> bool {
        entry.note.partitions().all(|partition| {
            let waiting = self.waiting.get(partition);
            let first = waiting.and_then(BTreeMap::first_key_value);
            first.is_some_and(|(order, _)| *order == entry.order)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    /// A partition that someone wants to be tried again, and whose first event waits for no other.
    pub(crate) fn wanted(&self) -> Option<String> {
        let mut retries = self.retries.iter();
        let free = |partition: &&String| {
            let first = self.first(partition);
            first.is_some_and(|first| self.is_free(first))
        };
        retries.find(free).cloned()
    }

    pub(crate) fn first(&self, partition: &str) -> Option<&Entry> {
        self.partitions.get(partition)?.front()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.partitions.values().flatten()
    }

    /// Stores a note, unless `stands` says, of what is stored now, that there is no more reason to. Says whether it did.
    pub(crate) async fn note(
        &mut self,
        repository: &Repository,
        id: EventId,
        note: &Note,
        stands: impl Fn(&Self) -> bool,
    ) -> Result<bool, Error> {
        for _ in 0..ATTEMPTS {
            self.refresh(repository).await?;
            if !stands(self) {
                return Ok(false);
            }
            let expected = match self.version.checked_sub(1) {
                Some(last) => ExpectedRevision::Exactly(Revision::new(last)),
                None => ExpectedRevision::NoStream,
            };
            let event = note.seal(id, &self.stream, Metadata::default())?;
            let batch = AppendBatch::events(self.stream.clone(), expected, vec![event]);
            match repository.append_surely(batch, Retry::default()).await {
                Ok(_) => {
                    self.refresh(repository).await?;
                    return Ok(true);
                }
                Err(error) if error.kind() == factum_store::Kind::Conflict => (),
                Err(error) => return Err(error.into()),
            }
        }
        let what = format!("others keep changing {}", self.stream);
        Err(Error::new(Kind::Conflict, what))
    }
}

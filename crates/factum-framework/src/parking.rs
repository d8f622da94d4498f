//! Parked events, by hand: listing them, trying them again, giving them up.
//!
//! Relies on: what runners store. Never: handles an event; what is asked here is done by the runner that hosts the consumer, this one or
//! another.

use factum_store::StreamsRequest;
use factum_types::{EventId, Position, Revision, StreamName, Timestamp};

use crate::env::Env;
use crate::error::Error;
use crate::note::Note;
use crate::repository::Repository;
use crate::runner::lot::{CATEGORY, Entry, Lot};

/// An event that waits, because it failed or because one before it did.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Repository, Runner, StartFrom};
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decider, Emit, Env, Event};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "Counted")]
/// # struct Counted { by: u32 }
/// # #[derive(Default, Clone, Debug, Serialize)]
/// # struct Counter { total: u32 }
/// # impl Decider for Counter {
/// #     type Command = u32;
/// #     type Event = Counted;
/// #     type Error = &'static str;
/// #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
/// #     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, &'static str> {
/// #         if self.total + by > 10 { Err("too much") } else { Ok(Counted { by }.into()) }
/// #     }
/// # }
/// # struct Mails;
/// # impl factum_framework::Reactor for Mails {
/// #     const NAME: &'static str = "mails";
/// #     type Input = Counted;
/// #     async fn react(&self, _: &Counted, _: &factum_framework::Effects<'_>) -> Result<(), factum_framework::Failure> {
/// #         Err(factum_framework::Failure::park("there is no address"))
/// #     }
/// # }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-1", 1).await?;
/// repository.run::<Counter>("counter-1", 2).await?;
/// let mut runner = Runner::new(&repository).reactor(Mails, StartFrom::Beginning);
/// assert_eq!(runner.run_until_idle().await?.parked, 2);
///
/// let parked = repository.parked().await?;
/// assert_eq!((&*parked[0].consumer, &*parked[0].partition), ("reactor.mails", "counter-1"));
/// // The second was not tried: it waits behind the first.
/// assert_eq!((parked[0].attempts, parked[1].attempts), (1, 0));
///
/// // Try them again when the reason is gone, or give them up.
/// repository.retry_parked("reactor.mails", "counter-1").await?;
/// repository.skip_parked(&parked[0], "told by telephone").await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// Whose event it is: `process.`, `receiver.` or `reactor.`, and the name.
    pub consumer: String,
    /// What it waits in.
    pub partition: String,
    /// Its id.
    pub event: EventId,
    /// Its stream.
    pub stream: StreamName,
    /// Its number in the stream.
    pub revision: Revision,
    /// Where it stands.
    pub position: Position,
    /// What kind of thing happened.
    pub event_type: String,
    /// Why it waits.
    pub reason: String,
    /// How often it was tried; 0 for one that waits behind another.
    pub attempts: u32,
    /// Since when, or when it was last tried in vain.
    pub since: Timestamp,
}

impl Parked {
    fn of(consumer: &str, entry: &Entry) -> Result<Self, Error> {
        let note = &entry.note;
        let event = note.event.parse();
        Ok(Self {
            consumer: consumer.to_owned(),
            partition: note.partition.clone(),
            event: event.map_err(|error| Error::decode(format!("{error}")).because(error))?,
            stream: StreamName::new(&note.stream)?,
            revision: Revision::new(note.revision),
            position: entry.position(),
            event_type: note.event_type.clone(),
            reason: note.reason.clone(),
            attempts: note.attempts,
            since: entry.since,
        })
    }
}

/// How many consumers are looked at in one page.
const PAGE: usize = 256;

impl Repository {
    /// All events that are parked, by consumer and partition, in each in the order in which they wait.
    ///
    /// # Errors
    /// Whatever the store says.
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub async fn parked(&self) -> Result<Vec<Parked>, Error> {
        let mut parked = Vec::new();
        let mut request = StreamsRequest {
            prefix: CATEGORY.to_owned(),
            after: None,
            limit: PAGE,
        };
        loop {
            let page = self.store.streams(request.clone()).await?;
            for info in &page {
                let name = info.stream.as_str();
                let consumer = name.strip_prefix(CATEGORY).unwrap_or(name);
                let lot = self.lot(consumer).await?;
                for entry in lot.entries() {
                    parked.push(Parked::of(consumer, entry)?);
                }
            }
            let Some(last) = page.last().filter(|_| page.len() == PAGE) else {
                return Ok(parked);
            };
            request.after = Some(last.stream.clone());
        }
    }

    /// Has a partition of parked events tried again, from its first event on, when a runner with the consumer next runs. An event that
    /// waits in several partitions is tried when it is the first in all of them.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): nothing is parked there.
    ///
    /// # Cancel safety
    /// Dropped, it may be asked for or not: ask again.
    pub async fn retry_parked(&self, consumer: &str, partition: &str) -> Result<(), Error> {
        let mut lot = self.lot(consumer).await?;
        let note = Note::RetryAsked {
            partition: partition.to_owned(),
        };
        let noted = lot.note(self, self.new_id(), &note, |lot| {
            lot.first(partition).is_some()
        });
        if noted.await? {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{consumer} has nothing parked in the partition {partition}"
        )))
    }

    /// Gives a parked event up, with a reason that is stored; those behind it are tried when a runner with the consumer next runs.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is not parked.
    ///
    /// # Cancel safety
    /// Dropped, the event may be given up or not: [`parked`](Self::parked) says so.
    pub async fn skip_parked(&self, parked: &Parked, why: impl Into<String>) -> Result<(), Error> {
        let mut lot = self.lot(&parked.consumer).await?;
        let position = parked.position;
        let note = Note::EventSkipped {
            partition: parked.partition.clone(),
            position: position.raw(),
            why: why.into(),
        };
        let waits = |lot: &Lot| lot.entries().any(|entry| entry.position() == position);
        if lot.note(self, self.new_id(), &note, waits).await? {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "event {} of stream {} is not parked by {}",
            parked.revision, parked.stream, parked.consumer
        )))
    }

    async fn lot(&self, consumer: &str) -> Result<Lot, Error> {
        let mut lot = Lot::new(consumer)?;
        lot.refresh(self).await?;
        Ok(lot)
    }

    fn new_id(&self) -> EventId {
        let random = std::sync::Arc::clone(&self.world.random);
        Env::random(self.world.now(), random).new_id()
    }
}

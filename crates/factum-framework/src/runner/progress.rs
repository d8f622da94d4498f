//! How far a consumer is, as it is stored: one event in a stream of its own, `factum.checkpoint-<consumer>`.
//!
//! Relies on: handling that may be repeated; what a checkpoint does not say yet is handled again, and nothing comes of it. Never: goes
//! back, whoever else saves.

use factum_store::{AppendBatch, Change, ReadRequest, StreamWrite};
use factum_types::{ExpectedRevision, Metadata, Position, Revision, StreamName, StreamSettings};

use super::desk::Desk;
use crate::error::{Error, Kind};
use crate::note::Note;
use crate::retry::Retry;

/// How often saving is tried when others save too.
const ATTEMPTS: u32 = 16;

/// Where a consumer that is new begins.
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
/// # impl factum_framework::Receiver for Counter { const CATEGORY: &'static str = "counter"; }
/// # /// Wakes an hour after something was counted.
/// # #[derive(Default, Clone)]
/// # struct Watch;
/// # impl factum_framework::Process for Watch {
/// #     const NAME: &'static str = "watch";
/// #     type Input = Counted;
/// #     type Event = Counted;
/// #     fn route(_: &Counted, recorded: &RecordedEvent) -> factum_framework::Route {
/// #         factum_framework::Route::Start(recorded.stream.to_string())
/// #     }
/// #     fn evolve(&mut self, _: &Counted, _: &RecordedEvent) {}
/// #     fn on(&self, _: &Counted, env: &mut Env) -> Emit<Counted> {
/// #         Emit::none().wake("an hour later", env.after(std::time::Duration::from_secs(3_600)))
/// #     }
/// # }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-1", 7).await?;
/// let mut runner = Runner::new(&repository).process::<Watch>(StartFrom::Now);
/// // What was counted before it was started is not its affair.
/// assert_eq!(runner.run_until_idle().await?.handled, 0);
/// assert!(repository.process::<Watch>("counter-1").await?.is_none());
///
/// repository.run::<Counter>("counter-1", 1).await?;
/// assert_eq!(runner.run_until_idle().await?.handled, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// With what is appended from now on. What happened before is never handled.
    Now,
    /// With the first event of all: what happened before is handled as if it happened now.
    Beginning,
}

/// How far a consumer is.
#[derive(Debug)]
pub(crate) struct Progress {
    stream: StreamName,
    revision: Option<Revision>,
    /// The last position that is done.
    pub(crate) position: Option<Position>,
    /// The last position up to which timers are.
    pub(crate) timers: Option<Position>,
}

impl Progress {
    /// What is stored; when nothing is, where a new consumer begins.
    pub(crate) async fn load(desk: &Desk, consumer: &str, start: StartFrom) -> Result<Self, Error> {
        let mut progress = Self {
            stream: StreamName::new(format!("factum.checkpoint-{consumer}"))?,
            revision: None,
            position: None,
            timers: None,
        };
        progress.refresh(desk).await?;
        if progress.revision.is_none() && start == StartFrom::Now {
            progress.begin(desk).await?;
        }
        Ok(progress)
    }

    /// Stores that what there is now is done, unless another runner was faster: then what that one stored counts.
    async fn begin(&mut self, desk: &Desk) -> Result<(), Error> {
        let head = desk.repository.store.head().await?;
        let batch = self.batch(desk, head, head)?;
        let saved = desk.repository.append_surely(batch, Retry::default());
        match saved.await {
            Ok(_) => self.refresh(desk).await,
            Err(error) if error.kind() == factum_store::Kind::Conflict => self.refresh(desk).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn refresh(&mut self, desk: &Desk) -> Result<(), Error> {
        let last = ReadRequest {
            limit: Some(1),
            ..ReadRequest::backward(factum_store::Source::Stream(self.stream.clone()))
        };
        let last = match desk.repository.store.read(last).collect().await {
            Err(error) if error.kind() == factum_store::Kind::NotFound => return Ok(()),
            last => last?,
        };
        for event in &last {
            self.revision = Some(event.revision);
            if let Some(Note::Checkpoint { position, timers }) = Note::read(event)? {
                self.position = self.position.max(position.map(Position::from_raw));
                self.timers = self.timers.max(timers.map(Position::from_raw));
            }
        }
        Ok(())
    }

    /// Stores how far the consumer is; afterwards this says what is stored, which is never less.
    pub(crate) async fn save(
        &mut self,
        desk: &Desk,
        position: Option<Position>,
        timers: Option<Position>,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let position = self.position.max(position);
            let timers = self.timers.max(timers);
            if self.revision.is_some() && (position, timers) == (self.position, self.timers) {
                return Ok(());
            }
            let batch = self.batch(desk, position, timers)?;
            let saved = desk.repository.append_surely(batch, Retry::default());
            match saved.await {
                Ok(_) => {
                    self.revision = Some(self.next());
                    (self.position, self.timers) = (position, timers);
                    return Ok(());
                }
                Err(error) if error.kind() == factum_store::Kind::Conflict => {
                    self.refresh(desk).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let what = format!("others keep writing {}", self.stream);
        Err(Error::new(Kind::Conflict, what))
    }

    fn next(&self) -> Revision {
        Revision::new(self.revision.map_or(0, |last| last.number() + 1))
    }

    fn batch(
        &self,
        desk: &Desk,
        position: Option<Position>,
        timers: Option<Position>,
    ) -> Result<AppendBatch, Error> {
        let note = Note::Checkpoint {
            position: position.map(Position::raw),
            timers: timers.map(Position::raw),
        };
        let event = note.seal(desk.new_id(), &self.stream, Metadata::default())?;
        let stream = self.stream.clone();
        if let Some(last) = self.revision {
            let expected = ExpectedRevision::Exactly(last);
            return Ok(AppendBatch::events(stream, expected, vec![event]));
        }
        // Only the last one is ever read.
        let settings = StreamWrite {
            stream: stream.clone(),
            expected: ExpectedRevision::StreamExists,
            change: Change::Settings(StreamSettings {
                max_count: Some(1),
                ..StreamSettings::default()
            }),
        };
        Ok(AppendBatch::events(stream, ExpectedRevision::NoStream, vec![event]).and(settings))
    }
}

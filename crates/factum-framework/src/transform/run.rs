//! The run: events in, results out, in order.

use factum_store::{EventStore, EventStream, Kind, ReadRequest, Source};
use factum_types::{Metadata, NewEvent, Position, RecordedEvent, StreamName, limits};

use super::close::Closing;
use super::draft::{Draft, Identity};
use super::report::Report;
use super::source::Sources;
use super::target::{BATCH_BYTES, BATCH_EVENTS, Target};
use super::{PARTS_MAX, STREAM_MOVED, Steps};
use crate::error::Error;

// One event always fits into a batch.
const _: () = assert!(
    BATCH_BYTES
        > limits::EVENT_DATA_BYTES_MAX
            + limits::EVENT_METADATA_BYTES_MAX
            + limits::EVENT_PERSONAL_BYTES_MAX
);

/// The watcher is told after so many records.
const TELL_EVERY: u64 = 1 << 10;

/// What to do with an event that cannot be transformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// End there; everything before it is written.
    #[default]
    Stop,
    /// Leave it out, and say so in the report.
    Skip,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The position that was reached.
    pub position: Position,
    /// The last position that will be read.
    pub end: Position,
    /// Events read that are not hidden.
    pub read: u64,
}

/// Is told how a copy goes.
///
/// ```
/// use factum_framework::transform::{Step, Watch};
///
/// /// Ends a copy after so many events, to be gone on with later.
/// struct Limit(u64);
///
/// impl Watch for Limit {
///     fn step(&mut self, step: &Step) -> bool { step.read < self.0 }
/// }
/// # let _: Box<dyn Watch> = Box::new(Limit(1_000));
/// ```
pub trait Watch: Send {
    /// It came so far; `false` ends it in order, to be gone on with later.
    fn step(&mut self, step: &Step) -> bool {
        let _ = step;
        true
    }

    /// In a dry run, and without a target: what an event becomes.
    fn made(&mut self, before: &RecordedEvent, after: &[(StreamName, NewEvent)]) {
        let _ = (before, after);
    }
}

impl Watch for () {}

/// How a copy ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// What was done; it counts also when it failed.
    pub report: Report,
    /// Whether it came to its end, was told to stop, or failed.
    pub outcome: Result<End, Error>,
}

/// How a copy ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything was read.
    Complete,
    /// The watcher ended it; run it again to go on.
    Stopped,
}

/// Where results go.
#[derive(Clone, Copy)]
enum Into<'a> {
    Nowhere,
    Store(&'a dyn EventStore),
    Itself(Note),
}

/// Notes the time an event had in the metadata of its result.
type Note = fn(&RecordedEvent, &mut Metadata);

/// A copy that is being put together; see the [module](super) for an example and what is kept.
///
/// ```
/// use factum_framework::transform::{Draft, End, Transform};
/// use factum_store::MemoryStore;
/// # use factum_store::{AppendBatch, EventStore};
/// # use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
///
/// # pollster::block_on(async {
/// # let old = MemoryStore::new();
/// # let event = NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("order.new")?, "{}");
/// # old.append(AppendBatch::events(StreamName::new("order-1")?, ExpectedRevision::NoStream, vec![event])).await?;
/// let steps = |mut event: Draft| {
///     event.rename("OrderPlaced")?;
///     Ok(vec![event])
/// };
/// let new = MemoryStore::new();
/// let copy = || Transform::new("orders-2026", &old, &steps).into_store(&new);
/// assert_eq!(copy().run(&mut ()).await.outcome?, End::Complete);
/// // Again, as after a crash: nothing is written twice.
/// assert_eq!(copy().run(&mut ()).await.report.already_there, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "nothing is done before it is run"]
pub struct Transform<'a> {
    name: String,
    store: &'a dyn EventStore,
    steps: &'a dyn Steps,
    source: Source,
    into: Into<'a>,
    on_failure: OnFailure,
    close: bool,
    is_dry: bool,
    batch: usize,
}

impl<'a> Transform<'a> {
    /// A copy of everything, to nowhere: nothing is written before it is said where to. The name stands in the links of old streams.
    pub fn new(name: impl AsRef<str>, store: &'a dyn EventStore, steps: &'a dyn Steps) -> Self {
        Self {
            name: name.as_ref().to_owned(),
            store,
            steps,
            source: Source::All,
            into: Into::Nowhere,
            on_failure: OnFailure::Stop,
            close: false,
            is_dry: false,
            batch: BATCH_EVENTS,
        }
    }

    /// Which events are read.
    pub fn of(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Into another store, empty or begun by the same steps.
    pub fn into_store(mut self, store: &'a dyn EventStore) -> Self {
        self.into = Into::Store(store);
        self
    }

    /// Into new streams of the same store: of another name than the stream that is read, or of another category. Events are recorded now;
    /// `note` may put the time they had into their metadata.
    pub fn within(mut self, note: fn(&RecordedEvent, &mut Metadata)) -> Self {
        self.into = Into::Itself(note);
        self
    }

    /// What to do with events that cannot be transformed.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// How many results one append holds, about; more are faster and need more memory.
    pub fn batch(mut self, events: usize) -> Self {
        self.batch = events.clamp(1, BATCH_EVENTS);
        self
    }

    /// Within one store: ends every stream that was read with a [`STREAM_MOVED`] event that names the new ones. The store goes on taking
    /// events for it, and it can still be read; only a tombstone closes a stream for writers, and then nobody can read it either.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Reads and checks everything that a run would, the target included, and writes nothing: neither results nor links. The report says
    /// what a run would do.
    ///
    /// ```
    /// use factum_framework::transform::{Draft, Transform};
    /// use factum_store::{EventStore, MemoryStore};
    /// # use factum_store::AppendBatch;
    /// # use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
    ///
    /// # pollster::block_on(async {
    /// # let old = MemoryStore::new();
    /// # let event = NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("order.new")?, "{}");
    /// # old.append(AppendBatch::events(StreamName::new("order-1")?, ExpectedRevision::NoStream, vec![event])).await?;
    /// let steps = |event: Draft| Ok(vec![event]);
    /// let new = MemoryStore::new();
    /// let tried = Transform::new("orders-2026", &old, &steps).into_store(&new).dry_run().run(&mut ()).await;
    /// assert_eq!((tried.report.added, new.head().await?), (1, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn dry_run(mut self) -> Self {
        self.is_dry = true;
        self
    }

    /// Runs it, up to what is stored now.
    ///
    /// # Errors (in the outcome)
    /// [`Kind::Invalid`](crate::Kind::Invalid): the target was made otherwise, or results would go where they are read from. The error of
    /// an event that cannot be transformed, named by its position, unless such events are left out. Errors of the stores.
    ///
    /// # Cancel safety
    /// Dropping the future is as good as a kill: run it again.
    pub async fn run(self, watch: &mut dyn Watch) -> Finished {
        let mut report = Report::default();
        let outcome = self.all(&mut report, watch).await;
        Finished { report, outcome }
    }

    async fn all(&self, report: &mut Report, watch: &mut dyn Watch) -> Result<End, Error> {
        self.check()?;
        let Some(end) = self.store.head().await? else {
            return Ok(End::Complete);
        };
        let target = match self.into {
            Into::Nowhere => None,
            Into::Store(store) => Some(Target::other(store, self.batch).dry(self.is_dry)),
            Into::Itself(_) => Some(Target::same(self.store, self.batch).dry(self.is_dry)),
        };
        let mut run = Run {
            plan: self,
            target,
            sources: Sources::new(self.store),
            is_shown: self.is_dry || matches!(self.into, Into::Nowhere),
            closing: self.close.then(Closing::default),
            seen: 0,
            last: Position::START,
            report,
        };
        let events = self.store.read(ReadRequest::forward(self.source.clone()));
        let outcome = run.events(events, end, watch).await;
        // Whatever ended it: what was made of the events before is written.
        let outcome = match run.end(matches!(outcome, Ok(End::Complete))).await {
            Ok(()) => outcome,
            Err(error) => outcome.and(Err(error)),
        };
        if let Some(target) = &run.target {
            (run.report.added, run.report.already_there) = (target.added, target.already_there);
        }
        outcome
    }

    fn check(&self) -> Result<(), Error> {
        let is_within = matches!(self.into, Into::Itself(_));
        if is_within && !matches!(self.source, Source::Stream(_) | Source::Category(_)) {
            return Err(Error::invalid(
                "within one store, one stream or one category is transformed: what is written would be read again",
            ));
        }
        if self.close && !is_within {
            return Err(Error::invalid(
                "only streams of the store that is written can be closed with a link",
            ));
        }
        Ok(())
    }

    /// Fails when a result would go where it is read from.
    fn check_stream(&self, stream: &StreamName) -> Result<(), Error> {
        if !matches!(self.into, Into::Itself(_)) {
            return Ok(());
        }
        let what = match &self.source {
            Source::Stream(read) if read == stream => "the stream that is read",
            Source::Category(read) if stream.category() == Some(read.as_str()) => {
                "the category that is read"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid(format!(
            "within one store a result cannot go to stream {stream}, which is {what}: the steps must move every event that they keep"
        )))
    }

    /// What an event becomes.
    fn results(&self, event: &RecordedEvent) -> Result<Vec<(StreamName, NewEvent)>, Error> {
        let drafts = self.steps.apply(Draft::new(event.clone()))?;
        if drafts.len() > PARTS_MAX {
            let what = format!(
                "it would become {} events, more than the limit of {PARTS_MAX}",
                drafts.len()
            );
            return Err(Error::invalid(what));
        }
        let (identity, time) = match self.into {
            Into::Itself(_) => (Identity::Derived, None),
            _ if drafts.len() == 1 => (Identity::Kept, Some(event.time)),
            _ => (Identity::Derived, Some(event.time)),
        };
        let mut bytes = 0;
        let results = drafts.into_iter().enumerate().map(|(part, mut draft)| {
            if let Into::Itself(note) = self.into {
                note(event, &mut draft.metadata);
            }
            let (stream, event) = draft.finish(identity, part, time)?;
            bytes += stream.as_str().len() + event.byte_len();
            Ok((stream, event))
        });
        let results = results.collect::<Result<Vec<_>, Error>>()?;
        if results.len() > 1 && bytes > BATCH_BYTES {
            let what = format!(
                "its results would have {bytes} bytes together, more than the limit of {BATCH_BYTES}"
            );
            return Err(Error::invalid(what));
        }
        Ok(results)
    }
}

/// A run under way.
struct Run<'a> {
    plan: &'a Transform<'a>,
    /// `None` without one.
    target: Option<Target<'a>>,
    /// Whether the watcher is shown what is made.
    is_shown: bool,
    sources: Sources<'a>,
    closing: Option<Closing>,
    /// Records read.
    seen: u64,
    last: Position,
    report: &'a mut Report,
}

impl Run<'_> {
    async fn events(
        &mut self,
        mut events: EventStream,
        end: Position,
        watch: &mut dyn Watch,
    ) -> Result<End, Error> {
        while let Some(item) = events.next().await {
            match item {
                Ok(event) if event.position > end => break,
                Ok(event) => {
                    let position = event.position;
                    self.event(event, watch).await?;
                    self.last = position;
                }
                Err(error)
                    if error.kind() == Kind::Corrupt && self.plan.on_failure == OnFailure::Skip =>
                {
                    self.report.is_damaged(&error);
                }
                Err(error) => return Err(error.into()),
            }
            self.seen += 1;
            let step = self.step(self.last, end);
            if self.seen.is_multiple_of(TELL_EVERY) && !watch.step(&step) {
                return Ok(End::Stopped);
            }
        }
        // That it is at its end is told as well; then there is nothing left to stop.
        let _ = watch.step(&self.step(end, end));
        Ok(End::Complete)
    }

    const fn step(&self, position: Position, end: Position) -> Step {
        Step {
            position,
            end,
            read: self.report.read,
        }
    }

    async fn event(&mut self, event: RecordedEvent, watch: &mut dyn Watch) -> Result<(), Error> {
        if self.sources.hides(&event).await? {
            self.report.hidden += 1;
            return Ok(());
        }
        let is_within = matches!(self.plan.into, Into::Itself(_));
        if is_within && event.event_type.as_str() == STREAM_MOVED {
            if let Some(closing) = &mut self.closing {
                closing.is_closed(&event);
            }
            return Ok(());
        }
        let results = match self.plan.results(&event) {
            Ok(results) => results,
            Err(error) if self.plan.on_failure == OnFailure::Skip => {
                self.report.fails(&event, &error);
                if let Some(closing) = &mut self.closing {
                    closing.failed(&event);
                }
                return Ok(());
            }
            Err(error) => {
                self.report.fails(&event, &error);
                return Err(named(&event, &error));
            }
        };
        for (stream, _) in &results {
            self.plan.check_stream(stream)?;
        }
        self.report.became(&event, &results);
        if !self.plan.steps.knows(&event) {
            self.report.is_unknown(&event);
        }
        if let Some(closing) = &mut self.closing {
            closing.went(&event, &results);
        }
        if self.is_shown {
            watch.made(&event, &results);
        }
        match &mut self.target {
            Some(target) => target.take(results).await,
            None => Ok(()),
        }
    }

    async fn end(&mut self, is_complete: bool) -> Result<(), Error> {
        if let Some(target) = &mut self.target {
            target.flush().await?;
        }
        if !is_complete {
            return Ok(());
        }
        if let Some(target) = &mut self.target {
            target.must_end().await?;
        }
        if let Some(closing) = &self.closing {
            let store = (!self.plan.is_dry).then_some(self.plan.store);
            closing.close(store, &self.plan.name, self.report).await?;
        }
        Ok(())
    }
}

/// An error with the place of the event that it is about.
fn named(event: &RecordedEvent, error: &Error) -> Error {
    let RecordedEvent {
        position,
        revision,
        stream,
        event_type,
        ..
    } = event;
    Error::new(
        error.kind(),
        format!(
            "position {position}, {event_type} at revision {revision} of stream {stream}: {error}"
        ),
    )
    .because(error.clone())
}

impl std::fmt::Debug for Transform<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transform")
            .field("name", &self.name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

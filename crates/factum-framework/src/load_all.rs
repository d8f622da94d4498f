//! Loading every state of a category in one pass.
//!
//! What lives here: [`LoadAll`]. Relies on: a read of the category with its control records, each in its place. Never: gives a state that
//! loading its stream alone would not give; streams whose settings hide events are loaded alone.

use std::future::IntoFuture;
use std::marker::PhantomData;

use factum_store::{ReadRequest, StreamState};
use factum_types::{Category, FixedMap, RecordKind, RecordedEvent, StreamName};
use futures_core::future::BoxFuture;

use crate::decider::Decider;
use crate::error::Error;
use crate::load::{Loaded, Origin};
use crate::repository::Repository;

/// How many states are loaded at most unless said otherwise.
const STREAMS_MAX: usize = 1_000_000;

/// A load of all streams of a category that is being put together; await it.
///
/// It reads the category once, in order of positions, however its streams are mixed: much faster than loading one stream after the
/// other. All states are held in memory together. Neither snapshots nor states in memory are used or made.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::Repository;
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decider, Emit, Env, Event};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "Counted")]
/// # struct Counted { by: u32 }
/// # #[derive(Default, Clone)]
/// # struct Counter { total: u32 }
/// # impl Decider for Counter {
/// #     type Command = u32;
/// #     type Event = Counted;
/// #     type Error = String;
/// #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
/// #     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, String> { Ok(Counted { by }.into()) }
/// # }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-1", 7).await?;
/// repository.run::<Counter>("counter-2", 1).await?;
/// let all = repository.load_all::<Counter>("counter").at_most(10).await?;
/// assert_eq!(all.iter().map(|counter| counter.state.total).sum::<u32>(), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a load does nothing unless awaited"]
#[derive(Debug)]
pub struct LoadAll<'a, D> {
    repository: &'a Repository,
    category: Result<Category, Error>,
    streams_max: usize,
    decider: PhantomData<fn() -> D>,
}

impl Repository {
    /// The states of all streams of a category that have events, in the order of their first. Awaiting what is returned loads them.
    ///
    /// Events appended meanwhile may be folded, those of one stream never with a gap.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): no name of a category, or more streams than [`at_most`](LoadAll::at_most). Otherwise as
    /// for a load.
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub fn load_all<D: Decider>(&self, category: impl AsRef<str>) -> LoadAll<'_, D> {
        LoadAll {
            repository: self,
            category: Category::new(category).map_err(Error::from),
            streams_max: STREAMS_MAX,
            decider: PhantomData,
        }
    }
}

impl<'a, D: Decider> LoadAll<'a, D> {
    /// Not more than this many streams that have events, or it is an error; without it, a million.
    pub fn at_most(mut self, streams: usize) -> Self {
        self.streams_max = streams;
        self
    }

    async fn load(self) -> Result<Vec<Loaded<D>>, Error> {
        let category = self.category?;
        let mut folds = Folds::new(self.streams_max);
        let request = ReadRequest::category(category.clone()).with_control();
        let mut events = self.repository.store.read(request);
        while let Some(event) = events.next().await {
            let event = event?;
            if folds.needs_room(&event) {
                folds.make_room(&event.stream, self.repository).await?;
            }
            if !folds.take(&event) {
                let (most, category) = (self.streams_max, category.as_str());
                return Err(Error::invalid(format!(
                    "category {category} has more than {most} streams: allow more by at_most, or load them one by one"
                )));
            }
        }
        folds.finish(self.repository).await
    }
}

impl<'a, D: Decider> IntoFuture for LoadAll<'a, D> {
    type Output = Result<Vec<Loaded<D>>, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.load())
    }
}

/// The folds of many streams, each as far as it was read.
struct Folds<D> {
    by_name: FixedMap<StreamName, usize>,
    folds: Vec<Fold<D>>,
    /// How many of them have events.
    held: usize,
    /// Whether there was once no room for a stream.
    has_been_full: bool,
    streams_max: usize,
}

/// The fold of one stream.
struct Fold<D> {
    loaded: Loaded<D>,
    /// The first event that could not be folded. Loading the stream alone may never see it.
    error: Option<Error>,
    /// Whether it has events, as far as was read.
    is_held: bool,
    /// Whether the stream's settings may hide some of its events.
    has_settings: bool,
    /// Whether it was closed for ever.
    closed: bool,
    /// Whether it is known to be deleted further on, so that nothing counts until then.
    is_gone: bool,
}

impl<D: Decider> Folds<D> {
    fn new(streams_max: usize) -> Self {
        Self {
            by_name: FixedMap::default(),
            folds: Vec::new(),
            held: 0,
            has_been_full: false,
            streams_max,
        }
    }

    /// Whether a record is the first of a stream for which there may be no room.
    fn needs_room(&self, record: &RecordedEvent) -> bool {
        let known = self.by_name.get(&record.stream);
        let fold = known.and_then(|place| self.folds.get(*place));
        record.kind == RecordKind::Event
            && (self.has_been_full || self.held >= self.streams_max)
            && fold.is_none_or(Fold::may_be_held)
    }

    /// Leaves out streams that are deleted or closed further on, which have no state in the end: this one, or if it stays, those held.
    async fn make_room(
        &mut self,
        stream: &StreamName,
        repository: &Repository,
    ) -> Result<(), Error> {
        // From now on every new stream is asked about, so that those held need not be asked again.
        self.has_been_full = true;
        if is_gone(stream, repository).await? {
            if let Some(fold) = self.of(stream) {
                fold.is_gone = true;
            }
            return Ok(());
        }
        if self.held < self.streams_max {
            return Ok(());
        }
        for fold in self.folds.iter_mut().filter(|fold| fold.is_held) {
            if is_gone(&fold.loaded.stream, repository).await? {
                fold.is_gone = true;
                fold.begin_anew();
                self.held -= 1;
            }
        }
        Ok(())
    }

    /// Takes up one record; `false` when it is of one stream too many.
    fn take(&mut self, record: &RecordedEvent) -> bool {
        let is_full = self.held >= self.streams_max;
        let Some(fold) = self.of(&record.stream) else {
            return false;
        };
        let was_held = fold.is_held;
        match record.kind {
            RecordKind::Event if fold.closed || fold.is_gone => {}
            RecordKind::Event if is_full && !was_held => return false,
            RecordKind::Event => fold.take(record),
            RecordKind::Settings => fold.has_settings = true,
            RecordKind::Tombstone => {
                fold.closed = true;
                fold.begin_anew();
            }
            // It begins anew, if at all: nothing that was counts. Its settings are not asked about here.
            _ => {
                fold.is_gone = false;
                fold.begin_anew();
            }
        }
        match (was_held, fold.is_held) {
            (false, true) => self.held += 1,
            (true, false) => self.held -= 1,
            _ => {}
        }
        true
    }

    fn of(&mut self, stream: &StreamName) -> Option<&mut Fold<D>> {
        let place = match self.by_name.get(stream) {
            Some(place) => *place,
            None => {
                let place = self.folds.len();
                self.by_name.insert(stream.clone(), place);
                self.folds.push(Fold::new(stream.clone()));
                place
            }
        };
        self.folds.get_mut(place)
    }

    /// The states of the streams that have events.
    async fn finish(self, repository: &Repository) -> Result<Vec<Loaded<D>>, Error> {
        let mut states = Vec::with_capacity(self.held);
        let folds = self.folds.into_iter();
        for fold in folds.filter(|fold| !fold.closed && !fold.is_gone) {
            let mut loaded = fold.loaded;
            if fold.has_settings {
                let start = Loaded::new(loaded.stream, Origin::Replay);
                loaded = repository.replay(start, None).await?;
            } else if let Some(error) = fold.error {
                return Err(error);
            }
            if loaded.exists() {
                states.push(loaded);
            }
        }
        Ok(states)
    }
}

impl<D: Decider> Fold<D> {
    fn new(stream: StreamName) -> Self {
        Self {
            loaded: Loaded::new(stream, Origin::Replay),
            error: None,
            is_held: false,
            has_settings: false,
            closed: false,
            is_gone: false,
        }
    }

    /// Whether an event would make it one of those that have some.
    const fn may_be_held(&self) -> bool {
        !(self.is_held || self.closed || self.is_gone)
    }

    fn take(&mut self, event: &RecordedEvent) {
        self.is_held = true;
        if self.error.is_none() {
            self.error = self.loaded.fold(event).err();
        }
    }

    /// Forgets what was folded.
    fn begin_anew(&mut self) {
        self.loaded = Loaded::new(self.loaded.stream.clone(), Origin::Replay);
        (self.error, self.is_held) = (None, false);
    }
}

/// Whether a stream is deleted or closed now, however far it was read.
async fn is_gone(stream: &StreamName, repository: &Repository) -> Result<bool, Error> {
    let info = repository.store.stream_info(stream.clone()).await?;
    Ok(info.state != StreamState::Live)
}

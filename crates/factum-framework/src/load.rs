//! Loading: a state is the fold of its stream, now or as it was.
//!
//! What lives here: [`Load`], what it gives, and the dial between fast and fresh. Relies on: revisions without gaps. Never: trusts a
//! cached state of a stream that was cut meanwhile.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use factum_store::{ReadFrom, ReadRequest, StreamState};
use factum_types::{ExpectedRevision, Position, RecordedEvent, Revision, StreamName, Timestamp};
use futures_core::future::BoxFuture;

use crate::decider::Decider;
use crate::error::{Error, Kind};
use crate::event;
use crate::repository::Repository;

/// What is known up to here: given by every command, accepted by every read, so that one reads one's own writes.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Kind, Repository, Token};
/// use factum_types::Position;
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
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let done = repository.run::<Counter>("counter-1", 7).await?;
/// // Whichever process reads, it reads what the command did.
/// let counter = repository.load::<Counter>("counter-1").at_least(done.token).await?;
/// assert_eq!(counter.state.total, 7);
///
/// // A store that has not come so far says so, and gives no older state.
/// let ahead = Token(Some(Position::from_raw(1_000)));
/// let behind = repository.load::<Counter>("counter-1").at_least(ahead).await;
/// assert_eq!(behind.map(|_| ()).unwrap_err().kind(), Kind::Behind);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Token(
    /// The position; `None` when nothing is known.
    pub Option<Position>,
);

/// Between fast and fresh: which state is good enough.
///
/// ```
/// use std::sync::Arc;
///
/// use std::time::Duration;
/// use factum_framework::{Dial, Repository};
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
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-1", 7).await?;
/// // For a list on a screen, what was so a second ago will do.
/// let dial = Dial::StaleUpTo(Duration::from_secs(1));
/// assert_eq!(repository.load::<Counter>("counter-1").dial(dial).await?.state.total, 7);
///
/// // A new stream need not be looked for. Were it there, the append would be a conflict, and be decided again on what is stored.
/// repository.run::<Counter>("counter-2", 1).dial(Dial::AssumeNew).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Dial {
    /// What is stored now.
    #[default]
    Fresh,
    /// What memory holds, however old; what is stored when it holds nothing.
    Cached,
    /// What memory holds, if it was fresh this short a time ago.
    StaleUpTo(Duration),
    /// Nothing: the stream is taken to be new, and is not read.
    AssumeNew,
}

/// A point in the past of a stream.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{AsOf, Repository};
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
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-1", 3).await?;
/// repository.run::<Counter>("counter-1", 4).await?;
///
/// let first = repository.load::<Counter>("counter-1").as_of(1u64).await?;
/// assert_eq!((first.state.total, first.version), (3, 1));
/// let moment = first.time.ok_or("it has no event")?;
/// let then = repository.load::<Counter>("counter-1").as_of(AsOf::Time(moment)).await?;
/// assert!(then.version >= 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AsOf {
    /// After this many events.
    Version(u64),
    /// After all events up to this moment.
    Time(Timestamp),
}

impl From<u64> for AsOf {
    fn from(version: u64) -> Self {
        Self::Version(version)
    }
}

impl From<Timestamp> for AsOf {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

impl AsOf {
    pub(crate) fn includes(self, event: &RecordedEvent) -> bool {
        match self {
            Self::Version(version) => event.revision.number() < version,
            Self::Time(time) => event.time <= time,
        }
    }
}

/// Where a state came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// From all events of the stream.
    Replay,
    /// From memory, and the events since.
    Cache,
    /// From a snapshot of this version, and the events since.
    Snapshot(u64),
    /// From nothing: it was assumed to be new.
    Assumed,
}

/// A state as it was loaded.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::Repository;
/// use factum_types::{ExpectedRevision, Revision};
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
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let none = repository.load::<Counter>("counter-1").await?;
/// assert!(!none.exists());
/// assert_eq!(none.expected(), ExpectedRevision::NoStream);
///
/// repository.run::<Counter>("counter-1", 7).await?;
/// let one = repository.load::<Counter>("counter-1").await?;
/// assert_eq!((one.state.total, one.version), (7, 1));
/// assert_eq!(one.expected(), ExpectedRevision::Exactly(Revision::new(0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded<D> {
    /// The stream.
    pub stream: StreamName,
    /// The state.
    pub state: D,
    /// The number of the stream's next event; 0 when there is no stream.
    pub version: u64,
    /// The position of the last event folded, when one was read.
    pub position: Option<Position>,
    /// The time of the last event folded, when one was read.
    pub time: Option<Timestamp>,
    /// Where it came from.
    pub origin: Origin,
    /// How many events were read for it.
    pub folded: u64,
    /// The version and the time of the newest snapshot known.
    pub(crate) snapshot: Option<(u64, Timestamp)>,
    /// The time of the first event folded, from which on a snapshot is missing.
    pub(crate) first_time: Option<Timestamp>,
    /// How long loading took.
    pub(crate) load_time: Duration,
}

impl<D: Decider> Loaded<D> {
    pub(crate) fn new(stream: StreamName, origin: Origin) -> Self {
        Self {
            stream,
            state: D::default(),
            version: 0,
            position: None,
            time: None,
            origin,
            folded: 0,
            snapshot: None,
            first_time: None,
            load_time: Duration::ZERO,
        }
    }

    /// Whether the stream has events.
    #[must_use]
    pub const fn exists(&self) -> bool {
        self.version > 0
    }

    /// What an append that builds on this state expects.
    #[must_use]
    pub const fn expected(&self) -> ExpectedRevision {
        match self.version.checked_sub(1) {
            Some(last) => ExpectedRevision::Exactly(Revision::new(last)),
            None => ExpectedRevision::NoStream,
        }
    }

    pub(crate) fn fold(&mut self, recorded: &RecordedEvent) -> Result<(), Error> {
        for event in event::read::<D::Event>(recorded)?.as_slice() {
            self.state.evolve(event, recorded);
        }
        self.version = recorded.revision.number() + 1;
        self.position = Some(recorded.position);
        self.time = Some(recorded.time);
        self.first_time.get_or_insert(recorded.time);
        self.folded += 1;
        Ok(())
    }
}

/// A load that is being put together; await it.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Dial, Repository};
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
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-1", 7).await?;
/// let now = repository.load::<Counter>("counter-1").await?;
/// let before = repository.load::<Counter>("counter-1").as_of(0u64).await?;
/// let any = repository.load::<Counter>("counter-1").dial(Dial::Cached).await?;
/// assert_eq!((before.state.total, now.state.total, any.state.total), (0, 7, 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a load does nothing unless awaited"]
#[derive(Debug)]
pub struct Load<'a, D> {
    repository: &'a Repository,
    stream: Result<StreamName, Error>,
    dial: Dial,
    as_of: Option<AsOf>,
    at_least: Token,
    decider: PhantomData<fn() -> D>,
}

impl<'a, D: Decider> Load<'a, D> {
    pub(crate) fn new(repository: &'a Repository, stream: Result<StreamName, Error>) -> Self {
        Self {
            repository,
            stream,
            dial: Dial::Fresh,
            as_of: None,
            at_least: Token::default(),
            decider: PhantomData,
        }
    }

    /// Which state is good enough; without it, what is stored now.
    pub fn dial(mut self, dial: Dial) -> Self {
        self.dial = dial;
        self
    }

    /// The state as it was: after so many events (`u64`) or at a moment ([`Timestamp`]).
    pub fn as_of(mut self, as_of: impl Into<AsOf>) -> Self {
        self.as_of = Some(as_of.into());
        self
    }

    /// A state that has everything up to this token; [`Kind::Behind`] when the store has not come so far.
    pub fn at_least(mut self, token: Token) -> Self {
        self.at_least = token;
        self
    }

    async fn load(self) -> Result<Loaded<D>, Error> {
        let stream = self.stream?;
        let repository = self.repository;
        let mut dial = self.dial;
        if self.at_least > Token::default() {
            repository.reached(self.at_least).await?;
            dial = Dial::Fresh;
        }
        match self.as_of {
            Some(as_of) => repository.past(stream, as_of).await,
            None => repository
                .present::<D>(&stream, dial)
                .await
                .map(Arc::unwrap_or_clone),
        }
    }
}

impl<'a, D: Decider> IntoFuture for Load<'a, D> {
    type Output = Result<Loaded<D>, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.load())
    }
}

impl Repository {
    async fn reached(&self, token: Token) -> Result<(), Error> {
        let head = self.store.head().await?;
        if Token(head) >= token {
            return Ok(());
        }
        let what =
            "the store has not come as far as the token says; try again, or ask another node";
        Err(Error::new(Kind::Behind, what))
    }

    pub(crate) async fn past<D: Decider>(
        &self,
        stream: StreamName,
        as_of: AsOf,
    ) -> Result<Loaded<D>, Error> {
        let resumed = match as_of {
            AsOf::Version(version) => self.resumed(&stream, Some(version)).await?,
            AsOf::Time(_) => None,
        };
        match resumed {
            Some(resumed) => Ok(resumed),
            None => {
                self.replay(Loaded::new(stream, Origin::Replay), Some(as_of))
                    .await
            }
        }
    }

    /// The state now, as fresh as the dial says.
    pub(crate) async fn present<D: Decider>(
        &self,
        stream: &StreamName,
        dial: Dial,
    ) -> Result<Arc<Loaded<D>>, Error> {
        if dial == Dial::AssumeNew {
            return Ok(Arc::new(Loaded::new(stream.clone(), Origin::Assumed)));
        }
        let cached = self.cache.find::<D>(stream);
        if let Some((loaded, fresh_ns)) = &cached {
            let good = match dial {
                Dial::Cached => true,
                Dial::StaleUpTo(limit) => self.world.elapsed_since(*fresh_ns) <= limit,
                Dial::Fresh | Dial::AssumeNew => false,
            };
            if good {
                return Ok(Arc::clone(loaded));
            }
        }
        self.fresh(stream, cached.map(|(loaded, _)| loaded)).await
    }

    async fn fresh<D: Decider>(
        &self,
        stream: &StreamName,
        cached: Option<Arc<Loaded<D>>>,
    ) -> Result<Arc<Loaded<D>>, Error> {
        let now_ns = self.world.clock.monotonic_ns();
        let loaded = match self.continued(stream, cached).await? {
            Some(loaded) => loaded,
            None => {
                // What memory holds is of a stream that was cut, or of nothing.
                self.cache.forget::<D>(stream);
                let mut loaded = self.anew(stream).await?;
                loaded.load_time = self.world.elapsed_since(now_ns);
                Arc::new(loaded)
            }
        };
        if loaded.exists() {
            self.cache.keep(&loaded, now_ns);
        } else {
            self.cache.forget::<D>(stream);
        }
        Ok(loaded)
    }

    /// A cached state, brought up to date; `None` when the stream was cut, so that a replay would give another.
    async fn continued<D: Decider>(
        &self,
        stream: &StreamName,
        cached: Option<Arc<Loaded<D>>>,
    ) -> Result<Option<Arc<Loaded<D>>>, Error> {
        let Some(cached) = cached else {
            return Ok(None);
        };
        let info = self.store.stream_info(stream.clone()).await?;
        let next = info.next_revision();
        if !info.is_whole() || next < cached.version {
            return Ok(None);
        }
        if next == cached.version {
            return Ok(Some(cached));
        }
        let mut base = Arc::unwrap_or_clone(cached);
        (base.origin, base.folded, base.load_time) = (Origin::Cache, 0, Duration::ZERO);
        Ok(self.tail(base, None).await?.map(Arc::new))
    }

    /// The newest snapshot that fits, and the events after it, up to a version.
    async fn resumed<D: Decider>(
        &self,
        stream: &StreamName,
        at_most: Option<u64>,
    ) -> Result<Option<Loaded<D>>, Error> {
        let Some(keeper) = self.snapshots.keeper::<D>() else {
            return Ok(None);
        };
        let Some(base) = keeper.find(stream, at_most).await else {
            return Ok(None);
        };
        if !self.is_whole(stream, base.version).await? {
            return Ok(None);
        }
        self.tail(base, at_most.map(AsOf::Version)).await
    }

    /// Whether a replay gives all events of a stream up to a version. It may give less when settings hide some, and when a place for
    /// snapshots of its own has come further than the store.
    pub(crate) async fn is_whole(&self, stream: &StreamName, version: u64) -> Result<bool, Error> {
        let info = self.store.stream_info(stream.clone()).await?;
        Ok(info.is_whole() && info.next_revision() >= version)
    }

    /// Fails unless a replay gives all events of a stream up to a version: then a snapshot of it would be no state to begin from.
    pub(crate) async fn must_be_whole(
        &self,
        stream: &StreamName,
        version: u64,
    ) -> Result<(), Error> {
        if self.is_whole(stream, version).await? {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "settings of stream {stream} hide events: a snapshot would not be what a replay of all of them gives"
        )))
    }

    /// The state from what is stored.
    async fn anew<D: Decider>(&self, stream: &StreamName) -> Result<Loaded<D>, Error> {
        if let Some(resumed) = self.resumed(stream, None).await? {
            return Ok(resumed);
        }
        let start = Loaded::new(stream.clone(), Origin::Replay);
        self.replay(start, None).await
    }

    /// A state and the events after it; `None` when they do not follow it.
    async fn tail<D: Decider>(
        &self,
        mut base: Loaded<D>,
        until: Option<AsOf>,
    ) -> Result<Option<Loaded<D>>, Error> {
        let from = ReadFrom::Revision(Revision::new(base.version));
        let mut events = self
            .store
            .read(ReadRequest::stream(base.stream.clone()).from(from));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) if until.is_some_and(|until| !until.includes(&event)) => break,
                Ok(event) if event.revision.number() == base.version => base.fold(&event)?,
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == factum_store::Kind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(base))
    }

    pub(crate) async fn replay<D: Decider>(
        &self,
        start: Loaded<D>,
        until: Option<AsOf>,
    ) -> Result<Loaded<D>, Error> {
        let stream = start.stream.clone();
        let state = self.replay_once(start.clone(), until).await?;
        if state.version > 0 || until.is_some() {
            return Ok(state);
        }
        let info = self.store.stream_info(stream).await?;
        if info.state != StreamState::Live {
            return Ok(state);
        }
        // Nothing was read of a stream that is there: its first events came meanwhile, or its settings hide all of it.
        let mut again = self.replay_once(start, None).await?;
        if again.version == 0 {
            // Then its numbers go on all the same.
            again.version = info.next_revision();
        }
        Ok(again)
    }

    async fn replay_once<D: Decider>(
        &self,
        mut state: Loaded<D>,
        until: Option<AsOf>,
    ) -> Result<Loaded<D>, Error> {
        let mut events = self.store.read(ReadRequest::stream(state.stream.clone()));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) if until.is_none_or(|until| until.includes(&event)) => {
                    state.fold(&event)?;
                }
                Ok(_) => return Ok(state),
                Err(error) if error.kind() == factum_store::Kind::NotFound => return Ok(state),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(state)
    }
}

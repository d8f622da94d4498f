//! Snapshots: folds that are kept, so that loading a long stream costs its tail.
//!
//! What lives here: [`Snapshots`] for a state, [`Policy`] for when, and the key by which an old one is recognised as useless. Relies on:
//! a [`SnapshotStore`]. Never: is needed for a correct answer. Whatever does not fit, from the key to the last byte, means replay.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use factum_store::{ReadRequest, Snapshot, SnapshotStore};
use factum_types::{RecordedEvent, StreamName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, hash};
use crate::decider::Decider;
use crate::error::{Error, Kind};
use crate::event::{Event, SUBJECT_TAG};
use crate::load::{Dial, Loaded, Origin};
use crate::repository::{Repository, name};
use crate::shape;

/// A state that may be kept as a snapshot.
///
/// A snapshot is used only by the code that would have made the same: its key has the shape of the state and of its events, the author's
/// [`REVISION`](Snapshots::REVISION), and a fingerprint of the fold, which is what the fold makes of [`samples`](Snapshots::samples).
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Origin, Policy, Repository, Snapshots};
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decider, Emit, Env, Event};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "Counted")]
/// # struct Counted { by: u32 }
/// # #[derive(Default, Clone, Serialize, Deserialize)]
/// # struct Counter { total: u32 }
/// # impl Decider for Counter {
/// #     type Command = u32;
/// #     type Event = Counted;
/// #     type Error = String;
/// #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
/// #     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, String> { Ok(Counted { by }.into()) }
/// # }
///
/// impl Snapshots for Counter {
///     fn samples() -> Vec<Counted> { vec![Counted { by: 2 }] }
/// }
///
/// # pollster::block_on(async {
/// let store = Arc::new(MemoryStore::new());
/// let repository = Repository::new(store.clone())
///     .with_snapshot_store(store)
///     .with_snapshots::<Counter>(Policy::every(100).or(Policy::on("CounterClosed")))?
///     .with_cache(0);
/// repository.run::<Counter>("counter-1", 7).await?;
/// assert_eq!(repository.snapshot::<Counter>("counter-1").await?, Some(1));
/// assert_eq!(repository.load::<Counter>("counter-1").await?.origin, Origin::Snapshot(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait Snapshots: Decider + Serialize + DeserializeOwned {
    /// Raised by the author when the fold changes in a way that the samples do not show.
    const REVISION: u32 = 1;

    /// Events that show what the fold does; the more of it they touch, the more changes are noticed by themselves.
    fn samples() -> Vec<Self::Event>;

    /// Whom the state has personal data of, by the ids that the events' [`SUBJECT_TAG`] has. They are stored
    /// with each snapshot, so that [`Repository::drop_snapshots_about`] finds it. The state itself is stored as it is.
    fn subjects(&self) -> Vec<String> {
        Vec::new()
    }

    /// The names of events that change nothing in the state, by intention; [`check`](crate::kit::check) finds those that were forgotten.
    #[must_use]
    fn ignored() -> &'static [&'static str] {
        &[]
    }
}

/// When a snapshot is taken. Policies are put together by [`or`](Policy::or).
///
/// ```
/// use std::time::Duration;
///
/// use factum_framework::snapshot::{Facts, Policy};
///
/// let policy = Policy::every(100).or(Policy::on("OrderShipped")).or(Policy::slower_than(Duration::from_millis(100)));
/// assert!(policy.wants(&Facts { events_since: 100, ..Facts::default() }));
/// assert!(policy.wants(&Facts { names: &["OrderShipped"], ..Facts::default() }));
/// assert!(!policy.wants(&Facts { events_since: 99, ..Facts::default() }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    triggers: Vec<Trigger>,
    keep: Option<NonZeroU32>,
}

/// How many snapshots of a stream are kept, unless said otherwise.
const KEEP: NonZeroU32 = NonZeroU32::new(10).unwrap();

#[derive(Debug, Clone, PartialEq, Eq)]
enum Trigger {
    Every(u64),
    Interval(Duration),
    SlowerThan(Duration),
    On(String),
}

/// What a policy judges by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// How many events came since the last snapshot, or since the beginning; what the framework notes in the stream counts too.
    pub events_since: u64,
    /// How old the last snapshot is, or the first event since the beginning; `None` when that is not known.
    pub age: Option<Duration>,
    /// How long loading took.
    pub load_time: Duration,
    /// The names of the events just written.
    pub names: &'a [&'a str],
}

impl Policy {
    /// When so many events came since the last one.
    #[must_use]
    pub fn every(events: u64) -> Self {
        Self::when(vec![Trigger::Every(events.max(1))])
    }

    /// When something is written and the last one is this old.
    #[must_use]
    pub fn at_interval(interval: Duration) -> Self {
        Self::when(vec![Trigger::Interval(interval)])
    }

    /// When loading took longer than this.
    #[must_use]
    pub fn slower_than(limit: Duration) -> Self {
        Self::when(vec![Trigger::SlowerThan(limit)])
    }

    /// Only when [`Repository::snapshot`] is called.
    #[must_use]
    pub const fn manual() -> Self {
        Self::when(Vec::new())
    }

    /// When an event of this name was written.
    #[must_use]
    pub fn on(name: impl Into<String>) -> Self {
        Self::when(vec![Trigger::On(name.into())])
    }

    const fn when(triggers: Vec<Trigger>) -> Self {
        let keep = None;
        Self { triggers, keep }
    }

    /// When this policy wants it, or that one. As many are kept as the one says that says more.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.triggers.extend(other.triggers);
        self.keep = self.keep.max(other.keep);
        self
    }

    /// So many snapshots of a stream are kept, the newest; 10 unless said otherwise. Older ones serve to load the past from.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    ///
    /// use factum_framework::Policy;
    ///
    /// let policy = Policy::every(100).keeping(NonZeroU32::MIN);
    /// # drop(policy);
    /// ```
    #[must_use]
    pub const fn keeping(mut self, snapshots: NonZeroU32) -> Self {
        self.keep = Some(snapshots);
        self
    }

    /// Whether a snapshot should be taken.
    #[must_use]
    pub fn wants(&self, facts: &Facts<'_>) -> bool {
        self.triggers.iter().any(|trigger| match trigger {
            Trigger::Every(events) => facts.events_since >= *events,
            Trigger::Interval(interval) => facts.age.is_some_and(|age| age >= *interval),
            Trigger::SlowerThan(limit) => facts.load_time > *limit,
            Trigger::On(name) => facts.names.contains(&name.as_str()),
        })
    }
}

/// Which states are kept, and where.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    store: Option<Arc<dyn SnapshotStore>>,
    kinds: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

/// How one type of state is kept.
pub(crate) struct Keeper<D> {
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) policy: Policy,
    pub(crate) key: String,
    encode: fn(&D) -> Result<Vec<u8>, Error>,
    decode: fn(&[u8]) -> Option<D>,
    subjects: fn(&D) -> Vec<String>,
}

impl Registry {
    /// Where snapshots are kept.
    pub(crate) fn place(&self) -> Option<&dyn SnapshotStore> {
        self.store.as_deref()
    }

    pub(crate) fn keeper<D: Decider>(&self) -> Option<Arc<Keeper<D>>> {
        let found = Arc::clone(self.kinds.get(&TypeId::of::<D>())?);
        found.downcast().ok()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

/// The key of the snapshots that this code can use: shape, revision and fingerprint.
///
/// # Errors
/// [`Kind::Invalid`]: a state has no form in JSON, or a sample cannot be written.
pub fn key<D: Snapshots>() -> Result<String, Error> {
    let mut shapes = shape::fields::<D>();
    for kind in D::Event::KINDS {
        shapes.push_str(&kind.line());
    }
    let shape = hash(shapes.as_bytes());
    let fingerprint = fingerprint::<D>()?;
    let revision = D::REVISION;
    Ok(format!("{shape:016x}-r{revision}-{fingerprint:016x}"))
}

/// A number for what the fold does: of the states it makes of the samples, one after the other.
fn fingerprint<D: Snapshots>() -> Result<u64, Error> {
    let samples = crate::kit::recorded(&D::samples())?;
    let mut states = Vec::new();
    let mut run = Loaded::<D>::new(crate::kit::stream(), Origin::Replay);
    states.extend(codec::encode(&run.state)?);
    for sample in &samples {
        run.fold(sample)?;
        states.extend(codec::encode(&run.state)?);
    }
    Ok(hash(&states))
}

impl<D: Decider> Keeper<D> {
    /// The newest snapshot that fits, up to a version; whatever is wrong with it, there is none.
    pub(crate) async fn find(
        &self,
        stream: &StreamName,
        at_most: Option<u64>,
    ) -> Option<Loaded<D>> {
        let found = self
            .store
            .load_snapshot(stream.clone(), self.key.clone(), at_most)
            .await;
        let snapshot = found.ok()??;
        let mut loaded = Loaded::new(stream.clone(), Origin::Snapshot(snapshot.version));
        loaded.state = (self.decode)(&snapshot.data)?;
        loaded.version = snapshot.version;
        loaded.snapshot = Some((snapshot.version, snapshot.time));
        Some(loaded)
    }

    pub(crate) async fn save(&self, loaded: &Loaded<D>) -> Result<(), Error> {
        let data = (self.encode)(&loaded.state)?;
        let (stream, key) = (loaded.stream.clone(), self.key.clone());
        let snapshot = Snapshot::new(stream, key, loaded.version, data)
            .with_subjects((self.subjects)(&loaded.state))
            .with_keep(self.policy.keep);
        save(&*self.store, snapshot).await
    }
}

/// Saves a snapshot, of which as many are kept as it says, or as many as of any.
///
/// # Errors
/// [`Kind::Invalid`]: the state nests so deep that it could not be read again. Otherwise as for an append.
pub(crate) async fn save(store: &dyn SnapshotStore, mut snapshot: Snapshot) -> Result<(), Error> {
    codec::must_be_readable(&snapshot.data)?;
    snapshot.keep.get_or_insert(KEEP);
    Ok(store.save_snapshot(snapshot).await?)
}

impl Repository {
    /// The same with a place for snapshots; usually the store itself.
    #[must_use]
    pub fn with_snapshot_store(mut self, store: Arc<dyn SnapshotStore>) -> Self {
        self.snapshots.store = Some(store);
        self
    }

    /// The same with snapshots of this state, by this policy.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: there is no place for snapshots, or a state or a sample has no form in JSON.
    pub fn with_snapshots<D: Snapshots>(mut self, policy: Policy) -> Result<Self, Error> {
        let Some(store) = self.snapshots.store.clone() else {
            return Err(Error::invalid(
                "say first where snapshots are kept: with_snapshot_store",
            ));
        };
        let keeper: Keeper<D> = Keeper {
            store,
            policy,
            key: key::<D>()?,
            encode: codec::encode,
            decode: |data| serde_json::from_slice(data).ok(),
            subjects: D::subjects,
        };
        self.snapshots
            .kinds
            .insert(TypeId::of::<D>(), Arc::new(keeper));
        Ok(self)
    }

    /// Takes a snapshot now, and says of which version; `None` when the stream has no events.
    ///
    /// # Errors
    /// As for a load and an append; [`Kind::Invalid`] when no snapshots are kept of this state, when settings of the stream hide events, so
    /// that the state would be no one to begin from once they are shown again, and when it nests too deep to be read again.
    ///
    /// # Cancel safety
    /// Dropped, the snapshot is taken or it is not; states are the same either way.
    pub async fn snapshot<D: Snapshots>(
        &self,
        stream: impl AsRef<str>,
    ) -> Result<Option<u64>, Error> {
        let Some(keeper) = self.snapshots.keeper::<D>() else {
            return Err(Error::new(
                Kind::Invalid,
                "no snapshots are kept of this state: with_snapshots",
            ));
        };
        self.take(&keeper, &name(stream)?).await
    }

    /// Takes a snapshot of the state now, and notes on the state in memory that there is one, so that the next is counted from there.
    async fn take<D: Decider>(
        &self,
        keeper: &Keeper<D>,
        stream: &StreamName,
    ) -> Result<Option<u64>, Error> {
        // What was stored before this moment is in the state; what came while it was saved is not.
        let fresh_ns = self.world.clock.monotonic_ns();
        let loaded = self.present::<D>(stream, Dial::Fresh).await?;
        if !loaded.exists() {
            return Ok(None);
        }
        let version = loaded.version;
        self.must_be_whole(stream, version).await?;
        keeper.save(&loaded).await?;
        let mut loaded = Arc::unwrap_or_clone(loaded);
        loaded.snapshot = Some((version, self.world.now()));
        loaded.load_time = Duration::ZERO;
        self.cache.keep(&Arc::new(loaded), fresh_ns);
        Ok(Some(version))
    }

    /// Drops every snapshot in which someone's data are, whichever version of the code took it, and says of how many streams and keys.
    ///
    /// The streams are those with an event whose tags name the subject (see [`SUBJECT_TAG`]); of these, all snapshots go of a
    /// key under which one lists the subject ([`Snapshots::subjects`]). They are never loaded again. The events stay as they are, and so do states in
    /// memory; when the bytes of a snapshot leave the disk is the store's affair.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: there is no place for snapshots, or the subject cannot be part of a tag. Otherwise as for a load and an append.
    ///
    /// # Cancel safety
    /// Dropped, some are gone and others are not: ask again.
    pub async fn drop_snapshots_about(&self, subject: &str) -> Result<usize, Error> {
        let Some(store) = &self.snapshots.store else {
            return Err(Error::invalid(
                "say first where snapshots are kept: with_snapshot_store",
            ));
        };
        let tag = codec::tag(SUBJECT_TAG, subject)?;
        let mut streams = BTreeSet::new();
        let mut events = self.store.read(ReadRequest::tag(tag));
        while let Some(event) = events.next().await {
            streams.insert(event?.stream);
        }
        let mut dropped = 0;
        for stream in streams {
            let listed = store.list_snapshots(stream.clone()).await?;
            let about = listed
                .into_iter()
                .filter(|snapshot| snapshot.subjects.iter().any(|listed| listed == subject));
            let keys: BTreeSet<_> = about.map(|snapshot| snapshot.key).collect();
            for key in keys {
                store.drop_snapshots(stream.clone(), key).await?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// Takes a snapshot in the background, if the policy wants one after this command, which brought the stream to this version: messages
    /// and timers are in the stream too, and count as they will when it is loaded.
    pub(crate) fn snapshot_if_wanted<D: Decider>(
        &self,
        loaded: &Loaded<D>,
        events: &[D::Event],
        version: u64,
    ) {
        let Some(keeper) = self.snapshots.keeper::<D>() else {
            return;
        };
        let names: Vec<_> = events.iter().map(|event| event.kind().name).collect();
        let (since, then) = match loaded.snapshot {
            Some((version, time)) => (version, Some(time)),
            None => (0, loaded.first_time),
        };
        let age = then.map(|then| {
            self.world
                .now()
                .as_micros()
                .saturating_sub(then.as_micros())
        });
        let facts = Facts {
            events_since: version.saturating_sub(since),
            age: age.map(|age| Duration::from_micros(u64::try_from(age).unwrap_or(0))),
            load_time: loaded.load_time,
            names: &names,
        };
        if !keeper.policy.wants(&facts) {
            return;
        }
        let (repository, stream) = (self.clone(), loaded.stream.clone());
        self.world.background.start(Box::pin(async move {
            // Nobody waits for it, and without it the next load is slower, nothing else.
            drop(repository.take(&keeper, &stream).await);
        }));
    }
}

/// Whether a snapshot at every cut, and the events after it, give what a replay gives; `None` when they do.
///
/// # Errors
/// [`Kind::Decode`]: an event cannot be read. [`Kind::Invalid`]: a state has no form in JSON.
pub fn differs_from_replay<D: Snapshots>(events: &[RecordedEvent]) -> Result<Option<usize>, Error> {
    let mut whole = Loaded::<D>::new(crate::kit::stream(), Origin::Replay);
    let mut cuts = vec![codec::encode(&whole.state)?];
    for event in events {
        whole.fold(event)?;
        cuts.push(codec::encode(&whole.state)?);
    }
    let end = codec::encode(&whole.state)?;
    for (cut, data) in cuts.iter().enumerate() {
        let mut resumed = Loaded::<D>::new(crate::kit::stream(), Origin::Replay);
        resumed.state = codec::decode("the snapshot", D::REVISION, data)?;
        for event in events.iter().skip(cut) {
            resumed.fold(event)?;
        }
        if codec::encode(&resumed.state)? != end {
            return Ok(Some(cut));
        }
    }
    Ok(None)
}

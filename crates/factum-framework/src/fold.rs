//! Folding without a Rust type: the state of a stream as JSON, by merging or as a file declares it.
//!
//! What lives here: [`Fold`], the states it makes, and what a repository does with them: load, remember, blame.
//! Relies on: data that are JSON; other data have no fields. Never: needs a snapshot for a correct answer.
//!
//! With the feature `files`, a fold is read from a file of this form (TOML 1.0), in which every mistake is named with its line:
//!
//! ```toml
//! format = 1                            # of this file; always there
//! initial = { offers = 0 }              # the state before the first event; {} when left out
//! unknown = "ignore"                    # events that no rule takes: ignore (the default), merge, or fail
//!
//! [[on]]
//! event = "ApplicationSubmitted"        # one type, a list of types, or "*" for all
//! version = [1, 2]                      # only these schema versions; all when left out
//! do = [
//!   { set = "/status", value = "submitted" },
//!   { set = "/amount", from = "/AMOUNT_REQ", as = "number" },
//!   { set = "/submittedAt", beside = "time" },
//!   { merge = "/applicant", from = "/person" },
//!   { append = "/history", beside = "type" },
//!   { increment = "/offers", by = 1 },
//!   { decrement = "/balance", from = "/amount" },
//!   { remove = "/draft" },
//! ]
//! ```
//!
//! All rules that take an event are applied, in order. Places in the state and in the data are JSON pointers. A value is given by
//! `value`, taken from the data by `from`, or from beside them by `beside`: `id`, `type`, `version`, `stream`, `revision`, `time`,
//! `user`, `correlation` or `causation`. `as` makes it a `number`, a `text` or a `boolean`, or fails; `default` stands in for a field that
//! is not there. Without it, a step whose field is not there does nothing. `merge` and `append` take the whole data when they name no
//! source. Data that are not JSON are not there, and have no fields. `merge` takes objects, and fails for anything else that is there.

#[cfg(feature = "files")]
mod file;
#[cfg(feature = "files")]
mod rules;

use std::collections::BTreeSet;

use factum_store::{ReadFrom, ReadRequest, Snapshot};
use factum_types::{ContentType, RecordedEvent, Revision, StreamName, Timestamp, limits};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::event::SUBJECT_TAG;
use crate::generic::merge_patch;
use crate::load::{AsOf, Origin};
use crate::note::is_note;
use crate::pointer::Pointer;
use crate::repository::{Repository, name};
use crate::snapshot::save;
use crate::travel::Blame;
#[cfg(feature = "files")]
pub(crate) use rules::Takes;

/// Raised when this module folds differently from before, so that older snapshots are passed over.
const REVISION: u32 = 2;

/// What events do to a state that is JSON.
///
/// ```
/// # #[cfg(feature = "files")] {
/// use factum_framework::fold::Fold;
///
/// let fold = Fold::declared(r#"
///     format = 1
///     [[on]]
///     event = ["MoneyPaidIn", "MoneyPaidOut"]
///     do = [{ increment = "/movements" }]
/// "#)?;
/// assert_ne!(fold.key(), Fold::merge().key());
/// let error = Fold::declared("format = 1\n[[on]]\nevnt = \"MoneyPaidIn\"\n").unwrap_err();
/// assert_eq!(error.to_string(), "line 2: the key `event` is missing: which events the rule takes");
/// # }
/// # Ok::<(), factum_framework::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    how: How,
    key: String,
}

#[derive(Debug, Clone, PartialEq)]
enum How {
    Merge,
    #[cfg(feature = "files")]
    Declared(rules::Rules),
}

/// A state that a [`Fold`] made.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::Repository;
/// use factum_framework::fold::Fold;
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
/// // Each field is as it was last said.
/// let folded = repository.folded("counter-1", &Fold::merge(), None).await?;
/// assert_eq!((folded.version, folded.folded), (2, 2));
/// assert_eq!(folded.state, serde_json::json!({ "by": 4 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Folded {
    /// The stream.
    pub stream: StreamName,
    /// The number of the stream's next event at that point, which is how many events were folded unless some are hidden; 0 when there is
    /// no stream.
    pub version: u64,
    /// The time of the last event, when there is one.
    pub time: Option<Timestamp>,
    /// The state.
    pub state: Value,
    /// Where it came from.
    pub origin: Origin,
    /// How many events were read for it.
    pub folded: u64,
    /// Whom its events are about, by their subject tags; one more than a snapshot can name when there are more.
    subjects: BTreeSet<String>,
}

/// What is kept of a state.
#[derive(Serialize, Deserialize)]
struct Kept {
    time: Option<i64>,
    state: Value,
}

impl Fold {
    /// The data objects, applied in order as JSON merge patches (RFC 7396); data that are something else change nothing.
    #[must_use]
    pub fn merge() -> Self {
        Self {
            how: How::Merge,
            key: format!("fold-merge-{REVISION}"),
        }
    }

    /// What a file declares; see the [module](self) for its form.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) names the first mistake with its line.
    #[cfg(feature = "files")]
    pub fn declared(text: &str) -> Result<Self, Error> {
        let rules = rules::Rules::read(text)?;
        let fingerprint = crate::env::derive_id(&["fold", text]);
        Ok(Self {
            how: How::Declared(rules),
            key: format!("fold-file-{REVISION}-{fingerprint}"),
        })
    }

    /// What the snapshots of this fold are known by: its kind, and a fingerprint of the file.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The state before the first event.
    #[must_use]
    pub fn initial(&self) -> Value {
        match &self.how {
            How::Merge => Value::Object(Map::new()),
            #[cfg(feature = "files")]
            How::Declared(rules) => rules.initial(),
        }
    }

    /// Applies an event to a state.
    ///
    /// # Errors
    /// [`Kind::Decode`](crate::Kind::Decode): the event says that it is JSON, and is not. [`Kind::Invalid`](crate::Kind::Invalid): a rule
    /// cannot be applied, or none takes the event and the file says to fail then. Both name stream and revision.
    pub fn apply(&self, state: &mut Value, event: &RecordedEvent) -> Result<(), Error> {
        // What the framework noted for itself says nothing about the domain.
        if is_note(event.event_type.as_str()) {
            return Ok(());
        }
        match &self.how {
            How::Merge => merge(state, event),
            #[cfg(feature = "files")]
            How::Declared(rules) => rules.apply(state, event),
        }
        .map_err(|error| error.at(event))
    }
}

/// The data of an event; `None` when they are not JSON.
fn data(event: &RecordedEvent) -> Result<Option<Value>, Error> {
    if event.content_type != ContentType::Json {
        return Ok(None);
    }
    crate::codec::decode(event.event_type.as_str(), event.schema_version, &event.data).map(Some)
}

fn merge(state: &mut Value, event: &RecordedEvent) -> Result<(), Error> {
    if let Some(data) = data(event)?.filter(Value::is_object) {
        merge_patch(state, data);
    }
    Ok(())
}

impl Folded {
    fn new(stream: StreamName, fold: &Fold) -> Self {
        Self {
            stream,
            version: 0,
            time: None,
            state: fold.initial(),
            origin: Origin::Replay,
            folded: 0,
            subjects: BTreeSet::new(),
        }
    }

    fn apply(&mut self, fold: &Fold, event: &RecordedEvent) -> Result<(), Error> {
        fold.apply(&mut self.state, event)?;
        self.version = event.revision.number() + 1;
        self.time = Some(event.time);
        self.folded += 1;
        self.note_subjects(event);
        Ok(())
    }

    fn note_subjects(&mut self, event: &RecordedEvent) {
        let tags = event.tags.iter();
        let subjects =
            tags.filter_map(|tag| tag.as_str().strip_prefix(SUBJECT_TAG)?.strip_prefix(':'));
        for subject in subjects {
            // Then no snapshot is taken, whoever else is among them.
            if self.subjects.len() > limits::SNAPSHOT_SUBJECTS_MAX {
                return;
            }
            if !self.subjects.contains(subject) {
                self.subjects.insert(subject.to_owned());
            }
        }
    }
}

impl Repository {
    /// The state of a stream by a fold, now or at a point in its past; from a snapshot when one fits.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use factum_framework::{Repository, fold::Fold};
    /// use factum_store::{AppendBatch, EventStore, MemoryStore};
    /// use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
    ///
    /// # pollster::block_on(async {
    /// let store = MemoryStore::new();
    /// let event = |id, name, data: &'static str| NewEvent::json(EventId::from_bytes([id; 16]), EventType::new(name).unwrap(), data);
    /// let events = vec![event(1, "OrderPlaced", r#"{"total": 30}"#), event(2, "OrderPaid", r#"{"paid": true}"#)];
    /// store.append(AppendBatch::events(StreamName::new("order-1")?, ExpectedRevision::NoStream, events)).await?;
    ///
    /// let repository = Repository::new(Arc::new(store));
    /// let now = repository.folded("order-1", &Fold::merge(), None).await?;
    /// assert_eq!((now.version, now.state), (2, serde_json::json!({"total": 30, "paid": true})));
    /// let then = repository.folded("order-1", &Fold::merge(), Some(1.into())).await?;
    /// assert_eq!((then.version, then.state), (1, serde_json::json!({"total": 30})));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As for [`Fold::apply`], and for a read; a stream that is not there has the version 0 and is no error.
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub async fn folded(
        &self,
        stream: impl AsRef<str>,
        fold: &Fold,
        as_of: Option<AsOf>,
    ) -> Result<Folded, Error> {
        let stream = name(stream)?;
        if let Some(kept) = self.kept(&stream, fold, as_of).await?
            && let Some(folded) = self.follow(kept, fold, as_of).await?
        {
            return Ok(folded);
        }
        let start = Folded::new(stream.clone(), fold);
        let folded = self.follow(start, fold, as_of).await?;
        folded.ok_or_else(|| Error::invalid(format!("stream {stream} was cut while it was read")))
    }

    /// Takes a snapshot of the state by a fold now, and gives that state; `None` when the stream has no events.
    ///
    /// It says whose data are inside, by the [`SUBJECT_TAG`] of all events that were folded, so that
    /// [`drop_snapshots_about`](Self::drop_snapshots_about) finds it. The last ten of a stream and fold are kept.
    ///
    /// # Errors
    /// As for [`folded`](Self::folded) and for an append; [`Kind::Invalid`](crate::Kind::Invalid) when the repository has no place for
    /// snapshots, when events of the stream are hidden, so that a snapshot would not be what a replay of all of them gives, when the
    /// state nests too deep to be read again, or when the events are about more people than a snapshot can name.
    ///
    /// # Cancel safety
    /// Dropped, the snapshot is taken or it is not; states are the same either way.
    pub async fn snapshot_folded(
        &self,
        stream: impl AsRef<str>,
        fold: &Fold,
    ) -> Result<Option<Folded>, Error> {
        let Some(store) = self.snapshots.place() else {
            return Err(Error::invalid(
                "say first where snapshots are kept: with_snapshot_store",
            ));
        };
        let folded = self.folded(stream, fold, None).await?;
        if folded.version == 0 {
            return Ok(None);
        }
        self.must_be_whole(&folded.stream, folded.version).await?;
        let kept = Kept {
            time: folded.time.map(Timestamp::as_micros),
            state: folded.state.clone(),
        };
        let data = crate::codec::encode(&kept)?;
        let stream = folded.stream.clone();
        let snapshot = Snapshot::new(stream, fold.key.clone(), folded.version, data)
            .with_subjects(folded.subjects.iter().cloned().collect());
        save(store, snapshot).await?;
        Ok(Some(folded))
    }

    /// Which event last changed the field at a JSON pointer, up to a point in the past or among all; `None` when none ever did.
    ///
    /// # Errors
    /// As for [`folded`](Self::folded).
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub async fn blame_folded(
        &self,
        stream: impl AsRef<str>,
        fold: &Fold,
        pointer: &Pointer,
        as_of: Option<AsOf>,
    ) -> Result<Option<Blame>, Error> {
        let mut state = fold.initial();
        let field = pointer.get(&state).cloned();
        self.last_change(name(stream)?, as_of, field, |event| {
            fold.apply(&mut state, event)?;
            Ok(pointer.get(&state).cloned())
        })
        .await
    }

    /// The newest snapshot that fits; whatever is wrong with it, there is none.
    async fn kept(
        &self,
        stream: &StreamName,
        fold: &Fold,
        as_of: Option<AsOf>,
    ) -> Result<Option<Folded>, Error> {
        let Some(store) = self.snapshots.place() else {
            return Ok(None);
        };
        let at_most = match as_of {
            Some(AsOf::Version(version)) => Some(version),
            _ => None,
        };
        let found = store
            .load_snapshot(stream.clone(), fold.key.clone(), at_most)
            .await;
        let Ok(Some(snapshot)) = found else {
            return Ok(None);
        };
        let Ok(kept) = serde_json::from_slice::<Kept>(&snapshot.data) else {
            return Ok(None);
        };
        let time = kept.time.map(Timestamp::from_micros);
        let is_too_new = match as_of {
            Some(AsOf::Time(limit)) => time.is_none_or(|time| time > limit),
            _ => false,
        };
        if is_too_new || !self.is_whole(stream, snapshot.version).await? {
            return Ok(None);
        }
        Ok(Some(Folded {
            stream: stream.clone(),
            version: snapshot.version,
            time,
            state: kept.state,
            origin: Origin::Snapshot(snapshot.version),
            folded: 0,
            subjects: snapshot.subjects.into_iter().collect(),
        }))
    }

    /// A state and the events after it; `None` when they do not follow it.
    async fn follow(
        &self,
        mut base: Folded,
        fold: &Fold,
        as_of: Option<AsOf>,
    ) -> Result<Option<Folded>, Error> {
        let from = match base.version {
            0 => ReadFrom::Start,
            version => ReadFrom::Revision(Revision::new(version)),
        };
        let request = ReadRequest::stream(base.stream.clone()).from(from);
        let mut events = self.store.read(request);
        while let Some(event) = events.next().await {
            let event = match event {
                Err(error) if error.kind() == factum_store::Kind::NotFound => break,
                event => event?,
            };
            if as_of.is_some_and(|as_of| !as_of.includes(&event)) {
                break;
            }
            if base.version > 0 && event.revision.number() != base.version {
                return Ok(None);
            }
            base.apply(fold, &event)?;
        }
        Ok(Some(base))
    }
}

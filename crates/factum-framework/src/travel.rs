//! Time travel: what was different then, and which event made it so.
//!
//! What lives here: the difference between two states, and [`Blame`]. Relies on: states that serde can write as JSON. Never: stores
//! anything; all of it is folded anew.

use factum_store::ReadRequest;
use factum_types::{RecordedEvent, StreamName};
use serde::Serialize;
use serde_json::Value;

use crate::decider::Decider;
use crate::error::Error;
use crate::load::{AsOf, Loaded, Origin};
use crate::pointer::{Pointer, escaped};
use crate::repository::{Repository, name};

/// A difference between two states.
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
/// let changes = repository.diff::<Counter>("counter-1", 1u64, 2u64).await?;
/// assert_eq!(changes[0].pointer, "/total");
/// assert_eq!((&changes[0].before, &changes[0].after), (&Some(3.into()), &Some(7.into())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What was there before; `None` when nothing was.
    pub before: Option<Value>,
    /// What is there after; `None` when nothing is.
    pub after: Option<Value>,
}

/// The event that last changed a field.
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
/// repository.run::<Counter>("counter-1", 3).user("ann").await?;
/// repository.run::<Counter>("counter-1", 4).user("bob").await?;
/// let blame = repository.blame::<Counter>("counter-1", "/total").await?.ok_or("nothing changed it")?;
/// assert_eq!(blame.event.metadata.user_id.as_deref(), Some("bob"));
/// assert_eq!((blame.before, blame.after), (Some(3.into()), Some(7.into())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blame {
    /// The event, with its time, user and cause.
    pub event: RecordedEvent,
    /// The field before it; `None` when there was no such field.
    pub before: Option<Value>,
    /// The field after it, and ever since.
    pub after: Option<Value>,
}

/// What is different between two JSON values, in order of pointers; objects are compared by field, all else as a whole.
///
/// ```
/// use factum_framework::travel::difference;
/// use serde_json::json;
///
/// let found = difference(&json!({"a": 1, "b": {"c": 2}}), &json!({"a": 1, "b": {"c": 3}}));
/// assert_eq!(found[0].pointer, "/b/c");
/// ```
#[must_use]
pub fn difference(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    found
}

fn compare(
    pointer: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    if before == after {
        return;
    }
    let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) else {
        found.push(Difference {
            pointer: pointer.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        });
        return;
    };
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let pointer = format!("{pointer}/{}", escaped(key));
        compare(&pointer, old.get(key), new.get(key), found);
    }
}

fn json<D: Serialize>(state: &D) -> Result<Value, Error> {
    serde_json::to_value(state).map_err(|error| {
        Error::invalid(format!("the state has no form in JSON: {error}")).because(error)
    })
}

impl Repository {
    /// What is different in a stream's state between two points in its past, each a version (`u64`) or a moment.
    ///
    /// # Errors
    /// As for a load; [`Kind::Invalid`](crate::Kind::Invalid) when the state has no form in JSON.
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub async fn diff<D: Decider + Serialize>(
        &self,
        stream: impl AsRef<str>,
        from: impl Into<AsOf>,
        to: impl Into<AsOf>,
    ) -> Result<Vec<Difference>, Error> {
        let (from, to) = (from.into(), to.into());
        let before = self.load::<D>(&stream).as_of(from).await?;
        let after = self.load::<D>(&stream).as_of(to).await?;
        Ok(difference(&json(&before.state)?, &json(&after.state)?))
    }

    /// Which event last changed the field at a JSON pointer; `None` when none ever did.
    ///
    /// Folds the whole stream, and writes the state as JSON after each event: for questions, not for hot paths.
    ///
    /// # Errors
    /// As for a load; [`Kind::Invalid`](crate::Kind::Invalid) when the text is no [`Pointer`] or the state has no form in JSON.
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub async fn blame<D: Decider + Serialize>(
        &self,
        stream: impl AsRef<str>,
        pointer: &str,
    ) -> Result<Option<Blame>, Error> {
        let pointer = Pointer::new(pointer)?;
        let mut folded = Loaded::<D>::new(name(stream)?, Origin::Replay);
        let field = pointer.get(&json(&folded.state)?).cloned();
        self.last_change(folded.stream.clone(), None, field, |event| {
            folded.fold(event)?;
            Ok(pointer.get(&json(&folded.state)?).cloned())
        })
        .await
    }

    /// The last event of a stream, up to a point in its past, after which a field is another than before; `after` says what it is then.
    pub(crate) async fn last_change(
        &self,
        stream: StreamName,
        as_of: Option<AsOf>,
        mut field: Option<Value>,
        mut after: impl FnMut(&RecordedEvent) -> Result<Option<Value>, Error> + Send,
    ) -> Result<Option<Blame>, Error> {
        let mut last = None;
        let mut events = self.store.read(ReadRequest::stream(stream));
        while let Some(event) = events.next().await {
            let event = match event {
                Err(error) if error.kind() == factum_store::Kind::NotFound => break,
                event => event?,
            };
            if as_of.is_some_and(|as_of| !as_of.includes(&event)) {
                break;
            }
            let now = after(&event)?;
            if now != field {
                last = Some(Blame {
                    event,
                    before: std::mem::replace(&mut field, now.clone()),
                    after: now,
                });
            }
        }
        Ok(last)
    }
}

//! Deciding, for the general case: over whatever events matter, in whichever streams they are.
//!
//! What lives here: [`View`], [`Decision`] and how one is run. Relies on: append conditions over types and tags. Never: appends without
//! the condition that nothing in the views' scopes came after what was read; the query is derived from the views, so it cannot be forgotten.

use std::fmt;
use std::future::IntoFuture;

use factum_store::{AppendBatch, Condition, EventStore, ReadRequest, Source};
use factum_types::{
    EventType, ExpectedRevision, Position, Query, QueryItem, RecordedEvent, StreamName, Tag,
};
use futures_core::future::BoxFuture;

use crate::codec::tag;
use crate::decider::Emit;
use crate::env::Env;
use crate::error::Error;
use crate::event::{self, Event};
use crate::load::Token;
use crate::orders::{Orders, Prepared, Sealed};
use crate::repository::Repository;
use crate::run::{Committed, RunError};
use crate::versions::RawStep;

/// Which events a view folds: those of these types that have all of these tags.
///
/// ```
/// use factum_framework::Scope;
/// # use factum_framework::Event;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # enum OrderEvent {
/// #     #[event(name = "OrderPlaced")]
/// #     Placed { #[tag] customer: String },
/// #     #[event(name = "OrderPaid")]
/// #     Paid { #[tag] customer: String, cents: u64 },
/// # }
///
/// // All that is paid by ann, in whichever orders.
/// let paid = Scope::of::<OrderEvent>().only(&["OrderPaid"]).tag("customer", "ann");
/// assert_ne!(paid, Scope::of::<OrderEvent>().tag("customer", "ann"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    types: Vec<&'static str>,
    /// Names that raw steps bring up: what they become is known only when they are read.
    raw: Vec<&'static str>,
    tags: Vec<(String, String)>,
}

impl Scope {
    /// All kinds of a type's events, with any tags.
    #[must_use]
    pub fn of<E: Event>() -> Self {
        Self {
            types: event::names(E::KINDS),
            raw: E::STEPS.iter().map(RawStep::name).collect(),
            tags: Vec::new(),
        }
    }

    /// Only events of these names.
    #[must_use]
    pub fn only(mut self, names: &[&'static str]) -> Self {
        self.types.retain(|name| names.contains(name));
        self
    }

    /// Only events with this tag too.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.tags.push((key.into(), value.to_string()));
        self
    }

    fn item(&self) -> Result<QueryItem, Error> {
        if self.types.is_empty() {
            return Err(Error::invalid(
                "a view folds no type of event: name one that its events have",
            ));
        }
        let raw = self.raw.iter().filter(|name| !self.types.contains(name));
        let types = self.types.iter().chain(raw).map(EventType::new);
        let types = types.collect::<Result<_, _>>()?;
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| tag(key, value))
            .collect::<Result<_, _>>()?;
        Ok(QueryItem { types, tags })
    }
}

/// A small fold over the events in its scope, wherever they are stored.
///
/// ```
/// use factum_framework::{Scope, View, kit};
/// use factum_types::RecordedEvent;
/// # use factum_framework::Event;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # enum OrderEvent {
/// #     #[event(name = "OrderPlaced")]
/// #     Placed { #[tag] customer: String },
/// #     #[event(name = "OrderPaid")]
/// #     Paid { #[tag] customer: String, cents: u64 },
/// # }
///
/// /// What a customer has paid.
/// #[derive(Clone, Debug, PartialEq)]
/// struct Paid { customer: String, cents: u64 }
///
/// impl View for Paid {
///     type Event = OrderEvent;
///     fn scope(&self) -> Scope {
///         Scope::of::<OrderEvent>().only(&["OrderPaid"]).tag("customer", &self.customer)
///     }
///     fn evolve(&mut self, event: &OrderEvent, _: &RecordedEvent) {
///         if let OrderEvent::Paid { cents, .. } = event { self.cents += cents; }
///     }
/// }
///
/// let paid = |customer: &str, cents| OrderEvent::Paid { customer: customer.into(), cents };
/// kit::project(Paid { customer: "ann".into(), cents: 0 })
///     .given([paid("ann", 5), paid("bob", 9), paid("ann", 7)])
///     .then(|view| view.cents == 12);
/// ```
pub trait View: Send + Sync {
    /// The events it folds.
    type Event: Event;

    /// Which events matter to it.
    fn scope(&self) -> Scope;

    /// Takes up what happened. Total, and pure.
    fn evolve(&mut self, event: &Self::Event, recorded: &RecordedEvent);
}

/// One view, or a tuple of up to four.
///
/// ```
/// use std::sync::Arc;
/// use factum_framework::Repository;
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decision, Emit, Env, Event, Scope, View, Views};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "SeatTaken")]
/// # struct SeatTaken { #[tag] course: String, #[tag] student: String }
/// # struct Taken { key: &'static str, value: String, seats: u32 }
/// # impl View for Taken {
/// #     type Event = SeatTaken;
/// #     fn scope(&self) -> Scope { Scope::of::<SeatTaken>().tag(self.key, &self.value) }
/// #     fn evolve(&mut self, _: &SeatTaken, _: &RecordedEvent) { self.seats += 1; }
/// # }
///
/// struct Enrol { course: String, student: String }
///
/// impl Decision for Enrol {
///     /// Seats taken in the course, and by the student.
///     type Views = (Taken, Taken);
///     type Event = SeatTaken;
///     type Error = &'static str;
///     fn stream(&self) -> String { format!("course-{}", self.course) }
///     fn views(&self) -> (Taken, Taken) {
///         let taken = |key, value: &String| Taken { key, value: value.clone(), seats: 0 };
///         (taken("course", &self.course), taken("student", &self.student))
///     }
///     fn decide(&self, (course, student): &(Taken, Taken), _: &mut Env) -> Result<Emit<SeatTaken>, &'static str> {
///         if course.seats >= 1 { return Err("the course is full"); }
///         if student.seats >= 2 { return Err("two courses are enough"); }
///         Ok(SeatTaken { course: self.course.clone(), student: self.student.clone() }.into())
///     }
/// }
///
/// # pollster::block_on(async {
/// # let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let enrol = |course: &str, student: &str| Enrol { course: course.into(), student: student.into() };
/// assert!(repository.decide(enrol("rust", "ann")).await.is_ok());
/// assert!(repository.decide(enrol("rust", "bob")).await.is_err());
/// # });
/// ```
pub trait Views: Send + Sync {
    /// What the views fold, one item for each.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): a scope has a tag that is none, or no type.
    fn items(&self) -> Result<Vec<QueryItem>, Error>;

    /// Gives an event to those whose items it matches.
    ///
    /// # Errors
    /// [`Kind::Decode`](crate::Kind::Decode): it cannot be read as the view's event.
    fn fold(&mut self, items: &[QueryItem], recorded: &RecordedEvent) -> Result<(), Error>;
}

fn fold_one<V: View>(
    view: &mut V,
    item: Option<&QueryItem>,
    recorded: &RecordedEvent,
) -> Result<(), Error> {
    let Some(item) = item.filter(|item| item.matches(&recorded.event_type, &recorded.tags)) else {
        return Ok(());
    };
    for event in event::read::<V::Event>(recorded)?.as_slice() {
        // Raw steps may make of it what is not in the scope.
        let name = event.kind().name;
        if item.types.iter().any(|folded| folded.as_str() == name) {
            view.evolve(event, recorded);
        }
    }
    Ok(())
}

impl<V: View> Views for V {
    fn items(&self) -> Result<Vec<QueryItem>, Error> {
        Ok(vec![self.scope().item()?])
    }

    fn fold(&mut self, items: &[QueryItem], recorded: &RecordedEvent) -> Result<(), Error> {
        fold_one(self, items.first(), recorded)
    }
}

macro_rules! views {
    ($($view:ident $index:tt),+) => {
        impl<$($view: View),+> Views for ($($view,)+) {
            fn items(&self) -> Result<Vec<QueryItem>, Error> {
                Ok(vec![$(self.$index.scope().item()?),+])
            }

            fn fold(&mut self, items: &[QueryItem], recorded: &RecordedEvent) -> Result<(), Error> {
                $(fold_one(&mut self.$index, items.get($index), recorded)?;)+
                Ok(())
            }
        }
    };
}

views!(A 0);
views!(A 0, B 1);
views!(A 0, B 1, C 2);
views!(A 0, B 1, C 2, D 3);

/// A command that is judged by views over any events.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Decision, Emit, Env, Event, Repository, Scope, View};
/// use factum_store::MemoryStore;
/// use factum_types::RecordedEvent;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "UserRegistered")]
/// struct Registered { #[tag] name: String }
///
/// struct Taken { name: String, taken: bool }
///
/// impl View for Taken {
///     type Event = Registered;
///     fn scope(&self) -> Scope { Scope::of::<Registered>().tag("name", &self.name) }
///     fn evolve(&mut self, _: &Registered, _: &RecordedEvent) { self.taken = true; }
/// }
///
/// struct Register { name: String }
///
/// impl Decision for Register {
///     type Views = Taken;
///     type Event = Registered;
///     type Error = String;
///     fn stream(&self) -> String { format!("user-{}", self.name) }
///     fn views(&self) -> Taken { Taken { name: self.name.clone(), taken: false } }
///     fn decide(&self, view: &Taken, _: &mut Env) -> Result<Emit<Registered>, String> {
///         if view.taken { return Err("taken".into()); }
///         Ok(Registered { name: self.name.clone() }.into())
///     }
/// }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// assert!(repository.decide(Register { name: "ann".into() }).await.is_ok());
/// assert!(repository.decide(Register { name: "ann".into() }).await.is_err());
/// # });
/// ```
pub trait Decision: Send + Sync {
    /// What it must know: the query that guards it is the union of their scopes.
    type Views: Views;
    /// What may happen.
    type Event: Event;
    /// Why it is refused.
    type Error: Send;

    /// The stream that its events are written to.
    fn stream(&self) -> String;

    /// The views before any event.
    fn views(&self) -> Self::Views;

    /// What happens.
    ///
    /// # Errors
    /// Why nothing does.
    fn decide(&self, views: &Self::Views, env: &mut Env) -> Result<Emit<Self::Event>, Self::Error>;
}

/// A decision that is being put together; await it.
///
/// ```
/// use std::sync::Arc;
/// use factum_framework::Repository;
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decision, Emit, Env, Event, Scope, View, Views};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "SeatTaken")]
/// # struct SeatTaken { #[tag] course: String, #[tag] student: String }
/// # struct Taken { key: &'static str, value: String, seats: u32 }
/// # impl View for Taken {
/// #     type Event = SeatTaken;
/// #     fn scope(&self) -> Scope { Scope::of::<SeatTaken>().tag(self.key, &self.value) }
/// #     fn evolve(&mut self, _: &SeatTaken, _: &RecordedEvent) { self.seats += 1; }
/// # }
///
/// # struct Enrol { course: String, student: String }
/// #
/// # impl Decision for Enrol {
/// #     /// Seats taken in the course, and by the student.
/// #     type Views = (Taken, Taken);
/// #     type Event = SeatTaken;
/// #     type Error = &'static str;
/// #     fn stream(&self) -> String { format!("course-{}", self.course) }
/// #     fn views(&self) -> (Taken, Taken) {
/// #         let taken = |key, value: &String| Taken { key, value: value.clone(), seats: 0 };
/// #         (taken("course", &self.course), taken("student", &self.student))
/// #     }
/// #     fn decide(&self, (course, student): &(Taken, Taken), _: &mut Env) -> Result<Emit<SeatTaken>, &'static str> {
/// #         if course.seats >= 1 { return Err("the course is full"); }
/// #         if student.seats >= 2 { return Err("two courses are enough"); }
/// #         Ok(SeatTaken { course: self.course.clone(), student: self.student.clone() }.into())
/// #     }
/// # }
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let enrol = || Enrol { course: "rust".into(), student: "ann".into() };
/// let done = repository.decide(enrol()).user("ann").idempotency("click-1").await?;
/// assert_eq!(done.events.len(), 1);
/// // The click that came twice is answered as the first, although the course is full now.
/// assert!(repository.decide(enrol()).idempotency("click-1").await?.replayed);
/// assert!(repository.decide(enrol()).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a decision does nothing unless awaited"]
#[derive(Debug)]
pub struct Decide<'a, D> {
    repository: &'a Repository,
    decision: D,
    orders: Orders,
}

/// Views, the query they fold, and up to where they know.
struct Known<V> {
    views: V,
    items: Vec<QueryItem>,
    after: Option<Position>,
}

impl Repository {
    /// A decision over views. Awaiting what is returned makes it.
    ///
    /// # Errors
    /// [`RunError::Rejected`] is what the decision said; nothing was written. `RunError::Failed` by its kind:
    /// [`Kind::Conflict`](crate::Kind::Conflict): others were faster in every attempt, nothing was written.
    /// [`Kind::Invalid`](crate::Kind::Invalid): a name, a tag or a limit; nothing was written. [`Kind::Decode`](crate::Kind::Decode): a stored
    /// event cannot be read. Otherwise what the store says; when its outcome is unknown, only an idempotency key makes another try safe.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped, it is not known whether the events were written. With an idempotency key it can be run again.
    pub fn decide<D: Decision>(&self, decision: D) -> Decide<'_, D> {
        Decide {
            repository: self,
            decision,
            orders: Orders::new(),
        }
    }
}

impl<'a, D: Decision> Decide<'a, D> {
    crate::orders::builder!();

    async fn run(self) -> Result<Committed<D::Event>, RunError<D::Error>> {
        let repository = self.repository;
        let stream = StreamName::new(self.decision.stream()).map_err(Error::from)?;
        let prepared = Prepared::new(repository, stream.as_str(), self.orders)?;
        let mut attempts = 1;
        loop {
            let known = know(&*repository.store, self.decision.views()).await?;
            // Asked after reading: what is done later than this is caught by the condition on the key's tag.
            let key_after = repository.store.head().await?;
            if let Some(done) = repository.done_before(&prepared, attempts).await? {
                return Ok(done);
            }
            let mut env = prepared.env(repository);
            let emit = self.decision.decide(&known.views, &mut env);
            let emit = emit.map_err(RunError::Rejected)?;
            if emit.is_nothing() {
                let token = Token(known.after);
                return Ok(Committed::new(token, Vec::new(), attempts, false));
            }
            let Sealed { events, sealed } = prepared.seal(emit, &stream, &mut env)?;
            let mut batch = AppendBatch::events(stream.clone(), ExpectedRevision::Any, sealed)
                .on(no_match(Query { items: known.items }, known.after));
            if let Some((_, tag)) = &prepared.key {
                batch = batch.on(no_match(Query::tag(Tag::clone(tag)), key_after));
            }
            match repository.append_surely(batch, prepared.retry).await {
                Ok(receipt) => {
                    let token = Token(Some(receipt.last));
                    return Ok(Committed::new(token, events, attempts, receipt.replayed));
                }
                Err(error) => {
                    let conflict = error.kind() == factum_store::Kind::Conflict;
                    // The same decision at the same time has the same ids, with another content when it was made at another moment.
                    if error.kind() == factum_store::Kind::Invalid
                        && let Some(done) = repository.done_before(&prepared, attempts).await?
                    {
                        return Ok(done);
                    }
                    if !conflict || attempts >= prepared.retry.attempts {
                        return Err(error.into());
                    }
                }
            }
            repository.pause(prepared.retry, attempts).await;
            attempts += 1;
        }
    }
}

fn no_match(query: Query, after: Option<Position>) -> Condition {
    Condition::NoMatch { query, after }
}

/// Folds the views over all events in their scopes.
async fn know<V: Views>(store: &dyn EventStore, mut views: V) -> Result<Known<V>, Error> {
    let items = views.items()?;
    // What is published now is seen by the read that begins after; what it sees beyond is folded too.
    let mut after = store.head().await?;
    let query = Query {
        items: items.clone(),
    };
    let mut events = store.read(ReadRequest::forward(Source::Query(query)));
    while let Some(event) = events.next().await {
        let event = event?;
        views.fold(&items, &event)?;
        after = after.max(Some(event.position));
    }
    drop(events);
    Ok(Known {
        views,
        items,
        after,
    })
}

impl<'a, D: Decision + 'a> IntoFuture for Decide<'a, D> {
    type Output = Result<Committed<D::Event>, RunError<D::Error>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

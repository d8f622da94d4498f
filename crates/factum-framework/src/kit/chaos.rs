//! A store that answers badly: what networks and other people's stores do, put before any store.
//!
//! What lives here: [`Chaos`], and how often it does what. Relies on: the store behind it for everything that is true. Never: loses what
//! was acknowledged, changes what is read, or writes anything of its own; it only does what the contract allows a store to do.

mod answers;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use factum_store::{AppendBatch, Conflict, ConflictReason, EventStore, Kind, Receipt, StoreError};

use super::Chance;

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// An append is refused as a conflict, although nothing is in the way: as by a store that judges by what is still under way.
    Conflict,
    /// An append is written, and the answer is lost: the outcome is unknown.
    LostAnswer,
    /// An append is not written, and the answer is lost: the outcome is unknown.
    LostRequest,
    /// An append arrives twice, and either answer may come back.
    Duplicate,
    /// The store is busy, and nothing is done: of appends, snapshots and checkpoints.
    Busy,
    /// The store takes its time, so that others come first.
    Delay,
    /// A read ends with an error, somewhere before its end.
    BrokenRead,
    /// A subscription ends with an error, some time.
    BrokenSubscription,
}

/// How often, in 256, which trouble comes; see [`Trouble`].
///
/// ```
/// use factum_framework::kit::Troubles;
///
/// let only_lost_answers = Troubles { lost_answer: 128, ..Troubles::none() };
/// # drop(only_lost_answers);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Troubles {
    /// [`Trouble::Conflict`].
    pub conflict: u8,
    /// [`Trouble::LostAnswer`].
    pub lost_answer: u8,
    /// [`Trouble::LostRequest`].
    pub lost_request: u8,
    /// [`Trouble::Duplicate`].
    pub duplicate: u8,
    /// [`Trouble::Busy`].
    pub busy: u8,
    /// [`Trouble::Delay`].
    pub delay: u8,
    /// [`Trouble::BrokenRead`].
    pub broken_read: u8,
    /// [`Trouble::BrokenSubscription`].
    pub broken_subscription: u8,
}

impl Troubles {
    /// No trouble at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            conflict: 0,
            lost_answer: 0,
            lost_request: 0,
            duplicate: 0,
            busy: 0,
            delay: 0,
            broken_read: 0,
            broken_subscription: 0,
        }
    }

    /// Every trouble, about once in eight times each.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            conflict: 32,
            lost_answer: 32,
            lost_request: 32,
            duplicate: 32,
            busy: 32,
            delay: 32,
            broken_read: 32,
            broken_subscription: 32,
        }
    }

    const fn often(&self, trouble: Trouble) -> u8 {
        match trouble {
            Trouble::Conflict => self.conflict,
            Trouble::LostAnswer => self.lost_answer,
            Trouble::LostRequest => self.lost_request,
            Trouble::Duplicate => self.duplicate,
            Trouble::Busy => self.busy,
            Trouble::Delay => self.delay,
            Trouble::BrokenRead => self.broken_read,
            Trouble::BrokenSubscription => self.broken_subscription,
        }
    }
}

/// Any store, behind an unreliable way to it. What happens is drawn from a seed; with several threads, who gets which trouble is not.
///
/// It has the same contracts as the store behind it: events, and snapshots and checkpoints where that has them.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::kit::{Chaos, Trouble, Troubles};
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
/// let troubles = Troubles { lost_answer: 128, ..Troubles::none() };
/// let chaos = Arc::new(Chaos::new(Arc::new(MemoryStore::new()), 7, troubles));
/// let repository = Repository::new(chaos.clone());
/// for request in 0..10 {
///     // The answer may be lost; the same key again does nothing, and says what was done.
///     let count = || repository.run::<Counter>("counter-1", 1).idempotency(format!("request {request}"));
///     while count().await.is_err() {}
/// }
/// assert_eq!(repository.load::<Counter>("counter-1").await.unwrap().state.total, 10);
/// assert!(chaos.times(Trouble::LostAnswer) > 0);
/// # });
/// ```
pub struct Chaos<S> {
    store: Arc<S>,
    troubles: Troubles,
    drawn: Mutex<Drawn>,
}

struct Drawn {
    chance: Chance,
    times: BTreeMap<Trouble, u64>,
}

impl<S> Chaos<S> {
    /// A store behind trouble.
    #[must_use]
    pub fn new(store: Arc<S>, seed: u64, troubles: Troubles) -> Self {
        let drawn = Drawn {
            chance: Chance::new(seed),
            times: BTreeMap::new(),
        };
        Self {
            store,
            troubles,
            drawn: Mutex::new(drawn),
        }
    }

    /// The store behind it, without trouble.
    #[must_use]
    pub const fn behind(&self) -> &Arc<S> {
        &self.store
    }

    /// How often this trouble came.
    #[must_use]
    pub fn times(&self, trouble: Trouble) -> u64 {
        self.drawn().times.get(&trouble).copied().unwrap_or(0)
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this trouble comes now; noted, when it does.
    fn comes(&self, trouble: Trouble) -> bool {
        let mut drawn = self.drawn();
        let comes = drawn.chance.below(256) < u64::from(self.troubles.often(trouble));
        if comes {
            *drawn.times.entry(trouble).or_default() += 1;
        }
        comes
    }

    /// Some small number.
    fn some(&self) -> u64 {
        self.drawn().chance.below(8)
    }

    /// What comes before any request.
    async fn before(&self) -> Result<(), StoreError> {
        if self.comes(Trouble::Delay) {
            Turns(1 + self.some()).await;
        }
        if self.comes(Trouble::Busy) {
            return Err(StoreError::new(
                Kind::Unavailable,
                "chaos: the store is busy",
            ));
        }
        Ok(())
    }
}

type Answer = Result<Receipt, StoreError>;

impl<S: EventStore> Chaos<S> {
    async fn try_append(&self, batch: AppendBatch) -> Answer {
        self.before().await?;
        if self.comes(Trouble::LostRequest) {
            return Err(lost("the request"));
        }
        if self.comes(Trouble::Conflict) {
            return Err(nothing_in_the_way(&batch));
        }
        let first = if batch.event_count() > 0 && self.comes(Trouble::Duplicate) {
            let first = self.store.append(batch.clone()).await;
            let second = self.store.append(batch).await;
            self.either(first, second)
        } else {
            self.store.append(batch).await
        };
        if self.comes(Trouble::LostAnswer) {
            return Err(lost("the answer"));
        }
        first
    }
}

impl<S> Chaos<S> {
    /// One of two answers to the same append: what both together say is no less true. What one time wrote is written, whatever the other
    /// was answered; and where one outcome is unknown, something may be written.
    fn either(&self, first: Answer, second: Answer) -> Answer {
        let takes_first = self.some() < 4;
        let takes_first = match (&first, &second) {
            (Ok(_), Err(_)) => true,
            (Err(_), Ok(_)) => false,
            (Err(first), Err(second)) => match (first.kind(), second.kind()) {
                (Kind::Unknown, _) => true,
                (_, Kind::Unknown) => false,
                _ => takes_first,
            },
            (Ok(_), Ok(_)) => takes_first,
        };
        if takes_first { first } else { second }
    }
}

fn lost(what: &str) -> StoreError {
    StoreError::new(Kind::Unknown, format!("chaos: {what} was lost"))
}

fn nothing_in_the_way(batch: &AppendBatch) -> StoreError {
    let reason = match batch.writes.first() {
        Some(write) => ConflictReason::Revision {
            stream: write.stream.clone(),
            expected: write.expected,
            actual: None,
        },
        None => ConflictReason::Match {
            condition: 0,
            position: None,
        },
    };
    StoreError::conflict(Conflict {
        reason,
        events: Vec::new(),
    })
}

/// Lets others go first, so many times.
struct Turns(u64);

impl Future for Turns {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(left) = self.0.checked_sub(1) else {
            return Poll::Ready(());
        };
        self.0 = left;
        std::thread::yield_now();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S> fmt::Debug for Chaos<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos")
            .field("troubles", &self.troubles)
            .finish_non_exhaustive()
    }
}

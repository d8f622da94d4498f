//! The right to do something in the world, given to reactors only.
//!
//! Relies on: the ledger. Never: can be made by anyone but a runner that has claimed the effect.

use factum_types::{RecordedEvent, Timestamp};

use super::Failure;
use super::ledger::Ledger;
use crate::decider::Decider;
use crate::run::Run;

/// What a reaction may do besides using what its reactor holds.
///
/// ```
/// use factum_framework::{Effects, Failure};
///
/// async fn two_mails(effects: &Effects<'_>) -> Result<(), Failure> {
///     // If the second fails, only the second is tried again.
///     effects.once("to the buyer", async { Ok(()) }).await?;
///     effects.once("to the seller", async { Err(Failure::again("mailbox full")) }).await
/// }
/// ```
pub struct Effects<'a> {
    ledger: &'a Ledger<'a>,
    index: usize,
}

impl<'a> Effects<'a> {
    pub(super) const fn new(ledger: &'a Ledger<'a>, index: usize) -> Self {
        Self { ledger, index }
    }

    /// The event that is reacted to.
    #[must_use]
    pub const fn event(&self) -> &RecordedEvent {
        self.ledger.event
    }

    /// What the calendar says.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ledger.desk.repository.world.now()
    }

    /// A text that is the same whenever this effect is tried, and no other's: an idempotency key for what is called.
    #[must_use]
    pub fn key(&self, effect: &str) -> String {
        self.ledger.key(&self.named(effect))
    }

    /// Does one of several effects of a reaction, unless the ledger has it as done; names are the reaction's own.
    ///
    /// # Errors
    /// What the effect failed with, or the store.
    ///
    /// # Cancel safety
    /// Dropped between the effect and its note, the effect is done again.
    pub async fn once(
        &self,
        name: &str,
        effect: impl Future<Output = Result<(), Failure>> + Send,
    ) -> Result<(), Failure> {
        let name = self.named(name);
        let done = self.ledger.is_done(&name).await;
        if done.map_err(|error| Failure(error.into()))? {
            return Ok(());
        }
        effect.await?;
        let noted = self.ledger.done(&name).await;
        noted.map_err(|error| Failure(error.into()))
    }

    /// A command that has its effect once, however often the reaction is tried; names are the reaction's own. Await it.
    pub fn run<D: Decider>(
        &self,
        name: &str,
        stream: impl AsRef<str>,
        command: D::Command,
    ) -> Run<'_, D> {
        let ledger = self.ledger;
        ledger
            .desk
            .repository
            .run::<D>(stream, command)
            .idempotency(self.key(name))
            .caused_by(ledger.event)
    }

    /// Effects of the several inputs that one event is read as are told apart, and none is the reaction itself.
    fn named(&self, effect: &str) -> String {
        format!("{} {effect}", self.index)
    }
}

impl std::fmt::Debug for Effects<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effects").finish_non_exhaustive()
    }
}

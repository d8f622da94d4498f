//! Deciding, for the common case: one stream, folded into a state that commands are judged by.
//!
//! What lives here: [`Decider`]; what a decision gives is in `emit`. Relies on: nothing. Never: awaits, reads a clock, or draws a
//! number but through [`Env`].

use factum_types::RecordedEvent;

pub use crate::emit::Emit;
use crate::env::Env;
use crate::event::Event;

/// A state that is folded from one stream, and the rules by which commands are accepted or refused.
///
/// Both functions are pure. The initial state is `Default`.
///
/// ```
/// use factum_framework::{Decider, Emit, Env, Event};
/// use factum_types::RecordedEvent;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// enum DoorEvent {
///     #[event(name = "DoorOpened")]
///     Opened,
///     #[event(name = "DoorClosed")]
///     Closed,
/// }
///
/// #[derive(Clone)]
/// enum DoorCommand { Open, Close }
///
/// #[derive(Default, Clone)]
/// struct Door { open: bool }
///
/// impl Decider for Door {
///     type Command = DoorCommand;
///     type Event = DoorEvent;
///     type Error = &'static str;
///
///     fn evolve(&mut self, event: &DoorEvent, _: &RecordedEvent) {
///         self.open = matches!(event, DoorEvent::Opened);
///     }
///
///     fn decide(&self, command: DoorCommand, _: &mut Env) -> Result<Emit<DoorEvent>, &'static str> {
///         match (command, self.open) {
///             (DoorCommand::Open, false) => Ok(DoorEvent::Opened.into()),
///             (DoorCommand::Close, true) => Ok(DoorEvent::Closed.into()),
///             (DoorCommand::Open, true) => Err("the door is open already"),
///             (DoorCommand::Close, false) => Ok(Emit::none()),
///         }
///     }
/// }
/// ```
pub trait Decider: Default + Clone + Send + Sync + 'static {
    /// What may be asked.
    type Command: Clone + Send + Sync;
    /// What may have happened.
    type Event: Event;
    /// Why a command is refused.
    type Error: Send;

    /// Takes up what happened. Total: a fact cannot be refused.
    fn evolve(&mut self, event: &Self::Event, recorded: &RecordedEvent);

    /// What happens on this command.
    ///
    /// # Errors
    /// Why nothing does.
    fn decide(
        &self,
        command: Self::Command,
        env: &mut Env,
    ) -> Result<Emit<Self::Event>, Self::Error>;
}

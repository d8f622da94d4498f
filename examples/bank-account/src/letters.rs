//! Letters: what the bank does in the world when a transfer is given up.

use std::sync::Arc;

use factum::{Effects, Failure, Reactor, RecordedEvent};

use crate::transfer::TransferEvent;

/// Where letters are given to.
pub trait Post: Send + Sync + 'static {
    /// Sends a letter, or says why not. The same key is the same letter.
    ///
    /// # Errors
    /// Why it cannot be sent.
    fn send(&self, key: &str, letter: &str) -> Result<(), String>;
}

/// Tells owners that their transfers were given up.
#[expect(
    missing_debug_implementations,
    reason = "the post is whoever brings letters"
)]
pub struct Letters(
    /// Where letters are given to.
    pub Arc<dyn Post>,
);

impl Reactor for Letters {
    const NAME: &'static str = "letters";
    type Input = TransferEvent;

    fn partition(&self, input: &TransferEvent, recorded: &RecordedEvent) -> Option<String> {
        matches!(input, TransferEvent::GivenUp { .. }).then(|| recorded.stream.to_string())
    }

    async fn react(&self, input: &TransferEvent, effects: &Effects<'_>) -> Result<(), Failure> {
        let TransferEvent::GivenUp { transfer, from } = input else {
            return Ok(());
        };
        let letter = format!("owner of {from}: transfer {transfer} was given up");
        let sent = self.0.send(&effects.key("letter"), &letter);
        sent.map_err(Failure::again)
    }
}

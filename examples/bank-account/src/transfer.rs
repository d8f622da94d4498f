//! The transfer: a process that debits, credits, gives back, waits for money, and gives up.
//!
//! It has no snapshots: its stream is a few events for each hour that it waits, and a day at most. Accounts have, as they live for years.

#![expect(missing_docs, reason = "the names say it")]

use std::time::Duration;

use factum::{Emit, Env, Event, Process, RecordedEvent, Rejected, Route};
use serde::{Deserialize, Serialize};

use crate::account::{Account, AccountCommand as Do, AccountEvent};

/// How long a transfer waits before it tries again, when there was too little money.
pub const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);
/// How long a transfer waits for money at most.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The timer by which a transfer that waits tries again.
pub const TRY_AGAIN: &str = "try again";
/// The timer by which a transfer gives up.
pub const GIVE_UP: &str = "give up";

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(lock = LOCK, golden = GOLDEN)]
pub enum TransferEvent {
    #[event(name = "TransferBegun")]
    Begun {
        transfer: String,
        from: String,
        to: String,
        cents: u64,
    },
    #[event(name = "TransferPutOff")]
    PutOff {},
    #[event(name = "TransferTriedAgain")]
    TriedAgain {},
    #[event(name = "TransferDebited")]
    Debited {},
    #[event(name = "TransferCompleted")]
    Completed {},
    #[event(name = "TransferRanOutOfTime")]
    RanOutOfTime {},
    #[event(name = "TransferGivenUp")]
    GivenUp { transfer: String, from: String },
    #[event(name = "TransferRefused")]
    Refused { reason: String },
    #[event(name = "TransferRefunded")]
    Refunded {},
}

/// Which shapes are stored; a build with another shape fails, and says what to write.
const LOCK: &str = include_str!("../events/transfer.lock");
/// A stored event of every kind.
const GOLDEN: &str = include_str!("../events/transfer.ndjson");

/// Where a transfer is.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The debit was asked for.
    #[default]
    Debiting,
    /// There was too little money; it will be asked for again.
    Waiting,
    /// The credit was asked for.
    Crediting,
    /// Nothing more is asked for.
    Over,
}

#[derive(Default, Clone, Debug, PartialEq)]
pub struct Transfer {
    pub step: Step,
    /// There is no more time: the next refusal is the last.
    pub late: bool,
    transfer: String,
    from: String,
    to: String,
    cents: u64,
}

impl Transfer {
    fn debit(&self) -> Do {
        Do::Debit {
            transfer: self.transfer.clone(),
            cents: self.cents,
        }
    }

    fn credit(&self) -> Do {
        Do::Credit {
            transfer: self.transfer.clone(),
            cents: self.cents,
        }
    }

    fn refund(&self) -> Do {
        Do::Refund {
            transfer: self.transfer.clone(),
            cents: self.cents,
        }
    }

    fn given_up(&self) -> TransferEvent {
        TransferEvent::GivenUp {
            transfer: self.transfer.clone(),
            from: self.from.clone(),
        }
    }
}

impl Process for Transfer {
    const NAME: &'static str = "transfer";
    type Input = AccountEvent;
    type Event = TransferEvent;

    fn route(input: &AccountEvent, _: &RecordedEvent) -> Route {
        match input {
            AccountEvent::TransferRequested { transfer, .. } => Route::Start(transfer.clone()),
            AccountEvent::Debited { transfer, .. } => Route::Continue(transfer.clone()),
            AccountEvent::Credited { transfer, .. } | AccountEvent::Refunded { transfer, .. } => {
                Route::End(transfer.clone())
            }
            AccountEvent::Opened { .. }
            | AccountEvent::Closed {}
            | AccountEvent::Deposited { .. } => Route::Ignore,
        }
    }

    fn evolve(&mut self, event: &TransferEvent, _: &RecordedEvent) {
        match event {
            TransferEvent::Begun {
                transfer,
                from,
                to,
                cents,
            } => {
                (self.transfer, self.from, self.to) = (transfer.clone(), from.clone(), to.clone());
                self.cents = *cents;
            }
            TransferEvent::PutOff {} => self.step = Step::Waiting,
            TransferEvent::TriedAgain {} => self.step = Step::Debiting,
            TransferEvent::Debited {} => self.step = Step::Crediting,
            TransferEvent::RanOutOfTime {} => self.late = true,
            TransferEvent::Completed {}
            | TransferEvent::GivenUp { .. }
            | TransferEvent::Refused { .. }
            | TransferEvent::Refunded {} => {
                self.step = Step::Over;
            }
        }
    }

    fn on(&self, input: &AccountEvent, env: &mut Env) -> Emit<TransferEvent> {
        match input.clone() {
            // A transfer is asked for once; a second request under its name is none.
            AccountEvent::TransferRequested { .. } if !self.transfer.is_empty() => Emit::none(),
            AccountEvent::TransferRequested {
                transfer,
                from,
                to,
                cents,
            } => {
                let debit = Do::Debit {
                    transfer: transfer.clone(),
                    cents,
                };
                Emit::from(TransferEvent::Begun {
                    transfer,
                    from: from.clone(),
                    to,
                    cents,
                })
                .send::<Account>(from, &debit)
                .wake(GIVE_UP, env.after(GIVE_UP_AFTER))
            }
            AccountEvent::Debited { .. } => Emit::from(TransferEvent::Debited {})
                .send::<Account>(&self.to, &self.credit())
                .cancel(GIVE_UP),
            AccountEvent::Credited { .. } => TransferEvent::Completed {}.into(),
            AccountEvent::Refunded { .. } => TransferEvent::Refunded {}.into(),
            AccountEvent::Opened { .. }
            | AccountEvent::Closed {}
            | AccountEvent::Deposited { .. } => Emit::none(),
        }
    }

    fn on_timer(&self, timer: &str, _: &mut Env) -> Emit<TransferEvent> {
        match (timer, self.step) {
            (TRY_AGAIN, Step::Waiting) => {
                Emit::from(TransferEvent::TriedAgain {}).send::<Account>(&self.from, &self.debit())
            }
            (GIVE_UP, Step::Waiting) => Emit::from(self.given_up()).end(),
            // The answer is under way; it decides.
            (GIVE_UP, Step::Debiting) => TransferEvent::RanOutOfTime {}.into(),
            _ => Emit::none(),
        }
    }

    fn on_rejected(&self, rejected: &Rejected, env: &mut Env) -> Emit<TransferEvent> {
        let reason = rejected.reason.clone();
        match rejected.command::<Account>() {
            Some(Do::Debit { .. }) if self.late => Emit::from(self.given_up()).end(),
            Some(Do::Debit { .. }) => {
                Emit::from(TransferEvent::PutOff {}).wake(TRY_AGAIN, env.after(TRY_AGAIN_AFTER))
            }
            Some(Do::Credit { .. }) => Emit::from(TransferEvent::Refused { reason })
                .send::<Account>(&self.from, &self.refund()),
            _ => Emit::none(),
        }
    }
}

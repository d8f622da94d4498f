//! The account: what it may be asked, and what may happen to it. It knows nothing of other accounts.

#![expect(missing_docs, reason = "the names say it")]

use factum::{Decider, Emit, Env, Event, Receiver, RecordedEvent, Snapshots};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(lock = LOCK, golden = GOLDEN)]
pub enum AccountEvent {
    #[event(name = "AccountOpened")]
    Opened { owner: String },
    #[event(name = "AccountClosed")]
    Closed {},
    #[event(name = "MoneyDeposited")]
    Deposited { cents: u64 },
    #[event(name = "TransferRequested")]
    TransferRequested {
        transfer: String,
        from: String,
        to: String,
        cents: u64,
    },
    #[event(name = "MoneyDebited")]
    Debited { transfer: String, cents: u64 },
    #[event(name = "MoneyCredited")]
    Credited { transfer: String, cents: u64 },
    #[event(name = "MoneyRefunded")]
    Refunded { transfer: String, cents: u64 },
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum AccountCommand {
    Open {
        owner: String,
    },
    Close,
    Deposit {
        cents: u64,
    },
    /// The owner wants money to go to another account.
    RequestTransfer {
        transfer: String,
        from: String,
        to: String,
        cents: u64,
    },
    Debit {
        transfer: String,
        cents: u64,
    },
    Credit {
        transfer: String,
        cents: u64,
    },
    Refund {
        transfer: String,
        cents: u64,
    },
}

/// Which shapes are stored; a build with another shape fails, and says what to write.
const LOCK: &str = include_str!("../events/account.lock");
/// A stored event of every kind.
const GOLDEN: &str = include_str!("../events/account.ndjson");

/// The most that an account holds.
pub const CENTS_MAX: u64 = 1_000_000_000_000_000;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum No {
    #[error("the account is not open")]
    NotOpen,
    #[error("the account is open already")]
    IsOpen,
    #[error("the balance is only {0}")]
    TooLittle(u64),
    #[error("the account cannot hold more than {CENTS_MAX}")]
    TooMuch,
    #[error("the account holds money")]
    HoldsMoney,
}

#[derive(Serialize, Deserialize, Default, Clone, Debug, PartialEq)]
pub struct Account {
    pub open: bool,
    pub cents: u64,
}

impl Decider for Account {
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = No;

    fn evolve(&mut self, event: &AccountEvent, _: &RecordedEvent) {
        use AccountEvent as Did;
        match event {
            Did::Opened { .. } => self.open = true,
            Did::Closed {} => self.open = false,
            Did::Deposited { cents }
            | Did::Credited { cents, .. }
            | Did::Refunded { cents, .. } => self.cents = self.cents.saturating_add(*cents),
            Did::Debited { cents, .. } => self.cents = self.cents.saturating_sub(*cents),
            Did::TransferRequested { .. } => (),
        }
    }

    fn decide(&self, command: AccountCommand, _: &mut Env) -> Result<Emit<AccountEvent>, No> {
        use {AccountCommand as Do, AccountEvent as Did};
        Ok(match command {
            Do::Open { .. } if self.open => return Err(No::IsOpen),
            Do::Open { owner } => Did::Opened { owner },
            // Whatever else is refused, one's own money comes back.
            Do::Refund { transfer, cents } => Did::Refunded { transfer, cents },
            _ if !self.open => return Err(No::NotOpen),
            Do::Close if self.cents > 0 => return Err(No::HoldsMoney),
            Do::Close => Did::Closed {},
            Do::Deposit { cents } | Do::Credit { cents, .. }
                if cents > CENTS_MAX - self.cents.min(CENTS_MAX) =>
            {
                return Err(No::TooMuch);
            }
            Do::Deposit { cents } => Did::Deposited { cents },
            Do::RequestTransfer {
                transfer,
                from,
                to,
                cents,
            } => Did::TransferRequested {
                transfer,
                from,
                to,
                cents,
            },
            Do::Debit { cents, .. } if cents > self.cents => return Err(No::TooLittle(self.cents)),
            Do::Debit { transfer, cents } => Did::Debited { transfer, cents },
            Do::Credit { transfer, cents } => Did::Credited { transfer, cents },
        }
        .into())
    }
}

impl Receiver for Account {
    const CATEGORY: &'static str = "account";
}

impl Snapshots for Account {
    fn samples() -> Vec<AccountEvent> {
        let transfer = || String::from("t1");
        vec![
            AccountEvent::Opened {
                owner: "ann".into(),
            },
            AccountEvent::Deposited { cents: 500 },
            AccountEvent::TransferRequested {
                transfer: transfer(),
                from: "account-a".into(),
                to: "account-b".into(),
                cents: 300,
            },
            AccountEvent::Debited {
                transfer: transfer(),
                cents: 300,
            },
            AccountEvent::Refunded {
                transfer: transfer(),
                cents: 300,
            },
            AccountEvent::Credited {
                transfer: "t2".into(),
                cents: 20,
            },
            AccountEvent::Closed {},
        ]
    }

    fn ignored() -> &'static [&'static str] {
        // It is for the transfer, which takes it up.
        &["TransferRequested"]
    }
}

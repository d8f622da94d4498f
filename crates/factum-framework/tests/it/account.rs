//! A small domain that several tests share, and a world without waiting.

use std::sync::Arc;
use std::time::Duration;

use factum_framework::world::{Background, Timer};
use factum_framework::{Decider, Emit, Env, Event, Repository, World};
use factum_io::sim::SimEnv;
use factum_store::EventStore;
use factum_types::RecordedEvent;
use serde::{Deserialize, Serialize};

pub(crate) type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) enum AccountEvent {
    #[event(name = "AccountOpened")]
    Opened {
        #[tag]
        owner: String,
    },
    #[event(name = "MoneyPaidIn")]
    PaidIn { amount: u64 },
    #[event(name = "MoneyPaidOut")]
    PaidOut { amount: u64 },
}

#[derive(Clone, Debug)]
pub(crate) enum AccountCommand {
    Open(String),
    PayIn(u64),
    PayOut(u64),
}

#[derive(Default, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) owner: Option<String>,
    pub(crate) balance: u64,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the account is not open")]
    NotOpen,
    #[error("the account has an owner")]
    HasOwner,
    #[error("the balance is {0}")]
    TooLittle(u64),
}

impl Decider for Account {
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = Refusal;

    fn evolve(&mut self, event: &AccountEvent, _: &RecordedEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner = Some(owner.clone()),
            AccountEvent::PaidIn { amount } => self.balance += amount,
            AccountEvent::PaidOut { amount } => self.balance -= amount,
        }
    }

    fn decide(&self, command: AccountCommand, _: &mut Env) -> Result<Emit<AccountEvent>, Refusal> {
        match command {
            AccountCommand::Open(owner) if self.owner.is_none() => {
                Ok(AccountEvent::Opened { owner }.into())
            }
            AccountCommand::Open(_) => Err(Refusal::HasOwner),
            _ if self.owner.is_none() => Err(Refusal::NotOpen),
            AccountCommand::PayIn(0) => Ok(Emit::none()),
            AccountCommand::PayIn(amount) => Ok(AccountEvent::PaidIn { amount }.into()),
            AccountCommand::PayOut(amount) if amount > self.balance => {
                Err(Refusal::TooLittle(self.balance))
            }
            AccountCommand::PayOut(amount) => Ok(AccountEvent::PaidOut { amount }.into()),
        }
    }
}

struct NoWaiting;

impl Timer for NoWaiting {
    fn wait(&self, _: Duration) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }
}

impl Background for NoWaiting {
    fn start(&self, task: BoxFuture<()>) {
        pollster::block_on(task);
    }
}

/// A world that is the same in every run: its waits are over at once, its background is the foreground.
pub(crate) fn world() -> World {
    let env = SimEnv::new(7).env();
    World {
        clock: env.clock,
        random: env.random,
        timer: Arc::new(NoWaiting),
        background: Arc::new(NoWaiting),
    }
}

pub(crate) fn over(store: impl EventStore + 'static) -> Repository {
    Repository::new(Arc::new(store)).with_world(world())
}

/// An open account with money in it.
pub(crate) async fn open(repository: &Repository, stream: &str, amount: u64) {
    let open = AccountCommand::Open("ann".into());
    repository.run::<Account>(stream, open).await.unwrap();
    let pay = AccountCommand::PayIn(amount);
    repository.run::<Account>(stream, pay).await.unwrap();
}

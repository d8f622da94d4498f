//! A bank for tests: stores, post, and runners over them.

use std::sync::{Arc, Mutex};

use factum::framework::kit::FakeWorld;
use factum::io::sim::SimEnv;
use factum::store::ReadRequest;
use factum::{Engine, EventStore, Options, RecordedEvent, Repository, Retry, Runner, StartFrom};
use factum_example_bank_account::{Account, AccountCommand, Letters, Post, Transfer};
use pollster::block_on;

/// Keeps the letters that were given to it, with their keys.
#[derive(Default)]
pub(crate) struct Pile(pub(crate) Mutex<Vec<(String, String)>>);

impl Post for Pile {
    fn send(&self, key: &str, letter: &str) -> Result<(), String> {
        self.0
            .lock()
            .unwrap()
            .push((key.to_owned(), letter.to_owned()));
        Ok(())
    }
}

pub(crate) fn repository(store: &Arc<dyn EventStore>, world: &FakeWorld) -> Repository {
    Repository::new(Arc::clone(store)).with_world(world.world())
}

pub(crate) fn runner(repository: &Repository, pile: &Arc<Pile>) -> Runner {
    Runner::new(repository)
        .named("the bank's")
        .receiver::<Account>()
        .process::<Transfer>(StartFrom::Beginning)
        .reactor(
            Letters(Arc::clone(pile) as Arc<dyn Post>),
            StartFrom::Beginning,
        )
}

/// Opens an account with money in it.
pub(crate) fn open(bank: &Repository, account: &str, cents: u64) {
    block_on(async {
        let owner = account.to_owned();
        bank.run::<Account>(account, AccountCommand::Open { owner })
            .await
            .unwrap();
        if cents > 0 {
            bank.run::<Account>(account, AccountCommand::Deposit { cents })
                .await
                .unwrap();
        }
    });
}

pub(crate) fn request(bank: &Repository, transfer: &str, from: &str, to: &str, cents: u64) {
    let command = AccountCommand::RequestTransfer {
        transfer: transfer.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        cents,
    };
    block_on(async {
        // Many may ask at once.
        bank.run::<Account>(from, command)
            .idempotency(transfer)
            .retry(Retry::jittered(1_000))
            .await
    })
    .unwrap();
}

pub(crate) fn cents(bank: &Repository, account: &str) -> u64 {
    block_on(async { bank.load::<Account>(account).await })
        .unwrap()
        .state
        .cents
}

pub(crate) fn all(store: &dyn EventStore) -> Vec<RecordedEvent> {
    block_on(store.read(ReadRequest::all()).collect()).unwrap()
}

/// An engine on a disk in memory.
pub(crate) fn engine(seed: u64) -> Arc<Engine> {
    let disk = SimEnv::new(seed).env().disk;
    let env = factum::io::Env {
        disk,
        ..factum::io::Env::real()
    };
    Arc::new(Engine::open(Options::new("/bank"), env).unwrap())
}

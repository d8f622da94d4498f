//! Accounts by chance, on the memory store and on the engine: snapshots change nothing but speed, nothing goes below zero however many
//! act at once, and money is neither made nor lost.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;

use factum::framework::kit::{self, Chance, FakeWorld};
use factum::store::ReadRequest;
use factum::{
    Event, EventStore, MemoryStore, RecordedEvent, Repository, Retry, RunError, SnapshotStore,
};
use factum_example_bank_account::{
    Account, AccountCommand as Do, AccountEvent as Did, CENTS_MAX, GIVE_UP_AFTER, No,
};
use pollster::block_on;

use crate::world::{Pile, all, cents, engine, open, repository, request, runner};

const WRITERS: usize = 64;
const PATIENT: Retry = Retry::jittered(1_000);

/// Any command, the sensible ones more often; now and then one with more money than there is.
fn command(chance: &mut Chance) -> Do {
    let transfer = chance.word();
    let cents = match chance.below(20) {
        0 => CENTS_MAX,
        _ => chance.below(100),
    };
    match chance.below(12) {
        0 | 1 => Do::Open {
            owner: chance.word(),
        },
        2 => Do::Close,
        3..=5 => Do::Deposit { cents },
        6 => Do::Credit { transfer, cents },
        7 => Do::Refund {
            transfer,
            cents: chance.below(100),
        },
        8 => Do::RequestTransfer {
            transfer,
            from: "account-a".into(),
            to: "account-b".into(),
            cents,
        },
        _ => Do::Debit { transfer, cents },
    }
}

/// By how much an event changes a balance.
fn change(event: &Did) -> i128 {
    match event {
        Did::Deposited { cents } | Did::Credited { cents, .. } | Did::Refunded { cents, .. } => {
            i128::from(*cents)
        }
        Did::Debited { cents, .. } => -i128::from(*cents),
        Did::Opened { .. } | Did::Closed {} | Did::TransferRequested { .. } => 0,
    }
}

/// The balance of each account by what is stored, added up without the fold; none was ever below zero.
fn balances(stored: &[RecordedEvent]) -> BTreeMap<String, i128> {
    let mut balances = BTreeMap::<String, i128>::new();
    let of_accounts = stored.iter().filter(|event| {
        let names = event.event_type.as_str();
        event.stream.as_str().starts_with("account-") && !names.starts_with("factum.")
    });
    for event in of_accounts {
        let name = event.event_type.as_str();
        let did = Did::decode(name, event.schema_version, &event.data).unwrap();
        let balance = balances.entry(event.stream.to_string()).or_default();
        *balance += change(&did);
        assert!(*balance >= 0, "{}: {balance} after {did:?}", event.stream);
    }
    balances
}

#[test]
fn random_commands_keep_what_an_account_promises() {
    let tally = kit::commands::<Account>(command)
        .always("no more than the limit, but for refunds", |account| {
            account.cents < CENTS_MAX + 30 * 100
        })
        .check();
    assert_eq!(tally.never_happened(), Vec::<&str>::new());
    assert!(tally.refused > 0, "{tally:?}");
}

#[test]
fn snapshot_and_tail_are_a_replay_on_the_memory_store() {
    kit::commands::<Account>(command).check_on(|| Arc::new(MemoryStore::new()));
}

#[test]
fn snapshot_and_tail_are_a_replay_on_the_engine() {
    let seed = kit::random_seed();
    kit::commands::<Account>(command)
        .runs(1)
        .check_on(|| engine(seed));
}

/// What a writer takes from the account, or, more rarely, puts there.
fn drawn(chance: &mut Chance, writer: usize) -> Do {
    let transfer = format!("t{writer}");
    let cents = 1 + chance.below(100);
    match chance.below(16) {
        0 => Do::Deposit { cents },
        1 => Do::Credit { transfer, cents },
        _ => Do::Debit { transfer, cents },
    }
}

/// All at once on one account, which has too little for all of them.
fn race_one<S: EventStore + SnapshotStore + 'static>(store: &Arc<S>, seed: u64) {
    println!("seed {seed}");
    let events = Arc::clone(store) as Arc<dyn EventStore>;
    let bank = Repository::new(Arc::clone(&events))
        .with_snapshot_store(Arc::clone(store) as Arc<dyn SnapshotStore>)
        .with_snapshots::<Account>(factum::Policy::every(5))
        .unwrap();
    open(&bank, "account-a", 100);
    let mut chance = Chance::new(seed);
    let drawn: Vec<_> = (0..WRITERS)
        .map(|writer| drawn(&mut chance, writer))
        .collect();
    let outcomes = kit::race(WRITERS, |writer| {
        let run = bank.run::<Account>("account-a", drawn[writer].clone());
        run.retry(PATIENT).into_future()
    });
    let mut expected: i128 = 100;
    for outcome in &outcomes {
        match outcome {
            Ok(done) => expected += done.events.iter().map(change).sum::<i128>(),
            Err(RunError::Rejected(No::TooLittle(_))) => (),
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
    let stored = block_on(events.read(ReadRequest::all()).collect()).unwrap();
    assert_eq!(balances(&stored)["account-a"], expected, "seed {seed}");
    let loaded = cents(&bank.clone().with_cache(0), "account-a");
    assert_eq!(i128::from(loaded), expected, "seed {seed}");
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(stored.len(), 2 + accepted, "seed {seed}");
    assert!(accepted < WRITERS, "seed {seed}: there was enough for all");
}

/// All at once between four accounts, by transfers; what cannot be done is given up in the end.
fn race_transfers(store: &Arc<dyn EventStore>, seed: u64) {
    println!("seed {seed}");
    let world = FakeWorld::new(seed);
    let bank = repository(store, &world);
    let accounts = ["account-a", "account-b", "account-c", "account-d"];
    for account in accounts {
        open(&bank, account, 100);
    }
    let mut chance = Chance::new(seed);
    let mut draw = || {
        (
            *chance.one_of(&accounts),
            *chance.one_of(&accounts),
            1 + chance.below(90),
        )
    };
    let drawn: Vec<_> = (0..WRITERS).map(|_| draw()).collect();
    kit::race(WRITERS, |writer| {
        let (bank, (from, to, cents)) = (&bank, drawn[writer]);
        async move { request(bank, &format!("t{writer}"), from, to, cents) }
    });
    let mut runner = runner(&bank, &Arc::new(Pile::default()));
    for _ in 0..2 {
        block_on(runner.run_until_idle()).unwrap();
        world.clock.advance(GIVE_UP_AFTER);
    }
    let idle = block_on(runner.run_until_idle()).unwrap();
    assert_eq!((idle.parked, idle.next_timer), (0, None), "seed {seed}");
    let balances = balances(&all(&**store));
    assert_eq!(balances.values().sum::<i128>(), 400, "seed {seed}");
    for account in accounts {
        assert_eq!(i128::from(cents(&bank, account)), balances[account]);
    }
}

#[test]
fn sixty_four_on_one_account_on_the_memory_store() {
    race_one(&Arc::new(MemoryStore::new()), kit::random_seed());
}

#[test]
fn sixty_four_on_one_account_on_the_engine() {
    let seed = kit::random_seed();
    let engine = engine(seed);
    race_one(&engine, seed);
    engine.close().unwrap();
}

#[test]
fn sixty_four_transfers_on_the_memory_store() {
    race_transfers(&(Arc::new(MemoryStore::new()) as _), kit::random_seed());
}

#[test]
fn sixty_four_transfers_on_the_engine() {
    let seed = kit::random_seed();
    let engine = engine(seed);
    race_transfers(&(Arc::clone(&engine) as _), seed);
    engine.close().unwrap();
}

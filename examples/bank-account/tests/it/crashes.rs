//! A runner that dies at any call to the store, and another that goes on: the money is right, and nothing happened twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use factum::framework::kit::FakeWorld;
use factum::{EventStore, MemoryStore, Repository};
use factum_example_bank_account::{Account, AccountCommand, Transfer};
use pollster::block_on;

use crate::dying::{Death, Dying};
use crate::world::{Pile, all, cents, engine, open, repository, request, runner};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What happens between the runs: t1 succeeds, t2 is refunded, t3 is given up, t4 waits for a deposit.
fn before_run(number: usize, bank: &Repository, world: &FakeWorld) {
    match number {
        0 => {
            open(bank, "account-a", 100);
            open(bank, "account-b", 0);
            request(bank, "t1", "account-a", "account-b", 60);
            request(bank, "t2", "account-a", "account-nobody", 30);
            request(bank, "t3", "account-a", "account-b", 500);
            request(bank, "t4", "account-a", "account-b", 400);
        }
        1 => {
            let deposit = AccountCommand::Deposit { cents: 450 };
            block_on(async { bank.run::<Account>("account-a", deposit).await }).unwrap();
            world.clock.advance(HOUR);
        }
        _ => world.clock.advance(HOUR * 25),
    }
}

const RUNS: usize = 3;

/// Lives through it all, dies at this call, and is followed by another. Says how many calls the first one made.
fn live(store: &Arc<dyn EventStore>, at: u64, death: Death) -> u64 {
    let (world, pile) = (FakeWorld::new(at), Arc::new(Pile::default()));
    let bank = repository(store, &world);
    let dying = Dying::new(Arc::clone(store), at, death);
    let mortal = repository(&(Arc::clone(&dying) as Arc<dyn EventStore>), &world);
    let mut run = runner(&mortal, &pile);
    for number in 0..RUNS {
        before_run(number, &bank, &world);
        if block_on(run.run_until_idle()).is_err() {
            run = runner(&bank, &pile);
            block_on(run.run_until_idle()).unwrap();
        }
    }
    check(
        store,
        &bank,
        &pile,
        &format!("died at call {at}, {death:?}"),
    );
    dying.calls()
}

fn check(store: &Arc<dyn EventStore>, bank: &Repository, pile: &Pile, how: &str) {
    assert_eq!(
        (cents(bank, "account-a"), cents(bank, "account-b")),
        (90, 460),
        "{how}"
    );
    assert!(block_on(bank.parked()).unwrap().is_empty(), "{how}");
    for transfer in ["t1", "t2", "t3", "t4"] {
        let state = block_on(bank.process::<Transfer>(transfer))
            .unwrap()
            .unwrap();
        assert!(
            state.ended && state.timers.is_empty(),
            "{how}: {transfer} is {state:?}"
        );
    }
    let mut counts = BTreeMap::new();
    for event in all(&**store) {
        let name = event.event_type.as_str();
        let key = match name {
            "factum.InputReceived" => {
                let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
                format!("{name} {} {}", event.stream, data["input"])
            }
            "MoneyDebited" | "MoneyCredited" | "MoneyRefunded" => {
                format!("{name} {}", String::from_utf8_lossy(&event.data))
            }
            "factum.EffectDone" => name.to_owned(),
            _ => continue,
        };
        *counts.entry(key).or_insert(0) += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(
        twice.is_empty(),
        "{how}: happened more than once: {twice:?}"
    );
    assert_eq!(counts.get("factum.EffectDone"), Some(&1), "{how}");
    // Between the letter and the note of it lies the one moment in which it may be sent again, under the same key.
    let letters = pile.0.lock().unwrap();
    assert!((1..=2).contains(&letters.len()), "{how}: {letters:?}");
    assert!(
        letters.iter().all(|letter| *letter == letters[0]),
        "{how}: {letters:?}"
    );
}

fn memory() -> Arc<dyn EventStore> {
    Arc::new(MemoryStore::new())
}

#[test]
fn at_every_call_on_the_memory_store() {
    let calls = live(&memory(), u64::MAX, Death::Before);
    assert!(calls > 200, "only {calls} calls");
    for at in 1..=calls {
        live(&memory(), at, Death::Before);
        live(&memory(), at, Death::After);
    }
}

#[test]
fn at_some_calls_on_the_engine() {
    let store: Arc<dyn EventStore> = engine(7);
    let calls = live(&store, u64::MAX, Death::Before);
    let seed = std::env::var("FACTUM_SEED").ok();
    let seed = seed.map_or(7, |seed| seed.parse().unwrap());
    println!("FACTUM_SEED={seed}");
    // Every 29th call, from one that the seed chooses.
    for at in (1 + seed % 29..=calls).step_by(29) {
        let store: Arc<dyn EventStore> = engine(at);
        let death = if at % 2 == 0 {
            Death::Before
        } else {
            Death::After
        };
        live(&store, at, death);
    }
}

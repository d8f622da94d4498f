//! A runner that dies at any call to the store, and another that goes on: the money is right, and nothing happened twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use factum::framework::kit::FakeWorld;
use factum::io::Random;
use factum::io::sim::SimRandom;
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
    for at in (1..=calls).step_by(29) {
        let store: Arc<dyn EventStore> = engine(at);
        let death = if at % 2 == 0 {
            Death::Before
        } else {
            Death::After
        };
        live(&store, at, death);
    }
}

/// A bank in which all is chosen by chance: what is asked, how time passes, and when runners die.
struct Chance {
    random: SimRandom,
    store: Arc<dyn EventStore>,
    world: FakeWorld,
    bank: Repository,
    pile: Arc<Pile>,
    deposited: u64,
    transfers: u64,
}

impl Chance {
    fn new(seed: u64) -> Self {
        let (store, world) = (memory(), FakeWorld::new(seed));
        let bank = repository(&store, &world);
        for account in ["account-0", "account-1", "account-2"] {
            open(&bank, account, 0);
        }
        Self {
            random: SimRandom::new(seed),
            store,
            world,
            bank,
            pile: Arc::default(),
            deposited: 0,
            transfers: 0,
        }
    }

    fn below(&self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    fn act(&mut self) {
        let account = format!("account-{}", self.below(3));
        let cents = self.below(100);
        if self.below(2) == 0 {
            self.deposited += cents;
            let deposit = AccountCommand::Deposit { cents };
            block_on(async { self.bank.run::<Account>(account, deposit).await }).unwrap();
        } else {
            // The last account is not open.
            let to = format!("account-{}", self.below(4));
            request(
                &self.bank,
                &format!("t{}", self.transfers),
                &account,
                &to,
                cents,
            );
            self.transfers += 1;
        }
    }

    /// Lets runners die until one does not.
    fn run(&self) {
        loop {
            let death = [Death::Before, Death::After][usize::from(self.below(2) == 0)];
            let dying = Dying::new(Arc::clone(&self.store), 1 + self.below(300), death);
            let mortal = repository(&(dying as Arc<dyn EventStore>), &self.world);
            if block_on(runner(&mortal, &self.pile).run_until_idle()).is_ok() {
                return;
            }
        }
    }

    fn live(mut self, seed: u64) {
        for _ in 0..8 {
            for _ in 0..self.below(6) {
                self.act();
            }
            self.run();
            self.world
                .clock
                .advance(HOUR * u32::try_from(self.below(10)).unwrap());
        }
        self.world.clock.advance(HOUR * 25);
        self.run();
        self.run();
        let held: u64 = ["account-0", "account-1", "account-2", "account-3"]
            .iter()
            .map(|account| cents(&self.bank, account))
            .sum();
        assert_eq!(held, self.deposited, "seed {seed}: money was made or lost");
        assert!(
            block_on(self.bank.parked()).unwrap().is_empty(),
            "seed {seed}"
        );
        for transfer in 0..self.transfers {
            let state = block_on(self.bank.process::<Transfer>(format!("t{transfer}")));
            let state = state.unwrap().unwrap();
            assert!(state.ended, "seed {seed}: t{transfer} is {state:?}");
        }
    }
}

#[test]
fn no_money_is_made_or_lost_by_chance() {
    for seed in 1..=40 {
        println!("seed {seed}");
        Chance::new(seed).live(seed);
    }
}

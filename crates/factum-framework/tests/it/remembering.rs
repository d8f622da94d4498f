//! Snapshots: at every cut and by every strategy, a snapshot and its tail are what a replay gives; and what does not fit is passed over.

use std::sync::Arc;
use std::time::Duration;

use factum_framework::snapshot::{Policy, differs_from_replay, key};
use factum_framework::{Origin, Repository, Snapshots, kit};
use factum_io::Random;
use factum_io::sim::SimEnv;
use factum_store::{MemoryStore, Snapshot, SnapshotStore};
use factum_types::StreamName;
use pollster::block_on;

use crate::account::{Account, AccountCommand as Do, AccountEvent as Did, open, world};

const STREAM: &str = "account-1";

impl Snapshots for Account {
    fn samples() -> Vec<Did> {
        vec![
            Did::Opened {
                owner: "ann".into(),
            },
            Did::PaidIn { amount: 50 },
            Did::PaidOut { amount: 20 },
        ]
    }
}

/// A repository without anything in memory.
fn cold(store: &MemoryStore, policy: Option<Policy>) -> Repository {
    let repository = Repository::new(Arc::new(store.clone()))
        .with_world(world())
        .with_cache(0);
    match policy {
        Some(policy) => repository
            .with_snapshot_store(Arc::new(store.clone()))
            .with_snapshots::<Account>(policy)
            .unwrap(),
        None => repository,
    }
}

fn policies() -> Vec<Policy> {
    vec![
        Policy::every(1),
        Policy::every(3),
        Policy::at_interval(Duration::ZERO),
        Policy::slower_than(Duration::ZERO),
        Policy::on("MoneyPaidOut"),
        Policy::manual(),
        Policy::every(7).or(Policy::on("AccountOpened")),
    ]
}

#[test]
fn a_snapshot_and_its_tail_are_a_replay() {
    for (seed, policy) in (0..).zip(policies()) {
        let chance = SimEnv::new(seed).env().random;
        block_on(walk(policy, &*chance));
    }
}

async fn walk(policy: Policy, chance: &dyn Random) {
    let store = MemoryStore::new();
    open(&cold(&store, Some(policy.clone())), STREAM, 50).await;
    for _ in 0..20 {
        let with = cold(&store, Some(policy.clone()));
        let command = match chance.next_u64() % 3 {
            0 => Do::PayOut(chance.next_u64() % 60),
            _ => Do::PayIn(chance.next_u64() % 9),
        };
        // Refusals belong to it.
        drop(with.run::<Account>(STREAM, command).await);
        if chance.next_u64().is_multiple_of(5) {
            with.snapshot::<Account>(STREAM).await.unwrap();
        }
        let without = cold(&store, None);
        let (new, old) = (
            cold(&store, Some(policy.clone())),
            without.load::<Account>(STREAM).await.unwrap(),
        );
        let found = new.load::<Account>(STREAM).await.unwrap();
        assert_eq!(
            (&found.state, found.version),
            (&old.state, old.version),
            "{policy:?}"
        );
        for version in 0..=old.version {
            let found = new.load::<Account>(STREAM).as_of(version).await.unwrap();
            let old = without
                .load::<Account>(STREAM)
                .as_of(version)
                .await
                .unwrap();
            assert_eq!(
                (found.state, found.version),
                (old.state, old.version),
                "{policy:?}"
            );
        }
    }
}

#[test]
fn strategies_say_when() {
    let origin = |policy| {
        block_on(async {
            let store = MemoryStore::new();
            let repository = cold(&store, Some(policy));
            open(&repository, STREAM, 50).await;
            repository.load::<Account>(STREAM).await.unwrap().origin
        })
    };
    assert_eq!(origin(Policy::every(2)), Origin::Snapshot(2));
    assert_eq!(origin(Policy::every(3)), Origin::Replay);
    assert_eq!(origin(Policy::on("AccountOpened")), Origin::Snapshot(1));
    assert_eq!(
        origin(Policy::on("AccountClosed").or(Policy::every(1))),
        Origin::Snapshot(2)
    );
    assert_eq!(origin(Policy::manual()), Origin::Replay);
}

#[test]
fn a_snapshot_that_does_not_fit_is_passed_over() {
    block_on(async {
        let store = MemoryStore::new();
        let repository = cold(&store, Some(Policy::manual()));
        open(&repository, STREAM, 50).await;
        let save = |key: String, version, data: &'static [u8]| {
            let stream = StreamName::new(STREAM).unwrap();
            store.save_snapshot(Snapshot::new(stream, key, version, data))
        };
        let good = br#"{"owner":"eve","balance":7}"#;
        save("of another fold".into(), 2, good).await.unwrap();
        assert_eq!(
            repository
                .load::<Account>(STREAM)
                .await
                .unwrap()
                .state
                .balance,
            50
        );
        save(key::<Account>().unwrap(), 2, b"{\"balance\":")
            .await
            .unwrap();
        let loaded = repository.load::<Account>(STREAM).await.unwrap();
        assert_eq!((loaded.state.balance, loaded.origin), (50, Origin::Replay));
        save(key::<Account>().unwrap(), 2, good).await.unwrap();
        assert_eq!(
            repository
                .load::<Account>(STREAM)
                .await
                .unwrap()
                .state
                .balance,
            7,
            "the fitting one is used"
        );
    });
}

#[test]
fn a_stream_that_was_deleted_has_no_snapshot() {
    use factum_store::{AppendBatch, Change, EventStore};
    block_on(async {
        let store = MemoryStore::new();
        let repository = cold(&store, Some(Policy::every(1)));
        open(&repository, STREAM, 50).await;
        let stream = StreamName::new(STREAM).unwrap();
        let delete =
            AppendBatch::change(stream, factum_types::ExpectedRevision::Any, Change::Delete);
        store.append(delete).await.unwrap();
        assert!(!repository.load::<Account>(STREAM).await.unwrap().exists());
    });
}

#[test]
fn without_a_place_there_are_no_snapshots() {
    let repository = Repository::new(Arc::new(MemoryStore::new()));
    assert!(
        repository
            .clone()
            .with_snapshots::<Account>(Policy::manual())
            .is_err()
    );
    assert!(block_on(repository.snapshot::<Account>(STREAM)).is_err());
}

#[test]
fn the_kit_checks_a_domain() {
    kit::check::<Account>();
    let samples = kit::recorded(&Account::samples()).unwrap();
    assert_eq!(differs_from_replay::<Account>(&samples).unwrap(), None);
    kit::given::<Account>(Account::samples())
        .when(Do::PayOut(30))
        .then([Did::PaidOut { amount: 30 }]);
}

#[test]
#[should_panic(expected = "these happened")]
fn the_kit_is_not_content_with_the_wrong_outcome() {
    let refusal = crate::account::Refusal::NotOpen;
    kit::given::<Account>(Account::samples())
        .when(Do::PayIn(1))
        .rejects(&refusal);
}

#[test]
fn golden_samples_cover_the_lock() {
    use crate::events::School;
    let lock = include_str!("events.lock");
    let golden = include_str!("golden.ndjson");
    kit::check_golden::<School>(golden, lock).unwrap();
    let some: String = golden
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    let error = kit::check_golden::<School>(&some, lock).unwrap_err();
    assert!(error.to_string().contains("CourseDefined v3"), "{error}");
}

/// A command does not wait for the snapshot that it asked for.
#[test]
fn snapshots_are_taken_in_the_background() {
    block_on(async {
        let fake = kit::FakeWorld::new(7);
        let store = MemoryStore::new();
        let hourly = Policy::at_interval(Duration::from_secs(3_600));
        let repository = Repository::new(Arc::new(store.clone()))
            .with_world(fake.world())
            .with_snapshot_store(Arc::new(store))
            .with_snapshots::<Account>(hourly)
            .unwrap();
        open(&repository, STREAM, 50).await;
        assert_eq!(fake.run_background().await, 0, "nothing is an hour old");
        fake.clock.advance(Duration::from_secs(4_000));
        repository
            .run::<Account>(STREAM, Do::PayIn(1))
            .await
            .unwrap();
        repository
            .run::<Account>(STREAM, Do::PayIn(1))
            .await
            .unwrap();
        assert_eq!(
            fake.run_background().await,
            2,
            "nothing was taken meanwhile"
        );
        repository
            .run::<Account>(STREAM, Do::PayIn(1))
            .await
            .unwrap();
        assert_eq!(fake.run_background().await, 0, "the last one is fresh");
        let cold = repository
            .clone()
            .with_cache(0)
            .load::<Account>(STREAM)
            .await
            .unwrap();
        assert_eq!((cold.origin, cold.state.balance), (Origin::Snapshot(4), 53));
    });
}

/// A step that is counted, with a timer beside it.
#[derive(
    factum_framework::Event, serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq,
)]
#[event(name = "StepTaken")]
struct StepTaken {}

#[derive(Default, Clone, serde::Serialize, serde::Deserialize)]
struct Walk {
    steps: u32,
}

impl factum_framework::Decider for Walk {
    type Command = ();
    type Event = StepTaken;
    type Error = std::convert::Infallible;

    fn evolve(&mut self, _: &StepTaken, _: &factum_types::RecordedEvent) {
        self.steps += 1;
    }

    fn decide(
        &self,
        (): (),
        env: &mut factum_framework::Env,
    ) -> Result<factum_framework::Emit<StepTaken>, Self::Error> {
        let emit = factum_framework::Emit::from(StepTaken {});
        Ok(emit.wake("rest", env.after(Duration::from_secs(1))))
    }
}

impl Snapshots for Walk {
    fn samples() -> Vec<StepTaken> {
        vec![StepTaken {}]
    }
}

/// What the framework notes counts like any event of the stream. It was left out of the append at hand, so that a snapshot came late.
#[test]
fn notes_count_when_a_snapshot_is_due() {
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let fake = kit::FakeWorld::new(7);
        let walks = Repository::new(Arc::clone(&store) as _)
            .with_world(fake.world())
            .with_cache(0)
            .with_snapshot_store(store)
            .with_snapshots::<Walk>(Policy::every(4))
            .unwrap();
        walks.run::<Walk>("walk-1", ()).await.unwrap();
        assert_eq!(fake.run_background().await, 0, "two of four");
        walks.run::<Walk>("walk-1", ()).await.unwrap();
        assert_eq!(fake.run_background().await, 1, "four of four");
        let loaded = walks.load::<Walk>("walk-1").await.unwrap();
        assert_eq!(
            (loaded.origin, loaded.state.steps),
            (Origin::Snapshot(4), 2)
        );
    });
}

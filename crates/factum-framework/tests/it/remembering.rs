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

fn change(store: &MemoryStore, stream: &str, change: factum_store::Change) {
    use factum_store::{AppendBatch, EventStore};
    let stream = StreamName::new(stream).unwrap();
    let batch = AppendBatch::change(stream, factum_types::ExpectedRevision::Any, change);
    block_on(store.append(batch)).unwrap();
}

fn hide_all_but(store: &MemoryStore, events: u64) {
    let settings = factum_types::StreamSettings {
        max_count: Some(events),
        ..Default::default()
    };
    change(store, STREAM, factum_store::Change::Settings(settings));
}

fn versions(store: &MemoryStore, stream: &str) -> Vec<u64> {
    let listed = block_on(store.list_snapshots(StreamName::new(stream).unwrap())).unwrap();
    listed
        .into_iter()
        .map(|snapshot| snapshot.version)
        .collect()
}

/// A snapshot knows events that a replay does not give any more; it was used all the same, so that a state depended on where it came from.
#[test]
fn a_snapshot_of_more_than_is_shown_is_passed_over() {
    block_on(async {
        let store = MemoryStore::new();
        let with = cold(&store, Some(Policy::manual()));
        open(&with, STREAM, 50).await;
        with.snapshot::<Account>(STREAM).await.unwrap();
        hide_all_but(&store, 1);
        let without = cold(&store, None);
        for version in [None, Some(2)] {
            let of = |repository: &Repository| {
                let load = repository.load::<Account>(STREAM);
                let load = match version {
                    Some(version) => load.as_of(version),
                    None => load,
                };
                block_on(load.into_future()).unwrap()
            };
            assert_eq!(of(&with).origin, Origin::Replay, "{version:?}");
            assert_eq!(of(&with).state, of(&without).state, "{version:?}");
        }
    });
}

/// What a replay of the events that are shown gives is no state to begin from when they are shown again.
#[test]
fn no_snapshot_is_taken_while_events_are_hidden() {
    block_on(async {
        let store = MemoryStore::new();
        open(&cold(&store, None), STREAM, 50).await;
        hide_all_but(&store, 2);
        let with = cold(&store, Some(Policy::every(1)));
        with.run::<Account>(STREAM, Do::PayIn(1)).await.unwrap();
        assert!(versions(&store, STREAM).is_empty());
        let error = with.snapshot::<Account>(STREAM).await.unwrap_err();
        assert_eq!(error.kind(), factum_framework::Kind::Invalid);
        assert!(error.to_string().contains("hide events"), "{error}");
        assert!(versions(&store, STREAM).is_empty());
        let shown = factum_store::Change::Settings(factum_types::StreamSettings::default());
        change(&store, STREAM, shown);
        assert_eq!(with.snapshot::<Account>(STREAM).await.unwrap(), Some(3));
    });
}

type Saving<'a, T> =
    std::pin::Pin<Box<dyn Future<Output = Result<T, factum_store::StoreError>> + Send + 'a>>;

/// A place where saving takes ten seconds.
struct Slow(MemoryStore, Arc<factum_io::sim::SimClock>);

impl SnapshotStore for Slow {
    fn save_snapshot(&self, snapshot: Snapshot) -> Saving<'_, ()> {
        self.1.advance(Duration::from_secs(10));
        self.0.save_snapshot(snapshot)
    }
    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> Saving<'_, Option<Snapshot>> {
        self.0.load_snapshot(stream, key, at_most)
    }
    fn list_snapshots(&self, stream: StreamName) -> Saving<'_, Vec<Snapshot>> {
        self.0.list_snapshots(stream)
    }
    fn drop_snapshots(&self, stream: StreamName, key: String) -> Saving<'_, ()> {
        self.0.drop_snapshots(stream, key)
    }
}

/// A state was called fresh when its snapshot was saved, though it was read before: who would have a state of one second was given older.
#[test]
fn a_state_is_as_old_as_its_load_whatever_saving_took() {
    use factum_framework::Dial;
    block_on(async {
        let (store, fake) = (MemoryStore::new(), kit::FakeWorld::new(7));
        let slow = Slow(store.clone(), Arc::clone(&fake.clock));
        let repository = Repository::new(Arc::new(store.clone()))
            .with_world(fake.world())
            .with_snapshot_store(Arc::new(slow))
            .with_snapshots::<Account>(Policy::on("MoneyPaidIn"))
            .unwrap();
        let of_a_second = || {
            let dial = Dial::StaleUpTo(Duration::from_secs(1));
            repository.load::<Account>(STREAM).dial(dial).into_future()
        };
        open(&repository, STREAM, 50).await;
        assert_eq!(fake.run_background().await, 1);
        let other = cold(&store, None);
        other.run::<Account>(STREAM, Do::PayIn(1)).await.unwrap();
        assert_eq!(of_a_second().await.unwrap().state.balance, 51);
        // The same when it was asked for.
        repository.snapshot::<Account>(STREAM).await.unwrap();
        other.run::<Account>(STREAM, Do::PayIn(1)).await.unwrap();
        assert_eq!(of_a_second().await.unwrap().state.balance, 52);
    });
}

/// The next snapshot was counted from the one before that which was asked for.
#[test]
fn a_snapshot_that_was_asked_for_counts() {
    block_on(async {
        let (store, fake) = (MemoryStore::new(), kit::FakeWorld::new(7));
        let repository = Repository::new(Arc::new(store.clone()))
            .with_world(fake.world())
            .with_snapshot_store(Arc::new(store))
            .with_snapshots::<Account>(Policy::every(3))
            .unwrap();
        open(&repository, STREAM, 50).await;
        let taken = repository.snapshot::<Account>(STREAM).await.unwrap();
        assert_eq!(taken, Some(2));
        for (version, due) in [(3, 0), (4, 0), (5, 1), (6, 0)] {
            let pay = repository.run::<Account>(STREAM, Do::PayIn(1));
            pay.await.unwrap();
            assert_eq!(fake.run_background().await, due, "version {version}");
        }
    });
}

/// Nests one level deeper with every event.
#[derive(Default, Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Nest {
    inside: Option<Box<Self>>,
}

impl factum_framework::Decider for Nest {
    type Command = ();
    type Event = StepTaken;
    type Error = std::convert::Infallible;

    fn evolve(&mut self, _: &StepTaken, _: &factum_types::RecordedEvent) {
        let inside = std::mem::take(self);
        self.inside = Some(Box::new(inside));
    }

    fn decide(
        &self,
        (): (),
        _: &mut factum_framework::Env,
    ) -> Result<factum_framework::Emit<StepTaken>, Self::Error> {
        Ok(StepTaken {}.into())
    }
}

impl Snapshots for Nest {
    fn samples() -> Vec<StepTaken> {
        vec![StepTaken {}]
    }
}

/// A state that could not be read again was saved, and took the place of one that could.
#[test]
fn a_state_too_deep_to_be_read_again_is_not_saved() {
    block_on(async {
        let store = MemoryStore::new();
        let nests = Repository::new(Arc::new(store.clone()))
            .with_world(world())
            .with_cache(0)
            .with_snapshot_store(Arc::new(store.clone()))
            .with_snapshots::<Nest>(Policy::manual())
            .unwrap();
        for version in 1..=130 {
            nests.run::<Nest>("nest-1", ()).await.unwrap();
            // One object for the state itself, one more for each event.
            let can_be_read = version < 127;
            let taken = nests.snapshot::<Nest>("nest-1").await;
            assert_eq!(taken.is_ok(), can_be_read, "version {version}: {taken:?}");
            let loaded = nests.load::<Nest>("nest-1").await.unwrap();
            let origin = Origin::Snapshot(version.min(126));
            assert_eq!((loaded.version, loaded.origin), (version, origin));
        }
        let error = nests.snapshot::<Nest>("nest-1").await.unwrap_err();
        assert!(error.to_string().contains("levels deep"), "{error}");
    });
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, factum_framework::Event)]
#[event(name = "Nested")]
struct Nested {
    inside: serde_json::Value,
}

#[derive(Default, Clone, Debug)]
struct Deep;

impl factum_framework::Decider for Deep {
    type Command = usize;
    type Event = Nested;
    type Error = std::convert::Infallible;

    fn evolve(&mut self, _: &Nested, _: &factum_types::RecordedEvent) {}

    fn decide(
        &self,
        depth: usize,
        _: &mut factum_framework::Env,
    ) -> Result<factum_framework::Emit<Nested>, Self::Error> {
        let wrap = |inside, _| serde_json::json!([inside]);
        let inside = (0..depth).fold(serde_json::Value::Null, wrap);
        Ok(Nested { inside }.into())
    }
}

/// An event that nobody could read again was stored, and its stream could not be loaded any more.
#[test]
fn an_event_too_deep_to_be_read_again_is_not_appended() {
    block_on(async {
        let deep = Repository::new(Arc::new(MemoryStore::new())).with_world(world());
        // One object for the event itself, one list for each level.
        deep.run::<Deep>("deep-1", 126).await.unwrap();
        let error = deep.run::<Deep>("deep-1", 127).await.unwrap_err();
        assert!(error.to_string().contains("128 levels deep"), "{error}");
        assert_eq!(deep.load::<Deep>("deep-1").await.unwrap().version, 1);
    });
}

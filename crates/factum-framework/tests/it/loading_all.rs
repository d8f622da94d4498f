//! Loading all of a category gives what loading each stream gives, whatever was done to the streams.

use std::collections::BTreeSet;

use factum_engine::{Engine, Options};
use factum_framework::{Kind, Repository};
use factum_io::sim::SimEnv;
use factum_io::{Env, Random};
use factum_store::{AppendBatch, Change, EventStore, MemoryStore};
use factum_types::{EventType, ExpectedRevision, NewEvent, Revision, StreamName, StreamSettings};
use pollster::block_on;

use crate::account::{Account, AccountCommand as Do, open, over};

const STREAMS: u64 = 12;
const STEPS: u64 = 300;

fn name(number: u64) -> StreamName {
    StreamName::new(format!("account-{number}")).unwrap()
}

/// One thing or another that can be done to a stream.
async fn step(repository: &Repository, chance: &dyn Random) {
    let stream = name(chance.next_u64() % STREAMS);
    let amount = chance.next_u64() % 50;
    let change = match chance.next_u64() % 40 {
        0 => Change::Tombstone,
        1..=3 => Change::Delete,
        4 => Change::Settings(StreamSettings {
            max_count: Some(1 + amount % 5),
            ..StreamSettings::default()
        }),
        5 => Change::Settings(StreamSettings {
            truncate_before: Some(Revision::new(amount % 8)),
            ..StreamSettings::default()
        }),
        6 => Change::Settings(StreamSettings::default()),
        choice => {
            let command = match choice % 3 {
                0 => Do::Open("ann".into()),
                _ => Do::PayIn(amount),
            };
            // A refusal is as good as any answer here.
            drop(repository.run::<Account>(&stream, command).await);
            return;
        }
    };
    let batch = AppendBatch::change(stream, ExpectedRevision::Any, change);
    drop(repository.store().append(batch).await);
}

/// Every stream alone, and all of them together.
async fn compare(repository: &Repository, seed: u64) -> usize {
    let together = repository.load_all::<Account>("account").await.unwrap();
    let mut names = BTreeSet::new();
    for loaded in &together {
        let alone = repository.load::<Account>(&loaded.stream).await.unwrap();
        assert_eq!(alone.state, loaded.state, "seed {seed}, {}", loaded.stream);
        assert_eq!(
            alone.version, loaded.version,
            "seed {seed}, {}",
            loaded.stream
        );
        assert!(names.insert(loaded.stream.clone()), "seed {seed}: twice");
    }
    for stream in (0..STREAMS).map(name) {
        let alone = repository.load::<Account>(&stream).await;
        let exists = alone.is_ok_and(|alone| alone.exists());
        assert_eq!(names.contains(&stream), exists, "seed {seed}, {stream}");
    }
    together.len()
}

fn check(seed: u64, store: impl EventStore + 'static) -> usize {
    let chance = SimEnv::new(seed).env().random;
    let repository = over(store).with_cache(0);
    block_on(async {
        let mut seen = 0;
        for number in 0..STEPS {
            step(&repository, &*chance).await;
            if number % 25 == 0 {
                seen += compare(&repository, seed).await;
            }
        }
        seen + compare(&repository, seed).await
    })
}

#[test]
fn together_they_are_what_they_are_alone() {
    let seen: usize = (0..20).map(|seed| check(seed, MemoryStore::new())).sum();
    assert!(seen > 1_000, "only {seen} states were compared");
}

#[test]
fn on_the_engine_too() {
    for seed in 100..103 {
        let options = Options::new("data").segment_bytes(Options::SEGMENT_BYTES_MIN);
        // A disk in memory, and real threads over it.
        let env = Env {
            disk: SimEnv::new(seed).env().disk,
            ..Env::real()
        };
        let engine = Engine::open(options, env).unwrap();
        check(seed, engine.clone());
        engine.close().unwrap();
    }
}

#[test]
fn there_is_a_limit() {
    block_on(async {
        let repository = over(MemoryStore::new());
        for number in 0..3 {
            open(&repository, name(number).as_str(), 5).await;
        }
        let all = repository.load_all::<Account>("account");
        let error = all.at_most(2).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("more than 2 streams"), "{error}");
        let all = repository.load_all::<Account>("account").at_most(3);
        assert_eq!(all.await.unwrap().len(), 3);
        let none = repository.load_all::<Account>("accounting").await.unwrap();
        assert!(none.is_empty());
        let error = repository.load_all::<Account>("").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
    });
}

#[test]
fn what_cannot_be_read_is_named() {
    block_on(async {
        let store = MemoryStore::new();
        let id = factum_types::EventId::from_bytes([7; 16]);
        let odd = NewEvent::json(id, EventType::new("AccountBurnt").unwrap(), "{}");
        let batch = AppendBatch::events(name(1), ExpectedRevision::Any, vec![odd]);
        store.append(batch).await.unwrap();
        let repository = over(store);
        let error = repository.load_all::<Account>("account").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Decode);
        assert!(error.to_string().contains("account-1"), "{error}");
    });
}

async fn append_odd(store: &MemoryStore, stream: u64, number: u8) {
    let id = factum_types::EventId::from_bytes([number; 16]);
    let odd = NewEvent::json(id, EventType::new("AccountBurnt").unwrap(), "{}");
    let batch = AppendBatch::events(name(stream), ExpectedRevision::Any, vec![odd]);
    store.append(batch).await.unwrap();
}

/// Who loads a stream alone never sees events that were deleted, truncated or closed away: one of them that cannot be read made the whole
/// category fail.
#[test]
fn what_is_not_seen_alone_does_not_fail_all() {
    block_on(async {
        let store = MemoryStore::new();
        let repository = over(store.clone()).with_cache(0);
        for number in 1..=4 {
            append_odd(&store, number, u8::try_from(number).unwrap()).await;
        }
        let cut = StreamSettings {
            truncate_before: Some(Revision::new(1)),
            ..StreamSettings::default()
        };
        for (number, change) in [
            (1, Change::Delete),
            (2, Change::Tombstone),
            (3, Change::Settings(cut)),
            (4, Change::Delete),
        ] {
            let batch = AppendBatch::change(name(number), ExpectedRevision::Any, change);
            store.append(batch).await.unwrap();
        }
        for number in [3, 4, 5] {
            open(&repository, name(number).as_str(), 5).await;
        }
        // Three have events; those that are gone are not counted.
        let all = repository.load_all::<Account>("account").at_most(3);
        let names: Vec<_> = all.await.unwrap().into_iter().map(|l| l.stream).collect();
        assert_eq!(names, [3, 4, 5].map(name));
        let all = repository.load_all::<Account>("account").at_most(2);
        let error = all.await.unwrap_err();
        assert!(error.to_string().contains("more than 2 streams"), "{error}");
        // One that is seen fails it as before.
        append_odd(&store, 5, 9).await;
        let error = repository.load_all::<Account>("account").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Decode);
        assert!(error.to_string().contains("account-5"), "{error}");
    });
}

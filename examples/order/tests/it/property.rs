//! Orders by chance, on the memory store and on the engine: snapshots change nothing but speed, and of 64 who confirm one does.

use std::future::IntoFuture;
use std::sync::Arc;

use factum::framework::kit;
use factum::store::ReadRequest;
use factum::{EventStore, MemoryStore, Repository, Retry, RunError, SnapshotStore, StreamName};
use factum_example_order::order::Status;
use factum_example_order::{Item, Order, OrderCommand, OrderError, by_hand};
use pollster::block_on;

use crate::support::command;

/// An engine on a disk in memory.
fn engine() -> Arc<factum::Engine> {
    let disk = factum::io::sim::SimEnv::new(7).env().disk;
    let env = factum::io::Env {
        disk,
        ..factum::io::Env::real()
    };
    let options = factum::Options::new("/orders").segment_bytes(1 << 20);
    Arc::new(factum::Engine::open(options, env).unwrap())
}

#[test]
fn random_commands_keep_what_the_domain_promises() {
    let tally = kit::commands::<Order>(command)
        .always("only an order that was placed costs something", |order| {
            order.status != Status::New || order.total == 0
        })
        .check();
    assert_eq!(tally.never_happened(), Vec::<&str>::new());
    kit::commands::<by_hand::Order>(command).check();
}

#[test]
fn snapshot_and_tail_are_a_replay_on_the_memory_store() {
    kit::commands::<Order>(command).check_on(|| Arc::new(MemoryStore::new()));
}

#[test]
fn snapshot_and_tail_are_a_replay_on_the_engine() {
    kit::commands::<Order>(command).runs(1).check_on(engine);
}

fn raced<S: EventStore + SnapshotStore + 'static>(store: &Arc<S>) {
    let factum = Repository::new(Arc::clone(store) as Arc<dyn EventStore>);
    let place = OrderCommand::Place {
        customer: "ann".into(),
        items: vec![Item {
            sku: "book".into(),
            price: 20,
        }],
    };
    block_on(factum.run::<Order>("order-1", place).into_future()).unwrap();
    let outcomes = kit::race(64, |number| {
        let confirm = OrderCommand::Confirm {
            by: format!("clerk {number}"),
        };
        factum
            .run::<Order>("order-1", confirm)
            .retry(Retry::jittered(1_000))
            .into_future()
    });
    let confirmed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes.iter().filter(|outcome| {
        let no = OrderError::Not(Status::Confirmed);
        matches!(outcome, Err(RunError::Rejected(why)) if *why == no)
    });
    assert_eq!((confirmed, refused.count()), (1, 63));
    let stream = StreamName::new("order-1").unwrap();
    let stored = block_on(store.read(ReadRequest::stream(stream)).collect()).unwrap();
    assert_eq!(stored.len(), 2);
}

#[test]
fn one_of_sixty_four_confirms_on_the_memory_store() {
    raced(&Arc::new(MemoryStore::new()));
}

#[test]
fn one_of_sixty_four_confirms_on_the_engine() {
    let engine = engine();
    raced(&engine);
    engine.close().unwrap();
}

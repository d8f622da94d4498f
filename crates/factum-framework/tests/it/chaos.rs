//! A store behind chaos: every trouble comes, and commands with a key act exactly once all the same.

use std::future::IntoFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use factum_framework::kit::{self, Chaos, FakeWorld, Trouble, Troubles};
use factum_framework::{Repository, Retry};
use factum_io::sim::SimEnv;
use factum_store::{
    AppendBatch, Change, EventStore, EventStream, MemoryStore, ReadRequest, Receipt, StoreError,
    StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{EventId, Position, StreamName};
use futures_core::future::BoxFuture;
use pollster::block_on;

use crate::account::{Account, AccountCommand as Do};

#[test]
fn commands_with_a_key_act_exactly_once_on_the_memory_store() {
    for _ in 0..3 {
        kit::check_exactly_once(&Arc::new(MemoryStore::new()), kit::random_seed());
    }
}

#[test]
fn commands_with_a_key_act_exactly_once_on_the_engine() {
    let env = factum_io::Env {
        disk: SimEnv::new(7).env().disk,
        ..factum_io::Env::real()
    };
    let options = factum_engine::Options::new("/chaos");
    let engine = Arc::new(factum_engine::Engine::open(options, env).unwrap());
    kit::check_exactly_once(&engine, kit::random_seed());
    engine.close().unwrap();
}

/// A memory store that takes every append for a new one: a repetition is written again.
struct Forgetful(MemoryStore);

impl EventStore for Forgetful {
    fn append(&self, mut batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        for write in &mut batch.writes {
            write.expected = factum_types::ExpectedRevision::Any;
            if let Change::Events(events) = &mut write.change {
                for event in events {
                    let mut bytes = [0; 10];
                    factum_io::Env::real().random.fill(&mut bytes);
                    event.id = EventId::v7(1, bytes);
                }
            }
        }
        batch.conditions.clear();
        self.0.append(batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.0.read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.0.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.0.head()
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        self.0.stream_info(stream)
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        self.0.streams(request)
    }
}

#[test]
fn a_store_that_repeats_is_found() {
    let store = Arc::new(Forgetful(MemoryStore::new()));
    let found = catch_unwind(AssertUnwindSafe(|| kit::check_exactly_once(&store, 7)));
    let text = *found.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("more than once"), "{text}");
}

#[test]
fn every_trouble_comes_and_a_seed_brings_the_same() {
    let times = |seed| {
        let store = Arc::new(MemoryStore::new());
        let chaos = Arc::new(Chaos::new(store, seed, Troubles::all()));
        let repository = Repository::new(Arc::clone(&chaos) as Arc<dyn EventStore>)
            .with_world(FakeWorld::new(seed).world());
        block_on(async {
            for number in 0..200 {
                let command = if number == 0 {
                    Do::Open("ann".into())
                } else {
                    Do::PayIn(1)
                };
                let run = || {
                    let run = repository.run::<Account>("account-1", command.clone());
                    run.idempotency(format!("{number}")).retry(Retry::never())
                };
                while run().into_future().await.is_err() {}
                let mut all = chaos.subscribe(SubscribeRequest::new(factum_store::Source::All));
                drop(all.next().await);
            }
            let behind = Repository::new(Arc::clone(chaos.behind()) as Arc<dyn EventStore>);
            let account = behind.load::<Account>("account-1").await.unwrap();
            assert_eq!((account.state.balance, account.version), (199, 200));
        });
        let troubles = [
            Trouble::Conflict,
            Trouble::LostAnswer,
            Trouble::LostRequest,
            Trouble::Duplicate,
            Trouble::Busy,
            Trouble::Delay,
            Trouble::BrokenRead,
            Trouble::BrokenSubscription,
        ];
        troubles.map(|trouble| chaos.times(trouble))
    };
    let seen = times(7);
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
    assert_eq!(times(7), seen);
    assert_ne!(times(8), seen);
}

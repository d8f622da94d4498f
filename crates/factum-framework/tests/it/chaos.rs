//! A store behind chaos: every trouble comes, and commands with a key act exactly once all the same.

use std::future::IntoFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use factum_framework::kit::{self, Chaos, FakeWorld, Trouble, Troubles};
use factum_framework::{Repository, Retry};
use factum_io::sim::SimEnv;
use factum_store::{
    AppendBatch, Change, EventStore, EventStream, Kind, MemoryStore, ReadRequest, Receipt,
    StoreError, StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, Position, StreamName};
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

type Answer = Result<Receipt, StoreError>;
type Append = dyn for<'a> Fn(&'a MemoryStore, AppendBatch) -> BoxFuture<'a, Answer> + Send + Sync;

/// A memory store with an append of its own.
struct Around {
    store: MemoryStore,
    append: Box<Append>,
}

impl Around {
    fn new(
        append: impl for<'a> Fn(&'a MemoryStore, AppendBatch) -> BoxFuture<'a, Answer>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new(),
            append: Box::new(append),
        })
    }
}

impl EventStore for Around {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Answer> {
        (self.append)(&self.store, batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.store.read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.store.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.store.head()
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        self.store.stream_info(stream)
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        self.store.streams(request)
    }
}

/// A store that takes every append for a new one: a repetition is written again.
fn forgetful() -> Arc<Around> {
    Around::new(|store, mut batch| {
        for write in &mut batch.writes {
            write.expected = ExpectedRevision::Any;
            if let Change::Events(events) = &mut write.change {
                for event in events {
                    let mut bytes = [0; 10];
                    factum_io::Env::real().random.fill(&mut bytes);
                    event.id = EventId::v7(1, bytes);
                }
            }
        }
        batch.conditions.clear();
        store.append(batch)
    })
}

/// A store that answers so, in turns: `None` writes and says what is true, an error writes nothing.
fn in_turns(answers: [Option<Kind>; 2]) -> Arc<Around> {
    let asked = AtomicUsize::new(0);
    Around::new(move |store, batch| {
        let turn = asked.fetch_add(1, Ordering::Relaxed) % 2;
        match answers[turn] {
            None => store.append(batch),
            Some(kind) => Box::pin(async move { Err(StoreError::new(kind, "not now")) }),
        }
    })
}

/// An append that arrives twice at a store that answers so is answered like this, whichever of the two comes back.
fn check_twice(answers: [Option<Kind>; 2], expected: &[Option<Kind>]) {
    let only_duplicates = Troubles {
        duplicate: 255,
        ..Troubles::none()
    };
    let mut seen = Vec::new();
    for seed in 0..64 {
        let chaos = Chaos::new(in_turns(answers), seed, only_duplicates);
        let (id, stream) = (
            EventId::from_bytes([1; 16]),
            StreamName::new("a-1").unwrap(),
        );
        let event = NewEvent::json(id, EventType::new("Happened").unwrap(), "{}");
        let batch = AppendBatch::events(stream, ExpectedRevision::NoStream, vec![event]);
        let answer = block_on(chaos.append(batch));
        if chaos.times(Trouble::Duplicate) == 1 {
            seen.push(answer.err().map(|error| error.kind()));
        }
    }
    assert!(seen.len() > 32, "it arrives twice: {}", seen.len());
    for answer in &seen {
        assert!(expected.contains(answer), "{answers:?} gives {answer:?}");
    }
    for expected in expected {
        assert!(seen.contains(expected), "{answers:?} gives no {expected:?}");
    }
}

#[test]
fn what_arrives_twice_is_not_answered_less_than_the_truth() {
    let (busy, unknown) = (Some(Kind::Unavailable), Some(Kind::Unknown));
    // Written the second time: "surely nothing was written" would be wrong.
    check_twice([busy, None], &[None]);
    check_twice([None, busy], &[None]);
    check_twice([unknown, None], &[None]);
    check_twice([None, None], &[None]);
    check_twice([busy, unknown], &[unknown]);
    check_twice([unknown, busy], &[unknown]);
    check_twice([busy, Some(Kind::Conflict)], &[busy, Some(Kind::Conflict)]);
}

#[test]
fn a_store_that_repeats_is_found() {
    let store = forgetful();
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

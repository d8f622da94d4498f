//! Commands: expected revisions, conflicts, repetitions, propagation, and the dial.

use std::future::IntoFuture;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use factum_framework::{Dial, Kind, Origin, Retry, RunError};
use factum_store::{
    AppendBatch, Change, EventStore, EventStream, MemoryStore, ReadRequest, Receipt, StoreError,
    StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{ExpectedRevision, Position, RecordedEvent, StreamName};
use pollster::block_on;

use crate::account::{Account, AccountCommand as Do, AccountEvent as Did, Refusal, open, over};
use crate::hooked::{Hooked, busy};

const STREAM: &str = "account-1";

fn stored(store: &MemoryStore) -> Vec<RecordedEvent> {
    let stream = StreamName::new(STREAM).unwrap();
    block_on(store.read(ReadRequest::stream(stream)).collect()).unwrap()
}

#[test]
fn a_command_is_decided_and_what_it_does_is_read_back() {
    block_on(async {
        let repository = over(MemoryStore::new());
        open(&repository, STREAM, 50).await;
        let done = repository
            .run::<Account>(STREAM, Do::PayOut(20))
            .await
            .unwrap();
        assert_eq!(done.events, [Did::PaidOut { amount: 20 }]);
        assert_eq!((done.attempts, done.replayed), (1, false));
        let account = repository
            .load::<Account>(STREAM)
            .at_least(done.token)
            .await
            .unwrap();
        assert_eq!((account.state.balance, account.version), (30, 3));

        let refused = repository
            .run::<Account>(STREAM, Do::PayOut(31))
            .await
            .unwrap_err();
        assert!(matches!(
            refused,
            RunError::Rejected(Refusal::TooLittle(30))
        ));
        let nothing = repository
            .run::<Account>(STREAM, Do::PayIn(0))
            .await
            .unwrap();
        assert_eq!((nothing.events.len(), nothing.token), (0, done.token));
    });
}

#[test]
fn a_missing_stream_is_the_initial_state() {
    let account = block_on(
        over(MemoryStore::new())
            .load::<Account>(STREAM)
            .into_future(),
    )
    .unwrap();
    assert!(!account.exists());
    let error = block_on(over(MemoryStore::new()).load::<Account>("").into_future()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn a_token_from_the_future_is_told() {
    block_on(async {
        let repository = over(MemoryStore::new());
        open(&repository, STREAM, 1).await;
        let token = factum_framework::Token(Some(Position::from_raw(99)));
        let error = repository
            .load::<Account>(STREAM)
            .at_least(token)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Behind);
    });
}

#[test]
fn the_same_key_again_is_answered_with_what_was_done_first() {
    block_on(async {
        let store = MemoryStore::new();
        let repository = over(store.clone());
        open(&repository, STREAM, 50).await;
        let pay = || {
            repository
                .run::<Account>(STREAM, Do::PayOut(40))
                .idempotency("request 1")
        };
        let first = pay().await.unwrap();
        open(&repository, "account-2", 5).await;
        let again = pay().await.unwrap();
        assert_eq!(
            (again.token, again.events, again.replayed),
            (first.token, first.events, true)
        );
        assert_eq!(stored(&store).len(), 3);
        let other = repository
            .run::<Account>("account-2", Do::PayOut(4))
            .idempotency("request 1");
        assert!(!other.await.unwrap().replayed, "keys are the stream's own");
    });
}

#[test]
fn the_same_key_at_the_same_time_acts_once() {
    let store = MemoryStore::new();
    let repository = over(store.clone());
    block_on(open(&repository, STREAM, 50));
    let barrier = Barrier::new(8);
    let replayed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let run = repository
                    .run::<Account>(STREAM, Do::PayOut(10))
                    .idempotency("once");
                let done = block_on(run.into_future()).unwrap();
                replayed.fetch_add(done.replayed.into(), Ordering::Relaxed);
            });
        }
    });
    assert_eq!((stored(&store).len(), replayed.into_inner()), (3, 7));
}

#[test]
fn who_runs_into_others_decides_again() {
    let store = MemoryStore::new();
    let repository = over(store.clone());
    block_on(open(&repository, STREAM, 20));
    let refused = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let run = repository
                    .run::<Account>(STREAM, Do::PayOut(1))
                    .retry(Retry::jittered(200));
                match block_on(run.into_future()) {
                    Ok(_) => (),
                    Err(RunError::Rejected(_)) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    Err(RunError::Failed(error)) => panic!("{error}"),
                }
            });
        }
    });
    assert_eq!((stored(&store).len(), refused.into_inner()), (22, 12));
}

#[test]
fn a_conflict_carries_what_was_in_the_way() {
    block_on(async {
        let repository = over(MemoryStore::new());
        open(&repository, STREAM, 50).await;
        let late = repository
            .run::<Account>(STREAM, Do::PayIn(1))
            .at_version(1)
            .await;
        let error = late.unwrap_err();
        let error = error.failure().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        let names: Vec<_> = error
            .conflicting_events()
            .iter()
            .map(|e| e.event_type.as_str())
            .collect();
        assert_eq!(names, ["MoneyPaidIn"]);
        repository
            .run::<Account>(STREAM, Do::PayIn(1))
            .at_version(2)
            .await
            .unwrap();
        let early = repository
            .run::<Account>(STREAM, Do::PayIn(1))
            .at_version(9)
            .await;
        assert_eq!(early.unwrap_err().failure().unwrap().kind(), Kind::Conflict);
    });
}

#[test]
fn cause_conversation_and_user_travel() {
    block_on(async {
        let store = MemoryStore::new();
        let repository = over(store.clone());
        repository
            .run::<Account>(STREAM, Do::Open("ann".into()))
            .user("ann")
            .await
            .unwrap();
        let opened = stored(&store).remove(0);
        assert_eq!(opened.metadata.correlation_id, opened.metadata.causation_id);
        repository
            .run::<Account>(STREAM, Do::PayIn(5))
            .caused_by(&opened)
            .await
            .unwrap();
        let paid = stored(&store).remove(1);
        assert_eq!(paid.metadata.causation_id, Some(opened.id.to_string()));
        assert_eq!(paid.metadata.correlation_id, opened.metadata.correlation_id);
        assert_eq!(paid.metadata.user_id.as_deref(), Some("ann"));
    });
}

#[test]
fn the_dial_chooses_between_fast_and_fresh() {
    block_on(async {
        let store = MemoryStore::new();
        let (here, there) = (over(store.clone()), over(store));
        open(&here, STREAM, 50).await;
        here.load::<Account>(STREAM).await.unwrap();
        there.run::<Account>(STREAM, Do::PayIn(1)).await.unwrap();
        let cached = here
            .load::<Account>(STREAM)
            .dial(Dial::Cached)
            .await
            .unwrap();
        assert_eq!(cached.state.balance, 50);
        let cached = here
            .load::<Account>(STREAM)
            .dial(Dial::StaleUpTo(std::time::Duration::MAX));
        assert_eq!(cached.await.unwrap().state.balance, 50);
        let fresh = here.load::<Account>(STREAM).await.unwrap();
        assert_eq!(
            (fresh.state.balance, fresh.origin, fresh.folded),
            (51, Origin::Cache, 1)
        );

        // Decided on an old state, and put right: by the conflict, or because a refusal must be fresh.
        there.run::<Account>(STREAM, Do::PayOut(50)).await.unwrap();
        let refused = here
            .run::<Account>(STREAM, Do::PayOut(2))
            .dial(Dial::Cached)
            .await;
        assert!(matches!(
            refused,
            Err(RunError::Rejected(Refusal::TooLittle(1)))
        ));
        there.run::<Account>(STREAM, Do::PayIn(50)).await.unwrap();
        let paid = here
            .run::<Account>(STREAM, Do::PayOut(2))
            .dial(Dial::Cached)
            .await
            .unwrap();
        assert_eq!(paid.attempts, 1);

        let new = here
            .run::<Account>("account-2", Do::Open("bob".into()))
            .dial(Dial::AssumeNew);
        assert_eq!(new.await.unwrap().attempts, 1);
        let taken = here
            .run::<Account>("account-2", Do::Open("eve".into()))
            .dial(Dial::AssumeNew);
        assert!(matches!(
            taken.await,
            Err(RunError::Rejected(Refusal::HasOwner))
        ));
    });
}

#[test]
fn a_deleted_stream_is_not_remembered() {
    block_on(async {
        let store = MemoryStore::new();
        let repository = over(store.clone());
        open(&repository, STREAM, 50).await;
        repository.load::<Account>(STREAM).await.unwrap();
        let stream = StreamName::new(STREAM).unwrap();
        let delete = AppendBatch::change(stream, ExpectedRevision::Any, Change::Delete);
        store.append(delete).await.unwrap();
        let refused = repository
            .run::<Account>(STREAM, Do::PayIn(1))
            .dial(Dial::Cached)
            .await;
        assert!(matches!(refused, Err(RunError::Rejected(Refusal::NotOpen))));
        open(&repository, STREAM, 3).await;
        let account = repository.load::<Account>(STREAM).await.unwrap();
        assert_eq!((account.state.balance, account.version), (3, 4));
    });
}

type Answer<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A store whose answers get lost.
struct Lossy {
    store: MemoryStore,
    lost: AtomicU32,
}

impl EventStore for Lossy {
    fn append(&self, batch: AppendBatch) -> Answer<'_, Receipt> {
        Box::pin(async move {
            let answer = self.store.append(batch).await;
            match self.lost.fetch_add(1, Ordering::Relaxed) % 3 {
                0 => Err(StoreError::new(
                    factum_store::Kind::Unknown,
                    "the answer was lost",
                )),
                _ => answer,
            }
        })
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.store.read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.store.subscribe(request)
    }

    fn head(&self) -> Answer<'_, Option<Position>> {
        self.store.head()
    }

    fn stream_info(&self, stream: StreamName) -> Answer<'_, StreamInfo> {
        self.store.stream_info(stream)
    }

    fn streams(&self, request: StreamsRequest) -> Answer<'_, Vec<StreamInfo>> {
        self.store.streams(request)
    }
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    block_on(async {
        let store = MemoryStore::new();
        let lossy = Lossy {
            store: store.clone(),
            lost: AtomicU32::new(0),
        };
        let repository = over(lossy);
        open(&repository, STREAM, 50).await;
        for _ in 0..10 {
            let done = repository
                .run::<Account>(STREAM, Do::PayIn(1))
                .await
                .unwrap();
            assert_eq!((done.attempts, done.replayed), (1, false));
        }
        assert_eq!(stored(&store).len(), 12);
    });
}

/// The first answer is lost, after it was written or before; then the store is busy as long as anybody asks.
#[test]
fn an_unknown_outcome_stays_unknown_while_the_store_is_busy() {
    for written in [true, false] {
        let store = MemoryStore::new();
        block_on(open(&over(store.clone()), STREAM, 50));
        let (behind, appends) = (store.clone(), AtomicU32::new(0));
        let hooked = Hooked::new(store.clone(), move |batch| {
            if appends.fetch_add(1, Ordering::Relaxed) > 0 {
                return Some(busy());
            }
            if written {
                block_on(behind.append(batch.clone())).unwrap();
            }
            let unknown = factum_store::Kind::Unknown;
            Some(StoreError::new(unknown, "the answer was lost"))
        });
        let repository = over(hooked);
        let pay = repository
            .run::<Account>(STREAM, Do::PayIn(1))
            .into_future();
        let error = block_on(pay).unwrap_err();
        assert_eq!(
            error.failure().unwrap().kind(),
            Kind::Store(factum_store::Kind::Unknown),
            "{error}"
        );
        assert_eq!(stored(&store).len(), 2 + usize::from(written));
    }
    // Nothing is uncertain about a store that was busy from the beginning.
    let hooked = Hooked::new(MemoryStore::new(), |_| Some(busy()));
    let repository = over(hooked);
    let run = repository.run::<Account>(STREAM, Do::Open("ann".into()));
    let error = block_on(run.into_future()).unwrap_err();
    let unavailable = Kind::Store(factum_store::Kind::Unavailable);
    assert_eq!(error.failure().unwrap().kind(), unavailable);
}

/// A store in which a stream is made while it is read: the first read gives nothing, and no error.
struct Meanwhile {
    store: MemoryStore,
    reads: AtomicU32,
}

impl EventStore for Meanwhile {
    fn append(&self, batch: AppendBatch) -> Answer<'_, Receipt> {
        self.store.append(batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        match self.reads.fetch_add(1, Ordering::Relaxed) {
            0 => EventStream::of([]),
            _ => self.store.read(request),
        }
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.store.subscribe(request)
    }

    fn head(&self) -> Answer<'_, Option<Position>> {
        self.store.head()
    }

    fn stream_info(&self, stream: StreamName) -> Answer<'_, StreamInfo> {
        self.store.stream_info(stream)
    }

    fn streams(&self, request: StreamsRequest) -> Answer<'_, Vec<StreamInfo>> {
        self.store.streams(request)
    }
}

/// Two runners on the engine: one read a process's stream while the other made it, took the empty state for the newest, and left out
/// what came next.
#[test]
fn a_stream_that_is_made_while_it_is_read_is_not_taken_for_empty() {
    let store = MemoryStore::new();
    block_on(open(&over(store.clone()), STREAM, 50));
    let meanwhile = Meanwhile {
        store,
        reads: AtomicU32::new(0),
    };
    let account = block_on(over(meanwhile).load::<Account>(STREAM).into_future()).unwrap();
    assert_eq!((account.state.balance, account.version), (50, 2));
}

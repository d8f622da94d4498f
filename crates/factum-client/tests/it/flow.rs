//! Order, limits, and damage in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use factum_client::{Client, ClientOptions};
use factum_server::Options;
use factum_server::auth::Mode;
use factum_store::{
    AppendBatch, Damage, EventStore, EventStream, Kind, MemoryStore, ReadRequest, Receipt, Source,
    StoreError, SubscribeFrom, SubscribeRequest, Subscription, SubscriptionItem,
};
use factum_types::ExpectedRevision::Any;
use factum_types::{EventId, EventType, NewEvent, Position, RecordedEvent};
use tokio::sync::watch;

use crate::bent::{Answer, Bend, Bent};
use crate::support::{Running, batch, block_on, stream};

#[test]
fn appends_keep_the_order_in_which_they_were_polled() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let client = server.client();
    let name = stream("order-1");
    let mut context = Context::from_waker(Waker::noop());
    let mut running: Vec<_> = (0..2_000)
        .map(|number| client.append(batch(&name, Any, number, 1)))
        .collect();
    let mut ready = Vec::new();
    for append in &mut running {
        ready.push(append.as_mut().poll(&mut context));
    }
    for (append, ready) in running.into_iter().zip(ready) {
        match ready {
            Poll::Ready(answer) => answer.unwrap(),
            Poll::Pending => block_on(append).unwrap(),
        };
    }
    let events = block_on(client.read(ReadRequest::stream(name)).collect()).unwrap();
    let ids: Vec<u128> = events.iter().map(|event| event.id.as_u128()).collect();
    assert_eq!(ids, (0..2_000).collect::<Vec<_>>());
}

/// Writes at once, and says so only once it may.
pub(crate) struct Held(pub(crate) Arc<watch::Sender<bool>>);

impl Bend for Held {
    fn append<'a>(&'a self, store: &'a MemoryStore, batch: AppendBatch) -> Answer<'a, Receipt> {
        let mut may_answer = self.0.subscribe();
        Box::pin(async move {
            let answer = store.append(batch).await;
            may_answer.wait_for(|may_answer| *may_answer).await.unwrap();
            answer
        })
    }
}

/// A store that holds appends, and a client with room for only a few of them.
fn held() -> (Running, Client, Arc<watch::Sender<bool>>) {
    let may_answer = Arc::new(watch::Sender::new(false));
    let store = Bent(MemoryStore::new(), Held(Arc::clone(&may_answer)));
    let server = Running::new(Arc::new(store));
    let mut options = ClientOptions::default();
    options.append_bytes_in_flight = 1_000;
    let client = block_on(Client::connect(&server.url(), options)).unwrap();
    (server, client, may_answer)
}

/// The order is that of the first polls, and the last is answered although nobody polls those before it again.
#[test]
fn appends_that_wait_for_room_keep_their_order_and_need_no_other_poll() {
    let (server, client, may_answer) = held();
    let name = stream("order-1");
    let mut context = Context::from_waker(Waker::noop());
    let mut running: Vec<_> = (0..100)
        .map(|number| client.append(batch(&name, Any, number, 1)))
        .collect();
    for append in &mut running {
        assert!(append.as_mut().poll(&mut context).is_pending());
    }
    may_answer.send_replace(true);
    while let Some(last) = running.pop() {
        let receipt = block_on(last).unwrap();
        assert!(!receipt.replayed);
    }
    let events = block_on(client.read(ReadRequest::stream(name)).collect()).unwrap();
    let ids: Vec<u128> = events.iter().map(|event| event.id.as_u128()).collect();
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
    drop(server);
}

#[test]
fn what_waits_for_room_and_is_given_up_is_never_sent() {
    let (server, client, may_answer) = held();
    let name = stream("order-1");
    let mut context = Context::from_waker(Waker::noop());
    let mut running: Vec<_> = (0..20)
        .map(|number| client.append(batch(&name, Any, number, 1)))
        .collect();
    for append in &mut running {
        assert!(append.as_mut().poll(&mut context).is_pending());
    }
    // There is room for three; the last ten cannot have been sent.
    running.truncate(10);
    may_answer.send_replace(true);
    for append in running {
        block_on(append).unwrap();
    }
    block_on(client.append(batch(&name, Any, 20, 1))).unwrap();
    let events = block_on(client.read(ReadRequest::stream(name)).collect()).unwrap();
    let ids: Vec<u128> = events.iter().map(|event| event.id.as_u128()).collect();
    assert_eq!(ids, (0..10).chain([20]).collect::<Vec<_>>());
    drop(server);
}

#[test]
fn an_append_without_room_waits_no_longer_than_it_may() {
    let may_answer = Arc::new(watch::Sender::new(false));
    let store = Bent(MemoryStore::new(), Held(Arc::clone(&may_answer)));
    let server = Running::new(Arc::new(store));
    let mut options = ClientOptions::default().timeout(Duration::from_millis(300));
    options.append_bytes_in_flight = 1;
    let client = block_on(Client::connect(&server.url(), options)).unwrap();
    let (first, second) = (
        client.append(batch(&stream("order-1"), Any, 0, 1)),
        client.append(batch(&stream("order-2"), Any, 1, 1)),
    );
    let answers = block_on(futures_util::future::join(first, second));
    assert_eq!(answers.0.unwrap_err().kind(), Kind::Unknown);
    // Time may be up for it a moment later, so that it was sent.
    let second = answers.1.unwrap_err();
    assert!(
        matches!(second.kind(), Kind::Unavailable | Kind::Unknown),
        "{second}"
    );
}

/// Counts how many appends run at once, each for a while.
#[derive(Default)]
struct Counting {
    running: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl Bend for Counting {
    fn append<'a>(&'a self, store: &'a MemoryStore, batch: AppendBatch) -> Answer<'a, Receipt> {
        Box::pin(async move {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            store.append(batch).await
        })
    }
}

#[test]
fn no_more_appends_run_than_the_server_allows() {
    let most = Arc::new(AtomicUsize::new(0));
    let counting = Counting {
        most: Arc::clone(&most),
        ..Counting::default()
    };
    let mut options = Options::default();
    options.address.set_port(0);
    options.auth.mode = Mode::Insecure;
    options.limits.appends_in_flight = 3;
    let server = Running::with(Arc::new(Bent(MemoryStore::new(), counting)), options);
    let client = server.client();
    std::thread::scope(|scope| {
        for writer in 0..20 {
            let client = &client;
            scope.spawn(move || {
                for number in 0..5 {
                    let name = stream(&format!("order-{writer}"));
                    block_on(client.append(batch(&name, Any, number, 1))).unwrap();
                }
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[test]
fn what_is_appended_after_subscribing_from_the_end_comes() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let client = server.client();
    for number in 0..200 {
        let name = stream("order-1");
        let mut following =
            client.subscribe(SubscribeRequest::new(Source::All).from(SubscribeFrom::End));
        block_on(client.append(batch(&name, Any, number, 1))).unwrap();
        let event = block_on(following.next_event()).unwrap().unwrap();
        assert_eq!(event.revision.number(), number);
    }
}

/// Does not say where the end is for so many times, once it is told to.
struct Mute(Arc<AtomicUsize>);

impl Bend for Mute {
    fn head<'a>(&'a self, store: &'a MemoryStore) -> Answer<'a, Option<Position>> {
        let left = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if left.is_ok() {
            let error = StoreError::new(Kind::Unavailable, "the end is not known yet");
            return Box::pin(std::future::ready(Err(error)));
        }
        store.head()
    }
}

/// Where the end is has to be asked for several times; nobody polls the subscription meanwhile.
#[test]
fn what_is_appended_after_subscribing_comes_however_late_the_end_is_known() {
    let silences = Arc::new(AtomicUsize::new(0));
    let store = Bent(MemoryStore::new(), Mute(Arc::clone(&silences)));
    let server = Running::new(Arc::new(store));
    let client = server.client();
    let name = stream("order-1");
    for number in 0..5 {
        silences.store(2, Ordering::SeqCst);
        let mut following =
            client.subscribe(SubscribeRequest::new(Source::All).from(SubscribeFrom::End));
        block_on(client.append(batch(&name, Any, number, 1))).unwrap();
        assert_eq!(silences.load(Ordering::SeqCst), 0, "it was sent too early");
        let event = block_on(following.next_event()).unwrap().unwrap();
        assert_eq!(event.revision.number(), number);
    }
}

#[test]
fn readers_that_do_not_read_hold_up_nobody() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let client = server.client();
    let name = stream("large-1");
    for number in 0..40_u128 {
        let data = vec![7; 256 << 10];
        let event_type = EventType::new("Large").unwrap();
        let event = NewEvent::binary(EventId::from_bytes(number.to_be_bytes()), event_type, data);
        block_on(client.append(AppendBatch::events(name.clone(), Any, vec![event]))).unwrap();
    }
    let mut reads = Vec::new();
    for _ in 0..60 {
        let mut read = client.read(ReadRequest::all());
        assert!(block_on(read.next()).unwrap().is_ok());
        reads.push(read);
    }
    for number in 0..100 {
        block_on(client.append(batch(&stream("order-1"), Any, number, 1))).unwrap();
    }
    let rest = block_on(reads.pop().unwrap().collect()).unwrap();
    assert!(rest.len() >= 39, "{}", rest.len());
}

#[test]
fn one_read_more_than_allowed_is_refused_by_name() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let mut options = ClientOptions::default();
    options.streams = 2;
    let client = block_on(Client::connect(&server.url(), options)).unwrap();
    let _held = [
        client.subscribe(SubscribeRequest::new(Source::All)),
        client.subscribe(SubscribeRequest::new(Source::All)),
    ];
    let error = block_on(client.read(ReadRequest::all()).collect()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        error.to_string().contains("2 reads and subscriptions"),
        "{error}"
    );
}

#[test]
fn an_append_too_large_to_send_is_refused_by_name() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let mut options = ClientOptions::default();
    options.append_bytes = 1_000;
    let client = block_on(Client::connect(&server.url(), options)).unwrap();
    let error = block_on(client.append(batch(&stream("order-1"), Any, 0, 100))).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("limit of 1000"), "{error}");
}

/// Every third event cannot be read.
struct Damaged;

fn damage(position: Position) -> StoreError {
    let damage = Damage {
        file: "segments/0000000001.seg".to_owned(),
        offset: 7,
        length: 11,
        first: position,
        last: position,
    };
    StoreError::corrupt("an event cannot be read", damage)
}

fn third(event: RecordedEvent) -> Result<RecordedEvent, StoreError> {
    if event.revision.number() % 3 == 1 {
        return Err(damage(event.position));
    }
    Ok(event)
}

impl Bend for Damaged {
    fn read(&self, store: &MemoryStore, request: ReadRequest) -> EventStream {
        // What the server reads for itself is whole.
        if request.source != Source::All {
            return store.read(request);
        }
        let events = block_on(store.read(request).collect()).unwrap();
        EventStream::of(events.into_iter().map(third).collect::<Vec<_>>())
    }

    fn subscribe(&self, store: &MemoryStore, request: SubscribeRequest) -> Subscription {
        use futures_util::StreamExt;
        Subscription::new(store.subscribe(request).map(|item| match item? {
            SubscriptionItem::Event(event) => {
                third(*event).map(|event| SubscriptionItem::Event(Box::new(event)))
            }
            other => Ok(other),
        }))
    }
}

#[test]
fn damage_stands_in_its_place_and_what_follows_goes_on() {
    let store = Bent(MemoryStore::new(), Damaged);
    let server = Running::new(Arc::new(store));
    let client = server.client();
    block_on(client.append(batch(&stream("order-1"), Any, 0, 6))).unwrap();
    let mut read = client.read(ReadRequest::all());
    let mut following = client.subscribe(SubscribeRequest::new(Source::All));
    for number in 0..6 {
        let found = block_on(read.next()).unwrap();
        let followed = block_on(following.next()).unwrap();
        if number % 3 == 1 {
            let (found, followed) = (found.unwrap_err(), followed.unwrap_err());
            let expected = damage(Position::from_raw(number));
            for found in [found, followed] {
                assert_eq!(found.kind(), Kind::Corrupt);
                assert_eq!(found.to_string(), expected.to_string());
                assert_eq!(found.as_damage(), expected.as_damage());
            }
        } else {
            assert_eq!(found.unwrap().revision.number(), number);
            assert!(
                matches!(followed, Ok(SubscriptionItem::Event(event)) if event.revision.number() == number)
            );
        }
    }
    assert!(block_on(read.next()).is_none());
}

//! Connections and servers that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use factum_client::{Client, ClientOptions};
use factum_store::{
    AppendBatch, EventStore, Kind, MemoryStore, ReadRequest, Receipt, SnapshotStore, Source,
    SubscribeFrom, SubscribeRequest, SubscriptionItem,
};
use factum_types::ExpectedRevision::Any;
use factum_types::Position;

use crate::bent::{Answer, Bend, Bent};
use crate::proxy::Proxy;
use crate::support::{RUNTIME, Running, batch, block_on, stream, within};

fn url(proxy: &Proxy) -> String {
    format!("http://{}", proxy.address)
}

/// A subscription whose connection breaks again and again gives every event once, in order.
fn survives(seed: u64, from: SubscribeFrom) {
    println!("seed {seed}, {from:?}");
    let mut random = fastrand::Rng::with_seed(seed);
    let store = Arc::new(MemoryStore::new());
    let server = Running::new(Arc::clone(&store) as _);
    let proxy = Proxy::new(server.address, None);
    let client = block_on(Client::connect(&url(&proxy), ClientOptions::default())).unwrap();
    block_on(store.append(batch(&stream("order-1"), Any, 0, 3))).unwrap();
    let mut following = client.subscribe(SubscribeRequest::new(Source::All).from(from));
    if from == SubscribeFrom::End {
        let Some(Ok(SubscriptionItem::CaughtUp(_))) = block_on(following.next()) else {
            panic!("it has caught up first");
        };
    }
    let (mut given, mut found) = (3_u64, Vec::new());
    for _ in 0..40 {
        let count = random.u64(1..30);
        block_on(store.append(batch(&stream("order-1"), Any, given, count))).unwrap();
        given += count;
        if random.bool() {
            proxy.cut();
        }
        for _ in 0..random.u64(..40) {
            if found.len() as u64 + first(from) == given {
                break;
            }
            found.push(block_on(following.next_event()).unwrap().unwrap().position);
        }
    }
    while (found.len() as u64) + first(from) < given {
        found.push(block_on(following.next_event()).unwrap().unwrap().position);
    }
    let read = block_on(store.read(ReadRequest::all()).collect()).unwrap();
    let expected: Vec<Position> = read.iter().map(|event| event.position).collect();
    assert_eq!(
        found,
        expected[usize::try_from(first(from)).unwrap()..],
        "seed {seed}"
    );
}

/// How many events a subscription leaves out.
fn first(from: SubscribeFrom) -> u64 {
    if from == SubscribeFrom::End { 3 } else { 0 }
}

#[test]
fn a_subscription_goes_on_without_a_gap_or_a_repeat() {
    for seed in 0..6 {
        survives(seed, SubscribeFrom::Start);
        survives(seed, SubscribeFrom::End);
    }
}

#[test]
fn a_subscription_outlives_a_server_and_its_client() {
    let store = Arc::new(MemoryStore::new());
    let server = Running::new(Arc::clone(&store) as _);
    let address = server.address;
    let client = server.client();
    let mut following = client.subscribe(SubscribeRequest::new(Source::All));
    drop(client);
    block_on(store.append(batch(&stream("order-1"), Any, 0, 1))).unwrap();
    assert!(block_on(following.next_event()).unwrap().is_some());
    server.stop();
    block_on(store.append(batch(&stream("order-1"), Any, 1, 1))).unwrap();
    let again = Running::at(Arc::clone(&store) as _, address);
    let event = block_on(following.next_event()).unwrap().unwrap();
    assert_eq!(event.revision.number(), 1);
    drop(again);
}

#[test]
fn a_subscription_gives_up_after_so_many_tries() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let mut options = ClientOptions::default();
    options.subscription_retries = 2;
    let client = block_on(Client::connect(&server.url(), options)).unwrap();
    let mut following = client.subscribe(SubscribeRequest::new(Source::All));
    assert!(matches!(
        block_on(following.next()),
        Some(Ok(SubscriptionItem::CaughtUp(None)))
    ));
    server.stop();
    let error = block_on(following.next()).unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("2 tries"), "{error}");
    assert!(block_on(following.next()).is_none());
}

/// Writes what it is given, and never says so.
#[derive(Default)]
struct Silent(Arc<AtomicBool>);

impl Bend for Silent {
    fn append<'a>(&'a self, store: &'a MemoryStore, batch: AppendBatch) -> Answer<'a, Receipt> {
        Box::pin(async move {
            let answer = store.append(batch).await;
            if self.0.load(Ordering::SeqCst) {
                return answer;
            }
            std::future::pending().await
        })
    }
}

#[test]
fn an_append_that_was_sent_is_unknown_and_its_retry_is_answered() {
    let speaks = Arc::new(AtomicBool::new(false));
    let store = Bent(MemoryStore::new(), Silent(Arc::clone(&speaks)));
    let store = Arc::new(store);
    let server = Running::new(Arc::clone(&store) as _);
    let proxy = Proxy::new(server.address, None);
    let client = block_on(Client::connect(&url(&proxy), ClientOptions::default())).unwrap();
    let given = batch(&stream("order-1"), Any, 0, 2);
    let appending = {
        let (client, given) = (client.clone(), given.clone());
        RUNTIME.spawn(async move { client.append(given).await })
    };
    within(async {
        while store.0.head().await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    proxy.cut();
    let error = within(appending).unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown, "{error}");
    speaks.store(true, Ordering::SeqCst);
    let receipt = block_on(client.append(given)).unwrap();
    assert!(receipt.replayed);
}

#[test]
fn an_append_without_an_answer_in_time_is_unknown() {
    let store = Bent(MemoryStore::new(), Silent::default());
    let server = Running::new(Arc::new(store));
    let options = ClientOptions::default().timeout(Duration::from_millis(300));
    let client = block_on(Client::connect(&server.url(), options)).unwrap();
    let error = block_on(client.append(batch(&stream("order-1"), Any, 0, 1))).unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown, "{error}");
}

#[test]
fn without_a_server_nothing_was_written_and_with_one_again_all_goes_on() {
    let store = Arc::new(MemoryStore::new());
    let server = Running::new(Arc::clone(&store) as _);
    let (address, client) = (server.address, server.client());
    block_on(client.append(batch(&stream("order-1"), Any, 0, 1))).unwrap();
    server.stop();
    let error = block_on(client.append(batch(&stream("order-1"), Any, 1, 1))).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    for error in [
        block_on(client.head()).unwrap_err(),
        block_on(client.read(ReadRequest::all()).collect()).unwrap_err(),
        block_on(client.drop_snapshots(stream("order-1"), String::new())).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
    let again = Running::at(Arc::clone(&store) as _, address);
    block_on(client.append(batch(&stream("order-1"), Any, 1, 1))).unwrap();
    assert_eq!(
        block_on(client.read(ReadRequest::all()).collect())
            .unwrap()
            .len(),
        2
    );
    drop(again);
}

#[test]
fn who_cannot_be_reached_is_said() {
    let error = block_on(Client::connect(
        "http://127.0.0.1:1",
        ClientOptions::default(),
    ))
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    let error = block_on(Client::connect(
        "http://anna:secret@127.0.0.1:1",
        ClientOptions::default(),
    ));
    let error = error.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}

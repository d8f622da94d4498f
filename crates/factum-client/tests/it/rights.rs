//! Who may do what, over Factum's own protocol.

use std::num::NonZeroU32;
use std::sync::Arc;

use factum_client::{Client, ClientOptions};
use factum_server::Options;
use factum_server::auth::Mode;
use factum_store::{
    AppendBatch, Change, Checkpoint, CheckpointStore, EventStore, Kind, MemoryStore, ReadRequest,
    Snapshot, SnapshotStore, Source, StoreError, StreamsRequest, SubscribeRequest,
};
use factum_types::ExpectedRevision::Any;

use crate::support::{Running, batch, block_on, stream};

fn server() -> Running {
    let mut options = Options::default();
    options.address.set_port(0);
    options.auth.mode = Mode::Dev;
    options.auth.password_iterations = NonZeroU32::MIN;
    Running::with(Arc::new(MemoryStore::new()), options)
}

#[track_caller]
fn denied<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}

#[test]
fn who_is_known_may_and_who_is_not_may_nothing() {
    let server = server();
    let url = format!("http://admin:changeit@{}", server.address);
    let admin = block_on(Client::connect(&url, ClientOptions::default())).unwrap();
    let name = stream("order-1");
    block_on(admin.append(batch(&name, Any, 0, 2))).unwrap();
    assert!(
        block_on(admin.read(ReadRequest::all()).collect())
            .unwrap()
            .len()
            >= 2
    );
    block_on(admin.save_checkpoint("c".to_owned(), Checkpoint::default())).unwrap();

    let nobody = Client::lazy(&server.url(), ClientOptions::default()).unwrap();
    denied(block_on(nobody.append(batch(&name, Any, 2, 1))));
    denied(block_on(nobody.read(ReadRequest::all()).collect()));
    denied(block_on(
        nobody.read(ReadRequest::stream(name.clone())).collect(),
    ));
    let mut following = nobody.subscribe(SubscribeRequest::new(Source::All));
    denied(block_on(following.next()).unwrap());
    assert!(block_on(following.next()).is_none());
    denied(block_on(nobody.stream_info(name.clone())));
    denied(block_on(nobody.streams(StreamsRequest::default())));
    denied(block_on(nobody.list_snapshots(name.clone())));
    denied(block_on(nobody.drop_snapshots(name.clone(), String::new())));
    denied(block_on(nobody.load_checkpoint("c".to_owned())));
    assert_eq!(
        block_on(admin.stream_info(name)).unwrap().next_revision(),
        2
    );
}

/// One append that is refused does not end the call that others go over.
#[test]
fn a_stream_of_the_system_is_not_for_everybody_to_write() {
    let server = server();
    let url = format!("http://ops:changeit@{}", server.address);
    let ops = block_on(Client::connect(&url, ClientOptions::default())).unwrap();
    let (own, system) = (stream("order-1"), stream("$settings"));
    for number in 0..3 {
        block_on(ops.append(batch(&own, Any, number, 1))).unwrap();
        let error = block_on(ops.append(batch(&system, Any, number, 1))).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("$settings"), "{error}");
    }
    let events = block_on(ops.read(ReadRequest::stream(own)).collect()).unwrap();
    assert_eq!(events.len(), 3);
}

/// What is made of the index when it is read has no events of its own, whoever asks.
#[test]
fn a_stream_made_of_the_index_cannot_be_written() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let client = server.client();
    let refused = |error: StoreError, name: &str| {
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        let why = format!("stream {name} is made of the index");
        assert!(error.to_string().contains(&why), "{error}");
    };
    for name in [
        "$ce-order",
        "$category-order",
        "$et-Counted",
        "$bc-1",
        "$streams",
    ] {
        let there = stream(name);
        refused(
            block_on(client.append(batch(&there, Any, 0, 1))).unwrap_err(),
            name,
        );
        for change in [Change::Delete, Change::Tombstone] {
            let changed = AppendBatch::change(there.clone(), Any, change);
            refused(block_on(client.append(changed)).unwrap_err(), name);
        }
        // Neither beside an ordinary stream, which then has nothing of it.
        let mut both = batch(&stream("order-1"), Any, 0, 1);
        both.writes.extend(batch(&there, Any, 1, 1).writes);
        refused(block_on(client.append(both)).unwrap_err(), name);
        let snapshot = Snapshot::new(there.clone(), "k", 0, Vec::new());
        refused(block_on(client.save_snapshot(snapshot)).unwrap_err(), name);
        let dropped = client.drop_snapshots(there, String::new());
        refused(block_on(dropped).unwrap_err(), name);
    }
    assert_eq!(block_on(client.head()).unwrap(), None);
    // With nothing behind it, it is a name as any other.
    block_on(client.append(batch(&stream("$ce-"), Any, 0, 1))).unwrap();
}

#[test]
fn a_wrong_password_is_refused_and_not_shown() {
    let server = server();
    let url = format!("http://admin:guessed@{}", server.address);
    let error = block_on(Client::connect(&url, ClientOptions::default())).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(
        !format!("{error} {error:?}").contains("guessed"),
        "{error:?}"
    );
    let client = Client::lazy(&url, ClientOptions::default()).unwrap();
    assert!(!format!("{client:?}").contains("guessed"));
    // A call that was refused as a whole wrote nothing, and says so.
    denied(block_on(client.append(batch(
        &stream("order-1"),
        Any,
        0,
        1,
    ))));
}

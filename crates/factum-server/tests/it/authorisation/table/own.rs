//! Factum's own protocol.

use bytes::Bytes;
use factum_proto::v1;
use factum_proto::v1::condition::{Condition as Kind, NoMatch, StreamCondition};
use factum_proto::v1::source::{All, Source as From};
use factum_proto::v1::stream_write::{Change, Delete, Events, Tombstone};

use super::{ADMINS, LEDGER_READ, LEDGER_WRITE, Row, USERS, call};
use crate::authorisation::ask::framed;

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    let row = |method, about, body, each| call("factum.v1.Store", method, about, body, each);
    let mut rows = vec![
        row("Read", "order-1", read(of("order-1")), USERS),
        row("Read", "ledger-1", read(of("ledger-1")), LEDGER_READ),
        row("Read", "$scratch-1", read(of("$scratch-1")), ADMINS),
        row("Read", "all", read(From::All(All {})), ADMINS),
        row("Read", "category order", read(From::Category("order".into())), ADMINS),
        row("Read", "a query", read(From::Query(any())), ADMINS),
        row("Subscribe", "order-1", follow(of("order-1")), USERS),
        row("Subscribe", "ledger-1", follow(of("ledger-1")), LEDGER_READ),
        row("Subscribe", "$scratch-1", follow(of("$scratch-1")), ADMINS),
        row("Subscribe", "all", follow(From::All(All {})), ADMINS),
        row("Head", "", framed(&v1::HeadRequest {}), USERS),
        row("StreamInfo", "order-1", framed(&v1::StreamInfoRequest { stream: "order-1".into() }), USERS),
        row("StreamInfo", "ledger-1", framed(&v1::StreamInfoRequest { stream: "ledger-1".into() }), LEDGER_READ),
        row("Streams", "", framed(&v1::StreamsRequest { limit: 10, ..Default::default() }), ADMINS),
        row("SaveSnapshot", "order-1", save("order-1"), USERS),
        row("SaveSnapshot", "ledger-1", save("ledger-1"), LEDGER_WRITE),
        row("LoadSnapshot", "order-1", framed(&v1::LoadSnapshotRequest { stream: "order-1".into(), key: "k".into(), at_most: None }), USERS),
        row("LoadSnapshot", "ledger-1", framed(&v1::LoadSnapshotRequest { stream: "ledger-1".into(), key: "k".into(), at_most: None }), LEDGER_READ),
        row("ListSnapshots", "ledger-1", framed(&v1::ListSnapshotsRequest { stream: "ledger-1".into() }), LEDGER_READ),
        row("DropSnapshots", "ledger-1", framed(&v1::DropSnapshotsRequest { stream: "ledger-1".into(), key: "k".into() }), LEDGER_WRITE),
        row("SaveCheckpoint", "", framed(&v1::SaveCheckpointRequest { consumer: "c".into(), checkpoint: Some(v1::Checkpoint { positions: vec![0] }) }), USERS),
        row("LoadCheckpoint", "", framed(&v1::LoadCheckpointRequest { consumer: "c".into() }), USERS),
    ];
    for method in ["Append", "AppendOne"] {
        rows.extend([
            row(method, "order-1", append("order-1", None), USERS),
            row(method, "ledger-1", append("ledger-1", None), LEDGER_WRITE),
            row(method, "$scratch-1", append("$scratch-1", None), ADMINS),
            row(method, "$$ledger-1", append("$$ledger-1", None), ADMINS),
            row(method, "order-1 if ledger-1", append("order-1", Some(on("ledger-1"))), LEDGER_READ),
            row(method, "order-1 if a query", append("order-1", Some(Kind::NoMatch(NoMatch { query: Some(nothing()), after: None }))), ADMINS),
            row(method, "delete order-1", change("order-1", Change::Delete(Delete {})), USERS),
            row(method, "delete ledger-1", change("ledger-1", Change::Delete(Delete {})), ADMINS),
            row(method, "close ledger-1", change("ledger-1", Change::Tombstone(Tombstone {})), ADMINS),
            row(method, "settings of order-1", change("order-1", settings()), USERS),
            row(method, "settings of ledger-1", change("ledger-1", settings()), ADMINS),
        ]);
    }
    rows
}

fn of(stream: &str) -> From {
    From::Stream(stream.to_owned())
}

fn of_type(name: &str) -> v1::Query {
    v1::Query {
        items: vec![v1::QueryItem {
            types: vec![name.to_owned()],
            tags: Vec::new(),
        }],
    }
}

fn any() -> v1::Query {
    of_type("Placed")
}

/// No event has this type.
fn nothing() -> v1::Query {
    of_type("Nothing")
}

fn read(source: From) -> Bytes {
    framed(&v1::ReadRequest {
        source: Some(v1::Source {
            source: Some(source),
        }),
        from: Some(v1::read_request::From::Start(v1::read_request::Start {})),
        limit: Some(1),
        ..Default::default()
    })
}

fn follow(source: From) -> Bytes {
    framed(&v1::SubscribeRequest {
        source: Some(v1::Source {
            source: Some(source),
        }),
        from: Some(v1::subscribe_request::From::Start(
            v1::subscribe_request::Start {},
        )),
        control: false,
    })
}

fn save(stream: &str) -> Bytes {
    framed(&v1::SaveSnapshotRequest {
        snapshot: Some(v1::Snapshot {
            stream: stream.to_owned(),
            key: "k".to_owned(),
            ..Default::default()
        }),
    })
}

fn expected() -> Option<v1::Expected> {
    let any = v1::expected::Expected::Any(v1::expected::Any {});
    Some(v1::Expected {
        expected: Some(any),
    })
}

fn on(stream: &str) -> Kind {
    Kind::Stream(StreamCondition {
        stream: stream.to_owned(),
        expected: expected(),
    })
}

fn settings() -> Change {
    Change::Settings(v1::StreamSettings {
        max_count: Some(7),
        ..Default::default()
    })
}

fn append(stream: &str, condition: Option<Kind>) -> Bytes {
    let event = v1::NewEvent {
        id: vec![7; 16].into(),
        event_type: "Row".to_owned(),
        data: "{}".into(),
        ..Default::default()
    };
    let events = Events {
        events: vec![event],
    };
    batch(stream, Change::Events(events), condition)
}

fn change(stream: &str, change: Change) -> Bytes {
    batch(stream, change, None)
}

fn batch(stream: &str, change: Change, condition: Option<Kind>) -> Bytes {
    let write = v1::StreamWrite {
        stream: stream.to_owned(),
        expected: expected(),
        change: Some(change),
    };
    framed(&v1::AppendRequest {
        request: 1,
        writes: vec![write],
        conditions: condition
            .map(|condition| v1::Condition {
                condition: Some(condition),
            })
            .into_iter()
            .collect(),
    })
}

//! What goes wrong, and what it is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use factum_framework::{Retry, Stop};
use factum_http_client::Method;
use factum_projection::{
    Claim, Edit, Error, Kind, Manage, Projector, ReadBack, Rebuild, Rows, Runner, Sink, Table,
    Value, kit,
};
use factum_sink_elastic::{ElasticSink, Options, Refresh};
use factum_store::{AppendBatch, EventStore, Source};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};
use pollster::block_on;
use serde_json::json;

use super::support::{Swept, address, ask, fresh_prefix, open, options};

fn orders() -> Table {
    Table::new("orders")
        .text("id")
        .text("number")
        .integer("events")
        .key(["id"])
}

/// Documents of streams; a broken event has a word for a number, until the projector is mended.
#[derive(Debug, Clone, Default)]
struct Numbers {
    mended: Arc<AtomicBool>,
}

impl<W: Rows> Projector<W> for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let id = ("id", event.stream.as_str().into());
        to.increment("orders", std::slice::from_ref(&id), "events", 1)?;
        if event.event_type.as_str() == "Broken" {
            let mended = self.mended.load(Ordering::SeqCst);
            let number = if mended { "7" } else { "none" };
            return to.update("orders", &[id], &[("number", number.into())]);
        }
        Ok(())
    }
}

fn patience(attempts: u32) -> Retry {
    let mut patience = Retry::jittered(attempts);
    patience.delay_first = Duration::from_millis(20);
    patience.delay_max = Duration::from_millis(200);
    patience
}

#[test]
fn what_the_server_refuses_waits_in_its_partition_and_leaves_nothing() {
    let Some(address) = address() else { return };
    let swept = Swept {
        address: &address,
        prefix: fresh_prefix(),
    };
    let open = |number: &str| {
        let options =
            options(&address, &swept.prefix).mapping("orders", "number", json!({"type": number}));
        ElasticSink::new(options, [orders()]).unwrap()
    };
    block_on(async {
        let store: Arc<dyn EventStore> = kit::log().await;
        let numbers = Numbers::default();
        let mut runner = Runner::new(store, open("long"), numbers.clone()).batch_events(5);
        let rest = runner.run_until_caught_up().await.unwrap();
        let mut desk = open("long");
        let parked = desk.parked("numbers", 1, 10).await.unwrap();
        assert_eq!(rest.parked, 2, "{parked:?}");
        assert!(parked[0].reason.contains("number"), "{}", parked[0].reason);
        assert!(parked[0].reason.contains("none"), "{}", parked[0].reason);
        assert_eq!(parked[1].reason, "waits behind an event that failed");
        check_counts(&mut desk, [4, 2, 2, 2, 4]).await;

        // Tried again as it is, and then with a projector that was mended.
        let partition = parked[0].partition.clone();
        let retry = Edit::Retry { partition };
        desk.edit("numbers", 1, retry.clone()).await.unwrap();
        assert_eq!(runner.run_until_caught_up().await.unwrap().parked, 2);
        let parked = desk.parked("numbers", 1, 10).await.unwrap();
        assert_eq!(parked[0].attempts, 2, "{parked:?}");
        check_counts(&mut desk, [4, 2, 2, 2, 4]).await;
        numbers.mended.store(true, Ordering::SeqCst);
        desk.edit("numbers", 1, retry).await.unwrap();
        assert_eq!(runner.run_until_caught_up().await.unwrap().parked, 0);
        check_counts(&mut desk, [4, 2, 4, 2, 4]).await;
        let rows = kit::all(&mut desk, "numbers", 1, "orders").await;
        assert_eq!(rows[2]["number"], "7".into(), "{rows:?}");
    });
}

/// How many events each stream has, of four orders and another one.
async fn check_counts(desk: &mut ElasticSink, expected: [i64; 5]) {
    let rows = kit::all(desk, "numbers", 1, "orders").await;
    let counts: Vec<_> = rows
        .iter()
        .map(|row| (row["id"].clone(), row["events"].clone()))
        .collect();
    let ids = ["order-0", "order-1", "order-2", "order-3", "other-1"];
    let expected: Vec<(Value, Value)> = ids
        .into_iter()
        .zip(expected)
        .map(|(id, events)| (id.into(), events.into()))
        .collect();
    assert_eq!(counts, expected);
}

/// An index that somebody removed is not made anew with half of the documents in it.
#[test]
fn an_index_that_was_removed_is_said() {
    let Some(address) = address() else { return };
    let swept = Swept {
        address: &address,
        prefix: fresh_prefix(),
    };
    block_on(async {
        let store = kit::log().await;
        let sink = open(&address, &swept.prefix, &[orders()]);
        let shared: Arc<dyn EventStore> = store.clone();
        let mut runner = Runner::new(shared, sink, Numbers::default()).backoff(patience(1));
        runner.run_until_caught_up().await.unwrap();
        let index = format!("/{}orders-g1", swept.prefix);
        ask(&address, Method::Delete, &index, None);
        let mut desk = open(&address, &swept.prefix, &[orders()]);
        let error = desk.count("numbers", 1, "orders").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        let id = EventId::from_bytes([9; 16]);
        let event = NewEvent::json(id, EventType::new("Looked").unwrap(), "{}");
        let stream = StreamName::new("order-1").unwrap();
        let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
        store.append(batch).await.unwrap();
        let error = runner.run_until_caught_up().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains("no such index"), "{error}");
    });
}

#[test]
fn an_index_that_is_read_only_is_waited_for() {
    let Some(address) = address() else { return };
    let swept = Swept {
        address: &address,
        prefix: fresh_prefix(),
    };
    let block = |on: bool| {
        let path = format!("/{}orders-g1/_settings", swept.prefix);
        let answer = ask(
            &address,
            Method::Put,
            &path,
            Some(&json!({"index.blocks.write": on})),
        );
        assert_eq!(answer.status, 200);
    };
    block_on(async {
        let store: Arc<dyn EventStore> = kit::log().await;
        let mut sink = open(&address, &swept.prefix, &[orders()]);
        let claim = Claim {
            projection: "numbers",
            version: "1",
            ..Claim::default()
        };
        sink.claim(claim).await.unwrap();
        block(true);
        let mut runner = Runner::new(store, sink, Numbers::default()).backoff(patience(3));
        let error = runner.run_until_caught_up().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains("block"), "{error}");
        block(false);
        assert_eq!(runner.run_until_caught_up().await.unwrap().parked, 0);
        let mut desk = open(&address, &swept.prefix, &[orders()]);
        assert_eq!(desk.count("numbers", 1, "orders").await.unwrap(), 5);
    });
}

#[test]
fn names_of_others_are_not_taken() {
    let Some(address) = address() else { return };
    let swept = Swept {
        address: &address,
        prefix: fresh_prefix(),
    };
    let claim = |projection| Claim {
        projection,
        version: "1",
        ..Claim::default()
    };
    let check = |name: &'static str, why: &str| {
        let mut sink = open(&address, &swept.prefix, &[orders()]);
        let error = block_on(sink.claim(claim(name))).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let path = format!("/{}orders", swept.prefix);
    assert_eq!(ask(&address, Method::Put, &path, None).status, 200);
    check("numbers", "which no projection made");
    ask(&address, Method::Delete, &path, None);
    let path = format!("/{}orders-g1", swept.prefix);
    assert_eq!(ask(&address, Method::Put, &path, None).status, 200);
    check("numbers", "that this projection did not make");
    ask(&address, Method::Delete, &path, None);
    let mut sink = open(&address, &swept.prefix, &[orders()]);
    block_on(sink.claim(claim("numbers"))).unwrap();
    check("others", "belongs to projection numbers");
    let other = orders().time("at");
    let mut sink = open(&address, &swept.prefix, &[other]);
    let error = block_on(sink.claim(claim("numbers"))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has other columns in generation 1"),
        "{error}"
    );
}

#[test]
fn nobody_there_is_unavailable_and_a_bad_table_is_invalid() {
    let mut sink =
        ElasticSink::new(Options::new("http://127.0.0.1:9").unwrap(), [orders()]).unwrap();
    let claim = Claim {
        projection: "numbers",
        ..Claim::default()
    };
    let error = block_on(sink.claim(claim)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    let options = || Options::new("http://127.0.0.1:9").unwrap();
    let table = Table::new("_orders").text("id").key(["id"]);
    for (options, table, why) in [
        (options(), table, "cannot begin with _"),
        (options().prefix("A"), orders(), "cannot begin the name"),
        (
            options().mapping("orders", "none", json!({})),
            orders(),
            "column none",
        ),
    ] {
        let error = ElasticSink::new(options, [table]).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn readers_see_what_the_live_generation_has_and_nothing_removed() {
    let Some(address) = address() else { return };
    let swept = Swept {
        address: &address,
        prefix: fresh_prefix(),
    };
    block_on(async {
        let tables = kit::orders_tables();
        let store: Arc<dyn EventStore> = kit::log().await;
        let sink = open(&address, &swept.prefix, &tables);
        Runner::new(store, sink, kit::Orders::default())
            .run_until_caught_up()
            .await
            .unwrap();
        let path = format!("/{}kit_orders/_refresh", swept.prefix);
        assert_eq!(ask(&address, Method::Post, &path, None).status, 200);
        let path = format!("/{}kit_orders/_search", swept.prefix);
        let found = ask(
            &address,
            Method::Post,
            &path,
            Some(&json!({"query": {"match": {"status.text": "confirmed"}}})),
        );
        let found = found.json().unwrap();
        assert_eq!(
            found.pointer("/hits/total/value"),
            Some(&json!(3)),
            "{found}"
        );
    });
}

/// In bulk an index is not refreshed by itself, so that a request that waits for it would wait for ever.
#[test]
fn a_rebuild_does_not_wait_for_readers_to_see_it() {
    let Some(address) = address() else { return };
    let swept = Swept {
        address: &address,
        prefix: fresh_prefix(),
    };
    block_on(async {
        let mut options = options(&address, &swept.prefix).refresh(Refresh::Wait);
        options.http = options.http.timeout(Duration::from_secs(5));
        let sink = ElasticSink::new(options, kit::orders_tables()).unwrap();
        let store: Arc<dyn EventStore> = kit::log().await;
        let rebuild = Rebuild::new(Arc::clone(&store), sink, kit::Orders::default());
        let mut rebuild = rebuild.configure(|runner| runner.batch_events(3).backoff(patience(2)));
        let rebuilt = rebuild.run(&Stop::new()).await.unwrap().unwrap();
        assert!(rebuilt.switched, "{rebuilt:?}");
        // Afterwards it is refreshed by itself again.
        let path = format!("/{}kit_orders-g1/_settings", swept.prefix);
        let settings = ask(&address, Method::Get, &path, None).json().unwrap();
        assert!(
            !settings.to_string().contains("refresh_interval"),
            "{settings}"
        );
        let path = format!("/{}kit_orders/_count", swept.prefix);
        let found = ask(&address, Method::Get, &path, None).json().unwrap();
        assert_eq!(found["count"], 4, "{found}");
    });
}

/// By a server of the test's own: the real one at hand has no passwords.
#[test]
fn a_wrong_password_is_said_and_not_shown() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!(
        "http://factum:opensesame@{}",
        listener.local_addr().unwrap()
    );
    let serve = move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 4_096];
        let count = stream.read(&mut bytes).unwrap();
        let heard = String::from_utf8_lossy(&bytes[..count]).into_owned();
        assert!(
            heard.contains("authorization: Basic ZmFjdHVtOm9wZW5zZXNhbWU="),
            "{heard}"
        );
        let body = r#"{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}"#;
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).unwrap();
    };
    let spawner: &dyn factum_io::Spawner = &factum_io::real::RealSpawner::new();
    let server = spawner.spawn("server", Box::new(serve)).unwrap();
    let mut desk = ElasticSink::new(Options::new(&address).unwrap(), [orders()]).unwrap();
    let error = block_on(desk.generations("numbers")).unwrap_err();
    server.join().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(
        error.to_string().contains("unable to authenticate"),
        "{error}"
    );
    assert!(
        !format!("{error:?}{desk:?}").contains("opensesame"),
        "{error:?}"
    );
}

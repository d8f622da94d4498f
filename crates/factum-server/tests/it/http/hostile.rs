//! Clients of plain HTTP that mean harm.

use std::sync::Arc;
use std::time::Duration;

use factum_server::Options;
use factum_store::{EventStore, MemoryStore};

use super::client::{JSON, ask, get, post};
use crate::hostile::raw::{DATA, HEADERS, RST_STREAM, Raw, frame, request_headers};
use crate::support::Running;

const UPLOAD: Duration = Duration::from_millis(500);
const BODY_BYTES_MAX: usize = 256 << 10;
/// For whatever should come soon.
const PATIENCE: Duration = Duration::from_secs(20);
/// What many readers that never read may cost, other tests in this process besides; all that there is to read, for each, would be 4 GiB.
const GROWTH_BYTES_MAX: u64 = 256 << 20;

async fn start() -> (Running, MemoryStore) {
    let store = MemoryStore::new();
    let mut options = Options::default();
    options.limits.upload = UPLOAD;
    options.limits.message_bytes = BODY_BYTES_MAX;
    options.limits.hello = Duration::from_secs(2);
    options.limits.drain = Duration::from_secs(1);
    (Running::over(Arc::new(store.clone()), options).await, store)
}

/// Nothing was stored, an honest client is served, and the server stops in order.
async fn is_well(server: Running, store: MemoryStore) {
    assert_eq!(store.head().await.unwrap(), None);
    post(server.address, "/streams/honest-1", r#"{"type":"Served"}"#).await;
    server.stop().await;
}

const CHUNKED: &[u8] = b"POST /streams/s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_body_without_an_end_is_refused_at_the_limit() {
    let (server, store) = start().await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(CHUNKED).await;
    let chunk = [b"10000\r\n", " ".repeat(0x1_0000).as_bytes(), b"\r\n"].concat();
    raw.flood(&chunk, 1_000).await;
    let said = String::from_utf8(raw.until_closed().await).unwrap();
    assert!(
        said.starts_with("HTTP/1.1 413") || said.is_empty(),
        "{said}"
    );
    let large = ask(
        server.address,
        "POST",
        "/streams/s",
        &[JSON],
        " ".repeat(BODY_BYTES_MAX + 1),
    )
    .await;
    assert!(large.problem(413, "too-large").contains("262144"));
    is_well(server, store).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_refused_in_time() {
    let (server, store) = start().await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(CHUNKED).await;
    raw.send(b"1\r\n{\r\n").await;
    let said = String::from_utf8(raw.until_closed().await).unwrap();
    assert!(
        said.starts_with("HTTP/1.1 408") && said.contains("too-slow"),
        "{said}"
    );
    is_well(server, store).await;
}

/// As many large bodies as there is room for keep others out, and no byte more is held; small ones have room, and the room is free again
/// when they go.
#[tokio::test]
async fn bodies_without_an_end_are_held_up_to_a_limit_together() {
    const HELD: usize = 4;
    let mut options = Options::default();
    options.limits.message_bytes = BODY_BYTES_MAX;
    options.limits.request_bytes_in_flight = HELD * BODY_BYTES_MAX;
    let server = Running::over(Arc::new(MemoryStore::new()), options).await;
    let begin = || async {
        let mut raw = Raw::connect(server.address).await;
        raw.send(CHUNKED).await;
        let body = " ".repeat(BODY_BYTES_MAX);
        raw.send(format!("{BODY_BYTES_MAX:x}\r\n{body}\r\n").as_bytes())
            .await;
        raw
    };
    let append = |bytes: usize| {
        let event = format!(r#"{{"type":"Served","data":"{}"}}"#, " ".repeat(bytes));
        ask(server.address, "POST", "/streams/honest-1", &[JSON], event)
    };
    // An append that is under way may keep one of them out: then the next has its room.
    let mut held = Vec::new();
    let filling = async {
        while held.len() < 256 {
            held.push(begin().await);
            assert_eq!(append(1).await.status, 201);
            let answer = append(BODY_BYTES_MAX / 2).await;
            if answer.status != 201 {
                return Some(answer);
            }
        }
        None
    };
    let refused = tokio::time::timeout(PATIENCE, filling).await;
    let refused = refused.unwrap().expect("there is room for all");
    refused.problem(503, "unavailable");
    assert_eq!(append(1).await.status, 201);
    assert_eq!(refused.header("retry-after"), Some("1"));
    for mut late in futures_util::future::join_all((0..64).map(|_| begin())).await {
        // Who has not sent all when the answer comes may not see it.
        let said = String::from_utf8(late.until_closed().await).unwrap();
        assert!(
            said.starts_with("HTTP/1.1 503") || said.is_empty(),
            "{said}"
        );
    }
    drop(held);
    let serving = async { while append(BODY_BYTES_MAX / 2).await.status != 201 {} };
    let served = tokio::time::timeout(PATIENCE, serving).await;
    served.expect("there is no room although all are gone");
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_was_cut_is_no_body() {
    let (server, store) = start().await;
    // What came is an event by itself.
    let event = br#"{"type":"T"}"#;
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"POST /streams/s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n").await;
    raw.send(event).await;
    drop(raw);
    for code in [0_u32, 8] {
        let mut raw = Raw::http2(server.address).await;
        let headers = request_headers("/streams/s", &[("content-type", "application/json")]);
        raw.send(&frame(HEADERS, 4, 1, &headers)).await;
        raw.send(&frame(DATA, 0, 1, event)).await;
        raw.send(&frame(RST_STREAM, 0, 1, &code.to_be_bytes()))
            .await;
        // What was taken back is not answered: by then the append would be there that must not be.
        tokio::time::sleep(UPLOAD).await;
    }
    is_well(server, store).await;
}

#[tokio::test]
async fn bodies_that_would_take_much_memory_are_refused() {
    let (server, store) = start().await;
    for body in [
        format!("[{}", "{},".repeat(80_000)),
        format!("[{}", "[".repeat(200_000)),
        format!(r#"{{"type":"T","tags":[{}"#, "\"\",".repeat(60_000)),
        format!(r#"{{"type":"T","data":{}"#, "[".repeat(200_000)),
        format!(r#"{{"type":"T","metadata":{{{}"#, "\"\":0,".repeat(40_000)),
    ] {
        let refused = ask(server.address, "POST", "/streams/s", &[JSON], body).await;
        refused.problem(400, "invalid");
    }
    is_well(server, store).await;
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let (server, store) = start().await;
    let long = "9".repeat(200_000);
    for request in [
        format!("GET /subscribe HTTP/1.1\r\nhost: x\r\nlast-event-id: {long}\r\n\r\n"),
        format!("GET /all?from={long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /streams/{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(request.as_bytes()).await;
        let said = String::from_utf8(raw.until_closed().await).unwrap();
        let refused = ["HTTP/1.1 431", "HTTP/1.1 414"];
        assert!(
            said.is_empty() || refused.iter().any(|start| said.starts_with(start)),
            "{said}"
        );
    }
    is_well(server, store).await;
}

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[tokio::test]
async fn readers_that_never_read_cost_little() {
    let (server, _) = start().await;
    let data = "x".repeat(200 << 10);
    for _ in 0..100 {
        post(
            server.address,
            "/streams/s",
            format!(r#"{{"type":"T","data":"{data}"}}"#),
        )
        .await;
    }
    let before = resident();
    let mut readers = Vec::new();
    for number in 0..200 {
        let path = if number % 2 == 0 {
            "/subscribe"
        } else {
            "/all?limit=4096"
        };
        let mut raw = Raw::connect(server.address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
            .await;
        readers.push(raw);
    }
    // The server has done what it can for them when an honest client is served meanwhile, again and again.
    for _ in 0..20 {
        assert_eq!(get(server.address, "/streams/s?limit=1").await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let growth = resident().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "{} MiB", growth >> 20);
    drop(readers);
    server.stop().await;
}

/// Who does not read is not waited for when the server stops.
#[tokio::test]
async fn a_reader_that_never_reads_does_not_keep_the_server() {
    let (server, _) = start().await;
    let data = "x".repeat(200 << 10);
    for _ in 0..50 {
        post(
            server.address,
            "/streams/s",
            format!(r#"{{"type":"T","data":"{data}"}}"#),
        )
        .await;
    }
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"GET /subscribe HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = tokio::time::timeout(Duration::from_secs(10), server.stop()).await;
    assert!(stopped.is_ok(), "it does not stop");
}

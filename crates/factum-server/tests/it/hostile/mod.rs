//! Clients that mean harm, or do it without meaning to. After each the server serves an honest one.

mod messages;
pub(crate) mod raw;

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use factum_server::Options;
use factum_server::auth::Mode;
use factum_store::MemoryStore;
use std::sync::Arc;
use tokio::time::Instant;
use tonic::Code;

use crate::support::{ANY, Running, append, proposed};
use raw::{
    CONTINUATION, DATA, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
    frame, request_headers,
};

/// How long the server under test waits for the beginning of a request.
const HELLO: Duration = Duration::from_millis(300);

async fn start() -> Running {
    let mut options = Options::default();
    options.limits.hello = HELLO;
    options.limits.keep_alive = Duration::from_secs(2);
    Running::over(Arc::new(MemoryStore::new()), options).await
}

/// An honest client is served.
async fn is_served(server: &Running) {
    let mut client = server.streams().await;
    append(&mut client, "honest-1", ANY, vec![proposed(1, "Served")])
        .await
        .unwrap();
}

/// An honest client is served, and the server stops in order.
async fn is_well(server: Running) {
    is_served(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn silence_is_ended() {
    let server = start().await;
    let mut raw = Raw::connect(server.address).await;
    assert!(raw.until_closed().await.is_empty());
    is_well(server).await;
}

#[tokio::test]
async fn half_a_preface_is_ended() {
    let server = start().await;
    for part in [&PREFACE[..3], &PREFACE[..10], PREFACE] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(part).await;
        raw.until_closed().await;
    }
    is_well(server).await;
}

#[tokio::test]
async fn noise_is_refused() {
    let server = start().await;
    for noise in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        &[0xFF; 512],
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(noise).await;
        raw.until_closed().await;
    }
    is_well(server).await;
}

#[tokio::test]
async fn headers_that_trickle_are_ended() {
    let server = start().await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(b"GET /ping HTTP/1.1\r\nhost: x\r\nx: ").await;
    let said = raw.until_closed().await;
    assert!(
        !said.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    is_well(server).await;
}

#[tokio::test]
async fn headers_that_are_too_large_or_too_many_are_refused() {
    let server = start().await;
    let large = format!(
        "GET /ping HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    let many: String = (0..1_000)
        .map(|number| format!("x{number}: y\r\n"))
        .collect();
    let many = format!("GET /ping HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    for request in [large, many] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(request.as_bytes()).await;
        let said = raw.until_closed().await;
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.starts_with("HTTP/1.1 431") || said.is_empty(),
            "{said}"
        );
    }
    is_well(server).await;
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_over_http2_too() {
    let server = start().await;
    let mut raw = Raw::http2(server.address).await;
    let value = "a".repeat(16_000);
    for stream in 0..32 {
        let block = request_headers(
            "/ping",
            &[
                ("x", &value),
                ("y", &value),
                ("z", &value),
                ("w", &value),
                ("v", &value),
            ],
        );
        let (first, rest) = block.split_at(16_000);
        raw.send(&frame(HEADERS, 1, 2 * stream + 1, first)).await;
        for (index, part) in rest.chunks(16_000).enumerate() {
            let last = (index + 1) * 16_000 >= rest.len();
            raw.send(&frame(
                CONTINUATION,
                if last { 4 } else { 0 },
                2 * stream + 1,
                part,
            ))
            .await;
        }
    }
    is_well(server).await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let server = start().await;
    let mut raw = Raw::http2(server.address).await;
    let headers = request_headers(
        "/event_store.client.streams.Streams/Read",
        &[("content-type", "application/grpc")],
    );
    let mut ended = false;
    for number in 0..50_000_u32 {
        let stream = 2 * number + 1;
        let mut both = frame(HEADERS, 4, stream, &headers);
        both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if !raw.send(&both).await {
            ended = true;
            break;
        }
    }
    assert!(ended, "it could go on for ever");
    raw.until_closed().await;
    let began = Instant::now();
    is_served(&server).await;
    let waited = began.elapsed();
    assert!(waited > Duration::from_millis(500), "{waited:?}");
    is_well(server).await;
}

#[tokio::test]
async fn who_goes_on_sending_too_much_is_cut_off_and_waits_while_others_are_served() {
    let server = start().await;
    let mut honest = server.streams().await;
    let event = |number| vec![proposed(number, "Served")];
    append(&mut honest, "honest-1", ANY, event(1))
        .await
        .unwrap();
    let other = Ipv4Addr::new(127, 0, 0, 2).into();
    let mut raw = Raw::connect_from(other, server.address)
        .await
        .greeting()
        .await;
    let headers = request_headers(
        "/event_store.client.streams.Streams/Append",
        &[("content-type", "application/grpc"), ("te", "trailers")],
    );
    let mut message = vec![0];
    message.extend((100_u32 << 20).to_be_bytes());
    let mut sent = 0;
    for number in 0..10_000_u32 {
        let stream = 2 * number + 1;
        let mut both = frame(HEADERS, 4, stream, &headers);
        both.extend(frame(DATA, 0, stream, &message));
        if !raw.send(&both).await {
            break;
        }
        sent = number;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!((20..9_000).contains(&sent), "a few are an accident: {sent}");
    raw.until_closed().await;
    let began = Instant::now();
    append(&mut honest, "honest-1", ANY, event(2))
        .await
        .unwrap();
    is_served(&server).await;
    let others = began.elapsed();
    let mut again = Raw::connect_from(other, server.address).await;
    again.send(b"GET /ping HTTP/1.0\r\n\r\n").await;
    let said = again.until_closed().await;
    assert!(
        said.starts_with(b"HTTP/1.0 200"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    let waited = began.elapsed();
    assert!(
        others < Duration::from_millis(500) && waited > Duration::from_millis(500),
        "{others:?} {waited:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn who_goes_on_sending_wrong_passwords_is_cut_off() {
    let mut options = Options::default();
    options.auth.mode = Mode::Dev;
    options.auth.password_iterations = NonZeroU32::MIN;
    let server = Running::with(Arc::new(MemoryStore::new()), options).await;
    let mut raw = Raw::http2(server.address).await;
    let headers = request_headers(
        "/event_store.client.streams.Streams/Read",
        &[
            ("content-type", "application/grpc"),
            ("authorization", "Basic YWRtaW46d3Jvbmc="),
        ],
    );
    let mut sent = 0;
    while sent < 10_000 && raw.send(&frame(HEADERS, 5, 2 * sent + 1, &headers)).await {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!((20..9_000).contains(&sent), "a few are an accident: {sent}");
    raw.until_closed().await;
    let mut honest = Raw::connect(server.address).await;
    honest.send(b"GET /ping HTTP/1.0\r\n\r\n").await;
    let said = honest.until_closed().await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.0 200"), "{said}");
    server.stop().await;
}

/// How many requests to this path one connection may send, each of which is given up once it is under way, until it is ended.
async fn until_cut_off(raw: &mut Raw, path: &str, is_given_up: bool) -> u32 {
    const AT_ONCE: u32 = 20;
    let fields = &[("content-type", "application/grpc"), ("te", "trailers")];
    let headers = request_headers(path, fields);
    let mut sent = 0;
    while sent < 10_000 {
        let streams = (sent..sent + AT_ONCE).map(|number| 2 * number + 1);
        let flags = if is_given_up { 4 } else { 5 };
        let begin = streams
            .clone()
            .flat_map(|s| frame(HEADERS, flags, s, &headers));
        let give_up = streams.flat_map(|s| frame(RST_STREAM, 0, s, &8_u32.to_be_bytes()));
        let mut is_open = raw.send(&begin.collect::<Vec<_>>()).await;
        // So that they are not taken back before the server looks at them: HTTP/2 itself has a limit on that.
        tokio::time::sleep(Duration::from_millis(5)).await;
        if is_given_up {
            is_open &= raw.send(&give_up.collect::<Vec<_>>()).await;
        }
        if !is_open {
            break;
        }
        sent += AT_ONCE;
    }
    sent
}

#[tokio::test]
async fn who_goes_on_giving_requests_up_is_cut_off() {
    for (path, is_given_up) in [
        ("/event_store.client.streams.Streams/Append", true),
        ("/event_store.client.streams.Streams/Nothing", false),
    ] {
        let server = start().await;
        let mut raw = Raw::http2(server.address).await;
        // What is sent is not to wait for what is given up later.
        raw.0.set_nodelay(true).unwrap();
        let sent = until_cut_off(&mut raw, path, is_given_up).await;
        // A thousand are an accident; what is sent while the server hangs up counts too.
        assert!((1_000..5_000).contains(&sent), "{path}: {sent}");
        raw.until_closed().await;
        is_well(server).await;
    }
}

#[tokio::test]
async fn who_takes_the_answers_is_not_cut_off_whatever_they_are() {
    const TIMES: usize = 1_500;
    let server = start().await;
    let mut raw = Raw::connect(server.address).await;
    for path in ["/ping", "/nothing"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        for _ in 0..TIMES / 50 {
            assert!(raw.send(request.repeat(50).as_bytes()).await);
        }
    }
    raw.send(b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    let said = String::from_utf8(raw.until_closed().await).unwrap();
    assert_eq!(said.matches("HTTP/1.1 200").count(), TIMES + 1);
    assert_eq!(said.matches("HTTP/1.1 404").count(), TIMES);
    let mut client = server.streams().await;
    for _ in 0..TIMES {
        let refused = append(&mut client, "", ANY, vec![proposed(1, "Served")]).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    append(&mut client, "honest-1", ANY, vec![proposed(1, "Served")])
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_address_of_who_breaks_the_rules_waits() {
    let server = start().await;
    let mut raw = Raw::http2(server.address).await;
    // Data belong to a stream (RFC 9113, section 6.1).
    raw.send(&frame(DATA, 0, 0, b"to nobody")).await;
    raw.until_closed().await;
    let began = Instant::now();
    is_served(&server).await;
    let waited = began.elapsed();
    assert!(waited > Duration::from_millis(500), "{waited:?}");
    server.stop().await;
}

#[tokio::test]
async fn headers_without_an_end_are_refused() {
    let server = start().await;
    let mut raw = Raw::http2(server.address).await;
    raw.send(&frame(HEADERS, 1, 1, &request_headers("/ping", &[])))
        .await;
    let more = frame(CONTINUATION, 0, 1, &[0_u8, 1, b'a', 1, b'b'].repeat(1_000));
    raw.flood(&more, 20_000).await;
    raw.until_closed().await;
    is_well(server).await;
}

#[tokio::test]
async fn floods_of_small_frames_do_not_stop_others() {
    let floods = [
        frame(PING, 0, 0, &[7; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    ];
    for flood in floods {
        let server = start().await;
        let mut raw = Raw::http2(server.address).await;
        raw.flood(&flood.repeat(64), 500).await;
        is_well(server).await;
    }
}

#[tokio::test]
async fn frames_against_the_rules_end_the_connection() {
    let wrong = [
        // A window that overflows.
        frame(WINDOW_UPDATE, 0, 0, &[0x7F, 0xFF, 0xFF, 0xFF]),
        // A window update of nothing.
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        // Settings of half a setting.
        frame(SETTINGS, 0, 0, &[0; 5]),
        // A frame that says it is larger than any may be.
        vec![0xFF, 0xFF, 0xFF, DATA, 0, 0, 0, 0, 1],
        // Data before headers.
        frame(DATA, 1, 1, b"data"),
        // Headers that are no block of headers.
        frame(HEADERS, 5, 1, &[0xFF; 64]),
        // A stream with an even number, which only servers open.
        frame(HEADERS, 5, 2, &request_headers("/ping", &[])),
        // A continuation of nothing.
        frame(CONTINUATION, 4, 1, &[]),
        // A ping of seven bytes.
        frame(PING, 0, 0, &[0; 7]),
    ];
    for bytes in wrong {
        let server = start().await;
        let mut raw = Raw::http2(server.address).await;
        raw.send(&bytes).await;
        raw.until_closed().await;
        is_well(server).await;
    }
}

#[tokio::test]
async fn empty_data_without_an_end_does_not_stop_others() {
    let server = start().await;
    let mut raw = Raw::http2(server.address).await;
    let path = "/event_store.client.streams.Streams/BatchAppend";
    let headers = request_headers(
        path,
        &[("content-type", "application/grpc"), ("te", "trailers")],
    );
    raw.send(&frame(HEADERS, 4, 1, &headers)).await;
    raw.flood(&frame(DATA, 0, 1, &[]).repeat(64), 500).await;
    is_well(server).await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_refused() {
    let mut options = Options::default();
    options.limits.connections = 8;
    options.limits.hello = Duration::from_secs(5);
    let server = Running::over(Arc::new(MemoryStore::new()), options).await;
    let mut kept = Vec::new();
    for _ in 0..8 {
        kept.push(Raw::http2(server.address).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut refused = Raw::connect(server.address).await;
    assert!(refused.until_closed().await.is_empty());
    drop(kept);
    tokio::time::sleep(Duration::from_millis(200)).await;
    is_well(server).await;
}

#[tokio::test]
async fn a_request_for_nothing_there_is_refused() {
    let server = start().await;
    for (request, answer) in [
        (
            "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 404",
        ),
        (
            "DELETE /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 405",
        ),
        (
            "GET /health/live?liveCode=7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 400",
        ),
        (
            "GET /health/live?liveCode=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 400",
        ),
        (
            "GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 204",
        ),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(request.as_bytes()).await;
        let said = String::from_utf8(raw.until_closed().await).unwrap();
        assert!(said.starts_with(answer), "{request}: {said}");
    }
    is_well(server).await;
}

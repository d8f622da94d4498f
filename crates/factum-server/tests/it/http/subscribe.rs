//! Subscriptions over HTTP.

use std::sync::Arc;
use std::time::Duration;

use factum_server::Options;
use factum_store::MemoryStore;

use super::client::{Events, ask, get, post};
use crate::support::Running;

async fn append(server: &Running, stream: &str, kind: &str) {
    let body = format!(r#"{{"type":"{kind}","tags":["kind:{kind}"]}}"#);
    post(server.address, &format!("/streams/{stream}"), body).await;
}

async fn filled() -> Running {
    let server = Running::start().await;
    for (stream, kind) in [
        ("order-1", "A"),
        ("order-2", "B"),
        ("other-1", "C"),
        ("order-1", "D"),
    ] {
        append(&server, stream, kind).await;
    }
    server
}

/// All that there is, then what comes.
async fn check(
    server: &Running,
    path: &str,
    headers: &[(&str, &str)],
    there: &[(u64, &str)],
    caught_up: &str,
) -> Events {
    let mut events = Events::open(server.address, path, headers).await;
    for (id, kind) in there {
        assert_eq!(events.event().await, (*id, (*kind).to_owned()), "{path}");
    }
    let said = events.is_next("caught-up").await;
    assert_eq!(said.id, caught_up, "{path}");
    events
}

#[tokio::test]
async fn what_is_there_comes_first_and_then_what_is_appended() {
    let server = filled().await;
    let all = [(0, "A"), (1, "B"), (2, "C"), (3, "D")];
    let mut open = Vec::new();
    for (path, there, next) in [
        ("/subscribe", &all[..], 4),
        ("/subscribe?after=1", &all[2..], 4),
        ("/subscribe?after=end", &[], 4),
        (
            "/subscribe?category=order",
            &[(0, "A"), (1, "B"), (3, "D")],
            4,
        ),
        ("/subscribe?type=C&type=E", &[(2, "C")], 4),
        ("/subscribe?tag=kind:E", &[], 4),
        ("/subscribe?stream=order-1", &[(0, "A"), (3, "D")], 4),
        ("/subscribe?stream=order-1&after=0", &[(3, "D")], 4),
    ] {
        open.push((path, check(&server, path, &[], there, "3").await, next));
    }
    let there = [(0, "A"), (1, "B"), (2, "D")];
    let path = "/subscribe?stream=$ce-order";
    open.push((path, check(&server, path, &[], &there, "2").await, 3));
    append(&server, "order-1", "E").await;
    for (path, mut events, next) in open {
        assert_eq!(events.event().await, (next, "E".to_owned()), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_comes_back_goes_on_behind_what_they_had() {
    let server = filled().await;
    let last = |id| [("last-event-id", id)];
    // The header is later than the address.
    check(
        &server,
        "/subscribe?after=3",
        &last("1"),
        &[(2, "C"), (3, "D")],
        "3",
    )
    .await;
    check(
        &server,
        "/subscribe?stream=order-1",
        &last("0"),
        &[(3, "D")],
        "3",
    )
    .await;
    check(
        &server,
        "/subscribe?stream=$ce-order",
        &last("0"),
        &[(1, "B"), (2, "D")],
        "2",
    )
    .await;
    // Whoever was further than there is anything is not sent back.
    let path = "/subscribe?stream=$ce-order&after=100";
    check(&server, path, &[], &[], "100").await;
    for wrong in [
        "",
        "x",
        "-1",
        "+1",
        "1.0",
        "18446744073709551616",
        "1 2",
        "\u{e9}",
    ] {
        let refused = ask(server.address, "GET", "/subscribe", &last(wrong), "").await;
        let detail = refused.problem(400, "invalid");
        assert!(detail.contains("Last-Event-ID"), "{wrong}: {detail}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_waits_at_an_end_that_is_the_start_misses_nothing_while_away() {
    let server = Running::start().await;
    let paths = [
        "/subscribe?after=end",
        "/subscribe?stream=order-1&after=end",
        "/subscribe?stream=$ce-order&after=end",
    ];
    for path in paths {
        check(&server, path, &[], &[], "start").await;
    }
    append(&server, "order-1", "A").await;
    for path in paths {
        let back = [("last-event-id", "start")];
        check(&server, path, &back, &[(0, "A")], "0").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn cloud_events_are_given_too() {
    let server = filled().await;
    let mut events = Events::open(server.address, "/subscribe?format=cloudevents", &[]).await;
    let event = events.next().await.unwrap().json();
    assert_eq!(
        (&event["specversion"], &event["subject"]),
        (&"1.0".into(), &"order-1".into())
    );
    server.stop().await;
}

#[tokio::test]
async fn somebody_who_waits_is_told_that_the_server_is_there_and_when_it_goes() {
    let mut options = Options::default();
    options.limits.keep_alive = Duration::from_millis(50);
    let server = Running::over(Arc::new(MemoryStore::new()), options).await;
    let mut events = Events::open(server.address, "/subscribe?after=end", &[]).await;
    let caught_up = events.is_next("caught-up").await;
    assert_eq!(
        (caught_up.id.as_str(), caught_up.data.as_str()),
        ("start", r#"{"position":null}"#)
    );
    for _ in 0..3 {
        assert_eq!(events.next().await.unwrap().comment, "keep-alive");
    }
    let metrics = get(server.address, "/metrics").await;
    assert!(
        metrics.text().contains("factum_subscriptions 1\n"),
        "{}",
        metrics.text()
    );
    let stopping = tokio::spawn(server.stop());
    let goodbye = loop {
        let next = events.next().await.unwrap();
        if next.comment.is_empty() {
            break next;
        }
    };
    assert_eq!(
        (goodbye.event.as_str(), &goodbye.json()["kind"]),
        ("problem", &"unavailable".into())
    );
    assert_eq!(events.next().await, None);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_subscription_is_counted_as_long_as_it_is_open() {
    let server = filled().await;
    let mut events = check(&server, "/subscribe?after=end", &[], &[], "3").await;
    append(&server, "order-1", "E").await;
    events.event().await;
    drop(events);
    for _ in 0..200 {
        let metrics = get(server.address, "/metrics").await;
        if metrics.text().contains("factum_subscriptions 0\n") {
            assert!(
                metrics.text().contains("factum_read_events_total 1\n"),
                "{}",
                metrics.text()
            );
            return server.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is still counted");
}

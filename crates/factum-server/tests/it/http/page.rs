//! Pages over HTTP.

use serde_json::Value;

use super::client::{ask, get, post};
use crate::support::Running;

/// Follows the pages from a path to the end, and gives what `of` makes of each event.
async fn pages<T>(server: &Running, path: &str, of: impl Fn(&Value) -> T) -> (Vec<T>, usize) {
    let (mut found, mut pages, mut next) = (Vec::new(), 0, Some(path.to_owned()));
    while let Some(path) = next {
        let page = get(server.address, &path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        found.extend(page.json().as_array().unwrap().iter().map(&of));
        next = page.next();
        pages += 1;
    }
    (found, pages)
}

async fn types(server: &Running, path: &str) -> (String, usize) {
    let (types, pages) = pages(server, path, |event| {
        event["type"].as_str().unwrap().to_owned()
    })
    .await;
    (types.concat(), pages)
}

async fn filled() -> Running {
    let server = Running::start().await;
    for (stream, body) in [
        (
            "order-1",
            r#"[{"type":"A","tags":["x:1"]},{"type":"B","tags":["x:1","y:2"]}]"#,
        ),
        ("order-2", r#"[{"type":"C"},{"type":"D","tags":["y:2"]}]"#),
        ("other-1", r#"{"type":"E","tags":["x:1"]}"#),
        ("order-1", r#"[{"type":"F"},{"type":"G"},{"type":"A"}]"#),
    ] {
        post(server.address, &format!("/streams/{stream}"), body).await;
    }
    server
}

#[tokio::test]
async fn pages_lead_through_everything_once_either_way() {
    let server = filled().await;
    for (path, forward) in [
        ("/streams/order-1?", "ABFGA"),
        ("/all?", "ABCDEFGA"),
        ("/all?category=order&", "ABCDFGA"),
        ("/all?type=A&type=E&", "AEA"),
        ("/all?tag=x%3A1&", "ABE"),
        ("/all?tag=x:1&tag=y:2&", "B"),
        ("/all?type=A&tag=x:1&", "A"),
        ("/streams/$ce-order?", "ABCDFGA"),
        ("/streams/$streams?", "ACE"),
    ] {
        let backward: String = forward.chars().rev().collect();
        for limit in [1, 2, 3, 100] {
            let expected_pages = forward.len().div_ceil(limit);
            for (direction, expected) in [("forward", forward), ("backward", &backward)] {
                let path = format!("{path}limit={limit}&direction={direction}");
                let found = types(&server, &path).await;
                assert_eq!(found, (expected.to_owned(), expected_pages), "{path}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_page_begins_where_it_is_asked_to() {
    let server = filled().await;
    for (path, expected) in [
        ("/streams/order-1?from=2", "FGA"),
        ("/streams/order-1?from=2&direction=backward", "FBA"),
        ("/streams/order-1?from=start&direction=backward", "A"),
        ("/streams/order-1?from=end", ""),
        ("/streams/order-1?from=99", ""),
        ("/streams/order-1?from=99&direction=backward", "AGFBA"),
        ("/all?from=3", "DEFGA"),
        ("/all?from=3&direction=backward", "DCBA"),
        ("/all?from=18446744073709551615", ""),
        ("/streams/$ce-order?from=4", "FGA"),
        ("/all?category=nobody", ""),
    ] {
        assert_eq!(types(&server, path).await.0, expected, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_event_of_a_virtual_stream_is_the_one_it_points_to_with_its_number_there() {
    let server = filled().await;
    let page = get(server.address, "/streams/$ce-order?from=4&limit=1").await;
    let event = &page.json()[0];
    let place = [&event["stream"], &event["revision"], &event["position"]];
    assert_eq!(place.map(Value::to_string), ["\"order-1\"", "2", "5"]);
    let link = [&event["link"]["stream"], &event["link"]["revision"]];
    assert_eq!(link.map(Value::to_string), ["\"$ce-order\"", "4"]);
    server.stop().await;
}

#[tokio::test]
async fn a_page_is_not_large_however_large_its_events_are() {
    let server = Running::start().await;
    let data = "x".repeat(60 << 10);
    for _ in 0..7 {
        post(
            server.address,
            "/streams/s",
            format!(r#"{{"type":"T","data":"{data}"}}"#),
        )
        .await;
    }
    let large = "x".repeat(1 << 20);
    post(
        server.address,
        "/streams/s",
        format!(r#"{{"type":"T","data":"{large}"}}"#),
    )
    .await;
    let first = get(server.address, "/streams/s").await;
    assert!(first.body.len() < 256 << 10, "{}", first.body.len());
    assert_eq!(
        types(&server, "/streams/s").await,
        ("TTTTTTTT".to_owned(), 3)
    );
    server.stop().await;
}

#[tokio::test]
async fn lines_are_one_event_each() {
    let server = filled().await;
    let accept = ("accept", "application/x-ndjson");
    let page = ask(server.address, "GET", "/all?limit=3", &[accept], "").await;
    assert_eq!(page.header("content-type"), Some(accept.1));
    let types: Vec<_> = page
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone())
        .collect();
    assert_eq!(types, ["A", "B", "C"]);
    let head = ask(server.address, "HEAD", "/all?limit=3", &[accept], "").await;
    assert_eq!(
        (head.status.as_u16(), head.body.len(), head.next()),
        (200, 0, page.next())
    );
    server.stop().await;
}

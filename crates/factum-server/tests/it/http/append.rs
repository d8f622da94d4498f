//! Appends over HTTP.

use std::sync::Arc;

use factum_server::Options;
use factum_store::{AppendBatch, Change, EventStore, MemoryStore};
use factum_types::{ExpectedRevision, StreamName};
use serde_json::json;

use super::client::{JSON, ask, get, post};
use crate::support::Running;

const ID: &str = "b5936983-7577-53f7-88e5-5927b89c0422";
const CLOUD: (&str, &str) = ("content-type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

#[tokio::test]
async fn what_is_appended_is_read_with_its_place() {
    let server = Running::start().await;
    let body = format!(
        r#"[{{"id":"{ID}","type":"Placed","data":{{"total": 4.20}},"tags":["customer:7"],"metadata":{{"from":"web"}}}},{{"type":"Paid"}}]"#
    );
    let answer = post(server.address, "/streams/order-1", body).await;
    let said = answer.json();
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.header("location"), Some("/streams/order-1?from=0"));
    let place = ["stream", "first_revision", "last_revision", "position"].map(|name| &said[name]);
    assert_eq!(place, [&json!("order-1"), &json!(0), &json!(1), &json!(1)]);
    assert_eq!(said["ids"][0], ID);
    let page = get(server.address, "/streams/order-1").await;
    assert_eq!(page.header("content-type"), Some("application/json"));
    let time = page.json()[0]["time"].as_str().unwrap().to_owned();
    let first = format!(
        r#"[{{"id":"{ID}","type":"Placed","stream":"order-1","revision":0,"position":0,"time":"{time}","tags":["customer:7"],"metadata":{{"from":"web"}},"data":{{"total": 4.20}}}},"#
    );
    assert!(page.text().starts_with(&first), "{}", page.text());
    assert_eq!(page.json()[1]["id"], said["ids"][1]);
    assert_eq!(page.next(), None);
    server.stop().await;
}

#[tokio::test]
async fn what_is_expected_is_judged_and_a_conflict_says_what_is_there() {
    let server = Running::start().await;
    let event =
        |id: u8| format!(r#"{{"id":"00000000-0000-4000-8000-0000000000{id:02}","type":"T"}}"#);
    let append = async |id, name: &str, value: &str| {
        let headers = [JSON, (name, value)];
        ask(server.address, "POST", "/streams/s", &headers, event(id)).await
    };
    let expect = "factum-expected-revision";
    let refused = append(1, expect, "exists").await;
    assert!(refused.problem(409, "conflict").contains("no events"));
    assert_eq!(
        (&refused.json()["revision"], &refused.json()["expected"]),
        (&json!(null), &json!("exists"))
    );
    let first = append(1, expect, "no-stream").await;
    assert_eq!(first.status, 201);
    assert_eq!(append(2, "if-match", "\"0\"").await.status, 201);
    for (name, value, status) in [
        (expect, "no-stream", 409),
        (expect, "0", 409),
        ("if-none-match", "*", 412),
        ("if-match", "\"7\"", 412),
    ] {
        let refused = append(3, name, value).await;
        refused.problem(status, "conflict");
        let said = refused.json();
        assert_eq!(
            (&said["stream"], &said["revision"]),
            (&json!("s"), &json!(1)),
            "{name} {value}"
        );
    }
    // The same again, under the same expectation, is answered as it was.
    let again = append(1, expect, "no-stream").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(append(3, "if-match", "*").await.json()["last_revision"], 2);
    let read = get(server.address, "/streams/s").await.json();
    assert_eq!(read.as_array().unwrap().len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn cloud_events_come_out_as_they_went_in() {
    let server = Running::start().await;
    let one = format!(
        r#""specversion":"1.0","id":"{ID}","source":"https://x/y","type":"Placed","subject":"order-1","time":"2011-09-30T22:38:44.546Z","datacontenttype":"application/json","data":{{"AMOUNT": 2.50e3,"x":"\u00e9"}},"userid":"112","region":"eu""#
    );
    let two = r#""specversion":"1.0","id":"not a uuid","source":"s","type":"Seen","subject":"order-1","time":"2011-10-01T00:38:44Z","datacontenttype":"image/png","data_base64":"AP8=""#;
    // `tags` that are none, besides a conversation, which is found by a tag.
    let three = r#""specversion":"1.0","id":"x","source":"s","type":"T","subject":"order-1","time":"2011-10-01T00:38:44Z","correlationid":"c","tags":"red""#;
    let body = format!("[{{{one}}},\n {{{two}}},{{{three}}}]");
    let answer = ask(server.address, "POST", "/streams/order-1", &[BATCH], body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let expected = format!(
        r#"[{{{one},"position":0,"streamrevision":0}},{{{two},"position":1,"streamrevision":1}},{{{three},"position":2,"streamrevision":2}}]"#
    );
    let accept = ("accept", "application/cloudevents-batch+json");
    let page = ask(server.address, "GET", "/streams/order-1", &[accept], "").await;
    assert_eq!(
        (page.text(), page.header("content-type")),
        (&expected[..], Some(accept.1))
    );
    let page = get(server.address, "/all?format=cloudevents").await;
    assert_eq!(page.text(), expected);
    let conversation = get(server.address, "/streams/$bc-c?format=cloudevents").await;
    assert_eq!(conversation.json()[0]["id"], "x");
    // One alone, and one in binary mode, without saying again which stream.
    let alone = r#"{"specversion":"1.0","id":"3","source":"s","type":"T"}"#;
    let answer = ask(server.address, "POST", "/streams/order-1", &[CLOUD], alone).await;
    assert_eq!(answer.json()["last_revision"], 3);
    let binary = [
        JSON,
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "s"),
        ("ce-type", "T"),
    ];
    let answer = ask(server.address, "POST", "/streams/order-1", &binary, "[1]").await;
    assert_eq!(answer.json()["last_revision"], 4);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_of_any_name_is_one_part_of_the_path() {
    let server = Running::start().await;
    for path in [
        "/streams/a%2Fb%3Fc%20%C3%A9",
        "/streams/%24x",
        "/streams/a+b",
    ] {
        let answer = post(server.address, path, r#"{"type":"T"}"#).await;
        let location = answer.header("location").unwrap();
        assert_eq!(
            get(server.address, location).await.json()[0]["type"],
            "T",
            "{location}"
        );
    }
    let names = get(server.address, "/all").await.json();
    let names: Vec<_> = (0..3)
        .map(|at| names[at]["stream"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a/b?c é", "$x", "a+b"]);
    server.stop().await;
}

#[tokio::test]
async fn metadata_is_in_force_and_read() {
    let server = Running::start().await;
    post(
        server.address,
        "/streams/s",
        r#"[{"type":"A"},{"type":"B"},{"type":"C"}]"#,
    )
    .await;
    let path = "/streams/s/metadata";
    let none = get(server.address, path).await;
    assert_eq!((none.text(), none.header("etag")), ("{}", None));
    let metadata = r#"{"type":"$metadata","data":{"$maxCount":1,"owner":"anna"}}"#;
    post(server.address, "/streams/$$s", metadata).await;
    let said = get(server.address, path).await;
    assert_eq!(said.json(), json!({"$maxCount": 1, "owner": "anna"}));
    assert_eq!(said.header("etag"), Some("\"0\""));
    let left = get(server.address, "/streams/s").await.json();
    assert_eq!(
        (left.as_array().unwrap().len(), &left[0]["type"]),
        (1, &json!("C"))
    );
    server.stop().await;
}

const EVENT: &str = r#"{"type":"T"}"#;

/// Method, path and body; status, kind, and what the words name.
#[rustfmt::skip]
const REFUSED: [(&str, &str, &str, u16, &str, &str); 31] = [
        ("GET", "/streams/none-1", "", 404, "not-found", "none-1"),
        ("GET", "/streams/$ce-none", "", 404, "not-found", "$ce-none"),
        ("GET", "/streams/closed-1", "", 410, "deleted", "closed-1"),
        (
            "POST",
            "/streams/closed-1",
            EVENT,
            410,
            "deleted",
            "closed-1",
        ),
        (
            "GET",
            "/subscribe?stream=closed-1",
            "",
            410,
            "deleted",
            "closed-1",
        ),
        // Metadata are closed with their stream.
        ("GET", "/streams/$$closed-1", "", 410, "deleted", "closed-1"),
        ("GET", "/streams/closed-1/metadata", "", 410, "deleted", "closed-1"),
        ("GET", "/subscribe?stream=$$closed-1", "", 410, "deleted", "$$closed-1"),
        ("POST", "/streams/$ce-x", EVENT, 400, "invalid", "$ce-x"),
        ("POST", "/streams/s?from=1", EVENT, 400, "invalid", "from"),
        ("POST", "/streams/s", "{", 400, "invalid", "line 1 column 1"),
        ("GET", "/streams/%FF", "", 400, "invalid", "UTF-8"),
        ("GET", "/streams/a%0Ab", "", 400, "invalid", "U+000A"),
        ("GET", "/all?limit=0", "", 400, "invalid", "limit"),
        ("GET", "/all?limit=5000", "", 400, "invalid", "4096"),
        ("GET", "/all?from=-1", "", 400, "invalid", "from"),
        ("GET", "/all?direction=up", "", 400, "invalid", "direction"),
        ("GET", "/all?format=xml", "", 400, "invalid", "format"),
        (
            "GET",
            "/all?category=a&type=T",
            "",
            400,
            "invalid",
            "category",
        ),
        ("GET", "/all?tag=x", "", 400, "invalid", "tag"),
        ("GET", "/all?stream=x", "", 400, "invalid", "stream"),
        (
            "GET",
            "/subscribe?stream=s&type=T",
            "",
            400,
            "invalid",
            "stream",
        ),
        ("GET", "/subscribe?after=x", "", 400, "invalid", "after"),
        ("GET", "/health/live?liveCode=103", "", 400, "invalid", "liveCode"),
        ("GET", "/health/live?liveCode=1000", "", 400, "invalid", "liveCode"),
        ("GET", "/health/live?liveCode=x", "", 400, "invalid", "liveCode"),
        ("GET", "/health/live?liveCode=", "", 400, "invalid", "liveCode"),
        ("GET", "/health/live?liveCode=200&liveCode=200", "", 400, "invalid", "liveCode"),
        ("GET", "/health/live?code=200", "", 400, "invalid", "code"),
        ("GET", "/nowhere", "", 404, "not-found", "/nowhere"),
        ("DELETE", "/all", "", 405, "method-not-allowed", "DELETE"),
];

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_name() {
    let store = MemoryStore::new();
    let closed = StreamName::new("closed-1").unwrap();
    let close = AppendBatch::change(closed, ExpectedRevision::Any, Change::Tombstone);
    store.append(close).await.unwrap();
    let server = Running::over(Arc::new(store), Options::default()).await;
    for (method, path, body, status, kind, named) in REFUSED {
        let answer = ask(server.address, method, path, &[JSON], body).await;
        let detail = answer.problem(status, kind);
        assert!(detail.contains(named), "{method} {path}: {detail}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_neither_asked_for_nor_given_as_it_can_be_is_refused() {
    let server = Running::start().await;
    let many: String = (0..65).map(|number| format!("type=T{number}&")).collect();
    let answer = get(server.address, &format!("/all?{many}")).await;
    assert!(answer.problem(400, "invalid").contains("64"));
    let text = ask(
        server.address,
        "POST",
        "/streams/s",
        &[("content-type", "text/plain")],
        "x",
    )
    .await;
    text.problem(415, "unsupported-media-type");
    let html = ask(
        server.address,
        "GET",
        "/all",
        &[("accept", "text/html")],
        "",
    )
    .await;
    html.problem(406, "not-acceptable");
    let allow = ask(server.address, "DELETE", "/streams/s", &[], "").await;
    assert_eq!(allow.header("allow"), Some("GET,HEAD,POST"));
    server.stop().await;
}

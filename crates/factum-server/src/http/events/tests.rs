//! Bodies as events, and what is wrong with others.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use factum_types::{ContentType, EventId, NewEvent, StreamName};

use super::super::problem::Problem;
use super::{Form, events};

const CLOUD: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const PLAIN: &str = "application/json";

fn read(given: &[(&str, &str)], body: &[u8]) -> Result<Vec<NewEvent>, Problem> {
    let header = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let headers: HeaderMap = given.iter().map(header).collect();
    let stream = StreamName::new("order-1").unwrap();
    let new_id = || EventId::from_bytes([9; 16]);
    events(Form::of(&headers)?, &headers, &stream, body, new_id)
}

fn of_type(content_type: &str, body: &str) -> Result<Vec<NewEvent>, Problem> {
    read(&[(CONTENT_TYPE.as_str(), content_type)], body.as_bytes())
}

#[test]
fn each_type_is_read() {
    let check = |content_type: &str, body: &str, expected: &[(&str, &str)]| {
        let events = of_type(content_type, body).unwrap();
        let text = |event: &NewEvent| String::from_utf8(event.data.to_vec()).unwrap();
        let read: Vec<_> = events
            .iter()
            .map(|event| (event.event_type.as_str().to_owned(), text(event)))
            .collect();
        let read: Vec<_> = read
            .iter()
            .map(|(name, data)| (name.as_str(), data.as_str()))
            .collect();
        assert_eq!(read, expected, "{content_type}");
    };
    let cloud = |number: u8, more: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"s","type":"T{number}","data":{number}.0{more}}}"#
        )
    };
    check(CLOUD, &cloud(1, ""), &[("T1", "1.0")]);
    check(
        "Application/CloudEvents+JSON; charset=UTF-8",
        &cloud(1, r#","subject":"order-1""#),
        &[("T1", "1.0")],
    );
    check(
        BATCH,
        &format!("[{},\n{}]", cloud(1, ""), cloud(2, "")),
        &[("T1", "1.0"), ("T2", "2.0")],
    );
    check(PLAIN, r#"{"type":"T","data":[1, 2]}"#, &[("T", "[1, 2]")]);
    check(
        PLAIN,
        r#" [{"type":"T"},{"type":"U","data":null}]"#,
        &[("T", ""), ("U", "null")],
    );
}

#[test]
fn binary_mode_is_understood_as_structured_mode_is() {
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/shop"),
        ("ce-type", "Placed"),
        ("ce-subject", "order-1"),
        ("ce-customer", "J%C3%BCrgen"),
        ("ce-schemaversion", "2"),
        ("content-type", "application/json"),
    ];
    let binary = read(&attributes, br#"{"total": 4.20}"#).unwrap();
    let structured = of_type(
        CLOUD,
        r#"{"specversion":"1.0","id":"7","source":"/shop","type":"Placed","subject":"order-1","customer":"Jürgen","schemaversion":2,"datacontenttype":"application/json","data":{"total": 4.20}}"#,
    );
    let (mut binary, mut structured) = (binary, structured.unwrap());
    // The order of headers is not kept.
    let custom = |events: &mut Vec<NewEvent>| {
        let custom = std::mem::take(&mut events[0].metadata.custom);
        serde_json::from_slice::<serde_json::Value>(&custom).unwrap()
    };
    assert_eq!(custom(&mut binary), custom(&mut structured));
    assert_eq!(binary, structured);
    for (written, meant) in [
        (r#""a \"b\" \\c""#, r#"a "b" \c"#),
        (r#""J%C3%BCrgen""#, "Jürgen"),
        (r#""""#, ""),
        (r#"a"b"#, r#"a"b"#),
        ("%22a%22", r#""a""#),
    ] {
        let mut quoted = attributes;
        quoted[5].1 = written;
        let quoted = custom(&mut read(&quoted, b"{}").unwrap());
        assert_eq!(quoted["customer"], meant, "{written}");
    }
    let mut image = attributes;
    image[7].1 = "image/png";
    let image = read(&image, b"\x89PNG\0").unwrap();
    assert_eq!(
        (&image[0].data[..], image[0].content_type),
        (&b"\x89PNG\0"[..], ContentType::Binary)
    );
}

#[test]
fn a_conversation_is_noted_however_it_is_named() {
    for body in [
        r#"{"type":"T","correlation_id":"c-1"}"#,
        r#"{"type":"T","metadata":{"$correlationId":"c-1"}}"#,
        r#"{"type":"T","correlation_id":"c-1","tags":["$correlationId:c-1"]}"#,
    ] {
        let events = of_type(PLAIN, body).unwrap();
        assert_eq!(
            events[0].metadata.correlation_id.as_deref(),
            Some("c-1"),
            "{body}"
        );
        let tags: Vec<_> = events[0].tags.iter().map(|tag| tag.as_str()).collect();
        assert_eq!(tags, ["$correlationId:c-1"], "{body}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let check = |content_type: &str, body: &str, expected: &str| {
        let problem = of_type(content_type, body).unwrap_err().text();
        assert!(problem.contains(expected), "{body}: {problem}");
    };
    check("text/plain", "", "text/plain");
    check("", "", "no Content-Type");
    check("application/json; charset=latin1", "{}", "latin1");
    check(PLAIN, "", "\"column\":0");
    check(PLAIN, "{\"type\":\"T\"\n,}", "\"line\":2");
    check(PLAIN, "[]", "no events");
    check(PLAIN, "7", "event 0");
    check(
        PLAIN,
        "[{\"type\":\"T\"},\n  {\"tpye\":\"T\"}]",
        "event 1, which begins at line 2, column 3: unknown field `tpye`",
    );
    check(CLOUD, "[]", "cloudevents-batch");
    check(BATCH, "{}", "no array");
    check(BATCH, "[{}]", "specversion");
    let other = r#"{"specversion":"1.0","id":"1","source":"s","type":"T","subject":"order-2"}"#;
    check(CLOUD, other, "\\\"order-2\\\" is not the stream order-1");
    check(
        PLAIN,
        &format!("[{}", "{\"type\":\"T\"},".repeat(20_000)),
        "more than 16384 events",
    );
    let problem = read(&[("content-type", PLAIN)], b"{\"type\":\"\xFF\"}")
        .unwrap_err()
        .text();
    assert!(problem.contains("\"byte\":9"), "{problem}");
    let binary = [("ce-specversion", "1.0"), ("content-type", PLAIN)];
    let problem = read(&binary, b"{").unwrap_err().text();
    assert!(problem.contains("the body is wrong"), "{problem}");
    let twice = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-id", "2")];
    let problem = read(&twice, b"").unwrap_err().text();
    assert!(problem.contains("ce-id is given twice"), "{problem}");
    for open in [r#"""#, r#""a"#, r#""a\""#, r#""a"b""#] {
        let open = [("ce-specversion", "1.0"), ("ce-id", open)];
        let problem = read(&open, b"").unwrap_err().text();
        assert!(problem.contains("ce-id begins a quoted text"), "{problem}");
    }
}

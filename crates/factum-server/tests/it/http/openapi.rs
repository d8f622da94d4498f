//! The description of plain HTTP says what there is.

use std::collections::BTreeSet;
use std::sync::Arc;

use factum_server::Options;
use factum_store::MemoryStore;
use serde_json::Value;

use super::client::{JSON, ask, get, post};
use crate::support::Running;

/// Members of a path that are no methods.
const NO_METHODS: [&str; 1] = ["parameters"];
const BODY_BYTES_MAX: usize = 64 << 10;

fn document() -> Value {
    let text = include_str!("../../../src/http/openapi.json");
    serde_json::from_str(text).unwrap()
}

/// What a reference leads to.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(path) = value["$ref"].as_str() else {
        return value;
    };
    document
        .pointer(path.strip_prefix('#').unwrap())
        .expect(path)
}

/// All values in a value, itself too.
fn within<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| within(item, found)),
        Value::Object(members) => members.values().for_each(|member| within(member, found)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_served_as_it_is() {
    let server = Running::start().await;
    let answer = get(server.address, "/openapi.json").await;
    assert_eq!(answer.json(), document());
    assert_eq!(answer.json()["info"]["version"], env!("CARGO_PKG_VERSION"));
    server.stop().await;
}

/// What a path answers is what it says when it is asked for something else.
#[tokio::test]
async fn it_has_every_path_and_method_and_no_other() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            if !NO_METHODS.contains(&method.as_str()) {
                described.insert((path.clone(), method.to_uppercase()));
            }
        }
    }
    let server = Running::start().await;
    let mut served = BTreeSet::new();
    for path in factum_server::http_paths() {
        let one = path.replace("{stream}", "s");
        let refused = ask(server.address, "PROPFIND", &one, &[], "").await;
        refused.problem(405, "method-not-allowed");
        let allowed = refused.header("allow").unwrap().split(',');
        served.extend(
            allowed
                .filter(|method| *method != "HEAD")
                .map(|method| (path.to_owned(), method.to_owned())),
        );
    }
    server.stop().await;
    assert_eq!(described, served);
}

#[test]
fn it_is_whole() {
    let document = document();
    assert_eq!(document["openapi"].as_str().unwrap().get(..4), Some("3.1."));
    let mut values = Vec::new();
    within(&document, &mut values);
    for value in values {
        resolved(&document, value);
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let of_path = item["parameters"].as_array().into_iter().flatten();
        let named: Vec<_> = of_path
            .map(|parameter| resolved(&document, parameter))
            .filter(|parameter| parameter["in"] == "path" && parameter["required"] == true)
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(named.len(), path.matches('{').count(), "{path}");
        assert!(
            named
                .iter()
                .all(|name| path.contains(&format!("{{{name}}}"))),
            "{path}"
        );
        for (method, operation) in item.as_object().unwrap() {
            if NO_METHODS.contains(&method.as_str()) {
                continue;
            }
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is there twice");
            assert!(operation["summary"].is_string(), "{id}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{id}"
            );
            // Who gives credentials that are wrong is told, wherever none are needed too.
            assert!(responses.contains_key("401"), "{id}");
            for (status, response) in responses {
                let response = resolved(&document, response);
                assert!(response["description"].is_string(), "{id} {status}");
                let is_refusal = status.starts_with(['4', '5']);
                assert_eq!(
                    response["content"]["application/problem+json"].is_object(),
                    is_refusal,
                    "{id} {status}"
                );
            }
        }
    }
}

/// The members of an answer are those of a schema.
fn fits(document: &Value, name: &str, value: &Value) {
    let schema = &document["components"]["schemas"][name];
    let (described, given) = (&schema["properties"], value.as_object().unwrap());
    for member in given.keys() {
        assert!(
            described[member].is_object(),
            "{name} has no {member}: {value}"
        );
    }
    for member in schema["required"].as_array().unwrap() {
        assert!(
            given.contains_key(member.as_str().unwrap()),
            "{name} needs {member}: {value}"
        );
    }
}

#[tokio::test]
async fn answers_are_as_it_says() {
    let mut options = Options::default();
    options.limits.message_bytes = BODY_BYTES_MAX;
    let server = Running::over(Arc::new(MemoryStore::new()), options).await;
    let document = document();
    let all = r#"{"id":"b5936983-7577-53f7-88e5-5927b89c0422","type":"T","data":1,"tags":["a:1"],"metadata":{},"correlation_id":"c",
        "causation_id":"d","user_id":"u","traceparent":"t","schema_version":2,"time":"2100-01-01T00:00:00Z"}"#;
    fits(&document, "NewEvent", &serde_json::from_str(all).unwrap());
    let answer = ask(server.address, "POST", "/streams/s", &[JSON], all).await;
    // Of another member: a time in the future is none of an event.
    fits(&document, "Problem", &answer.json());
    let all = all.replace(r#","time":"2100-01-01T00:00:00Z""#, "");
    let answer = post(server.address, "/streams/s-1", all).await;
    fits(&document, "Appended", &answer.json());
    for path in ["/streams/s-1", "/streams/$ce-s"] {
        fits(
            &document,
            "Event",
            &get(server.address, path).await.json()[0],
        );
    }
    let kinds = &document["components"]["schemas"]["Problem"]["properties"]["kind"]["enum"];
    let mut problems = Vec::new();
    for path in ["/streams/none-1", "/all?limit=x"] {
        problems.push(get(server.address, path).await);
    }
    let large = " ".repeat(BODY_BYTES_MAX + 1);
    for body in [&b"\xFF"[..], b"{", b"[{}]", large.as_bytes()] {
        let body = body.to_vec();
        problems.push(ask(server.address, "POST", "/streams/s", &[JSON], body).await);
    }
    let mut members = BTreeSet::new();
    for problem in problems {
        let problem = problem.json();
        fits(&document, "Problem", &problem);
        assert!(
            kinds.as_array().unwrap().contains(&problem["kind"]),
            "{problem}"
        );
        members.extend(problem.as_object().unwrap().keys().cloned());
    }
    for member in [
        "stream",
        "parameter",
        "event",
        "line",
        "column",
        "byte",
        "limit",
    ] {
        assert!(members.contains(member), "{member} was not looked at");
    }
    server.stop().await;
}

//! Plain HTTP.

use super::{ADMINS, ANNA, ANYONE, Ask, Each, LEDGER_READ, LEDGER_WRITE, Row, USERS};
use crate::authorisation::ask::Plain;
use tonic::Code;

const STREAM: &str = "/streams/{stream}";
const METADATA: &str = "/streams/{stream}/metadata";

fn row(plain: Plain, each: Each) -> Row {
    Row {
        ask: Ask::Plain(plain),
        about: "",
        each,
        answer: Code::Ok,
    }
}

/// Gets a path of a route.
fn get(route: &'static str, path: &'static str, each: Each) -> Row {
    let (method, body) = ("GET", None);
    row(
        Plain {
            method,
            route,
            path,
            body,
        },
        each,
    )
}

fn post(path: &'static str, each: Each) -> Row {
    let body = Some(("application/json", r#"{"type":"Row","data":{}}"#));
    let (method, route) = ("POST", STREAM);
    row(
        Plain {
            method,
            route,
            path,
            body,
        },
        each,
    )
}

/// Settings of a stream.
fn post_metadata(path: &'static str, each: Each) -> Row {
    let body = Some((
        "application/json",
        r#"{"type":"$metadata","data":{"$maxCount":3}}"#,
    ));
    let (method, route) = ("POST", STREAM);
    row(
        Plain {
            method,
            route,
            path,
            body,
        },
        each,
    )
}

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    let tool = |path, each| get(path, path, each);
    vec![
        get(STREAM, "/streams/order-1", USERS),
        get(STREAM, "/streams/ledger-1", LEDGER_READ),
        get(STREAM, "/streams/$scratch-1", ADMINS),
        get(STREAM, "/streams/$$order-1", USERS).but(Code::NotFound),
        get(STREAM, "/streams/$$ledger-1", ANNA),
        get(STREAM, "/streams/$$$scratch-1", ADMINS).but(Code::NotFound),
        get(STREAM, "/streams/$ce-order", USERS),
        get(STREAM, "/streams/$streams", USERS),
        get(STREAM, "/streams/$user-anna", ADMINS),
        post("/streams/order-1", USERS),
        post("/streams/new-1", USERS),
        post("/streams/ledger-1", LEDGER_WRITE),
        post("/streams/$scratch-1", ADMINS),
        post("/streams/$settings", ADMINS),
        post("/streams/$ce-order", ADMINS).but(Code::InvalidArgument),
        post_metadata("/streams/$$order-1", USERS),
        post_metadata("/streams/$$ledger-1", ADMINS),
        post_metadata("/streams/$$$scratch-1", ADMINS),
        get(METADATA, "/streams/order-1/metadata", USERS),
        get(METADATA, "/streams/ledger-1/metadata", ANNA),
        get(METADATA, "/streams/$scratch-1/metadata", ADMINS),
        get("/all", "/all", ADMINS),
        get("/all", "/all?category=order", ADMINS),
        get("/all", "/all?type=Placed", ADMINS),
        get("/subscribe", "/subscribe?stream=order-1", USERS),
        get("/subscribe", "/subscribe?stream=ledger-1", LEDGER_READ),
        get("/subscribe", "/subscribe?stream=$scratch-1", ADMINS),
        get("/subscribe", "/subscribe?stream=$$ledger-1", ANNA),
        get("/subscribe", "/subscribe?stream=$ce-order", USERS),
        get("/subscribe", "/subscribe", ADMINS),
        get("/subscribe", "/subscribe?category=order", ADMINS),
        get("/subscribe", "/subscribe?tag=a:1", ADMINS),
        tool("/openapi.json", ANYONE),
        tool("/health/live", ANYONE),
        tool("/ping", ANYONE),
        tool("/info", ANYONE),
        tool("/gossip", ANYONE),
        tool("/stats", USERS),
        tool("/metrics", USERS),
    ]
}

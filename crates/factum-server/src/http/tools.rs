//! What tools ask about a node: whether it lives, what it is, and how it does.
//!
//! Relies on: `monitoring` and `metrics` for numbers. Never: looks at an event.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde_json::json;

use super::problem::Problem;
use super::query::{Given, digits, wrong};
use super::source::may;
use crate::auth::{Caller, Mode, Operation};
use crate::features::PROTOCOL_VERSION;
use crate::gossip::{SentTo, end_point};
use crate::metrics::plain;
use crate::node::Node;

/// The status that a load balancer wants to see.
const LIVE_CODE: &str = "liveCode";

pub(super) async fn live(uri: Uri) -> Result<StatusCode, Problem> {
    let given = Given::parse(uri.query(), &[LIVE_CODE])?;
    let Some(text) = given.one(LIVE_CODE)? else {
        return Ok(StatusCode::NO_CONTENT);
    };
    // What begins with 1 is followed by the answer itself (RFC 9110, section 15.2).
    let code = digits(text).filter(|code| *code >= 200);
    let code = code.and_then(|code| u16::try_from(code).ok());
    code.and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| wrong(LIVE_CODE, format!("{text:?} is not from 200 to 999")))
}

pub(super) async fn ping() -> impl IntoResponse {
    Json(json!({ "text": "Ping request successfully handled" }))
}

pub(super) async fn info(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let insecure = node.options.auth.mode == Mode::Insecure;
    let authentication = if insecure { "insecure" } else { "internal" };
    Json(json!({
        "dbVersion": PROTOCOL_VERSION,
        "esVersion": PROTOCOL_VERSION,
        "server": concat!("Factum ", env!("CARGO_PKG_VERSION")),
        "state": "leader",
        "features": { "projections": false, "userManagement": !insecure, "atomPub": false },
        "authentication": { "type": authentication, "properties": {} },
    }))
}

pub(super) async fn gossip(
    State(node): State<Arc<Node>>,
    sent_to: Option<Extension<SentTo>>,
) -> Result<impl IntoResponse, Problem> {
    let (host, port) = end_point(&node, sent_to.as_ref().map(|sent| &sent.0.0));
    let head = node.store.head().await.map_err(|error| {
        tracing::error!(%error, "the end of the store could not be asked");
        Problem::unavailable("try again")
    })?;
    let position = head.map_or(0, crate::wire::position::to_wire);
    let member = json!({
        "instanceId": node.instance.to_string(),
        "timeStamp": factum_json::time::rfc3339(node.now()),
        "state": "Leader",
        "isAlive": true,
        // There is no other protocol; some clients refuse a member that does not say so.
        "internalTcpIp": host,
        "internalTcpPort": 0,
        "internalSecureTcpPort": 0,
        "externalTcpIp": host,
        "externalTcpPort": 0,
        "externalSecureTcpPort": 0,
        "httpEndPointIp": host,
        "httpEndPointPort": port,
        "lastCommitPosition": position,
        "writerCheckpoint": position,
        "chaserCheckpoint": position,
        "epochPosition": 0,
        "epochNumber": 0,
        "epochId": node.instance.to_string(),
        "nodePriority": node.priority(),
        "isReadOnlyReplica": false,
        "esVersion": PROTOCOL_VERSION,
    });
    Ok(Json(
        json!({ "members": [member], "serverIp": host, "serverPort": port }),
    ))
}

pub(super) async fn stats(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
) -> Result<impl IntoResponse, Problem> {
    may(&node, &caller, Operation::Statistics, None).await?;
    Ok(Json(crate::monitoring::numbers(&node).await))
}

pub(super) async fn metrics(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    may(&node, &caller, Operation::Metrics, None).await?;
    if let Ok(Some(head)) = node.store.head().await {
        node.metrics.head.set(crate::wire::position::to_wire(head));
    }
    let (kind, text) = if accepts_open_metrics(&headers) {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        (kind, node.metrics.text())
    } else {
        (plain::CONTENT_TYPE, node.metrics.plain_text())
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::VARY, "accept")];
    Ok((headers, text))
}

/// Whoever names the newer format prefers it: Prometheus does.
fn accepts_open_metrics(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/openmetrics-text"))
}

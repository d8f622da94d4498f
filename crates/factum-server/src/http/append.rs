//! An append: one event or several, all or none, to one stream.
//!
//! Relies on: `log` for what an append to a stream is, and [`Node::append_within`] for its time and its numbers. Never: reads a body
//! before the caller may write, and what is expected is understood.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use factum_store::{Kind, StoreError};
use factum_types::StreamName;
use serde_json::json;

use super::body::whole;
use super::events::{Form, events};
use super::expected::{Expected, expected};
use super::problem::Problem;
use super::query::{Given, encoded};
use super::source;
use crate::auth::{Caller, Operation};
use crate::log::append::Appended;
use crate::node::Node;
use crate::streams::counted;

/// Appends; the same events again, with the same ids, are answered as the first time.
pub(super) async fn append(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let stream = source::stream(path)?;
    source::may(&node, &caller, Operation::WriteStream, Some(&stream)).await?;
    Given::parse(uri.query(), &[])?;
    let expected = expected(&headers)?;
    let form = Form::of(&headers)?;
    let body = whole(body, &node).await?;
    let events = events(form, &headers, &stream, &body, || node.new_id())?;
    drop(body);
    let ids: Vec<_> = events.iter().map(|event| event.id.to_string()).collect();
    let time = node.options.limits.append;
    let late = |_| {
        let text =
            format!("the append was not answered within {time:?}; the same ids again are safe");
        Err(StoreError::new(Kind::Unknown, text))
    };
    let answered = counted(&node, stream.clone(), expected.revision, events, time).await;
    match answered.unwrap_or_else(late) {
        Ok(appended) => Ok(done(&stream, &ids, appended)),
        Err(error) => Err(refused(&error, &stream, expected)),
    }
}

fn done(stream: &StreamName, ids: &[String], appended: Appended) -> Response {
    let last = appended.last_revision.map(|last| last.number());
    let count = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    let first = last.map(|last| last.saturating_add(1).saturating_sub(count));
    let path = format!(
        "/streams/{}?from={}",
        encoded(stream.as_str()),
        first.unwrap_or(0)
    );
    let tag = last.map(|last| [(ETAG, format!("\"{last}\""))]);
    let answer = json!({
        "stream": stream.as_str(),
        "first_revision": first,
        "last_revision": last,
        "position": appended.position.map(|position| position.raw()),
        "ids": ids,
    });
    let mut response = (StatusCode::CREATED, [(LOCATION, path)], Json(answer)).into_response();
    if let Some(Ok(tag)) = tag.map(|[(_, tag)]| tag.parse()) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn refused(error: &StoreError, stream: &StreamName, expected: Expected) -> Problem {
    let problem = Problem::store(error).with("stream", stream.as_str());
    if error.kind() == Kind::Conflict {
        return problem.status(expected.refusal);
    }
    problem
}

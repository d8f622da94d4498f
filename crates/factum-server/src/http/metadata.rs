//! The metadata of a stream: the last that was written to `$$…`, with what is in force.
//!
//! Relies on: `log`. Never: writes more than what is in force already; metadata is written by an append to `$$…`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::query::Given;
use super::source;
use crate::auth::{Caller, Operation};
use crate::log::metadata::{before_read, last, stream_of};
use crate::node::Node;

/// The metadata as a JSON object, empty where there is none; its revision is the entity tag.
pub(super) async fn metadata(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let stream = source::stream(path)?;
    source::may(&node, &caller, Operation::ReadMetadata, Some(&stream)).await?;
    Given::parse(uri.query(), &[])?;
    let finding = async {
        let about = stream_of(&stream)?;
        before_read(&*node.store, &about, node.new_id()).await?;
        last(&*node.store, &about).await
    };
    let time = node.options.limits.answer;
    let found = tokio::time::timeout(time, finding).await;
    let found = found.map_err(|_elapsed| Problem::late(time))?;
    let found = found.map_err(|error| Problem::store(&error).with("stream", stream.as_str()))?;
    let kind = [(CONTENT_TYPE, "application/json")];
    Ok(match found {
        None => (kind, "{}".to_owned()).into_response(),
        Some((revision, document)) => {
            let tag = [(ETAG, format!("\"{revision}\""))];
            (kind, tag, document.to_string()).into_response()
        }
    })
}

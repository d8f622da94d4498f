//! The body of a request: whole, of a size, and within a time.
//!
//! Relies on: `listen`, which counts bodies, and refuses those for which there is no room. Never: takes what was cut for what was sent.

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tonic::codegen::StdError;

use super::problem::Problem;
use crate::node::Node;
use crate::room::NoRoom;

/// All of a body.
///
/// # Errors
/// It is too large, too slow, or was cut; or there is no room for it.
pub(super) async fn whole(body: Body, node: &Node) -> Result<Vec<u8>, Problem> {
    let limits = &node.options.limits;
    let collecting = collect(body, limits.message_bytes);
    let collected = tokio::time::timeout(limits.upload, collecting).await;
    collected.map_err(|_elapsed| {
        let detail = format!("the body was not sent within {:?}", limits.upload);
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail)
    })?
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut body = Limited::new(body, limit);
    // A frame is copied: a small one would keep all of the buffer that it was read into.
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let data: Bytes = frame
            .map_err(|error| problem(&error, limit))?
            .into_data()
            .unwrap_or_default();
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn problem(error: &StdError, limit: usize) -> Problem {
    if error.is::<LengthLimitError>() {
        let detail = format!("the body has more than {limit} bytes");
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail);
        return problem.with("limit", limit);
    }
    if NoRoom::is_why(&**error) {
        return Problem::unavailable("the server holds as many bytes of bodies as it may");
    }
    Problem::invalid(format!("the body was cut: {error}"))
}

//! The body of a request: whole, of a size, within a time, and with room for it among all that are held at once.
//!
//! Relies on: [`Node::bodies`], which counts the bytes. Never: takes what was cut for what was sent, or waits for room: who sends slowly
//! would make others wait.

use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::node::Node;

/// Room for the bytes of a body, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Room(OwnedSemaphorePermit);

/// All of a body, and the room that it takes.
///
/// # Errors
/// It is too large, too slow, or was cut; or there is no room for it.
pub(super) async fn whole(body: Body, node: &Node) -> Result<(Vec<u8>, Room), Problem> {
    let limits = &node.options.limits;
    let collecting = collect(body, limits.message_bytes, &node.bodies);
    let collected = tokio::time::timeout(limits.upload, collecting).await;
    collected.map_err(|_elapsed| {
        let detail = format!("the body was not sent within {:?}", limits.upload);
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail)
    })?
}

async fn collect(
    body: Body,
    limit: usize,
    bodies: &Arc<Semaphore>,
) -> Result<(Vec<u8>, Room), Problem> {
    let mut body = Limited::new(body, limit);
    let mut room = Room::take(bodies, 0)?;
    // A frame is copied: a small one would keep all of the buffer that it was read into.
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let detail = format!("the body has more than {limit} bytes");
                let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail);
                return problem.with("limit", limit);
            }
            Problem::invalid(format!("the body was cut: {error}"))
        })?;
        let data: Bytes = frame.into_data().unwrap_or_default();
        room.0.merge(Room::take(bodies, data.len())?.0);
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, room))
}

impl Room {
    fn take(bodies: &Arc<Semaphore>, bytes: usize) -> Result<Self, Problem> {
        let bytes = u32::try_from(bytes).ok();
        let taken = bytes.and_then(|bytes| Arc::clone(bodies).try_acquire_many_owned(bytes).ok());
        let full = || Problem::unavailable("the server holds as many bytes of bodies as it may");
        taken.map(Self).ok_or_else(full)
    }
}

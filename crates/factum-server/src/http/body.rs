//! The body of a request: whole, of a size, and within a time.
//!
//! Never: takes what was cut for what was sent.

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::problem::Problem;
use crate::options::Limits;

/// All of a body.
///
/// # Errors
/// It is too large, too slow, or was cut.
pub(super) async fn whole(body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    let limit = limits.message_bytes;
    let collecting = Limited::new(body, limit).collect();
    let collected = tokio::time::timeout(limits.upload, collecting).await;
    let collected = collected.map_err(|_elapsed| {
        let detail = format!("the body was not sent within {:?}", limits.upload);
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail)
    })?;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                let detail = format!("the body has more than {limit} bytes");
                let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail);
                return problem.with("limit", limit);
            }
            Problem::invalid(format!("the body was cut: {error}"))
        })
}

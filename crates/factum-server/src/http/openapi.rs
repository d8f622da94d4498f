//! The description of all of this, for programs (`OpenAPI` 3.1).
//!
//! Never: made while it runs; a test compares it with the routes.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// The description.
const DOCUMENT: &str = include_str!("openapi.json");

/// The description, for anybody.
pub(super) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

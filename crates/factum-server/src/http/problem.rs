//! Refusals as problem details (RFC 9457): the status, a `kind` for programs, words for people, and members that name the thing.
//!
//! `type` is `about:blank`, which is not written: the status and `kind` say it, and there is no address that would stay. Relies on: the
//! kinds of the store's errors. Never: tells a client more of an internal error than that there is one; that is logged.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use factum_store::{ConflictReason, Kind, StoreError};
use serde_json::{Map, Value};

use crate::auth::Denied;

/// Bytes of a detail, at most: it may quote what a client sent.
const DETAIL_BYTES_MAX: usize = 2 << 10;

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    members: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            members: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The request is wrong.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// Try again.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        problem.header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// Who are you?
    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        let ask = HeaderValue::from_static("Basic realm=\"factum\"");
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).header(WWW_AUTHENTICATE, ask)
    }

    /// The store has not answered in time.
    pub(crate) fn late(after: Duration) -> Self {
        Self::unavailable(format!("the store has not answered within {after:?}"))
    }

    /// The server stops.
    pub(crate) fn stopping() -> Self {
        Self::unavailable("the server is stopping")
    }

    /// The caller may not, or nobody knows.
    pub(crate) fn denied(denied: &Denied) -> Self {
        match denied {
            Denied::Access { anonymous: true } => Self::unauthenticated("credentials are needed"),
            Denied::Access { anonymous: false } => {
                Self::new(StatusCode::FORBIDDEN, "denied", "access denied")
            }
            Denied::Store(error) => {
                tracing::error!(%error, "who may do something could not be found out");
                Self::unavailable("try again")
            }
        }
    }

    /// What the store answered.
    pub(crate) fn store(error: &StoreError) -> Self {
        let (status, kind) = match error.kind() {
            Kind::Conflict => (StatusCode::CONFLICT, "conflict"),
            Kind::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Kind::Deleted => (StatusCode::GONE, "deleted"),
            Kind::Unavailable => return Self::unavailable(error.to_string()),
            Kind::Unknown => (StatusCode::GATEWAY_TIMEOUT, "unknown"),
            Kind::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
            Kind::Full => (StatusCode::INSUFFICIENT_STORAGE, "full"),
            Kind::ReadOnly => (StatusCode::SERVICE_UNAVAILABLE, "read-only"),
            _ => {
                tracing::error!(%error, "the store failed");
                let detail = "the store failed; the server's log says more";
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
            }
        };
        let problem = Self::new(status, kind, error.to_string());
        match (error.as_conflict(), error.as_damage()) {
            (Some(conflict), _) => problem.about(&conflict.reason),
            (_, Some(damage)) => problem
                .with("first_position", damage.first.raw())
                .with("last_position", damage.last.raw()),
            _ => problem,
        }
    }

    fn about(self, reason: &ConflictReason) -> Self {
        let ConflictReason::Revision {
            stream,
            expected,
            actual,
        } = reason
        else {
            return self;
        };
        self.with("stream", stream.as_str())
            .with("expected", super::expected::written(*expected))
            .with("revision", actual.map(|actual| actual.number()))
    }

    /// The same with a member; a later one of the same name counts.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// The same with a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same under another status.
    pub(crate) const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Its text, on one line.
    pub(crate) fn text(&self) -> String {
        let detail = &self.detail;
        let detail = detail.get(..detail.floor_char_boundary(DETAIL_BYTES_MAX));
        let title = self.status.canonical_reason().unwrap_or_default();
        let mut members = Map::new();
        members.insert("title".to_owned(), title.into());
        members.insert("status".to_owned(), self.status.as_u16().into());
        members.insert("kind".to_owned(), self.kind.into());
        members.insert("detail".to_owned(), detail.unwrap_or_default().into());
        for (name, value) in &self.members {
            members.insert((*name).to_owned(), value.clone());
        }
        Value::Object(members).to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = [(CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, self.text()).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

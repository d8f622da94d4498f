//! Who asks, found out once per request, and whether they may, asked by each handler.

use std::sync::Arc;

use axum::http::{Request, header};
use axum::response::{IntoResponse, Response};
use factum_store::StoreError;
use factum_types::StreamName;
use tonic::Status;

use crate::auth::{Caller, Denied, Operation, Target, Unauthenticated};
use crate::http::problem::Problem;
use crate::node::Node;
use crate::room::Brought;
use crate::wire::errors;

/// Beside an answer to credentials that are nobody's: to find that out took a hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrongCredentials;

/// Whether a request speaks gRPC, and so is answered in its words.
pub(crate) fn is_grpc<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Puts the [`Caller`] beside the request, or gives the answer to credentials that are none. `to_grpc` says whether a gRPC service will answer it:
/// such a service does not look at what the request says that it is.
pub(crate) async fn refuse<B>(
    node: &Node,
    request: &mut Request<B>,
    to_grpc: bool,
) -> Option<Response> {
    let is_grpc = to_grpc || is_grpc(request);
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.map(header::HeaderValue::as_bytes);
    match node.auth.authenticate(given).await {
        Ok(Caller::Anonymous) if is_grpc && !node.is_open_to_all(request.uri().path()) => {
            // Before its body is read.
            Some(Status::unauthenticated("Access Denied").into_http())
        }
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            None
        }
        Err(refused) => {
            node.metrics.refused_credentials.inc();
            if let Unauthenticated::Store(error) = &refused {
                tracing::error!(%error, "a user could not be read");
            }
            let mut answer = if is_grpc {
                status(&refused).into_http()
            } else {
                plain(&refused)
            };
            if matches!(refused, Unauthenticated::Refused) {
                answer.extensions_mut().insert(WrongCredentials);
            }
            Some(answer)
        }
    }
}

fn status(refused: &Unauthenticated) -> Status {
    if refused.is_passing() {
        return Status::unavailable("Server Is Too Busy");
    }
    Status::unauthenticated(refused.to_string())
}

fn plain(refused: &Unauthenticated) -> Response {
    if refused.is_passing() {
        return Problem::unavailable("try again").into_response();
    }
    Problem::unauthenticated(refused.to_string()).into_response()
}

/// Who sent a request.
pub(crate) fn caller<T>(request: &tonic::Request<T>) -> Caller {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .unwrap_or_default()
}

/// What a request says, and what it has brought.
pub(crate) fn brought<T>(request: tonic::Request<T>) -> (T, Arc<Brought>) {
    let (_, extensions, says) = request.into_parts();
    (says, Brought::of(&extensions))
}

/// What a caller who may not is told over gRPC.
pub(crate) fn refusal(denied: &Denied) -> Status {
    match denied {
        Denied::Access { anonymous: true } => Status::unauthenticated("Access Denied"),
        Denied::Access { anonymous: false } => errors::access_denied(),
        Denied::Store(error) => {
            not_found_out(error);
            errors::store(error, None)
        }
    }
}

fn not_found_out(error: &StoreError) {
    tracing::error!(%error, "who may do something could not be found out");
}

/// What clients ask before they log in.
const OPEN: [&str; 2] = [
    "/event_store.client.server_features.",
    "/event_store.client.gossip.",
];

impl Node {
    /// Whether somebody without credentials may ask this at all.
    fn is_open_to_all(&self, path: &str) -> bool {
        self.options.auth.anonymous_streams || OPEN.iter().any(|open| path.starts_with(open))
    }

    /// Whether a caller may do something.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, or `UNAUTHENTICATED` where credentials may help.
    pub(crate) async fn allow(
        &self,
        caller: &Caller,
        operation: Operation,
        target: Target<'_>,
    ) -> Result<(), Status> {
        let checked = self.auth.check(caller, operation, target).await;
        checked.map_err(|denied| refusal(&denied))
    }

    /// The same about a stream.
    ///
    /// # Errors
    /// As [`allow`](Self::allow).
    pub(crate) async fn allow_on(
        &self,
        caller: &Caller,
        operation: Operation,
        stream: &StreamName,
    ) -> Result<(), Status> {
        self.allow(caller, operation, Target::from(stream)).await
    }
}

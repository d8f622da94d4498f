//! Plain HTTP: streams as JSON and `CloudEvents`, server-sent events, and what tools ask about a node (decision 0033).
//!
//! What lives here: one file per subject, and [`ROUTES`], the one list of what is answered. `append` and `events` are the way in, `page` and
//! `subscribe` the way out, `format` is what both write, `problem` how something is refused. Relies on: factum-json for events as text.
//! Never: reads a body before the caller may send it, or holds more of an answer than one page.

mod append;
mod binary;
mod body;
mod events;
mod expected;
mod format;
mod metadata;
mod openapi;
mod page;
pub(crate) mod problem;
mod query;
mod source;
mod subscribe;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{MethodRouter, get};

use crate::node::Node;
use problem::Problem;

/// What answers at a path.
struct Route {
    path: &'static str,
    answers: fn() -> MethodRouter<Arc<Node>>,
}

/// The one list of what answers over HTTP.
const ROUTES: &[Route] = &[
    Route {
        path: "/streams/{stream}",
        answers: || get(page::stream).post(append::append),
    },
    Route {
        path: "/streams/{stream}/metadata",
        answers: || get(metadata::metadata),
    },
    Route {
        path: "/all",
        answers: || get(page::all),
    },
    Route {
        path: "/subscribe",
        answers: || get(subscribe::subscribe),
    },
    Route {
        path: "/openapi.json",
        answers: || get(openapi::openapi),
    },
    Route {
        path: "/health/live",
        answers: || get(tools::live),
    },
    Route {
        path: "/ping",
        answers: || get(tools::ping),
    },
    Route {
        path: "/info",
        answers: || get(tools::info),
    },
    Route {
        path: "/gossip",
        answers: || get(tools::gossip),
    },
    Route {
        path: "/stats",
        answers: || get(tools::stats),
    },
    Route {
        path: "/metrics",
        answers: || get(tools::metrics),
    },
];

/// The paths that a server answers over plain HTTP, with parameters in braces. All answer `GET` and `HEAD`, streams `POST` too; what
/// each takes and gives stands in the `OpenAPI` document at `/openapi.json`.
///
/// ```
/// assert!(factum_server::http_paths().any(|path| path == "/metrics"));
/// ```
pub fn http_paths() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().map(|route| route.path)
}

/// The routes.
pub(crate) fn routes(node: Arc<Node>) -> Router {
    ROUTES
        .iter()
        .fold(Router::new(), |router, route| {
            let answers = (route.answers)().fallback(another_method);
            router.route(route.path, answers)
        })
        .with_state(node)
}

async fn another_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not answer {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

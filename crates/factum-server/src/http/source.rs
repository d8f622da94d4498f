//! What is read or followed, and whether a caller may.
//!
//! One stream is asked about by its own list of rights; whatever reaches over streams needs the right to read everything, as in the
//! other protocols. Never: guesses what a filter means that the store has no index for.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use factum_store::Source;
use factum_types::{Category, EventType, NameError, Query, StreamName, Tag};

use super::problem::Problem;
use super::query::{Given, wrong};
use crate::auth::{Caller, Operation, Target};
use crate::node::Node;

/// A filter over all streams, by its parameters.
pub(super) const FILTERS: [&str; 3] = ["category", "type", "tag"];

/// The stream that a path names.
///
/// # Errors
/// It is no UTF-8, or no name.
pub(super) fn stream(path: Result<Path<String>, PathRejection>) -> Result<StreamName, Problem> {
    let Path(text) = path.map_err(|error| {
        Problem::invalid(format!("the path names no stream: {}", error.body_text()))
    })?;
    StreamName::new(text).map_err(|error| Problem::invalid(error.to_string()))
}

/// What the filters leave of all events.
///
/// # Errors
/// A name is none, or there is a category besides types or tags.
pub(super) fn filtered(given: &Given) -> Result<Source, Problem> {
    let types: Vec<EventType> = names("type", given, |text| EventType::new(text))?;
    let tags: Vec<Tag> = names("tag", given, |text| Tag::new(text))?;
    let by_query = !types.is_empty() || !tags.is_empty();
    match given.one("category")? {
        None if by_query => Ok(Source::Query(Query::of(types, tags))),
        None => Ok(Source::All),
        Some(_) if by_query => {
            let what = "a category cannot be asked for together with types or tags";
            Err(wrong("category", what))
        }
        Some(text) => Category::new(text)
            .map(Source::Category)
            .map_err(|error| wrong("category", error)),
    }
}

fn names<T>(
    name: &'static str,
    given: &Given,
    parse: impl Fn(&str) -> Result<T, NameError>,
) -> Result<Vec<T>, Problem> {
    given
        .all(name)
        .map(|text| parse(text).map_err(|error| wrong(name, error)))
        .collect()
}

/// Whether a caller may do something to a stream, or without one to all.
///
/// # Errors
/// They may not, or it cannot be found out.
pub(super) async fn may(
    node: &Node,
    caller: &Caller,
    operation: Operation,
    stream: Option<&StreamName>,
) -> Result<(), Problem> {
    let target = stream.map_or(Target::Server, Target::from);
    let checked = node.auth.check(caller, operation, target).await;
    checked.map_err(|denied| Problem::denied(&denied))
}

//! What an append expects of its stream, from its headers.
//!
//! | header                      | value                                | expects               | refused with |
//! |-----------------------------|--------------------------------------|-----------------------|--------------|
//! | `Factum-Expected-Revision`  | `any`, `no-stream`, `exists`, number | that                  | 409          |
//! | `If-Match`                  | `"7"`                                | revision 7            | 412          |
//! | `If-Match`                  | `*`                                  | that the stream exists | 412         |
//! | `If-None-Match`             | `*`                                  | that it does not      | 412          |
//!
//! The second form is that of RFC 9110, section 13; the revision is the entity tag that an append is answered with. Never: guesses
//! between two of them.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use factum_types::{ExpectedRevision, Revision};
use serde_json::Value;

use super::problem::Problem;
use super::query::digits;

/// The header of our own.
const EXPECTED: HeaderName = HeaderName::from_static("factum-expected-revision");

/// What is expected, and the status of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) revision: ExpectedRevision,
    pub(super) refusal: StatusCode,
}

/// What the headers of an append expect; without any of them nothing.
///
/// # Errors
/// There is more than one, or one that says nothing that can be expected.
pub(super) fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let given = [EXPECTED, IF_MATCH, IF_NONE_MATCH].map(|name| {
        let values: Vec<_> = headers.get_all(&name).iter().collect();
        values
    });
    let [ours, matches, none_match] = &given;
    let ours_status = StatusCode::CONFLICT;
    let theirs = StatusCode::PRECONDITION_FAILED;
    let (revision, refusal) = match (&ours[..], &matches[..], &none_match[..]) {
        ([], [], []) => (ExpectedRevision::Any, ours_status),
        ([value], [], []) => (own(text(value, &EXPECTED)?)?, ours_status),
        ([], [value], []) => (tag(text(value, &IF_MATCH)?)?, theirs),
        ([], [], [value]) => (none(text(value, &IF_NONE_MATCH)?)?, theirs),
        _ => {
            let text = "more than one of Factum-Expected-Revision, If-Match and If-None-Match";
            return Err(Problem::invalid(text));
        }
    };
    Ok(Expected { revision, refusal })
}

/// An expectation as the header of our own writes it.
pub(super) fn written(expected: ExpectedRevision) -> Value {
    match expected {
        ExpectedRevision::Any => "any".into(),
        ExpectedRevision::NoStream => "no-stream".into(),
        ExpectedRevision::StreamExists => "exists".into(),
        ExpectedRevision::Exactly(revision) => revision.number().into(),
    }
}

fn text<'a>(value: &'a HeaderValue, name: &HeaderName) -> Result<&'a str, Problem> {
    let text = value.to_str().map(str::trim);
    text.map_err(|error| Problem::invalid(format!("header {name}: {error}")))
}

fn own(text: &str) -> Result<ExpectedRevision, Problem> {
    match text {
        "any" => Ok(ExpectedRevision::Any),
        "no-stream" => Ok(ExpectedRevision::NoStream),
        "exists" => Ok(ExpectedRevision::StreamExists),
        _ => exactly(text).ok_or_else(|| {
            let what = "is none of any, no-stream, exists and a revision";
            Problem::invalid(format!("header Factum-Expected-Revision: {text:?} {what}"))
        }),
    }
}

fn tag(text: &str) -> Result<ExpectedRevision, Problem> {
    if text == "*" {
        return Ok(ExpectedRevision::StreamExists);
    }
    let quoted = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    quoted.and_then(exactly).ok_or_else(|| {
        let what = "is neither * nor one revision in quotes";
        Problem::invalid(format!("header If-Match: {text:?} {what}"))
    })
}

fn none(text: &str) -> Result<ExpectedRevision, Problem> {
    if text == "*" {
        return Ok(ExpectedRevision::NoStream);
    }
    Err(Problem::invalid(format!(
        "header If-None-Match: {text:?} is not *"
    )))
}

fn exactly(text: &str) -> Option<ExpectedRevision> {
    digits(text).map(|number| ExpectedRevision::Exactly(Revision::new(number)))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
    use factum_types::{ExpectedRevision, Revision};

    use super::expected;

    fn headers(given: &[(&str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&str, &str)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        given.iter().map(header).collect()
    }

    #[test]
    fn each_header_says_what_is_expected() {
        let check = |given: &[(&str, &str)], revision, refusal: u16| {
            let expected = expected(&headers(given)).unwrap();
            let status = StatusCode::from_u16(refusal).unwrap();
            assert_eq!(
                (expected.revision, expected.refusal),
                (revision, status),
                "{given:?}"
            );
        };
        const OURS: &str = "factum-expected-revision";
        let seven = ExpectedRevision::Exactly(Revision::new(7));
        check(&[], ExpectedRevision::Any, 409);
        check(&[(OURS, "any")], ExpectedRevision::Any, 409);
        check(&[(OURS, "no-stream")], ExpectedRevision::NoStream, 409);
        check(&[(OURS, "exists")], ExpectedRevision::StreamExists, 409);
        check(&[(OURS, "7")], seven, 409);
        check(&[("if-match", "\"7\"")], seven, 412);
        check(&[("if-match", "*")], ExpectedRevision::StreamExists, 412);
        check(&[("if-none-match", "*")], ExpectedRevision::NoStream, 412);
    }

    #[test]
    fn anything_else_is_refused() {
        for given in [
            &[("factum-expected-revision", "-1")][..],
            &[("factum-expected-revision", "+1")],
            &[("factum-expected-revision", "")],
            &[("factum-expected-revision", "18446744073709551616")],
            &[
                ("factum-expected-revision", "1"),
                ("factum-expected-revision", "2"),
            ],
            &[("if-match", "7")],
            &[("if-match", "\"6\", \"7\"")],
            &[("if-match", "W/\"7\"")],
            &[("if-none-match", "\"7\"")],
            &[("if-match", "*"), ("if-none-match", "*")],
        ] {
            assert!(expected(&headers(given)).is_err(), "{given:?}");
        }
    }
}

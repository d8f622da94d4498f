//! How events are written: as JSON of our own in an array or one per line, or as a batch of `CloudEvents`.
//!
//! Relies on: factum-json. Never: writes a line break within an event.

use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::ACCEPT;
use factum_json::{cloud, plain, text};
use factum_types::{RecordedEvent, StreamName};

use super::problem::Problem;
use super::query::{Given, wrong};

/// What events are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// An array of our own objects.
    Json,
    /// Our own objects, one per line.
    Lines,
    /// An array of `CloudEvents`.
    Cloud,
}

/// An event as it is shown to somebody.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) event: RecordedEvent,
    /// The virtual stream that it was read from, and its number there.
    pub(super) link: Option<(StreamName, u64)>,
}

impl From<RecordedEvent> for Shown {
    fn from(event: RecordedEvent) -> Self {
        Self { event, link: None }
    }
}

/// What a page can be, by the type that stands for it.
const TYPES: [(&str, Format); 3] = [
    ("application/json", Format::Json),
    ("application/x-ndjson", Format::Lines),
    ("application/cloudevents-batch+json", Format::Cloud),
];

impl Format {
    /// The format of a page: what the parameter `format` says, else the best that `Accept` names.
    ///
    /// # Errors
    /// There is no such format, or nothing that is accepted.
    pub(super) fn of_page(given: &Given, headers: &HeaderMap) -> Result<Self, Problem> {
        match given.one("format")? {
            Some("ndjson") => Ok(Self::Lines),
            Some(_) => Self::of_event(given),
            None => Self::accepted(headers),
        }
    }

    /// The format of an event alone, which only the parameter says.
    ///
    /// # Errors
    /// There is no such format.
    pub(super) fn of_event(given: &Given) -> Result<Self, Problem> {
        match given.one("format")? {
            None | Some("json") => Ok(Self::Json),
            Some("cloudevents") => Ok(Self::Cloud),
            Some(other) => {
                let what = format!("{other:?} is none of the formats here");
                Err(wrong("format", what))
            }
        }
    }

    fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut best: Option<(u16, Self)> = None;
        let mut asked = false;
        for value in headers.get_all(ACCEPT) {
            let Ok(value) = value.to_str() else { continue };
            for range in value.split(',') {
                asked |= !range.trim().is_empty();
                let Some((weight, format)) = accepts(range) else {
                    continue;
                };
                if weight > best.map_or(0, |(best, _)| best) {
                    best = Some((weight, format));
                }
            }
        }
        match best {
            Some((_, format)) => Ok(format),
            None if !asked => Ok(Self::Json),
            None => {
                let types = TYPES.map(|(name, _)| name).join(", ");
                let detail = format!("events are given as {types}");
                let status = StatusCode::NOT_ACCEPTABLE;
                Err(Problem::new(status, "not-acceptable", detail))
            }
        }
    }

    /// The type of a page.
    pub(super) fn content_type(self) -> &'static str {
        TYPES
            .iter()
            .find(|(_, format)| *format == self)
            .map_or("application/json", |(name, _)| name)
    }

    /// Adds an event to a page that has so many already.
    pub(super) fn add(self, page: &mut Vec<u8>, before: usize, shown: &Shown) {
        match (self, before) {
            (Self::Lines, _) => {}
            (_, 0) => page.push(b'['),
            _ => page.push(b','),
        }
        self.write(page, shown);
        if self == Self::Lines {
            page.push(b'\n');
        }
    }

    /// Ends a page of so many events.
    pub(super) fn end(self, page: &mut Vec<u8>, count: usize) {
        match (self, count) {
            (Self::Lines, _) => {}
            (_, 0) => page.extend_from_slice(b"[]"),
            _ => page.push(b']'),
        }
    }

    /// Writes one event, on one line.
    pub(super) fn write(self, line: &mut Vec<u8>, shown: &Shown) {
        if self == Self::Cloud {
            return cloud::write::event(line, &shown.event);
        }
        plain::begin(line, &shown.event);
        if let Some((stream, number)) = &shown.link {
            line.extend_from_slice(b",\"link\":{\"stream\":");
            text::push_string(line, stream.as_str());
            line.extend_from_slice(format!(",\"revision\":{number}}}").as_bytes());
        }
        line.push(b'}');
    }
}

/// What a media range (RFC 9110, section 12.5.1) accepts, with its weight in thousandths.
fn accepts(range: &str) -> Option<(u16, Format)> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let format = match name.as_str() {
        "*/*" | "application/*" => Format::Json,
        _ => TYPES.iter().find(|(known, _)| *known == name)?.1,
    };
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    Some((weight.map_or(Some(1_000), thousandths)?, format))
}

fn thousandths(weight: &str) -> Option<u16> {
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = format!("{part:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;
    use axum::http::{HeaderMap, HeaderValue};

    use super::{Format, Given};

    fn accepted(accept: Option<&str>) -> Option<Format> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        Format::of_page(&Given::parse(None, &[]).unwrap(), &headers).ok()
    }

    #[test]
    fn the_best_that_is_accepted_is_given() {
        let check =
            |accept: &str, expected| assert_eq!(accepted(Some(accept)), expected, "{accept}");
        assert_eq!(accepted(None), Some(Format::Json));
        check("*/*", Some(Format::Json));
        check("", Some(Format::Json));
        check("application/x-ndjson", Some(Format::Lines));
        check(
            "text/html, application/x-ndjson;q=0.5, */*;q=0.1",
            Some(Format::Lines),
        );
        check(
            "application/json;q=0.8, application/cloudevents-batch+json",
            Some(Format::Cloud),
        );
        check(
            "Application/CloudEvents-Batch+JSON; charset=utf-8",
            Some(Format::Cloud),
        );
        check("text/html", None);
        check("application/json;q=0", None);
        check("application/json;q=2", None);
    }
}

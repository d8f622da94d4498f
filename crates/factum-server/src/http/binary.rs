//! A `CloudEvent` in binary mode: attributes in headers `ce-…`, the data as the body (`CloudEvents` HTTP binding 1.0.2, section 3.1).
//!
//! It is written down in structured mode, so that both are understood alike. Never: gives an attribute another name or value.

use std::borrow::Cow;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factum_json::text;
use percent_encoding::percent_decode;

use super::problem::Problem;

const PREFIX: &str = "ce-";

/// Whether the headers are those of an event.
pub(super) fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion")
}

/// The same event in structured mode.
///
/// # Errors
/// An attribute is no text, comes twice, or would be the data; or the body is not the JSON that it says.
pub(super) fn structured(
    headers: &HeaderMap,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Vec<u8>, Problem> {
    let mut event = Vec::with_capacity(body.len() + 512);
    event.push(b'{');
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        if matches!(attribute, "data" | "data_base64" | "datacontenttype") {
            let what = "the data is the body, and Content-Type says what it is";
            return Err(Problem::invalid(format!("header {name}: {what}")));
        }
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::invalid(format!("header {name} is given twice")));
        };
        let value = unquoted(value.as_bytes()).ok_or_else(|| {
            Problem::invalid(format!(
                "header {name} begins a quoted text and does not end it"
            ))
        })?;
        let value = percent_decode(&value).decode_utf8();
        let value = value
            .map_err(|error| Problem::invalid(format!("header {name} is not UTF-8: {error}")))?;
        member(&mut event, attribute);
        // The one attribute of ours that is a number.
        match (attribute, value.parse::<u32>()) {
            ("schemaversion", Ok(version)) => event.extend(version.to_string().bytes()),
            _ => text::push_string(&mut event, &value),
        }
    }
    if let Some(content_type) = content_type {
        member(&mut event, "datacontenttype");
        text::push_string(&mut event, content_type);
    }
    data(&mut event, content_type, body)?;
    event.push(b'}');
    Ok(event)
}

/// A value without its double quotes, if it has some (RFC 7230, section 3.2.6); `None` when what begins with one is not quoted as a whole.
fn unquoted(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(rest) = value.strip_prefix(b"\"") else {
        return Some(Cow::Borrowed(value));
    };
    let quoted = rest.strip_suffix(b"\"")?;
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'"' => return None,
            b'\\' => *bytes.next()?,
            other => *other,
        });
    }
    Some(Cow::Owned(text))
}

fn data(event: &mut Vec<u8>, content_type: Option<&str>, body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    if !content_type.is_some_and(is_json) {
        member(event, "data_base64");
        text::push_string(event, &STANDARD.encode(body));
        return Ok(());
    }
    match serde_json::from_slice::<&serde_json::value::RawValue>(body) {
        Ok(value) => {
            member(event, "data");
            event.extend_from_slice(value.get().as_bytes());
            Ok(())
        }
        Err(error) => Err(Problem::invalid(format!("the body is wrong: {error}"))
            .with("line", error.line())
            .with("column", error.column())),
    }
}

fn member(event: &mut Vec<u8>, name: &str) {
    if event.len() > 1 {
        event.push(b',');
    }
    text::push_string(event, name);
    event.push(b':');
}

/// Whether a type is that of JSON (RFC 6839, section 3.1, for the suffix).
fn is_json(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default().trim();
    let name = name.to_ascii_lowercase();
    name == "application/json" || name.ends_with("+json")
}

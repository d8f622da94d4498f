//! JSON as text: its members without a tree, its strings, and on one line.
//!
//! Relies on: `serde_json` for what is valid. Never: changes the text of a number or a string.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Most members of an object: more than the limits of an event have room for.
pub const MEMBERS_MAX: usize = 1 << 17;
/// So many members are compared with each other.
const FEW_MEMBERS: usize = 32;

/// One member of an object: its name, and its value as it was written.
pub type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// The members of the one object that `text` is, in their order; a name may come twice.
///
/// ```
/// let members = factum_json::text::members(br#"{"total": 42.0}"#)?;
/// assert_eq!((members[0].0.as_ref(), members[0].1.get()), ("total", "42.0"));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// It is no JSON object, or has more than [`MEMBERS_MAX`] members.
pub fn members(text: &[u8]) -> Result<Vec<Member<'_>>, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let members = parser.deserialize_map(MembersVisitor)?;
    parser.end()?;
    Ok(members)
}

/// A name that comes twice.
#[must_use]
pub fn twice<'m>(members: &'m [Member<'_>]) -> Option<&'m str> {
    // Few are compared with each other, which needs no memory; a hostile object may hold a million.
    if members.len() <= FEW_MEMBERS {
        let mut rest = members;
        while let Some(((name, _), before)) = rest.split_last() {
            if before.iter().any(|(earlier, _)| earlier == name) {
                return Some(name);
            }
            rest = before;
        }
        return None;
    }
    let mut seen = HashSet::with_capacity(members.len());
    members
        .iter()
        .map(|(name, _)| name.as_ref())
        .find(|name| !seen.insert(*name))
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(12);
        while let Some(Name(name)) = map.next_key()? {
            if members.len() == MEMBERS_MAX {
                let what = format!("more than {MEMBERS_MAX} members");
                return Err(serde::de::Error::custom(what));
            }
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// A string that is borrowed when it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// The text of a value that is a string.
#[must_use]
pub fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(text).ok().map(Cow::Owned)
}

/// The one JSON value that `bytes` are, without the space around it; `None` if they are anything else.
///
/// ```
/// assert_eq!(factum_json::text::value(b" 1.0 "), Some("1.0"));
/// assert_eq!(factum_json::text::value(b"one"), None);
/// ```
#[must_use]
pub fn value(bytes: &[u8]) -> Option<&str> {
    serde_json::from_slice::<&RawValue>(bytes)
        .ok()
        .map(RawValue::get)
}

/// Adds `text` as a JSON string.
pub fn push_string(line: &mut Vec<u8>, text: &str) {
    let plain = text
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        // Writing a string into memory cannot fail.
        drop(serde_json::to_writer(line, text));
    }
}

/// Adds valid JSON exactly as it is, or without the space between its parts if it has line breaks.
pub fn push_value(line: &mut Vec<u8>, json: &str) {
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_none() {
        line.extend_from_slice(json.as_bytes());
        return;
    }
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json.as_bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        line.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::{members, push_string, push_value, string, twice, value};

    #[test]
    fn a_name_that_comes_twice_is_found_among_few_and_among_many() {
        for count in [2, 32, 33, 100_000] {
            let all: Vec<_> = (0..count).map(|n| format!("\"n{n}\":0")).collect();
            let object = format!("{{{}}}", all.join(","));
            assert_eq!(twice(&members(object.as_bytes()).unwrap()), None, "{count}");
            let object = format!("{{{},\"n\\u0030\":1}}", all.join(","));
            assert_eq!(
                twice(&members(object.as_bytes()).unwrap()),
                Some("n0"),
                "{count}"
            );
        }
        assert_eq!(twice(&[]), None);
    }

    #[test]
    fn members_keep_the_text_of_their_values() {
        let found = members(br#"{"a": 1.50, "b\u0021":{"x":[ ]}, "a":"\n"}"#).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|(name, value)| (name.as_ref(), value.get()))
            .collect();
        assert_eq!(
            shown,
            [("a", "1.50"), ("b!", r#"{"x":[ ]}"#), ("a", r#""\n""#)]
        );
        for bad in [
            "",
            "[]",
            "{",
            r#"{"a":1} x"#,
            r#"{"a":01}"#,
            "{\"a\":\"\u{1}\"}",
            "7",
        ] {
            assert!(members(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(members(b"{\"a\":\"\xFF\"}").is_err());
    }

    #[test]
    fn strings_are_unescaped() {
        let found = members(br#"{"a":"x\u00e9\ty","b":7,"c":"\ud800"}"#).unwrap();
        let texts: Vec<_> = found.iter().map(|(_, value)| string(value)).collect();
        assert_eq!(texts[0].as_deref(), Some("xé\ty"));
        assert_eq!(texts[1..], [None, None]);
    }

    #[test]
    fn line_breaks_go_and_strings_stay() {
        let check = |json: &str, expected: &str| {
            let mut line = Vec::new();
            push_value(&mut line, json);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        };
        check("{ \"a\" : 1 }", "{ \"a\" : 1 }");
        check(
            "{\n  \"a b\": \"x \\\" y\\\\\",\r\n\t\"c\": [1, 2]\n}",
            r#"{"a b":"x \" y\\","c":[1,2]}"#,
        );
    }

    #[test]
    fn what_is_not_one_json_value_is_told() {
        assert_eq!(value(b" {\"a\":1}\n"), Some("{\"a\":1}"));
        for bad in [&b""[..], b"{", b"{} {}", b"\"\x1b\"", b"\"\xFF\"", b"nan"] {
            assert_eq!(value(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn strings_are_escaped() {
        let mut line = Vec::new();
        push_string(&mut line, "a\"b\\c\u{1}é");
        assert_eq!(String::from_utf8(line).unwrap(), "\"a\\\"b\\\\c\\u0001é\"");
    }
}

//! Between Rust values and stored bytes: what a hand-written [`Event`](crate::Event) calls, and what the derive writes.
//!
//! Relies on: serde_json. Never: keeps the name of a Rust variant; the data of an event are its fields alone.

use std::fmt;

use factum_types::Tag;
use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, IntoDeserializer,
    VariantAccess, Visitor,
};
use serde::{Serialize, forward_to_deserialize_any};

use crate::error::Error;

/// The JSON of a value.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): the value has no form in JSON, or nests deeper than can be read again.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let json = to_json(value)?;
    must_be_readable(&json)?;
    Ok(json)
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| {
        Error::invalid(format!("the value has no form in JSON: {error}")).because(error)
    })
}

/// The JSON of the fields of an enum's variant, without the variant.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): the value has no form in JSON, nests deeper than can be read again, or the enum is not tagged from
/// outside, as serde's are.
pub fn encode_variant<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let mut json = to_json(value)?;
    if json.starts_with(b"\"") {
        return Ok(b"{}".to_vec());
    }
    // `{"Variant":…}`, and a variant's name holds no quote.
    let start = json.windows(2).position(|pair| pair == b"\":");
    match start {
        Some(start) if json.starts_with(b"{\"") && json.ends_with(b"}") => {
            json.pop();
            json.drain(..start + 2);
            must_be_readable(&json)?;
            // More than one value: a map with several keys, of which the first is no variant.
            serde_json::from_slice::<IgnoredAny>(&json)
                .map_err(|error| not_by_default().because(error))?;
            Ok(json)
        }
        _ => Err(not_by_default()),
    }
}

fn not_by_default() -> Error {
    Error::invalid("the enum is not stored as serde does by default: {\"Variant\": {…}}")
}

/// How deep lists and objects may nest to be read again: serde_json refuses more.
pub(crate) const DEPTH_MAX: usize = 127;

/// Fails when JSON nests deeper than what [`decode`] takes.
pub(crate) fn must_be_readable(json: &[u8]) -> Result<(), Error> {
    let depth = depth(json);
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "it is nested {depth} levels deep, and more than {DEPTH_MAX} could not be read again"
    )))
}

/// How deep lists and objects nest in JSON that is well formed.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A value from its JSON.
///
/// # Errors
/// [`Kind::Decode`](crate::Kind::Decode), naming the event and its version.
pub fn decode<T: DeserializeOwned>(name: &str, version: u32, data: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(data).map_err(|error| wrong_shape(name, version, error))
}

/// An enum whose variant with this index has the fields in the JSON.
///
/// # Errors
/// [`Kind::Decode`](crate::Kind::Decode), naming the event and its version.
pub fn decode_variant<T: DeserializeOwned>(
    index: u32,
    name: &str,
    version: u32,
    data: &[u8],
) -> Result<T, Error> {
    T::deserialize(Variant { index, data }).map_err(|error| wrong_shape(name, version, error))
}

fn wrong_shape(name: &str, version: u32, error: serde_json::Error) -> Error {
    Error::decode(format!(
        "{name} version {version} has another shape: {error}"
    ))
    .because(error)
}

/// A tag with this key and value.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): the value is empty, too long or holds forbidden characters.
pub fn tag(key: &str, value: impl fmt::Display) -> Result<Tag, Error> {
    Ok(Tag::new(format!("{key}:{value}"))?)
}

/// Adds a tag, unless it is there already.
///
/// # Errors
/// As for [`tag()`].
pub fn push_tag(tags: &mut Vec<Tag>, key: &str, value: impl fmt::Display) -> Result<(), Error> {
    let tag = tag(key, value)?;
    if !tags.contains(&tag) {
        tags.push(tag);
    }
    Ok(())
}

/// A number that stays the same for the same bytes, in every process and version (FNV-1a, 64 bits).
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// An enum that is known by the index of its variant, so that renaming the variant changes nothing that is stored.
struct Variant<'a> {
    index: u32,
    data: &'a [u8],
}

impl<'de> Variant<'de> {
    fn with<T>(
        self,
        read: impl FnOnce(
            &mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
        ) -> Result<T, serde_json::Error>,
    ) -> Result<T, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(self.data);
        let value = read(&mut json)?;
        json.end()?;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Variant<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), Self::Error> {
        let index: U32Deserializer<serde_json::Error> = self.index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Self::Error> {
        self.with(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.with(|json| json.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.with(|json| json.deserialize_struct("", fields, visitor))
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::Value;

    use super::{DEPTH_MAX, depth, encode_variant, must_be_readable};

    #[derive(Serialize)]
    enum Outside {
        Unit,
        Named { a: u8, b: u8 },
        Tuple(u8, u8),
        Newtype(&'static str),
    }

    #[derive(Serialize)]
    #[serde(tag = "type")]
    enum Inside {
        Named { a: u8 },
    }

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u8),
    }

    #[derive(Serialize)]
    enum Quoted {
        #[serde(rename = "a\":b")]
        Named { a: u8 },
    }

    fn check(value: &impl Serialize, expected: Option<&str>) {
        let data = encode_variant(value).ok();
        let data = data.map(|data| String::from_utf8_lossy(&data).into_owned());
        assert_eq!(data.as_deref(), expected);
    }

    #[test]
    fn fields_are_encoded_without_their_variant() {
        check(&Outside::Unit, Some("{}"));
        check(&Outside::Named { a: 1, b: 2 }, Some(r#"{"a":1,"b":2}"#));
        check(&Outside::Tuple(1, 2), Some("[1,2]"));
        check(&Outside::Newtype("x\":{}"), Some(r#""x\":{}""#));
    }

    #[test]
    fn what_has_another_form_is_refused() {
        // `{"type":"Named","a":1}`: what comes after the first key is more than one value.
        check(&Inside::Named { a: 1 }, None);
        check(&Untagged::Number(1), None);
        check(&Quoted::Named { a: 1 }, None);
    }

    #[test]
    fn depth_is_that_of_lists_and_objects_outside_texts() {
        let check = |json: &str, expected: usize| {
            assert!(serde_json::from_str::<Value>(json).is_ok(), "{json}");
            assert_eq!(depth(json.as_bytes()), expected, "{json}");
        };
        check("1", 0);
        check("[]", 1);
        check(r#"{"a": [1, {}], "b": []}"#, 3);
        check(r#"["[[", "\"[[", "\\", [], "{"]"#, 2);
        check(r#"{"[\\\"{": 1}"#, 1);
    }

    #[test]
    fn what_passes_is_what_can_be_read() {
        for nested in [DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, DEPTH_MAX + 2] {
            let json = ["[".repeat(nested), "]".repeat(nested)].concat();
            let can_be_read = serde_json::from_str::<Value>(&json).is_ok();
            let passes = must_be_readable(json.as_bytes()).is_ok();
            assert_eq!(passes, can_be_read, "{nested} levels");
        }
    }
}

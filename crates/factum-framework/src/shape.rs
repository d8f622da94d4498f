//! The fields of a state, as serde's derive names them.
//!
//! Relies on: `Deserialize` asking for a struct by its name and fields. Never: decodes anything.

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor, value::Error};
use serde::forward_to_deserialize_any;

/// The name and the fields of a struct, or the variants of an enum; empty for what is neither.
pub(crate) fn fields<T: DeserializeOwned>() -> String {
    let mut found = String::new();
    // It always fails: what is wanted is only what was asked for.
    drop(T::deserialize(Listener(&mut found)));
    found
}

struct Listener<'a>(&'a mut String);

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only listening"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = format!("{name} {fields:?}");
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = format!("{name} {variants:?}");
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

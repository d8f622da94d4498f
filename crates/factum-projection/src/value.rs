//! Values of columns, tags and fields, the same for every sink.
//!
//! Relies on: nothing. Never: lets through what one sink takes and another does not.

use factum_types::Timestamp;

/// What a column of a row, or a field of a point, holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number; sinks take no NaN and nothing infinite.
    Real(f64),
    /// Text; sinks take no zero character.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment.
    Time(Timestamp),
    /// JSON, as its text. A sink may give it back with other spaces, and its members in another order.
    Json(String),
}

macro_rules! value_from {
    ($($from:ty => $to:ident),*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$to(value.into())
            }
        })*
    };
}
value_from!(bool => Bool, i64 => Integer, i32 => Integer, u32 => Integer, f64 => Real, &str => Text, String => Text, Vec<u8> => Bytes, Timestamp => Time);

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        Self::Json(value.to_string())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Value {
    /// Whether a reader takes one for the other: JSON by what it says, zero with either sign.
    ///
    /// ```
    /// use factum_projection::Value;
    ///
    /// let (a, b) = (r#"{"a": 1, "b": 2}"#, r#"{"b":2,"a":1}"#);
    /// assert!(Value::Json(a.to_owned()).same(&Value::Json(b.to_owned())));
    /// ```
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(ours), Self::Json(theirs)) => {
                let read = |text: &String| serde_json::from_str::<serde_json::Value>(text).ok();
                ours == theirs || (read(ours).is_some() && read(ours) == read(theirs))
            }
            _ => self == other,
        }
    }

    /// Why no sink takes it; `None` when they do.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        match self {
            Self::Real(number) if number.is_nan() => Some("NaN"),
            Self::Real(number) if number.is_infinite() => Some("an infinite number"),
            Self::Text(text) if text.contains('\0') => Some("text with a zero character"),
            Self::Json(text) => {
                let read = serde_json::from_str::<serde::de::IgnoredAny>(text);
                read.is_err().then_some("what is not JSON")
            }
            _ => None,
        }
    }
}

//! Names that clients choose: streams, event types, tags, and the category hidden in a stream's name.
//!
//! A name is UTF-8 of bounded length without control characters and without characters that reorder text (a hostile name must not
//! be able to dress up as another in a terminal). Cloning one is a reference count.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It holds nothing.
    #[error("{what} is empty")]
    Empty {
        /// What was to be named.
        what: &'static str,
    },
    /// It is longer than the limit.
    #[error("{what} {start:?}… has {bytes} bytes, more than the limit of {limit}")]
    TooLong {
        /// What was to be named.
        what: &'static str,
        /// How it begins.
        start: String,
        /// Its length in bytes.
        bytes: usize,
        /// The greatest length allowed, in bytes.
        limit: usize,
    },
    /// It holds a control character or one that reorders text.
    #[error("{what} {shown:?} has the forbidden character U+{code:04X} at byte {at}")]
    Forbidden {
        /// What was to be named.
        what: &'static str,
        /// The text.
        shown: String,
        /// The character's code point.
        code: u32,
        /// Where it stands, in bytes from the start.
        at: usize,
    },
    /// A tag is not of the form `key:value`.
    #[error("tag {shown:?} is not of the form key:value")]
    NotKeyValue {
        /// The text.
        shown: String,
    },
}

/// Control characters, and the ones that change the direction of text or hide.
const fn is_forbidden(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1F}' | '\u{7F}'..='\u{9F}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{2069}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > limit {
        let start = text.chars().take(32).collect();
        return Err(NameError::TooLong {
            what,
            start,
            bytes: text.len(),
            limit,
        });
    }
    // Most names are plain ASCII; one pass over bytes settles those.
    if text.bytes().all(|b| (0x20..0x7F).contains(&b)) {
        return Ok(());
    }
    match text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        None => Ok(()),
        Some((at, c)) => Err(NameError::Forbidden {
            what,
            shown: text.to_owned(),
            code: u32::from(c),
            at,
        }),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name, when `text` may be one.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                check($what, text, $limit)?;
                Self::check_form(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of a stream: the ordered events of one aggregate, `order-123`.
    StreamName, "stream name", limits::STREAM_NAME_BYTES_MAX
);
name!(
    /// What kind of thing happened, in the past tense: `OrderPlaced`.
    EventType, "event type", limits::EVENT_TYPE_BYTES_MAX
);
name!(
    /// An indexed `key:value` on an event; both parts are at least one character.
    Tag, "tag", limits::TAG_BYTES_MAX
);
name!(
    /// What many streams have in common: the part of a stream's name before the first `-`.
    Category, "category", limits::STREAM_NAME_BYTES_MAX
);

impl StreamName {
    #[expect(clippy::unnecessary_wraps, reason = "one shape for all names")]
    const fn check_form(_: &str) -> Result<(), NameError> {
        Ok(())
    }

    /// The part before the first `-`, when there is one and it is not empty.
    #[must_use]
    pub fn category(&self) -> Option<&str> {
        category_of(&self.0)
    }
}

/// The category in a stream's name: the part before the first `-`, when there is one and it is not empty.
#[must_use]
pub fn category_of(stream: &str) -> Option<&str> {
    stream
        .split_once('-')
        .map(|(category, _)| category)
        .filter(|category| !category.is_empty())
}

impl EventType {
    #[expect(clippy::unnecessary_wraps, reason = "one shape for all names")]
    const fn check_form(_: &str) -> Result<(), NameError> {
        Ok(())
    }
}

impl Category {
    #[expect(clippy::unnecessary_wraps, reason = "one shape for all names")]
    const fn check_form(_: &str) -> Result<(), NameError> {
        Ok(())
    }
}

impl Tag {
    fn check_form(text: &str) -> Result<(), NameError> {
        match text.split_once(':') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok(()),
            _ => Err(NameError::NotKeyValue {
                shown: text.to_owned(),
            }),
        }
    }

    /// The part before the first `:`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.split_once(':').map_or("", |(key, _)| key)
    }

    /// The part after the first `:`.
    #[must_use]
    pub fn value(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::{NameError, StreamName, Tag};

    #[test]
    fn category_is_before_the_first_dash() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(
                StreamName::new(name).unwrap().category(),
                expected,
                "{name}"
            );
        };
        check("order-123", Some("order"));
        check("order-a-b", Some("order"));
        check("order", None);
        check("-x", None);
    }

    #[test]
    fn hostile_names_are_refused_by_character() {
        let check = |text: &str, code: u32| match StreamName::new(text) {
            Err(NameError::Forbidden { code: found, .. }) => assert_eq!(found, code),
            other => panic!("{text:?} gave {other:?}"),
        };
        check("a\nb", 0x0A);
        check("a\u{1b}[31mred", 0x1B);
        check("order\u{202E}321-redro", 0x202E);
        check("or\u{200B}der", 0x200B);
        assert!(StreamName::new("Bestellung-größe ✓").is_ok());
    }

    #[test]
    fn length_is_counted_in_bytes() {
        assert!(StreamName::new("x".repeat(512)).is_ok());
        let error = StreamName::new("x".repeat(513)).unwrap_err();
        assert!(error.to_string().contains("513"), "{error}");
        assert_eq!(
            StreamName::new(""),
            Err(NameError::Empty {
                what: "stream name"
            })
        );
    }

    #[test]
    fn a_tag_has_two_parts() {
        let tag = Tag::new("course:c1:x").unwrap();
        assert_eq!((tag.key(), tag.value()), ("course", "c1:x"));
        for bad in ["course", ":c1", "course:"] {
            assert!(
                matches!(Tag::new(bad), Err(NameError::NotKeyValue { .. })),
                "{bad}"
            );
        }
    }
}

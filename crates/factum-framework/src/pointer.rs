//! Places in JSON: pointers as RFC 6901 writes them, to read by and to write by.
//!
//! What lives here: [`Pointer`]. Relies on: nothing. Never: makes a list, or a member of one, that was not there.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::Error;

/// Deeper than this no pointer goes.
const DEPTH_MAX: usize = 64;

/// A place in a JSON value: `/customer/name`; the empty text is the whole value. In a name `~` is written `~0` and `/` is written `~1`.
///
/// ```
/// use factum_framework::pointer::Pointer;
/// use serde_json::json;
///
/// let mut order = json!({"total": 30});
/// Pointer::new("/customer/name")?.set(&mut order, json!("anna"))?;
/// assert_eq!(order, json!({"total": 30, "customer": {"name": "anna"}}));
/// assert_eq!(Pointer::new("/total")?.remove(&mut order), Some(json!(30)));
/// # Ok::<(), factum_framework::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The whole value.
    pub const ROOT: Self = Self(Vec::new());

    /// The place that a text names.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it does not begin with `/`, has a `~` that stands for nothing, or goes too deep.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Error> {
        let text = text.as_ref();
        let wrong = |what: &str| Error::invalid(format!("{text:?} is no JSON pointer: {what}"));
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Some(names) = text.strip_prefix('/') else {
            return Err(wrong("it begins with /, as in /customer/name"));
        };
        let mut path = Vec::new();
        for name in names.split('/') {
            if name.replace("~0", "").replace("~1", "").contains('~') {
                return Err(wrong("~ is written ~0, and / in a name ~1"));
            }
            path.push(name.replace("~1", "/").replace("~0", "~"));
        }
        if path.len() > DEPTH_MAX {
            return Err(wrong("it is more than 64 names deep"));
        }
        Ok(Self(path))
    }

    /// Whether it is the whole value.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// What is there.
    #[must_use]
    pub fn get<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, name| match value {
            Value::Object(fields) => fields.get(name),
            Value::Array(items) => items.get(index(name)?),
            _ => None,
        })
    }

    /// Puts a value there, and makes the objects that are missing on the way.
    ///
    /// # Errors
    /// As for [`place`](Self::place).
    pub fn set(&self, target: &mut Value, value: Value) -> Result<(), Error> {
        *self.place(target)? = value;
        Ok(())
    }

    /// The place itself, made with the objects on the way and `null` in it when it is not there.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): something on the way is neither an object nor a list with such a member.
    pub fn place<'a>(&self, target: &'a mut Value) -> Result<&'a mut Value, Error> {
        let mut at = target;
        for (depth, name) in self.0.iter().enumerate() {
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
            let what = kind(at);
            let next = match at {
                Value::Object(fields) => Some(fields.entry(name.as_str()).or_insert(Value::Null)),
                Value::Array(items) => index(name).and_then(|index| items.get_mut(index)),
                _ => None,
            };
            at = next.ok_or_else(|| {
                let above = Self(self.0.iter().take(depth).cloned().collect());
                Error::invalid(format!(
                    "{self} cannot be reached: at {:?} stands {what} without {name:?}",
                    above.to_string()
                ))
            })?;
        }
        Ok(at)
    }

    /// Takes out what is there. The whole value becomes `null`.
    pub fn remove(&self, target: &mut Value) -> Option<Value> {
        let Some((last, above)) = self.0.split_last() else {
            return Some(target.take());
        };
        let parent = above.iter().try_fold(target, |value, name| match value {
            Value::Object(fields) => fields.get_mut(name),
            Value::Array(items) => items.get_mut(index(name)?),
            _ => None,
        })?;
        match parent {
            Value::Object(fields) => fields.remove(last),
            Value::Array(items) => {
                let index = index(last).filter(|index| *index < items.len())?;
                Some(items.remove(index))
            }
            _ => None,
        }
    }
}

/// The number of a list's member, written without signs and leading zeros.
fn index(name: &str) -> Option<usize> {
    let plain = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| plain)
}

/// A name as a pointer writes it.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What a value is, with its article.
#[must_use]
pub const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.0 {
            write!(f, "/{}", escaped(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Pointer;
    use serde_json::{Value, json};

    fn at(text: &str) -> Pointer {
        Pointer::new(text).unwrap()
    }

    /// The examples of RFC 6901, section 5, of those that JSON alone can write.
    #[test]
    fn pointers_read_as_the_rfc_says() {
        let text =
            r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, " ": 7, "m~n": 8}"#;
        let document: Value = serde_json::from_str(text).unwrap();
        let check = |pointer: &str, expected: Value| {
            assert_eq!(at(pointer).get(&document), Some(&expected), "{pointer}");
            assert_eq!(at(pointer).to_string(), pointer);
        };
        check("", document.clone());
        check("/foo", json!(["bar", "baz"]));
        check("/foo/0", json!("bar"));
        check("/", json!(0));
        check("/a~1b", json!(1));
        check("/c%d", json!(2));
        check("/ ", json!(7));
        check("/m~0n", json!(8));
        for missing in [
            "/none", "/foo/2", "/foo/00", "/foo/-1", "/foo/+1", "/a~1b/c",
        ] {
            assert_eq!(at(missing).get(&document), None, "{missing}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["foo", "/a~2", "/a~", &"/x".repeat(65)] {
            assert!(Pointer::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn setting_makes_objects_and_nothing_else() {
        let mut value = json!({"a": null, "list": [1], "text": "x"});
        at("/a/b/c").set(&mut value, json!(1)).unwrap();
        at("/list/0").set(&mut value, json!(2)).unwrap();
        assert_eq!(
            value,
            json!({"a": {"b": {"c": 1}}, "list": [2], "text": "x"})
        );
        let error = at("/list/1").set(&mut value, json!(2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/list/1 cannot be reached: at \"/list\" stands a list without \"1\""
        );
        assert!(at("/text/x").set(&mut value, json!(2)).is_err());
    }

    #[test]
    fn removing_gives_what_was_there() {
        let mut value = json!({"a": {"b": 1}, "list": [1, 2]});
        assert_eq!(at("/a/b").remove(&mut value), Some(json!(1)));
        assert_eq!(at("/list/0").remove(&mut value), Some(json!(1)));
        assert_eq!(at("/list/7").remove(&mut value), None);
        assert_eq!(at("/x/y").remove(&mut value), None);
        assert_eq!(value, json!({"a": {}, "list": [2]}));
        at("").remove(&mut value);
        assert_eq!(value, Value::Null);
    }
}

//! A state without a Rust type: the data of a stream's events, applied in order as JSON merge patches (RFC 7396).
//!
//! What lives here: the patch itself; the fold that applies it is in [`fold`](crate::fold). Relies on: data that are JSON objects.
//! Never: guesses; data that are something else change nothing but the version.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::fold::{Fold, Folded};
use crate::load::AsOf;
use crate::repository::Repository;

/// Applies a JSON merge patch (RFC 7396, section 2).
///
/// ```
/// use factum_framework::generic::merge_patch;
/// use serde_json::json;
///
/// let mut target = json!({"status": "new", "note": "x"});
/// merge_patch(&mut target, json!({"status": "paid", "note": null}));
/// assert_eq!(target, json!({"status": "paid"}));
/// ```
pub fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge_patch(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Merges an object. Anything else would replace what is there, which is not what a file means by merging.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
#[cfg(feature = "files")]
pub(crate) fn merge_object(target: &mut Value, patch: Value) -> Result<(), Error> {
    if !patch.is_object() {
        let what = crate::pointer::kind(&patch);
        return Err(Error::invalid(format!(
            "only an object can be merged, not {what}"
        )));
    }
    merge_patch(target, patch);
    Ok(())
}

impl Repository {
    /// What the events of a stream say, merged, up to a point in its past or all of them; see [`Fold::merge`].
    ///
    /// # Errors
    /// As for [`folded`](Self::folded).
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub async fn merged(
        &self,
        stream: impl AsRef<str>,
        as_of: Option<AsOf>,
    ) -> Result<Folded, Error> {
        self.folded(stream, &Fold::merge(), as_of).await
    }
}

#[cfg(test)]
mod tests {
    use super::merge_patch;
    use serde_json::{Value, json};

    fn check(mut target: Value, patch: Value, expected: &Value) {
        merge_patch(&mut target, patch);
        assert_eq!(target, *expected);
    }

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn patches_do_as_the_rfc_says() {
        check(json!({"a": "b"}), json!({"a": "c"}), &json!({"a": "c"}));
        check(
            json!({"a": "b"}),
            json!({"b": "c"}),
            &json!({"a": "b", "b": "c"}),
        );
        check(json!({"a": "b"}), json!({"a": null}), &json!({}));
        check(
            json!({"a": "b", "b": "c"}),
            json!({"a": null}),
            &json!({"b": "c"}),
        );
        check(json!({"a": ["b"]}), json!({"a": "c"}), &json!({"a": "c"}));
        check(json!({"a": "c"}), json!({"a": ["b"]}), &json!({"a": ["b"]}));
        let nested = json!({"a": {"b": "d", "c": null}});
        check(json!({"a": {"b": "c"}}), nested, &json!({"a": {"b": "d"}}));
        check(
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            &json!({"a": [1]}),
        );
        check(json!(["a", "b"]), json!(["c", "d"]), &json!(["c", "d"]));
        check(json!({"a": "b"}), json!(["c"]), &json!(["c"]));
        check(json!({"a": "foo"}), Value::Null, &Value::Null);
        check(json!({"a": "foo"}), json!("bar"), &json!("bar"));
        check(
            json!({"e": null}),
            json!({"a": 1}),
            &json!({"e": null, "a": 1}),
        );
        check(
            json!([1, 2]),
            json!({"a": "b", "c": null}),
            &json!({"a": "b"}),
        );
        let deep = json!({"a": {"bb": {"ccc": null}}});
        check(json!({}), deep, &json!({"a": {"bb": {}}}));
    }
}

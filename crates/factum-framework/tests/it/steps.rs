//! Steps that a file declares: what they do to data, when they apply, and how mistakes are named.

use factum_framework::transform::file::DeclaredSteps;
use factum_framework::transform::{Draft, Steps};
use serde_json::{Value, json};

use crate::transforming::{all, append, event, target};

fn one(file: &str, data: &Value) -> Result<Vec<Value>, String> {
    let store = target();
    append(&store, "s-1", vec![event(1, "A", data)]);
    let steps = DeclaredSteps::read(file).unwrap();
    let recorded = all(&store).remove(0);
    let made = steps
        .apply(Draft::new(recorded))
        .map_err(|error| error.to_string())?;
    Ok(made
        .into_iter()
        .map(|mut draft| draft.data().unwrap().clone())
        .collect())
}

/// What stands in `fields`, and data before and after.
const FIELDS: &[(&str, &str, &str)] = &[
    (
        "{ move = \"/a\", to = \"/b/c\" }",
        r#"{"a": 1}"#,
        r#"{"b": {"c": 1}}"#,
    ),
    (
        "{ move = \"/a\", to = \"/b\" }, { copy = \"/b\", to = \"/c\" }",
        r#"{"a": 1}"#,
        r#"{"b": 1, "c": 1}"#,
    ),
    (
        "{ move = \"/x\", to = \"/b\" }",
        r#"{"a": 1}"#,
        r#"{"a": 1}"#,
    ),
    (
        "{ remove = [\"/a\", \"/b/c\"] }",
        r#"{"a": 1, "b": {"c": 1}}"#,
        r#"{"b": {}}"#,
    ),
    (
        "{ keep = [\"/a\", \"/b/c\", \"/x\"] }",
        r#"{"a": 1, "b": {"c": 1, "d": 2}}"#,
        r#"{"a": 1, "b": {"c": 1}}"#,
    ),
    (
        "{ set = \"/a\", value = { x = [1, 2.5, true] } }",
        r#"{}"#,
        r#"{"a": {"x": [1, 2.5, true]}}"#,
    ),
    (
        "{ set = \"/a\", beside = \"type\" }, { set = \"/r\", beside = \"revision\" }",
        r#"{}"#,
        r#"{"a": "A", "r": 0}"#,
    ),
    (
        "{ fill = \"/a\", value = 1 }, { fill = \"/b\", value = 1 }",
        r#"{"a": 0}"#,
        r#"{"a": 0, "b": 1}"#,
    ),
    (
        "{ convert = \"/a\", as = \"number\" }",
        r#"{"a": "7"}"#,
        r#"{"a": 7}"#,
    ),
    (
        "{ map = \"/a\", values = { x = \"y\", 1 = \"one\", true = 0 } }",
        r#"{"a": "x"}"#,
        r#"{"a": "y"}"#,
    ),
    (
        "{ map = \"/a\", values = { x = \"y\", 1 = \"one\" } }",
        r#"{"a": 1}"#,
        r#"{"a": "one"}"#,
    ),
    (
        "{ map = \"/a\", values = { }, otherwise = \"keep\" }",
        r#"{"a": [1]}"#,
        r#"{"a": [1]}"#,
    ),
    (
        "{ map = \"/a\", values = { }, otherwise = \"remove\" }",
        r#"{"a": [1]}"#,
        r#"{}"#,
    ),
    (
        "{ join = [\"/a\", \"/b\", \"/x\"], to = \"/c\", with = \" \" }",
        r#"{"a": "x", "b": 2}"#,
        r#"{"c": "x 2"}"#,
    ),
    (
        "{ merge = \"/a\" }",
        r#"{"a": {"b": 1, "c": null}, "c": 2}"#,
        r#"{"b": 1}"#,
    ),
    (
        "{ merge = \"/a\", to = \"/d\" }",
        r#"{"a": {"b": 1}, "d": {"e": 1}}"#,
        r#"{"d": {"b": 1, "e": 1}}"#,
    ),
];

/// What stands in `fields`, data that it cannot be applied to, and what is said then.
const IMPOSSIBLE: &[(&str, &str, &str)] = &[
    (
        "{ map = \"/a\", values = { x = \"y\" } }",
        r#"{"a": "z"}"#,
        "/a: \"z\" is not among the values of the map",
    ),
    (
        "{ convert = \"/a\", as = \"number\" }",
        r#"{"a": "z"}"#,
        "/a: \"z\" cannot be made a number",
    ),
    (
        "{ merge = \"/a\" }",
        r#"{"a": 1}"#,
        "only an object can be merged",
    ),
    (
        "{ join = \"/a\", to = \"/b\" }",
        r#"{"a": {}}"#,
        "only texts can be joined",
    ),
    (
        "{ move = \"/a\", to = \"/b/c\" }",
        r#"{"a": 1, "b": 2}"#,
        "cannot be reached",
    ),
];

#[test]
fn fields_are_changed_in_order() {
    let run = |fields: &str, data: &str| {
        let file = format!("format = 1\n[[step]]\nevent = \"A\"\nfields = [{fields}]");
        one(&file, &serde_json::from_str(data).unwrap())
    };
    for (fields, before, after) in FIELDS {
        let after = serde_json::from_str(after).unwrap();
        assert_eq!(run(fields, before), Ok(vec![after]), "{fields}");
    }
    for (fields, data, words) in IMPOSSIBLE {
        let error = run(fields, data).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn conditions_choose() {
    let check = |condition: &str, data: &Value, holds: bool| {
        let file = format!("format = 1\n[[step]]\nevent = \"A\"\ndrop = true\n{condition}");
        assert_eq!(one(&file, data).unwrap().is_empty(), holds, "{condition}");
    };
    check("when = { \"/a\" = 1 }", &json!({"a": 1}), true);
    check("when = { \"/a\" = 1 }", &json!({"a": "1"}), false);
    check(
        "when = { \"/a\" = [1, 2], \"/b\" = \"x\" }",
        &json!({"a": 2, "b": "x"}),
        true,
    );
    check(
        "when = { \"/a\" = [1, 2], \"/b\" = \"x\" }",
        &json!({"a": 2}),
        false,
    );
    check("has = \"/a\"\nlacks = [\"/b\"]", &json!({"a": null}), true);
    check(
        "has = \"/a\"\nlacks = [\"/b\"]",
        &json!({"a": 1, "b": 1}),
        false,
    );
    check("stream = \"s-*\"", &json!({}), true);
    check("stream = \"*-1\"", &json!({}), true);
    check("stream = \"s\"", &json!({}), false);
    check("version = [1, 3]", &json!({}), true);
    check("version = 2", &json!({}), false);
    let unknown = |policy: &str| {
        one(
            &format!("format = 1\nunknown = \"{policy}\"\n[[step]]\nevent = \"B\"\ndrop = true"),
            &json!({}),
        )
    };
    assert_eq!(unknown("keep").unwrap().len(), 1);
    assert_eq!(unknown("drop").unwrap().len(), 0);
    assert_eq!(unknown("fail").unwrap_err(), "no step names the type A");
}

/// What follows `event = "A"` on the third line, and how the mistake in it is named.
const MISTAKES: &[(&str, &str)] = &[
    ("", "line 2: the step does nothing"),
    (
        "renam = \"B\"",
        "line 4: the key `renam` is not known here; known are event, version, stream, when, has, lacks, drop, split, rename",
    ),
    ("rename = \"\"", "line 4: `rename`: event type is empty"),
    ("drop = false", "line 4: `drop`: write true"),
    (
        "drop = true\nrename = \"B\"",
        "line 2: drop, split and changes exclude each other",
    ),
    (
        "set_version = 0",
        "line 4: `set_version`: a version from 1 on",
    ),
    (
        "set_version = 5000000000",
        "line 4: `set_version`: a version from 1 on",
    ),
    (
        "rename_stream = \"new-*\"",
        "line 4: `rename_stream`: * stands for what * took",
    ),
    (
        "stream = \"a-*-*\"\nrename = \"B\"",
        "line 4: `stream`: * may stand once",
    ),
    (
        "when = { a = 1 }\ndrop = true",
        "line 4: `when`: \"a\" is no JSON pointer",
    ),
    ("when = 1\ndrop = true", "line 4: `when`: a table"),
    (
        "split = [\n  { renam = \"B\" },\n]",
        "line 5: the key `renam` is not known here",
    ),
    (
        "fields = [\n  { move = \"/a\" },\n]",
        "line 5: the key `to` is missing: where it goes",
    ),
    (
        "fields = [\n\n  { set = \"/a\" },\n]",
        "line 6: `set`: what is put there",
    ),
    (
        "fields = [{ map = \"/a\", values = {}, otherwise = \"?\" }]",
        "line 4: `otherwise`: \"?\" is not one of fail, keep, remove",
    ),
    (
        "fields = [{ convert = \"/a\" }]",
        "line 4: the key `as` is missing",
    ),
    (
        "fields = [{ turn = \"/a\" }]",
        "line 4: the field says none of `set`, `fill`, `move`",
    ),
];

#[test]
fn mistakes_are_named_with_their_line() {
    for (step, expected) in MISTAKES {
        let text = format!("format = 1\n[[step]]\nevent = \"A\"\n{step}\n");
        let error = DeclaredSteps::read(&text).unwrap_err();
        assert!(
            error.to_string().starts_with(expected),
            "{error}\nnot {expected}"
        );
    }
}

/// A few lines of a file could ask for data without end: each line here doubles them, or nests them once more.
#[test]
fn data_do_not_grow_without_bound() {
    let run = |fields: &[&str], times: usize| {
        let fields = fields.join(", ").repeat(times).replace("}{", "}, {");
        let file = format!("format = 1\n[[step]]\nevent = \"A\"\nfields = [{fields}]");
        one(&file, &json!({"t": "0123456789", "a": {"b": 1}}))
    };
    let refused = |fields: &[&str], words: &str| {
        let error = run(fields, 200).unwrap_err();
        assert!(error.contains(words), "{fields:?}: {error}");
    };
    let into = |to: &str| format!("{{ copy = \"\", to = \"/{to}\" }}");
    refused(&[&into("c")], "levels deep");
    refused(&[&into("c"), &into("d")], "more than the limit");
    refused(
        &[
            "{ join = [\"/t\", \"/t2\"], to = \"/t\" }",
            "{ copy = \"/t\", to = \"/t2\" }",
        ],
        "more than the limit",
    );
    refused(
        &[
            "{ move = \"/a\", to = \"/x/y\" }",
            "{ move = \"/x\", to = \"/a\" }",
        ],
        "levels deep",
    );
    assert!(run(&["{ copy = \"\", to = \"/c\" }"], 10).is_ok());
    // Deeper than steps nest, but untouched: it stays.
    let deep = (0..100).fold(json!(1), |inside, _| json!({ "d": inside }));
    let file = "format = 1\n[[step]]\nevent = \"A\"\nfields = [{ remove = \"/x\" }]";
    assert_eq!(one(file, &deep), Ok(vec![deep]));
}

/// Splits of splits were counted when all of them had been made.
#[test]
fn splits_of_splits_are_bounded() {
    let split = |times: usize| {
        let parts = ["{ rename = \"A\" }"; 10].join(", ");
        let step = format!("[[step]]\nevent = \"A\"\nsplit = [{parts}]\n");
        one(&format!("format = 1\n{}", step.repeat(times)), &json!({}))
    };
    assert_eq!(split(3).unwrap().len(), 1_000);
    let error = split(12).unwrap_err();
    assert!(
        error.contains("more events than the limit of 1024"),
        "{error}"
    );
}

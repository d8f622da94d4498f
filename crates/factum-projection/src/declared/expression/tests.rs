//! What values a file can write, and what becomes of them.

use factum_framework::declared;
use factum_types::{
    EventId, EventType, Metadata, Position, RecordKind, Revision, StreamName, Timestamp,
};
use serde_json::json;

use super::*;

fn event() -> RecordedEvent {
    let data = json!({
        "id": "o-1", "n": 3, "text_n": "7", "half": 0.5, "whole": 4.0, "big": 1e300, "list": [1, {"x": "y"}],
        "yes": true, "at": "2026-03-01T12:00:00+01:00", "ms": 1_700_000_000_000_i64, "b": "AQI=", "nothing": null, "a/b": 1,
    });
    RecordedEvent {
        id: EventId::from_bytes([1; 16]),
        stream: StreamName::new("order-1").unwrap(),
        revision: Revision::new(4),
        position: Position::from_raw(9),
        time: Timestamp::from_micros(1_000_000),
        event_type: EventType::new("Placed").unwrap(),
        data: data.to_string().into(),
        content_type: ContentType::Json,
        schema_version: 2,
        tags: Vec::new(),
        metadata: Metadata::default(),
        personal: Vec::new().into(),
        kind: RecordKind::Event,
    }
}

fn read(written: &str) -> Result<Expression, String> {
    let file = format!("x = {written}");
    let mut table = declared::read(&file).unwrap();
    let entry = table.take("x").unwrap();
    Expression::read(entry).map_err(|error| error.to_string())
}

fn value(written: &str, holds: ColumnType, event: &RecordedEvent) -> Result<Value, String> {
    let expression = read(written)?;
    expression.check(holds)?;
    expression.value(holds, &Given::new(event, true).unwrap())
}

#[test]
fn values_are_what_the_column_holds() {
    let event = event();
    let check = |written: &str, holds: ColumnType, expected: Value| {
        assert_eq!(value(written, holds, &event), Ok(expected), "{written}");
    };
    check(r#""$.id""#, ColumnType::Text, "o-1".into());
    check(r#""/id""#, ColumnType::Text, "o-1".into());
    check(r#""/a~1b""#, ColumnType::Integer, 1_i64.into());
    check(r#""$.list[1].x""#, ColumnType::Text, "y".into());
    check(r#""$.n""#, ColumnType::Integer, 3_i64.into());
    check(r#""$.whole""#, ColumnType::Integer, 4_i64.into());
    check(r#""$.n""#, ColumnType::Real, 3.0.into());
    check(r#""$.yes""#, ColumnType::Bool, true.into());
    check(r#""$.b""#, ColumnType::Bytes, vec![1_u8, 2].into());
    let noon = Timestamp::from_micros(1_772_362_800_000_000);
    check(r#""$.at""#, ColumnType::Time, noon.into());
    check(
        r#"{ from = "$.ms", as = "milliseconds" }"#,
        ColumnType::Time,
        Timestamp::from_micros(1_700_000_000_000_000).into(),
    );
    check(
        r#""$.list""#,
        ColumnType::Json,
        Value::Json(r#"[1,{"x":"y"}]"#.to_owned()),
    );
    check(
        r#"{ from = "/text_n", as = "number" }"#,
        ColumnType::Integer,
        7_i64.into(),
    );
    check(
        r#"{ from = "/n", as = "text" }"#,
        ColumnType::Text,
        "3".into(),
    );
    check(r#""'it''s'""#, ColumnType::Text, "it's".into());
    check("12", ColumnType::Integer, 12_i64.into());
    check("true", ColumnType::Bool, true.into());
    check(r#""@time""#, ColumnType::Time, event.time.into());
    check(
        r#""@time""#,
        ColumnType::Text,
        "1970-01-01T00:00:01Z".into(),
    );
    check(r#""@position""#, ColumnType::Integer, 9_i64.into());
    check(r#""@category""#, ColumnType::Text, "order".into());
    check(r#""@version""#, ColumnType::Integer, 2_i64.into());
    for missing in [
        r#""$.gone""#,
        r#""$.nothing""#,
        r#""$.list[7]""#,
        r#""@user""#,
    ] {
        check(missing, ColumnType::Text, Value::Null);
    }
    check(
        r#"{ from = "$.gone", default = "-" }"#,
        ColumnType::Text,
        "-".into(),
    );
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let event = event();
    let check = |written: &str, holds: ColumnType, expected: &str| {
        let error = value(written, holds, &event).unwrap_err();
        assert!(error.contains(expected), "{written}: {error}");
    };
    check(
        r#""$.half""#,
        ColumnType::Integer,
        "$.half is a number (0.5), not a whole number",
    );
    check(r#""$.big""#, ColumnType::Integer, "not a whole number");
    check(
        r#""$.n""#,
        ColumnType::Text,
        "`as = \"text\"` turns it into one",
    );
    check(r#""$.ms""#, ColumnType::Time, "say what it counts");
    check(r#""$.id""#, ColumnType::Time, "not a moment");
    check(r#""$.id""#, ColumnType::Bytes, "not bytes in base64");
    check(
        r#""$.list""#,
        ColumnType::Text,
        "a list ([1,{\"x\":\"y\"}]), not text",
    );
    check(
        r#""'x'""#,
        ColumnType::Integer,
        "a text (\"x\"), not a whole number",
    );
    check(
        r#""@time""#,
        ColumnType::Integer,
        "a moment, not a whole number",
    );
    check(r#""@now""#, ColumnType::Time, "built again from the events");
    check(r#""@clock""#, ColumnType::Time, "known are @time");
    check(r#""placed""#, ColumnType::Text, "\"'placed'\"");
    check(r#""'a'b'""#, ColumnType::Text, "is no literal");
    check(r#""$.a b""#, ColumnType::Text, "is no path");
    check(r#""$[x]""#, ColumnType::Text, "is no path");
    check(r#""$..a""#, ColumnType::Text, "is no path");
    check(
        r#"{ from = "/a", form = "text" }"#,
        ColumnType::Text,
        "`form` is not known here",
    );
    check(r#"{ default = 1 }"#, ColumnType::Text, "says none of");
}

#[test]
fn what_was_imported_has_the_time_it_came_with() {
    let mut event = event();
    let kept = r#"{"source":"/x","time":"1970-01-01T00:00:05Z"}"#;
    event.metadata.custom = kept.into();
    let five = Timestamp::from_micros(5_000_000);
    assert_eq!(
        value(r#""@time""#, ColumnType::Time, &event),
        Ok(five.into())
    );
    let recorded = value(r#""@recorded""#, ColumnType::Time, &event);
    assert_eq!(recorded, Ok(event.time.into()));
    event.metadata.custom = r#"{"time":"1970-01-01T00:00:05Z"}"#.into();
    let own = value(r#""@time""#, ColumnType::Time, &event);
    assert_eq!(own, Ok(event.time.into()));
}

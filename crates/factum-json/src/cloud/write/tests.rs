//! There and back: a line that was imported is written as it was.

use factum_types::{
    Bytes, ContentType, EventType, Metadata, NameError, NewEvent, Position, RecordKind,
    RecordedEvent, Revision, StreamName, Tag, Timestamp,
};

use crate::cloud::bring::{self, Names, TimeOf};

/// Names without sharing, for single events.
struct PlainNames;

impl Names for PlainNames {
    type Stream = StreamName;

    fn stream(&mut self, name: &str) -> Result<StreamName, String> {
        StreamName::new(name).map_err(|error| error.to_string())
    }

    fn event_type(&mut self, name: &str) -> Result<EventType, NameError> {
        EventType::new(name)
    }
}

fn recorded(stream: StreamName, event: NewEvent) -> RecordedEvent {
    RecordedEvent {
        id: event.id,
        stream,
        revision: Revision::new(3),
        position: Position::from_raw(7),
        time: Timestamp::from_micros(1_700_000_000_000_000),
        event_type: event.event_type,
        data: event.data,
        content_type: event.content_type,
        schema_version: event.schema_version,
        tags: event.tags,
        metadata: event.metadata,
        personal: event.personal,
        kind: RecordKind::Event,
    }
}

fn written(event: &RecordedEvent) -> String {
    let mut line = Vec::new();
    super::event(&mut line, event);
    let text = String::from_utf8(line).unwrap();
    assert!(
        serde_json::from_str::<serde_json::Value>(&text).is_ok(),
        "{text}"
    );
    text
}

fn round_trip(line: &str) -> String {
    let mut scratch = Vec::new();
    let (stream, event) =
        bring::event(line.as_bytes(), &mut PlainNames, TimeOf::Now, &mut scratch).unwrap();
    written(&recorded(stream, event))
}

/// A server adds a tag for the conversation; attributes that are no tags stay what they were, and others are joined with it.
#[test]
fn a_tag_for_the_conversation_takes_no_attribute_away() {
    let check = |tags: &str, expected: &str| {
        let begin = r#"{"specversion":"1.0","id":"7","source":"s","type":"T","subject":"x","time":"2011-10-01T00:38:44Z","correlationid":"c""#;
        let line = format!("{begin}{tags}}}");
        let mut scratch = Vec::new();
        let (stream, mut event) =
            bring::event(line.as_bytes(), &mut PlainNames, TimeOf::Now, &mut scratch).unwrap();
        event.tags.push(Tag::new("$correlationId:c").unwrap());
        let text = written(&recorded(stream, event));
        let end = r#","position":7,"streamrevision":3}"#;
        assert_eq!(text, format!("{begin}{expected}{end}"));
    };
    check(r#","tags":"red""#, r#","tags":"red""#);
    check(r#","tags":7"#, r#","tags":7"#);
    check(r#","tags":"a:1""#, r#","tags":"a:1,$correlationId:c""#);
    check("", r#","tags":"$correlationId:c""#);
}

fn check_same(line: &str) {
    let expected = format!(
        "{},\"position\":7,\"streamrevision\":3}}",
        line.strip_suffix('}').unwrap()
    );
    assert_eq!(round_trip(line), expected);
}

const ID: &str = "b5936983-7577-53f7-88e5-5927b89c0422";

#[test]
fn an_imported_line_comes_back() {
    check_same(&format!(
        r#"{{"specversion":"1.0","id":"{ID}","source":"https://x/y","type":"A_SUBMITTED","subject":"loan-1","time":"2011-09-30T22:38:44.546Z","datacontenttype":"application/json","data":{{"AMOUNT": 2.50e3,"x":"\u00e9"}},"userid":"112"}}"#
    ));
    check_same(
        r#"{"specversion":"1.0","id":"not a uuid","source":"s","type":"T","subject":"loan-1","time":"2011-10-01T00:38:44+02:00","dataschema":"urn:x","datacontenttype":"text/plain","data":"words","correlationid":"c","tags":"a:1,b:2","schemaversion":4,"region":"eu","count":7,"flag":true}"#,
    );
    check_same(&format!(
        r#"{{"specversion":"1.0","id":"{ID}","source":"s","type":"T","subject":"loan-1","time":"2011-10-01T00:38:44Z","datacontenttype":"image/png","data_base64":"AP8=","tags":"red","userid":112,"schemaversion":1}}"#
    ));
}

#[test]
fn null_data_is_data_and_no_data_is_none() {
    let check = |data: &str, expected: &str| {
        let line = format!(
            r#"{{"specversion":"1.0","id":"{ID}","source":"s","type":"T","subject":"x","time":"2011-10-01T00:38:44Z"{data}}}"#
        );
        let text = round_trip(&line);
        assert!(
            text.contains(&format!(r#"44Z"{expected},"position""#)),
            "{text}"
        );
    };
    check(
        r#","data":null"#,
        r#","datacontenttype":"application/json","data":null"#,
    );
    check("", "");
}

#[test]
fn bad_lines_say_what_is_wrong() {
    let check = |line: &str, expected: &str| {
        let mut scratch = Vec::new();
        let wrong = bring::event(
            line.as_bytes(),
            &mut PlainNames,
            TimeOf::Event,
            &mut scratch,
        )
        .unwrap_err();
        assert!(wrong.to_string().contains(expected), "{line}: {wrong}");
    };
    let with = |more: &str| {
        format!(r#"{{"specversion":"1.0","id":"{ID}","source":"s","type":"T"{more}}}"#)
    };
    check("{", "EOF");
    check("[]", "jq -c");
    check("{}", "specversion");
    check(r#"{"specversion":"0.3"}"#, "not 1.0");
    check(r#"{"specversion":"1.0"}"#, "no id");
    check(&with(""), "no subject");
    check(&with(r#","subject":"""#), "empty subject");
    check(&with(r#","subject":7"#), "not a text");
    check(&with(r#","subject":"x","subject":"y""#), "twice");
    check(&with(r#","subject":"x""#), "no time");
    check(&with(r#","subject":"x","time":"soon""#), "RFC 3339");
    check(
        &with(r#","time":"2011-10-01T00:38:44Z","subject":"a\u001b[31mb""#),
        "U+001B",
    );
    check(
        &with(r#","subject":"x","data":1,"data_base64":"AA==""#),
        "both",
    );
    check(&with(r#","subject":"x","data_base64":"~""#), "base64");
}

#[test]
fn an_event_of_ours_has_our_source_and_its_metadata() {
    let mut event = NewEvent::json(
        ID.parse().unwrap(),
        EventType::new("T").unwrap(),
        "{\n \"a\": 1\n}",
    );
    event.tags = vec![Tag::new("order:1").unwrap()];
    event.metadata = Metadata {
        user_id: Some("anna".into()),
        custom: Bytes::from_static(br#"{"region":"eu"}"#),
        ..Metadata::default()
    };
    let stream = StreamName::new("order-1").unwrap();
    let text = written(&recorded(stream.clone(), event.clone()));
    assert_eq!(
        text,
        format!(
            r#"{{"specversion":"1.0","id":"{ID}","source":"/factum","type":"T","subject":"order-1","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","data":{{"a":1}},"userid":"anna","tags":"order:1","region":"eu","position":7,"streamrevision":3}}"#
        )
    );
    event.metadata.custom = Bytes::from_static(br#"{"User-Agent":"x"}"#);
    let text = written(&recorded(stream, event));
    assert!(
        text.contains(r#""metadata":"{\"User-Agent\":\"x\"}""#),
        "{text}"
    );
}

#[test]
fn metadata_that_only_look_like_an_import_give_no_attribute_another_type() {
    let mut event = NewEvent::json(ID.parse().unwrap(), EventType::new("T").unwrap(), "1");
    for custom in [
        r#"{"source":"web","id":7}"#,
        r#"{"source":"web","time":null}"#,
        r#"{"source":"web","datacontenttype":["x"]}"#,
        r#"{"source":"web","dataschema":{}}"#,
    ] {
        event.metadata.custom = Bytes::from_static(custom.as_bytes());
        let text = written(&recorded(StreamName::new("x").unwrap(), event.clone()));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["id"], &line["source"], &line["metadata"]),
            (&ID.into(), &"/factum".into(), &custom.into()),
            "{text}"
        );
    }
}

#[test]
fn bytes_that_only_claim_to_be_json_do_not_break_the_line() {
    let mut event = NewEvent::json(
        ID.parse().unwrap(),
        EventType::new("T").unwrap(),
        "{\x1b[31m",
    );
    assert_eq!(event.content_type, ContentType::Json);
    event.metadata.custom = Bytes::from_static(b"\xFF\x00");
    let text = written(&recorded(StreamName::new("x").unwrap(), event));
    assert!(text.contains(r#""data_base64":"extb"#), "{text}");
    assert!(text.contains("metadatabase64"), "{text}");
}

//! What the derive promises: names, fields alone, tags, versions, and holes that do not compile.

use factum_framework::versions::{Raw, RawStep, Rest};
use factum_framework::{Event, Kind, UpcastFrom};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
#[event(steps = STEPS, lock = LOCK)]
pub(crate) enum School {
    #[event(name = "CourseDefined", version = 3, upcast_from = DefinedV2)]
    Defined {
        #[tag]
        course: String,
        #[serde(default)]
        seats: u32,
        #[tag(key = "teacher", each)]
        teachers: Vec<String>,
        #[serde(flatten)]
        rest: Rest,
    },
    #[event(name = "CourseClosed")]
    Closed,
    #[event(name = "CourseRenamed")]
    Renamed(String),
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "CourseDefined", version = 2, upcast_from = DefinedV1)]
struct DefinedV2 {
    course: String,
    teacher: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "CourseDefined", version = 1)]
struct DefinedV1 {
    title: String,
}

impl UpcastFrom<DefinedV1> for DefinedV2 {
    fn upcast(old: DefinedV1) -> Self {
        Self {
            course: old.title,
            teacher: "nobody".into(),
        }
    }
}

impl UpcastFrom<DefinedV2> for School {
    fn upcast(old: DefinedV2) -> Self {
        defined(&old.course, 0, &[&old.teacher])
    }
}

const LOCK: &str = include_str!("events.lock");

const STEPS: &[RawStep] = &[
    RawStep::new("CourseEnded", 1, |_| {
        Ok(vec![
            Raw::new("CourseRenamed", 1, json!("ended")),
            Raw::new("CourseClosed", 1, json!({})),
        ])
    }),
    RawStep::new("CourseRated", 1, |_| Ok(vec![])),
    RawStep::new("CourseLooped", 1, |raw| Ok(vec![raw])),
];

fn defined(course: &str, seats: u32, teachers: &[&str]) -> School {
    School::Defined {
        course: course.into(),
        seats,
        teachers: teachers.iter().map(ToString::to_string).collect(),
        rest: Rest::new(),
    }
}

#[test]
fn data_are_the_fields_alone() {
    let check = |event: School, name: &str, json: &str| {
        let data = event.encode().unwrap();
        assert_eq!(String::from_utf8_lossy(&data), json);
        let kind = event.kind();
        assert_eq!(kind.name, name);
        assert_eq!(School::decode(name, kind.version, &data).unwrap(), event);
    };
    let json = r#"{"course":"rust","seats":3,"teachers":["ann"]}"#;
    check(defined("rust", 3, &["ann"]), "CourseDefined", json);
    check(School::Closed, "CourseClosed", "{}");
    check(School::Renamed("go".into()), "CourseRenamed", "\"go\"");
}

#[test]
fn tags_have_keys_and_may_be_many() {
    let tags = defined("rust", 3, &["ann", "bob", "ann"]).tags().unwrap();
    let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
    assert_eq!(tags, ["course:rust", "teacher:ann", "teacher:bob"]);
    let error = defined("", 3, &[]).tags().unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn old_versions_climb_the_chain() {
    let read = |version, data: &str| School::decode("CourseDefined", version, data.as_bytes());
    assert_eq!(
        read(1, r#"{"title":"rust"}"#).unwrap(),
        defined("rust", 0, &["nobody"])
    );
    assert_eq!(
        read(2, r#"{"course":"go","teacher":"ann"}"#).unwrap(),
        defined("go", 0, &["ann"])
    );
    let newer = read(4, "{}").unwrap_err();
    assert_eq!(newer.kind(), Kind::Decode);
    assert!(newer.to_string().contains("newer code"), "{newer}");
}

#[test]
fn missing_fields_take_defaults_and_unknown_ones_are_kept() {
    let old = r#"{"course":"rust","teachers":[],"room":7}"#;
    let event = School::decode("CourseDefined", 3, old.as_bytes()).unwrap();
    let again = String::from_utf8(event.encode().unwrap()).unwrap();
    assert_eq!(
        again,
        r#"{"course":"rust","seats":0,"teachers":[],"room":7}"#
    );
}

#[test]
fn raw_steps_make_many_or_none() {
    use factum_framework::versions::bring_up;
    let names = |name| -> Vec<String> {
        let raws = bring_up(STEPS, name, 1, b"{}").unwrap();
        raws.into_iter().map(|raw| raw.name).collect()
    };
    assert_eq!(names("CourseEnded"), ["CourseRenamed", "CourseClosed"]);
    assert_eq!(names("CourseRated"), Vec::<String>::new());
    let circle = bring_up(STEPS, "CourseLooped", 1, b"{}").unwrap_err();
    assert!(circle.to_string().contains("circle"), "{circle}");
}

#[test]
fn unknown_names_are_told() {
    let error = School::decode("CourseBurnt", 1, b"{}").unwrap_err();
    assert_eq!(error.kind(), Kind::Decode);
    assert!(
        error.to_string().contains("CourseDefined, CourseClosed"),
        "{error}"
    );
}

#[test]
fn the_shape_is_described() {
    assert_eq!(
        School::KINDS[0].line(),
        "CourseDefined v3 { course: String, seats?: u32 #serde(default), teachers: Vec<String>, rest: Rest #serde(flatten) } #serde(rename_all=\"snake_case\")"
    );
    assert_ne!(School::KINDS[0].shape_hash(), School::KINDS[1].shape_hash());
}

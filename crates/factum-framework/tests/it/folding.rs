//! Folds without a Rust type: what a file declares, what is wrong with it, and snapshots at every cut.

use std::sync::Arc;

use factum_framework::fold::{Fold, Folded};
use factum_framework::pointer::Pointer;
use factum_framework::{Kind, Origin, Repository};
use factum_store::{AppendBatch, Change, EventStore, MemoryStore};
use factum_types::{
    EventId, EventType, ExpectedRevision, Metadata, NewEvent, StreamName, StreamSettings,
};
use pollster::block_on;
use serde_json::{Value, json};

use crate::account::world;

const STREAM: &str = "loan-1";

const FILE: &str = r#"
format = 1
initial = { offers = 0 }

[[on]]
event = "Submitted"
do = [
  { set = "/status", value = "submitted" },
  { set = "/amount", from = "/AMOUNT", as = "number" },
  { set = "/channel", from = "/channel", default = "web" },
  { merge = "/applicant", from = "/person" },
]

[[on]]
event = "OfferSent"
version = [1, 2]
do = [{ increment = "/offers" }, { increment = "/sum", from = "/amount" }, { decrement = "/left", by = 2 }]

[[on]]
event = "Noted"
do = [{ remove = "/channel" }]

[[on]]
event = "*"
do = [{ append = "/history", beside = "type" }, { set = "/by", beside = "user" }]
"#;

fn event(number: u8, name: &str, data: &Value) -> NewEvent {
    let metadata = Metadata {
        user_id: Some(format!("user-{number}")),
        ..Metadata::default()
    };
    let name = EventType::new(name).unwrap();
    NewEvent::json(EventId::from_bytes([number; 16]), name, data.to_string())
        .with_metadata(metadata)
}

fn events() -> Vec<NewEvent> {
    vec![
        event(
            1,
            "Submitted",
            &json!({"AMOUNT": "20000", "person": {"name": "anna", "age": 30}}),
        ),
        event(2, "OfferSent", &json!({"amount": 7.5})),
        NewEvent {
            schema_version: 3,
            ..event(3, "OfferSent", &json!({"amount": 1000}))
        },
        event(
            4,
            "Submitted",
            &json!({"AMOUNT": 5, "person": {"age": null}, "channel": "branch"}),
        ),
        event(5, "Noted", &json!([1])),
        NewEvent::binary(
            EventId::from_bytes([6; 16]),
            EventType::new("Scanned").unwrap(),
            "\u{1}",
        ),
        event(7, "OfferSent", &json!({"amount": 2})),
    ]
}

fn append(store: &MemoryStore, events: Vec<NewEvent>) {
    if !events.is_empty() {
        let stream = StreamName::new(STREAM).unwrap();
        block_on(store.append(AppendBatch::events(stream, ExpectedRevision::Any, events))).unwrap();
    }
}

fn over(store: &MemoryStore) -> Repository {
    let store = store.clone();
    Repository::new(Arc::new(store.clone()))
        .with_world(world())
        .with_snapshot_store(Arc::new(store))
}

fn folded(repository: &Repository, fold: &Fold, version: Option<u64>) -> Folded {
    block_on(repository.folded(STREAM, fold, version.map(Into::into))).unwrap()
}

#[test]
fn a_declared_fold_does_what_its_file_says() {
    let store = MemoryStore::new();
    append(&store, events());
    let fold = Fold::declared(FILE).unwrap();
    let repository = over(&store);
    assert_eq!(
        folded(&repository, &fold, Some(0)).state,
        json!({"offers": 0})
    );
    let first = json!({
        "offers": 0, "status": "submitted", "amount": 20000, "channel": "web", "history": ["Submitted"], "by": "user-1",
        "applicant": {"name": "anna", "age": 30},
    });
    assert_eq!(folded(&repository, &fold, Some(1)).state, first);
    let all = folded(&repository, &fold, None);
    let expected = json!({
        "offers": 2, "sum": 9.5, "left": -4, "status": "submitted", "amount": 5, "applicant": {"name": "anna"}, "by": "user-7",
        "history": ["Submitted", "OfferSent", "OfferSent", "Submitted", "Noted", "Scanned", "OfferSent"],
    });
    assert_eq!((all.version, all.folded, all.state), (7, 7, expected));
}

/// Snapshot and tail give what a replay gives, at every cut, for both kinds of fold, at every version.
#[test]
fn snapshot_and_tail_are_a_replay() {
    let all = events();
    let whole = MemoryStore::new();
    append(&whole, all.clone());
    let plain = Repository::new(Arc::new(whole));
    for fold in [Fold::merge(), Fold::declared(FILE).unwrap()] {
        for cut in 0..=all.len() {
            let store = MemoryStore::new();
            append(&store, all[..cut].to_vec());
            let repository = over(&store);
            let taken = block_on(repository.snapshot_folded(STREAM, &fold)).unwrap();
            assert_eq!(
                taken.map(|taken| taken.version),
                (cut > 0).then_some(cut as u64)
            );
            append(&store, all[cut..].to_vec());
            for version in 0..=all.len() as u64 {
                let past = folded(&repository, &fold, Some(version));
                let replayed = folded(&plain, &fold, Some(version));
                assert_eq!(past.state, replayed.state, "cut {cut}, version {version}");
                assert_eq!(past.version, version);
                let fits = cut > 0 && cut as u64 <= version;
                let origin = if fits {
                    Origin::Snapshot(cut as u64)
                } else {
                    Origin::Replay
                };
                assert_eq!(past.origin, origin, "cut {cut}, version {version}");
                assert_eq!(
                    past.folded,
                    if fits { version - cut as u64 } else { version }
                );
            }
            let now = folded(&repository, &fold, None);
            assert_eq!(
                (now.version, now.state),
                (7, folded(&plain, &fold, None).state)
            );
        }
    }
}

#[test]
fn a_snapshot_that_does_not_fit_is_passed_over() {
    let store = MemoryStore::new();
    append(&store, events());
    let repository = over(&store);
    let fold = Fold::declared(FILE).unwrap();
    block_on(repository.snapshot_folded(STREAM, &fold)).unwrap();
    assert_eq!(folded(&repository, &fold, None).origin, Origin::Snapshot(7));
    let other = Fold::declared(&FILE.replace("by = 2", "by = 3")).unwrap();
    assert_eq!(folded(&repository, &other, None).origin, Origin::Replay);
    assert_eq!(
        folded(&repository, &Fold::merge(), None).origin,
        Origin::Replay
    );
    // As of a time before its last event it would know too much.
    let time = folded(&repository, &fold, None).time.unwrap();
    let past = block_on(repository.folded(STREAM, &fold, Some(time.into()))).unwrap();
    assert_eq!(past.origin, Origin::Snapshot(7));
    let before = factum_types::Timestamp::from_micros(time.as_micros() - 1);
    let past = block_on(repository.folded(STREAM, &fold, Some(before.into()))).unwrap();
    assert_eq!((past.origin, past.version), (Origin::Replay, 0));
    // When events are hidden, a replay knows less than the snapshot.
    let hidden = StreamSettings {
        max_count: Some(2),
        ..StreamSettings::default()
    };
    let stream = StreamName::new(STREAM).unwrap();
    let batch = AppendBatch::change(stream, ExpectedRevision::Any, Change::Settings(hidden));
    block_on(store.append(batch)).unwrap();
    let left = folded(&repository, &fold, None);
    assert_eq!(
        (left.origin, left.version, left.folded),
        (Origin::Replay, 7, 2)
    );
    let error = block_on(repository.snapshot_folded(STREAM, &fold)).unwrap_err();
    assert!(error.to_string().contains("hide events"), "{error}");
}

#[test]
fn blame_names_the_last_event_that_changed_a_field() {
    let store = MemoryStore::new();
    append(&store, events());
    let repository = over(&store);
    let fold = Fold::declared(FILE).unwrap();
    let blame = |pointer: &str, version: Option<u64>| {
        let pointer = Pointer::new(pointer).unwrap();
        let found =
            block_on(repository.blame_folded(STREAM, &fold, &pointer, version.map(Into::into)));
        found
            .unwrap()
            .map(|blame| (blame.event.revision.number(), blame.before, blame.after))
    };
    assert_eq!(
        blame("/amount", None),
        Some((3, Some(json!(20000)), Some(json!(5))))
    );
    assert_eq!(
        blame("/amount", Some(3)),
        Some((0, None, Some(json!(20000))))
    );
    assert_eq!(
        blame("/channel", None),
        Some((4, Some(json!("branch")), None))
    );
    assert_eq!(blame("/colour", None), None);
    assert_eq!(blame("/offers", Some(1)), None);
}

#[test]
fn a_rule_that_cannot_be_applied_names_the_event() {
    let check = |rule: &str, data: Value, words: &str| {
        let store = MemoryStore::new();
        append(
            &store,
            vec![event(1, "A", &json!({})), event(2, "B", &data)],
        );
        let file =
            format!("format = 1\nunknown = \"ignore\"\n[[on]]\nevent = \"B\"\ndo = [{rule}]\n");
        let fold = Fold::declared(&file).unwrap();
        let error = block_on(over(&store).folded(STREAM, &fold, None)).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        let expected = format!("event 1 of stream loan-1: {words}");
        assert!(error.to_string().starts_with(&expected), "{error}");
    };
    check(
        "{ set = \"/n\", from = \"/x\", as = \"number\" }",
        json!({"x": "many"}),
        "B, at \"/n\": \"many\" cannot be made a number",
    );
    check(
        "{ increment = \"/n\", from = \"/x\" }",
        json!({"x": []}),
        "B, at \"/n\": a list cannot be counted with",
    );
    check(
        "{ set = \"/n\", value = 1 }, { append = \"/n\" }",
        json!({}),
        "B, at \"/n\": nothing can be appended to a number",
    );
    check(
        "{ set = \"/n\", value = 1 }, { set = \"/n/m\", value = 1 }",
        json!({}),
        "B, at \"/n/m\": /n/m cannot be reached",
    );
    let store = MemoryStore::new();
    append(&store, vec![event(1, "A", &json!({}))]);
    let fold =
        Fold::declared("format = 1\nunknown = \"fail\"\n[[on]]\nevent = \"B\"\ndo = []").unwrap();
    let error = block_on(over(&store).folded(STREAM, &fold, None)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "event 0 of stream loan-1: no rule takes A version 1"
    );
}

/// A file, and how the mistake in it is named.
const MISTAKES: &[(&str, &str)] = &[
    (
        "",
        "line 1: the key `format` is missing: write `format = 1`",
    ),
    ("format = 2", "line 1: format 2 is not known here"),
    (
        "format = \"1\"",
        "line 1: `format`: a whole number is expected, not a text",
    ),
    ("format = 1", "line 1: the key `on` is missing"),
    (
        "format = 1\non = 3",
        "line 2: `on`: a list of tables is expected, not a number",
    ),
    (
        "format = 1\n[[on]]\ndo = []",
        "line 2: the key `event` is missing",
    ),
    ("format = 1\n\n[[on]\nevent", "line 3: "),
    (
        "format = 1\nextra = 1\n[[on]]\nevent = \"A\"\ndo = []",
        "line 2: the key `extra` is not known here; known are format, initial, unknown, on",
    ),
    (
        "format = 1\nunknown = \"drop\"\n",
        "line 2: `unknown`: \"drop\" is not one of ignore, merge, fail",
    ),
    (
        "format = 1\n[[on]]\nevent = []\ndo = []",
        "line 3: `event`: the list is empty",
    ),
    (
        "format = 1\n[[on]]\nevent = [\"*\", \"A\"]\ndo = []",
        "line 3: `event`: \"*\" takes all events",
    ),
    (
        "format = 1\n[[on]]\nevent = \"A\\u0007\"\ndo = []",
        "line 3: `event`: ",
    ),
    (
        "format = 1\n[[on]]\nevent = \"A\"\nversion = 0\ndo = []",
        "line 4: `version`: a version from 1 on",
    ),
];

/// A step on the sixth line of a file, and how the mistake in it is named.
const STEP_MISTAKES: &[(&str, &str)] = &[
    ("{}", "line 6: the step says none of `set`, `merge`"),
    ("{ set = \"/a\" }", "line 6: `set`: what is set there"),
    (
        "{ set = \"a\", value = 1 }",
        "line 6: `set`: \"a\" is no JSON pointer",
    ),
    (
        "{ set = \"/a\", remove = \"/a\" }",
        "line 6: `set` and `remove` exclude each other",
    ),
    (
        "{ set = \"/a\", value = 1, from = \"/b\" }",
        "line 6: `from`: it excludes `value`",
    ),
    (
        "{ set = \"/a\", beside = \"colour\" }",
        "line 6: `beside`: \"colour\" is not one of id, type",
    ),
    (
        "{ set = \"/a\", as = \"text\" }",
        "line 6: `as`: it needs `from`",
    ),
    (
        "{ set = \"/a\", from = \"/b\", as = \"date\" }",
        "line 6: `as`: \"date\" is not one of number, text, boolean",
    ),
    (
        "{ increment = \"/a\", by = \"2\" }",
        "line 6: `by`: a number is expected",
    ),
    (
        "{ increment = \"/a\", by = 1, from = \"/b\" }",
        "line 6: `by`: it excludes",
    ),
    (
        "{ remove = \"/a\", value = 1 }",
        "line 6: the key `value` is not known here",
    ),
    (
        "{ set = \"/a\", value = nan }",
        "line 6: `value`: nan has no form in JSON",
    ),
];

#[test]
fn mistakes_are_named_with_their_line() {
    let check = |text: &str, expected: &str| {
        let error = Fold::declared(text).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(
            error.to_string().starts_with(expected),
            "{error}\nnot {expected}"
        );
    };
    for (text, expected) in MISTAKES {
        check(text, expected);
    }
    for (step, expected) in STEP_MISTAKES {
        let text = format!("format = 1\n\n[[on]]\nevent = \"A\"\ndo = [\n  {step},\n]\n");
        check(&text, expected);
    }
    let long = format!("format = 1 # {}", "x".repeat(1 << 20));
    check(&long, "the file is longer than the limit");
}

/// Data that are not JSON have no fields, and are not `null` either: merging them into the state made it `null`.
#[test]
fn data_that_are_not_json_are_nothing() {
    let check = |step: &str, expected: &Value| {
        let store = MemoryStore::new();
        let (id, name) = (EventId::from_bytes([6; 16]), EventType::new("B").unwrap());
        let binary = NewEvent::binary(id, name, "\u{1}");
        append(&store, vec![event(1, "A", &json!({"a": 1})), binary]);
        let fold = format!("format = 1\n[[on]]\nevent = \"*\"\ndo = [{{ {step} }}]");
        let fold = Fold::declared(&fold).unwrap();
        let state = folded(&over(&store), &fold, None).state;
        assert_eq!(state, *expected, "{step}");
    };
    check("merge = \"\"", &json!({"a": 1}));
    check("merge = \"/x\"", &json!({"x": {"a": 1}}));
    check("append = \"/x\"", &json!({"x": [{"a": 1}]}));
    check("set = \"/x\", from = \"\"", &json!({"x": {"a": 1}}));
    check("set = \"/x\", from = \"\", default = 3", &json!({"x": 3}));
}

/// Merging a list or a number replaced what was there; steps of a transformation refuse it, and so do folds.
#[test]
fn only_objects_are_merged() {
    for data in [json!([1]), json!(7), json!("x"), json!(null)] {
        let store = MemoryStore::new();
        append(
            &store,
            vec![event(1, "A", &json!({"a": 1})), event(2, "B", &data)],
        );
        let fold = Fold::declared("format = 1\n[[on]]\nevent = \"*\"\ndo = [{ merge = \"\" }]");
        let fold = fold.unwrap();
        let error = block_on(over(&store).folded(STREAM, &fold, None)).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        let words = "only an object can be merged";
        assert!(error.to_string().contains(words), "{error}");
        // The plain merge passes such data over.
        let state = folded(&over(&store), &Fold::merge(), None).state;
        assert_eq!(state, json!({"a": 1}));
    }
}

/// A snapshot by a fold named nobody, so that dropping those about someone passed it over, and every one of them was kept.
#[test]
fn snapshots_of_folds_say_whose_data_are_inside() {
    use factum_store::SnapshotStore;
    let store = MemoryStore::new();
    let about = |number: u8, subject: &str| {
        let tag = factum_types::Tag::new(format!("factum-subject:{subject}")).unwrap();
        event(number, "A", &json!({"n": number})).with_tags([tag])
    };
    let listed = || {
        let listed = block_on(store.list_snapshots(StreamName::new(STREAM).unwrap())).unwrap();
        let rows = listed.into_iter();
        rows.map(|snapshot| (snapshot.version, snapshot.subjects))
            .collect::<Vec<_>>()
    };
    let repository = over(&store);
    let take = |fold: &Fold| block_on(repository.snapshot_folded(STREAM, fold)).unwrap();
    append(&store, vec![about(1, "ann:3")]);
    take(&Fold::merge());
    assert_eq!(listed(), [(1, vec!["ann:3".to_owned()])]);
    // The next begins from that one, and knows of both.
    append(&store, vec![about(2, "bob")]);
    let taken = take(&Fold::merge()).unwrap();
    assert_eq!((taken.origin, taken.folded), (Origin::Snapshot(1), 1));
    let both = vec!["ann:3".to_owned(), "bob".to_owned()];
    assert_eq!(listed()[0], (2, both));
    for number in 3..20 {
        append(&store, vec![about(number, "bob")]);
        take(&Fold::merge());
    }
    assert_eq!(listed().len(), 10, "as many are kept as of typed states");
    let dropped = block_on(repository.drop_snapshots_about("ann:3")).unwrap();
    assert_eq!((dropped, listed()), (1, Vec::new()));
}

/// More people than a snapshot can name: then there is none, rather than one that erasing would miss.
#[test]
fn a_snapshot_that_cannot_name_everyone_is_not_taken() {
    let store = MemoryStore::new();
    let batch = (0..1_100_u32).map(|number| {
        let tag = factum_types::Tag::new(format!("factum-subject:{number}")).unwrap();
        let id = EventId::from_bytes((u128::from(number) + 1).to_be_bytes());
        NewEvent::json(id, EventType::new("A").unwrap(), "{}").with_tags([tag])
    });
    append(&store, batch.collect());
    let taken = block_on(over(&store).snapshot_folded(STREAM, &Fold::merge()));
    let error = taken.unwrap_err();
    assert!(error.to_string().contains("data subjects"), "{error}");
}

#[test]
fn a_state_too_deep_to_be_read_again_is_not_saved() {
    let store = MemoryStore::new();
    let deep = (0..100).fold(json!(1), |inside, _| json!([inside]));
    append(&store, vec![event(1, "A", &deep)]);
    let at = "/a".repeat(40);
    let fold =
        format!("format = 1\n[[on]]\nevent = \"*\"\ndo = [{{ set = \"{at}\", from = \"\" }}]");
    let fold = Fold::declared(&fold).unwrap();
    let repository = over(&store);
    let error = block_on(repository.snapshot_folded(STREAM, &fold)).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("levels deep"), "{error}");
    assert_eq!(folded(&repository, &fold, None).origin, Origin::Replay);
}

/// Numbers as they are written in full, up to 17 digits: reading them by a faster way gave the neighbour of some, so that a state was another
/// after a snapshot, and a copy had other data.
#[test]
fn numbers_stay_what_they_are() {
    use factum_framework::transform::{Transform, file::DeclaredSteps};
    let seed = 17;
    let random = factum_io::sim::SimEnv::new(seed).env().random;
    let numbers = std::iter::repeat_with(|| f64::from_bits(random.next_u64()));
    let numbers: Vec<_> = numbers.filter(|n| n.is_finite()).take(2_000).collect();
    let texts: Vec<_> = numbers.iter().map(|n| json!(n).to_string()).collect();
    // Rust's own way is exact.
    for (text, number) in texts.iter().zip(&numbers) {
        assert_eq!(text.parse(), Ok(*number), "seed {seed}");
    }
    let list = format!("[{}]", texts.join(","));
    let store = MemoryStore::new();
    let data = format!("{{\"n\":{list}}}");
    let name = EventType::new("A").unwrap();
    append(
        &store,
        vec![NewEvent::json(EventId::from_bytes([1; 16]), name, data)],
    );
    let repository = over(&store);
    block_on(repository.snapshot_folded(STREAM, &Fold::merge())).unwrap();
    let loaded = folded(&repository, &Fold::merge(), None);
    assert_eq!(loaded.origin, Origin::Snapshot(1));
    let shown = loaded.state["n"].to_string();
    assert!(shown == list, "seed {seed}");
    let file = "format = 1\n[[step]]\nevent = \"A\"\nfields = [{ move = \"/n\", to = \"/m\" }]";
    let steps = DeclaredSteps::read(file).unwrap();
    let to = MemoryStore::with_clock(Arc::new(|| factum_types::Timestamp::from_micros(1 << 52)));
    let run = Transform::new("test", &store, &steps).into_store(&to);
    block_on(run.run(&mut ())).outcome.unwrap();
    let copied = block_on(to.read(factum_store::ReadRequest::all()).collect()).unwrap();
    let expected = format!("{{\"m\":{list}}}");
    assert!(copied[0].data == expected.as_bytes(), "seed {seed}");
}

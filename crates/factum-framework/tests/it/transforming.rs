//! Copy and transform: what steps do, what is kept, and that a run may be stopped anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_framework::transform::file::DeclaredSteps;
use factum_framework::transform::{
    Draft, End, Finished, OnFailure, Report, Step, Steps, Transform, Watch,
};
use factum_framework::{Error, Kind};
use factum_store::{
    AppendBatch, Change, EventStore, EventStream, Kind as StoreKind, MemoryStore, ReadRequest,
    Receipt, Source, StoreError, StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{
    Category, EventId, EventType, ExpectedRevision, Metadata, NewEvent, Position, RecordedEvent,
    Revision, StreamName, StreamSettings, Tag, Timestamp,
};
use pollster::block_on;
use serde_json::{Value, json};

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn id(number: u64) -> EventId {
    EventId::from_bytes((u128::from(number) + 1).to_be_bytes())
}

pub(crate) fn event(number: u64, name: &str, data: &Value) -> NewEvent {
    NewEvent::json(id(number), EventType::new(name).unwrap(), data.to_string())
}

pub(crate) fn append(store: &MemoryStore, name: &str, events: Vec<NewEvent>) {
    let batch = AppendBatch::events(stream(name), ExpectedRevision::Any, events);
    block_on(store.append(batch)).unwrap();
}

/// A store with a clock that is ahead of that of the store that is read.
pub(crate) fn target() -> MemoryStore {
    MemoryStore::with_clock(Arc::new(|| Timestamp::from_micros(4_000_000_000_000_000)))
}

/// Three streams whose events alternate.
fn source(events: u64) -> MemoryStore {
    let store = MemoryStore::new();
    for number in 0..events {
        let name = ["A", "B", "C", "D"][usize::try_from(number % 4).unwrap()];
        let event = event(number, name, &json!({"n": number, "half": number / 2}));
        append(&store, &format!("old-{}", number % 3), vec![event]);
    }
    store
}

/// A becomes one, B two, C none; D is not known.
const STEPS: &str = r#"
format = 1

[[step]]
event = "A"
rename = "Alpha"
set_version = 2
fields = [{ move = "/n", to = "/number" }]

[[step]]
event = "B"
split = [{ rename = "BetaBegun" }, { rename = "BetaEnded", fields = [{ keep = "/n" }] }]

[[step]]
event = "C"
drop = true

[[step]]
event = "*"
stream = "old-*"
rename_stream = "new-*"
"#;

fn steps() -> DeclaredSteps {
    DeclaredSteps::read(STEPS).unwrap()
}

pub(crate) fn all(store: &MemoryStore) -> Vec<RecordedEvent> {
    block_on(store.read(ReadRequest::all().with_control()).collect()).unwrap()
}

fn copy(from: &dyn EventStore, to: &MemoryStore, steps: &dyn Steps) -> Finished {
    block_on(
        Transform::new("test", from, steps)
            .into_store(to)
            .batch(3)
            .run(&mut ()),
    )
}

fn shown(event: &RecordedEvent) -> (String, String, u32, Value) {
    let data = serde_json::from_slice(&event.data).unwrap();
    (
        event.stream.to_string(),
        event.event_type.to_string(),
        event.schema_version,
        data,
    )
}

#[test]
fn one_many_or_none() {
    let (from, to) = (source(8), target());
    let done = copy(&from, &to, &steps());
    assert_eq!(done.outcome.unwrap(), End::Complete);
    let found: Vec<_> = all(&to).iter().map(shown).collect();
    let row = |stream: &str, name: &str, version: u32, data: Value| {
        (stream.to_owned(), name.to_owned(), version, data)
    };
    let expected = [
        row("new-0", "Alpha", 2, json!({"number": 0, "half": 0})),
        row("new-1", "BetaBegun", 1, json!({"n": 1, "half": 0})),
        row("new-1", "BetaEnded", 1, json!({"n": 1})),
        row("new-0", "D", 1, json!({"n": 3, "half": 1})),
        row("new-1", "Alpha", 2, json!({"number": 4, "half": 2})),
        row("new-2", "BetaBegun", 1, json!({"n": 5, "half": 2})),
        row("new-2", "BetaEnded", 1, json!({"n": 5})),
        row("new-1", "D", 1, json!({"n": 7, "half": 3})),
    ];
    assert_eq!(found, expected);
    let Report {
        read,
        written,
        dropped,
        split,
        failed,
        ref types,
        ref unknown,
        ..
    } = done.report;
    assert_eq!((read, written, dropped, split, failed), (8, 8, 2, 2, 0));
    assert_eq!(unknown.iter().collect::<Vec<_>>(), [(&"D".to_owned(), &2)]);
    assert_eq!(
        types["B"]
            .into
            .iter()
            .map(|(name, n)| (name.as_str(), *n))
            .collect::<Vec<_>>(),
        [("BetaBegun", 2), ("BetaEnded", 2)]
    );
    assert_eq!((types["C"].dropped, types["C"].read), (2, 2));
}

#[test]
fn what_is_beside_the_data_stays() {
    let (from, to) = (target(), target());
    let metadata = Metadata {
        correlation_id: Some("c".into()),
        causation_id: Some("d".into()),
        user_id: Some("u".into()),
        traceparent: Some("t".into()),
        custom: "{\"k\": 1}".into(),
    };
    let whole = |number: u64, name: &str| NewEvent {
        data: "{ \"n\" : 1.50 }".into(),
        personal: "sealed".into(),
        metadata: metadata.clone(),
        ..event(number, name, &json!({})).with_tags([Tag::new("k:v").unwrap()])
    };
    append(&from, "old-1", vec![whole(1, "D"), whole(2, "B")]);
    let binary = NewEvent::binary(id(3), EventType::new("D").unwrap(), vec![0, 255]);
    append(&from, "old-1", vec![binary]);
    copy(&from, &to, &steps()).outcome.unwrap();
    let (before, after) = (all(&from), all(&to));
    let expected = RecordedEvent {
        stream: stream("new-1"),
        ..before[0].clone()
    };
    assert_eq!(
        after[0], expected,
        "byte for byte, with its id and its time"
    );
    for (part, of_two) in after[1..3].iter().enumerate() {
        assert_eq!(
            (&of_two.metadata, &of_two.tags, of_two.time),
            (&metadata, &before[1].tags, before[1].time)
        );
        assert_ne!(of_two.id, before[1].id);
        assert_eq!(
            of_two.personal.is_empty(),
            part == 1,
            "the first has the personal section"
        );
    }
    assert_eq!(
        (&after[3].data[..], after[3].content_type),
        (&[0, 255][..], before[2].content_type)
    );
}

/// A store that takes so many appends and snapshots, and then fails; as a kill does, it may have written the last.
struct Failing {
    store: MemoryStore,
    left: AtomicU64,
    writes_last: bool,
}

impl Failing {
    fn may(&self) -> bool {
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}

fn dead() -> StoreError {
    StoreError::new(StoreKind::Unknown, "killed")
}

impl EventStore for Failing {
    fn append(&self, batch: AppendBatch) -> BoxFuture2<'_, Receipt> {
        Box::pin(async move {
            if self.may() {
                return self.store.append(batch).await;
            }
            if self.writes_last {
                self.store.append(batch).await?;
            }
            Err(dead())
        })
    }
    fn read(&self, request: ReadRequest) -> EventStream {
        self.store.read(request)
    }
    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.store.subscribe(request)
    }
    fn head(&self) -> BoxFuture2<'_, Option<Position>> {
        self.store.head()
    }
    fn stream_info(&self, stream: StreamName) -> BoxFuture2<'_, StreamInfo> {
        self.store.stream_info(stream)
    }
    fn streams(&self, request: StreamsRequest) -> BoxFuture2<'_, Vec<StreamInfo>> {
        self.store.streams(request)
    }
}

type BoxFuture2<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Killed at every write, once and again every few writes, before and after it was done: the same as one run, positions and report too.
#[test]
fn a_run_that_is_killed_anywhere_and_run_again_is_one_run() {
    let (from, steps) = (source(50), steps());
    let whole = target();
    let done = copy(&from, &whole, &steps);
    assert_eq!(done.outcome.unwrap(), End::Complete);
    let head = block_on(whole.head()).unwrap();
    for writes_last in [false, true] {
        for budget in 1..30 {
            let target = target();
            let mut runs = 0;
            let report = loop {
                runs += 1;
                assert!(runs < 100, "it does not come to an end");
                let failing = Failing {
                    store: target.clone(),
                    left: budget.into(),
                    writes_last,
                };
                let run = Transform::new("test", &from, &steps)
                    .into_store(&failing)
                    .batch(3);
                match block_on(run.run(&mut ())) {
                    Finished {
                        outcome: Ok(End::Complete),
                        report,
                        ..
                    } => break report,
                    Finished {
                        outcome: Err(error),
                        ..
                    } => assert_eq!(error.kind(), Kind::Store(StoreKind::Unknown), "{error}"),
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(all(&target), all(&whole), "budget {budget}, {writes_last}");
            assert_eq!(
                block_on(target.head()).unwrap(),
                head,
                "budget {budget}, {writes_last}"
            );
            let of_all = &report;
            assert_eq!(
                (of_all.read, of_all.written, &of_all.types),
                (done.report.read, done.report.written, &done.report.types)
            );
        }
    }
    // Once more: nothing is left to do.
    let again = copy(&from, &whole, &steps);
    assert_eq!(
        (again.report.added, again.report.written),
        (0, done.report.written)
    );
    assert_eq!(block_on(whole.head()).unwrap(), head);
}

#[test]
fn what_comes_later_follows() {
    let (from, to) = (source(10), target());
    copy(&from, &to, &steps()).outcome.unwrap();
    append(&from, "old-0", vec![event(100, "A", &json!({"n": 100}))]);
    let done = copy(&from, &to, &steps());
    assert_eq!(
        (
            done.report.added,
            done.report.read,
            done.report.already_there
        ),
        (1, 11, 11)
    );
    assert_eq!(shown(all(&to).last().unwrap()).3, json!({"number": 100}));
}

#[test]
fn a_target_that_others_made_is_refused() {
    let from = source(10);
    let check = |to: &MemoryStore, file: &str, words: &str| {
        let before = all(to);
        let steps = DeclaredSteps::read(file).unwrap();
        let run = Transform::new(steps.fingerprint(), &from, &steps).into_store(to);
        let error = block_on(run.run(&mut ())).outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(all(to), before, "nothing is written");
    };
    let foreign = target();
    append(&foreign, "other-1", vec![event(900, "X", &json!({}))]);
    check(
        &foreign,
        STEPS,
        "something else at position 0 (X in stream other-1)",
    );
    let made = target();
    copy(&from, &made, &steps()).outcome.unwrap();
    check(
        &made,
        &STEPS.replace("Alpha", "Aleph"),
        "something else at position 0 (Alpha in stream new-0)",
    );
    check(
        &made,
        &STEPS.replace("event = \"C\"", "event = \"X\""),
        "something else at position",
    );
}

#[test]
fn failures_end_it_or_are_passed_over() {
    let from = source(8);
    let picky = |draft: Draft| match draft.name() {
        "C" => Err(Error::invalid("not this one")),
        _ => Ok(vec![draft]),
    };
    let to = target();
    let done = copy(&from, &to, &picky);
    let error = done.outcome.unwrap_err();
    assert_eq!(
        error.to_string(),
        "position 2, C at revision 0 of stream old-2: not this one"
    );
    assert_eq!(all(&to).len(), 2, "what comes before it is written");
    let to = target();
    let run = Transform::new("test", &from, &picky)
        .into_store(&to)
        .on_failure(OnFailure::Skip);
    let done = block_on(run.run(&mut ()));
    assert_eq!(done.outcome.unwrap(), End::Complete);
    assert_eq!((all(&to).len(), done.report.failed), (6, 2));
    let positions: Vec<_> = done
        .report
        .failures
        .iter()
        .map(|failed| failed.position)
        .collect();
    assert_eq!(positions, [2, 6]);
    assert_eq!(done.report.failures[0].reason, "not this one");
    let too_many = |draft: Draft| Ok(vec![draft; 1_025]);
    let error = copy(&from, &target(), &too_many).outcome.unwrap_err();
    assert!(
        error.to_string().contains("more than the limit of 1024"),
        "{error}"
    );
}

#[test]
fn what_is_hidden_is_not_brought_back() {
    let from = target();
    for (name, count) in [("gone-1", 2), ("cut-1", 3), ("few-1", 4), ("closed-1", 1)] {
        let first = all(&from).len() as u64;
        append(
            &from,
            name,
            (first..first + count)
                .map(|n| event(n, "T", &json!({"n": n})))
                .collect(),
        );
    }
    let change = |name: &str, change: Change| {
        block_on(from.append(AppendBatch::change(
            stream(name),
            ExpectedRevision::Any,
            change,
        )))
        .unwrap();
    };
    change("gone-1", Change::Delete);
    change("closed-1", Change::Tombstone);
    let settings = StreamSettings::default();
    change(
        "cut-1",
        Change::Settings(StreamSettings {
            truncate_before: Some(Revision::new(2)),
            ..settings
        }),
    );
    change(
        "few-1",
        Change::Settings(StreamSettings {
            max_count: Some(3),
            ..settings
        }),
    );
    let to = target();
    let same = |draft: Draft| Ok(vec![draft]);
    let done = copy(&from, &to, &same);
    done.outcome.unwrap();
    assert_eq!((done.report.read, done.report.hidden), (4, 6));
    let events = block_on(to.read(ReadRequest::all()).collect()).unwrap();
    let left: Vec<_> = events
        .iter()
        .map(|event| (event.stream.as_str(), event.revision.number()))
        .collect();
    assert_eq!(
        left,
        [("cut-1", 0), ("few-1", 0), ("few-1", 1), ("few-1", 2)]
    );
}

fn note(event: &RecordedEvent, metadata: &mut Metadata) {
    metadata.custom = format!("{{\"time\":{}}}", event.time.as_micros()).into();
}

fn within(store: &MemoryStore, source: Source, steps: &dyn Steps) -> Finished {
    block_on(
        Transform::new("test", store, steps)
            .of(source)
            .within(note)
            .batch(3)
            .closing()
            .run(&mut ()),
    )
}

#[test]
fn within_one_store_old_streams_end_with_a_link() {
    let store = source(20);
    let before = all(&store);
    let old = || Source::Category(Category::new("old").unwrap());
    let done = within(&store, old(), &steps());
    assert_eq!(done.outcome.unwrap(), End::Complete);
    assert_eq!((done.report.closed, done.report.added), (3, 20));
    let after = all(&store);
    assert_eq!(after[..20], before);
    let alone = target();
    copy(&source(20), &alone, &steps()).outcome.unwrap();
    let (new, expected) = (
        after[20..40].iter().map(shown).collect::<Vec<_>>(),
        all(&alone).iter().map(shown).collect::<Vec<_>>(),
    );
    assert_eq!(new, expected);
    assert!(
        after[20..40]
            .iter()
            .all(|event| before.iter().all(|old| old.id != event.id)),
        "new ids"
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&after[20].metadata.custom).unwrap()["time"],
        before[0].time.as_micros()
    );
    let links: Vec<_> = after[40..].iter().map(shown).collect();
    assert_eq!(links[1].1, "StreamMoved");
    assert_eq!(links[1].3, json!({"to": ["new-1"], "by": "test"}));
    // Again: nothing. Then something comes late, and follows.
    let again = within(&store, old(), &steps());
    assert_eq!(
        (
            again.report.closed,
            again.report.added,
            again.report.already_there
        ),
        (3, 0, 20)
    );
    assert_eq!(all(&store).len(), 43);
    append(&store, "old-2", vec![event(100, "D", &json!({}))]);
    let late = within(&store, old(), &steps());
    assert_eq!((late.report.closed, late.report.added), (3, 1));
    assert_eq!(all(&store).len(), 46);
}

#[test]
fn within_one_store_nothing_is_read_that_was_written() {
    let check = |source_of: Source, file: &str, words: &str| {
        let store = source(6);
        let done = within(&store, source_of, &DeclaredSteps::read(file).unwrap());
        let error = done.outcome.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(all(&store).len(), 6);
    };
    let old = || Source::Category(Category::new("old").unwrap());
    check(Source::All, STEPS, "one stream or one category");
    check(
        old(),
        &STEPS.replace("new-*", "old-new-*"),
        "the category that is read",
    );
    check(
        Source::Stream(stream("old-1")),
        &STEPS.replace("new-*", "old-*"),
        "the stream that is read",
    );
}

#[test]
fn a_watcher_sees_and_stops() {
    struct Watcher(u64, Vec<usize>);
    impl Watch for Watcher {
        fn step(&mut self, step: &Step) -> bool {
            self.0 = step.read;
            false
        }
        fn made(&mut self, _: &RecordedEvent, after: &[(StreamName, NewEvent)]) {
            self.1.push(after.len());
        }
    }
    let (from, to) = (source(1_500), target());
    let mut watcher = Watcher(0, Vec::new());
    let steps = steps();
    let done = block_on(
        Transform::new("test", &from, &steps)
            .into_store(&to)
            .run(&mut watcher),
    );
    assert_eq!((done.outcome.unwrap(), watcher.0), (End::Stopped, 1_024));
    assert_eq!(all(&to).len(), 1_024);
    // A dry run counts, shows and writes nothing.
    let from = source(4);
    let done = block_on(Transform::new("test", &from, &steps).run(&mut watcher));
    assert_eq!((done.report.written, watcher.1), (4, vec![1, 2, 0, 1]));
}

/// The same event becomes the same ids in every process.
#[test]
fn ids_are_derived_from_what_was_read() {
    let (from, to) = (Arc::new(source(2)), target());
    copy(&*from, &to, &steps()).outcome.unwrap();
    let ids: Vec<_> = all(&to).iter().map(|event| event.id.to_string()).collect();
    assert_eq!(ids[0], id(0).to_string());
    assert_eq!(ids[1].as_bytes()[14], b'5');
    assert_eq!(
        ids[1..],
        [
            "be3bfb3b-0f4d-5c17-b174-67a24ab2b75e",
            "f224479d-d1aa-50ee-84d1-644fe40f085c"
        ]
    );
}

/// A store whose reads find one place damaged; everything else is as it was.
struct Damaged(MemoryStore, u64);

impl EventStore for Damaged {
    fn append(&self, batch: AppendBatch) -> BoxFuture2<'_, Receipt> {
        self.0.append(batch)
    }
    fn read(&self, request: ReadRequest) -> EventStream {
        let events = block_on(self.0.read(request).collect()).unwrap_or_default();
        let damaged = self.1;
        let seen = events.into_iter().map(move |event| {
            if event.position.raw() == damaged {
                return Err(StoreError::new(StoreKind::Corrupt, "damaged"));
            }
            Ok(event)
        });
        EventStream::of(seen.collect::<Vec<_>>())
    }
    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.0.subscribe(request)
    }
    fn head(&self) -> BoxFuture2<'_, Option<Position>> {
        self.0.head()
    }
    fn stream_info(&self, stream: StreamName) -> BoxFuture2<'_, StreamInfo> {
        self.0.stream_info(stream)
    }
    fn streams(&self, request: StreamsRequest) -> BoxFuture2<'_, Vec<StreamInfo>> {
        self.0.streams(request)
    }
}

/// The stream of a damaged event was closed with a link to one that lacks the event.
#[test]
fn streams_stay_open_when_an_event_is_damaged() {
    for damaged in [0, 7, 19] {
        let store = Damaged(source(20), damaged);
        let steps = steps();
        let run = Transform::new("test", &store, &steps)
            .of(Source::Category(Category::new("old").unwrap()))
            .within(note)
            .on_failure(OnFailure::Skip)
            .closing();
        let done = block_on(run.run(&mut ()));
        assert_eq!(done.outcome.unwrap(), End::Complete);
        assert_eq!((done.report.failed, done.report.closed), (1, 0));
        assert_eq!(done.report.not_closed, ["old-0", "old-1", "old-2"]);
        let moved = |event: &&RecordedEvent| event.event_type.as_str() == "StreamMoved";
        assert_eq!(all(&store.0).iter().filter(moved).count(), 0);
    }
}

/// A dry run left out what is checked within one store, and said that all was well where the run then failed.
#[test]
fn a_dry_run_says_what_a_run_would() {
    let old = || Source::Category(Category::new("old").unwrap());
    let into_itself = STEPS.replace("new-*", "old-new-*");
    let changed = STEPS.replace("Alpha", "Aleph");
    let run = |store: &MemoryStore, source: Source, file: &str, is_dry: bool| {
        let steps = DeclaredSteps::read(file).unwrap();
        let run = Transform::new("test", store, &steps)
            .of(source)
            .within(note)
            .closing();
        block_on(if is_dry { run.dry_run() } else { run }.run(&mut ()))
    };
    let made = || {
        let store = source(20);
        within(&store, old(), &steps()).outcome.unwrap();
        store
    };
    let cases: [(MemoryStore, Source, &str, &str); 5] = [
        (source(20), Source::All, STEPS, "one stream or one category"),
        (source(20), old(), &into_itself, "the category that is read"),
        (made(), old(), &changed, "made by other steps"),
        (source(20), old(), STEPS, ""),
        (made(), old(), STEPS, ""),
    ];
    for (store, source, file, words) in cases {
        let before = all(&store);
        let dry = run(&store, source.clone(), file, true);
        assert_eq!(all(&store), before, "{words}");
        let real = run(&store, source, file, false);
        assert_eq!(dry.report, real.report, "{words}");
        match (dry.outcome, real.outcome) {
            (Ok(dry), Ok(real)) => assert_eq!((dry, words), (real, "")),
            (Err(dry), Err(real)) => {
                assert_eq!(dry.to_string(), real.to_string());
                assert!(
                    !words.is_empty() && dry.to_string().contains(words),
                    "{dry}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A hundred failures are named, and whether any was damage was looked for among these.
#[test]
fn failures_are_counted_beyond_those_that_are_named() {
    let from = MemoryStore::new();
    for number in 0..150 {
        let event = event(number, "C", &json!({}));
        append(&from, &format!("old-{number}"), vec![event]);
    }
    append(&from, "old-150", vec![event(150, "D", &json!({}))]);
    let from = Damaged(from, 149);
    let picky = |mut draft: Draft| match draft.name() {
        "C" => Err(Error::invalid("not this one")),
        _ => draft.move_to("new-1").map(|()| vec![draft]),
    };
    let run = Transform::new("test", &from, &picky)
        .of(Source::Category(Category::new("old").unwrap()))
        .within(note)
        .on_failure(OnFailure::Skip)
        .closing();
    let report = block_on(run.run(&mut ())).report;
    assert_eq!((report.failed, report.damaged), (150, 1));
    assert_eq!(report.failures.len(), 100);
    assert!(report.failures.iter().all(|failed| failed.stream.is_some()));
    assert_eq!((report.stayed_open, report.not_closed.len()), (150, 100));
}

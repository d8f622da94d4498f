//! Imports into the memory store: once, again, after a kill, and with lines that are wrong.

use std::io::{Cursor, Read, Write};
use std::sync::Arc;

use factum_io::Env;
use factum_store::{AppendBatch, Change, EventStore, MemoryStore, ReadRequest};
use factum_types::{ExpectedRevision, RecordedEvent, Revision, StreamName, StreamSettings};

use super::{Finished, Watcher, run};
use crate::files::Input;
use crate::import::{Effect, Invalid, Settings, Tally};
use crate::interrupt::Interrupt;
use factum_json::cloud::bring::TimeOf;

const SETTINGS: Settings = Settings {
    time_of: TimeOf::Now,
    batch_events: 3,
    invalid: Invalid::Stop,
    effect: Effect::Append,
};

#[derive(Default)]
struct Heard(Vec<String>);

impl Watcher for Heard {
    fn step(&mut self, _: &Tally) {}

    fn wrong(&mut self, message: &str) {
        self.0.push(message.to_owned());
    }
}

/// Event number `n`, in one of three streams.
fn line(n: usize) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"00000000-0000-4000-8000-{n:012}\",\"source\":\"s\",\"type\":\"T{}\",\"subject\":\"order-{}\",\"time\":\"2011-09-30T22:38:{:02}Z\",\"data\":{{\"n\":{n}}}}}\n",
        n % 2,
        n % 5 % 3,
        n % 60,
    )
}

fn lines(count: usize) -> String {
    (0..count).map(line).collect()
}

fn import(
    store: &Arc<dyn EventStore>,
    text: impl AsRef<[u8]>,
    settings: Settings,
) -> (Finished, Vec<String>) {
    let reader: Box<dyn Read + Send> = Box::new(Cursor::new(text.as_ref().to_vec()));
    let input = Input {
        reader,
        name: "x.ndjson".to_owned(),
        len: None,
        done: Arc::default(),
    };
    let mut heard = Heard::default();
    let finished = run(
        input,
        settings,
        store,
        &Env::real(),
        &Interrupt::default(),
        &mut heard,
    );
    (finished, heard.0)
}

fn store() -> Arc<dyn EventStore> {
    Arc::new(MemoryStore::new())
}

fn all(store: &Arc<dyn EventStore>) -> Vec<RecordedEvent> {
    pollster::block_on(store.read(ReadRequest::all()).collect()).unwrap()
}

fn data(store: &Arc<dyn EventStore>) -> Vec<String> {
    all(store)
        .iter()
        .map(|event| String::from_utf8(event.data.to_vec()).unwrap())
        .collect()
}

fn message(finished: &Finished) -> &str {
    &finished.outcome.as_ref().unwrap_err().message
}

#[test]
fn positions_follow_lines_and_revisions_count() {
    let store = store();
    let (finished, _) = import(&store, lines(20), SETTINGS);
    finished.outcome.as_ref().unwrap();
    assert_eq!(
        finished.tally,
        Tally {
            added: 20,
            streams: 3,
            ..Tally::default()
        }
    );
    let expected: Vec<String> = (0..20).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(data(&store), expected);
    let one = ReadRequest::stream(StreamName::new("order-1").unwrap());
    let revisions: Vec<u64> = pollster::block_on(store.read(one).collect())
        .unwrap()
        .iter()
        .map(|e| e.revision.number())
        .collect();
    assert_eq!(revisions, (0..revisions.len() as u64).collect::<Vec<_>>());
}

/// Stopped after any line, in batches of any size: the second run adds the rest, a third nothing.
#[test]
fn an_import_is_resumed_without_a_gap_or_a_repeat() {
    let whole = lines(17);
    for stopped_after in 0..17 {
        for batch_events in [1, 2, 5] {
            let store = store();
            let settings = Settings {
                batch_events,
                ..SETTINGS
            };
            import(&store, lines(stopped_after), settings)
                .0
                .outcome
                .unwrap();
            let (finished, _) = import(&store, &whole, settings);
            finished.outcome.as_ref().unwrap();
            let there = stopped_after as u64;
            assert_eq!(
                (finished.tally.added, finished.tally.already_there),
                (17 - there, there)
            );
            let (finished, _) = import(&store, &whole, settings);
            assert_eq!(
                (finished.tally.added, finished.tally.already_there),
                (0, 17)
            );
            assert_eq!(all(&store).len(), 17);
        }
    }
}

#[test]
fn before_a_wrong_line_everything_is_there_and_nothing_after() {
    let check = |wrong: &str, expected: &str| {
        let store = store();
        let text = format!("{}{wrong}\n{}", lines(7), line(8));
        let (finished, _) = import(&store, text, SETTINGS);
        assert!(
            message(&finished).contains(expected),
            "{wrong}: {}",
            message(&finished)
        );
        assert_eq!(all(&store).len(), 7, "{wrong}");
        let text = format!("{}{wrong}\n{}", lines(7), line(8));
        let (finished, heard) = import(
            &store,
            text,
            Settings {
                invalid: Invalid::Skip,
                ..SETTINGS
            },
        );
        finished.outcome.as_ref().unwrap();
        assert_eq!(
            (finished.tally.added, finished.tally.invalid),
            (1, 1),
            "{wrong}"
        );
        assert!(heard[0].contains(expected), "{wrong}: {}", heard[0]);
    };
    check("{\"specversion\":", "x.ndjson:8:15: EOF");
    check("[1]", "x.ndjson:8:");
    check("nonsense", "x.ndjson:8:2");
    check(
        "{\"specversion\":\"1.0\",\"id\":\"x\"}",
        "x.ndjson:8: there is no source",
    );
    check(
        line(3).replace("\"n\":3", "\"n\":4").trim(),
        "is on line 4 too, with other content",
    );
    check(
        line(9).replace("order-", "a\\u0007b").trim(),
        "x.ndjson:8: subject: ",
    );
    check(
        &"x".repeat(super::super::LINE_BYTES_MAX + 1),
        "x.ndjson:8: the line is longer",
    );
}

#[test]
fn a_line_that_is_there_twice_counts_once() {
    let store = store();
    let (finished, _) = import(
        &store,
        format!("{}\n{}\r\n", lines(3), line(1).trim()),
        SETTINGS,
    );
    finished.outcome.as_ref().unwrap();
    assert_eq!((finished.tally.added, finished.tally.repeated), (3, 1));
}

#[test]
fn other_content_under_an_id_of_the_store_is_refused() {
    let store = store();
    import(&store, lines(4), SETTINGS).0.outcome.unwrap();
    let (finished, _) = import(&store, line(2).replace("\"n\":2", "\"n\":0"), SETTINGS);
    let text = message(&finished);
    assert!(text.contains("x.ndjson:1: event 00000000-0000-4000-8000-000000000002 is in stream order-2 already, at revision 0"), "{text}");
    assert_eq!(all(&store).len(), 4);
}

#[test]
fn hidden_events_are_not_added_a_second_time() {
    let store = store();
    import(&store, lines(12), SETTINGS).0.outcome.unwrap();
    let stream = StreamName::new("order-1").unwrap();
    let settings = StreamSettings {
        truncate_before: Some(Revision::new(2)),
        ..StreamSettings::default()
    };
    let batch = AppendBatch::change(stream, ExpectedRevision::Any, Change::Settings(settings));
    pollster::block_on(store.append(batch)).unwrap();
    let (finished, _) = import(&store, lines(14), SETTINGS);
    assert!(
        message(&finished).contains("before revision 2 are hidden"),
        "{}",
        message(&finished)
    );
    assert_eq!(all(&store).len(), 12);
}

#[test]
fn a_dry_run_writes_nothing() {
    let store = store();
    import(&store, lines(4), SETTINGS).0.outcome.unwrap();
    let (finished, _) = import(
        &store,
        lines(9),
        Settings {
            effect: Effect::DryRun,
            ..SETTINGS
        },
    );
    finished.outcome.as_ref().unwrap();
    assert_eq!((finished.tally.added, finished.tally.already_there), (5, 4));
    assert_eq!(all(&store).len(), 4);
}

#[test]
fn preserved_times_must_not_go_backwards() {
    let settings = Settings {
        time_of: TimeOf::Event,
        ..SETTINGS
    };
    let kept = store();
    import(&kept, lines(9), settings).0.outcome.unwrap();
    assert_eq!(
        crate::time::rfc3339(all(&kept)[7].time).unwrap(),
        "2011-09-30T22:38:07Z"
    );
    let (finished, _) = import(&store(), format!("{}{}", line(5), line(4)), settings);
    assert!(message(&finished).contains("x.ndjson:2: its time is before that of line 1"));
}

#[test]
fn compressed_data_that_ends_early_is_told() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(lines(2_000).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let half = packed[..packed.len() / 2].to_vec();
    let reader = Box::new(flate2::bufread::MultiGzDecoder::new(Cursor::new(half)));
    let input = Input {
        reader,
        name: "x.gz".to_owned(),
        len: None,
        done: Arc::default(),
    };
    let store = store();
    let finished = run(
        input,
        SETTINGS,
        &store,
        &Env::real(),
        &Interrupt::default(),
        &mut Heard::default(),
    );
    assert!(
        message(&finished).contains("ends too early"),
        "{}",
        message(&finished)
    );
    assert!(finished.tally.added > 0);
    assert_eq!(all(&store).len() as u64, finished.tally.added);
}

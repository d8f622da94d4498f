//! An event that is for several instances of a process, or several partitions of a reactor, waits for all of them, and all for it.

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};

use factum_framework::kit::FakeWorld;
use factum_framework::{
    Decider, Effects, Emit, Env, Event, Failure, Inputs, Process, Reactor, Receiver, RecordedEvent,
    Repository, Route, Runner, StartFrom,
};
use factum_store::{AppendBatch, Change, EventStore, MemoryStore};
use factum_types::{ExpectedRevision, StreamName};
use pollster::block_on;
use serde::{Deserialize, Serialize};

/// Lines for files, each `file: text`.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "LinesWritten")]
struct Written {
    lines: Vec<String>,
}

/// Each is an input of its own.
#[derive(Clone, Debug)]
struct Line {
    file: String,
    text: String,
}

impl Inputs for Line {
    fn names() -> Vec<&'static str> {
        <Written as Inputs>::names()
    }

    fn read(event: &RecordedEvent) -> Result<Vec<Self>, factum_framework::Error> {
        let written = <Written as Inputs>::read(event)?;
        let lines = written.into_iter().flat_map(|written| written.lines);
        let lines = lines.filter_map(|line| {
            let (file, text) = line.split_once(": ")?;
            Some(Self {
                file: file.to_owned(),
                text: text.to_owned(),
            })
        });
        Ok(lines.collect())
    }
}

#[derive(Default, Clone)]
struct Writer;

impl Decider for Writer {
    type Command = Vec<String>;
    type Event = Written;
    type Error = String;
    fn evolve(&mut self, _: &Written, _: &RecordedEvent) {}
    fn decide(&self, lines: Vec<String>, _: &mut Env) -> Result<Emit<Written>, String> {
        Ok(Written { lines }.into())
    }
}

impl Receiver for Writer {
    const CATEGORY: &'static str = "writer";
}

/// One instance for each file, which takes down what comes; `bad` asks for what cannot be.
#[derive(Default, Clone)]
struct File {
    texts: Vec<String>,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "LineKept")]
struct Kept {
    text: String,
}

impl Process for File {
    const NAME: &'static str = "file";
    type Input = Line;
    type Event = Kept;

    fn route(line: &Line, _: &RecordedEvent) -> Route {
        match line.text.as_str() {
            "begin" => Route::Start(line.file.clone()),
            "end" => Route::End(line.file.clone()),
            "nothing" => Route::Ignore,
            _ => Route::Continue(line.file.clone()),
        }
    }

    fn evolve(&mut self, event: &Kept, _: &RecordedEvent) {
        self.texts.push(event.text.clone());
    }

    fn on(&self, line: &Line, _: &mut Env) -> Emit<Kept> {
        let emit = Emit::from(Kept {
            text: line.text.clone(),
        });
        if line.text == "bad" {
            return emit.send::<Writer>("nowhere", &Vec::new());
        }
        emit
    }
}

/// One partition for each file; fails the texts that it is told to.
#[derive(Default, Clone)]
struct Printer {
    fails: Arc<Mutex<BTreeSet<String>>>,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Printer {
    fn printed(&self) -> Vec<String> {
        self.printed.lock().unwrap().clone()
    }

    fn fail(&self, text: &str) {
        self.fails.lock().unwrap().insert(text.to_owned());
    }

    fn mend(&self) {
        self.fails.lock().unwrap().clear();
    }
}

impl Reactor for Printer {
    const NAME: &'static str = "printer";
    type Input = Line;

    fn partition(&self, line: &Line, _: &RecordedEvent) -> Option<String> {
        (line.text != "nothing").then(|| line.file.clone())
    }

    async fn react(&self, line: &Line, effects: &Effects<'_>) -> Result<(), Failure> {
        if self.fails.lock().unwrap().contains(&line.text) {
            return Err(Failure::park("no ink"));
        }
        let printed = format!("{}: {}", line.file, line.text);
        let print = async {
            self.printed.lock().unwrap().push(printed);
            Ok(())
        };
        effects.once("print", print).await
    }
}

struct Desk {
    store: MemoryStore,
    repository: Repository,
    printer: Printer,
    written: u32,
}

impl Desk {
    fn new() -> Self {
        let store = MemoryStore::new();
        let world = FakeWorld::new(7).world();
        Self {
            repository: Repository::new(Arc::new(store.clone())).with_world(world),
            store,
            printer: Printer::default(),
            written: 0,
        }
    }

    /// Each event in a stream of its own: only partitions keep the order.
    fn write(&mut self, lines: &[&str]) {
        self.written += 1;
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        let stream = format!("writer-{}", self.written);
        let run = self.repository.run::<Writer>(stream, lines);
        block_on(run.into_future()).unwrap();
    }

    fn files(&self) -> usize {
        let mut runner = Runner::new(&self.repository).process::<File>(StartFrom::Beginning);
        block_on(runner.run_until_idle()).unwrap().parked
    }

    fn print(&self) -> usize {
        let printer = self.printer.clone();
        let mut runner = Runner::new(&self.repository)
            .named("the only")
            .reactor(printer, StartFrom::Beginning);
        block_on(runner.run_until_idle()).unwrap().parked
    }

    fn file(&self, file: &str) -> Vec<String> {
        let file = block_on(self.repository.process::<File>(file)).unwrap();
        file.map_or(Vec::new(), |file| file.state.texts)
    }

    fn retry(&self, consumer: &str, partition: &str) {
        block_on(self.repository.retry_parked(consumer, partition)).unwrap();
    }

    fn skip_first(&self) {
        let parked = block_on(self.repository.parked()).unwrap();
        block_on(self.repository.skip_parked(&parked[0], "a test")).unwrap();
    }

    /// The partition and the stream of what is parked.
    fn parked(&self) -> Vec<(String, String)> {
        let parked = block_on(self.repository.parked()).unwrap();
        let places = parked
            .into_iter()
            .map(|it| (it.partition, it.stream.to_string()));
        places.collect()
    }
}

fn places(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(partition, stream): &(&str, &str)| ((*partition).into(), (*stream).into());
    expected.iter().map(owned).collect()
}

#[test]
fn an_input_waits_for_every_instance_that_it_is_for() {
    let mut desk = Desk::new();
    desk.write(&["a: begin", "b: begin"]);
    desk.write(&["b: bad"]);
    desk.write(&["a: nothing", "a: 1", "b: 1"]);
    desk.write(&["a: 2"]);
    desk.write(&["c: begin"]);
    assert_eq!(desk.files(), 3);
    assert_eq!(desk.file("b"), ["begin"]);
    assert_eq!(desk.file("a"), ["begin"], "a: 2 does not overtake a: 1");
    assert_eq!(desk.file("c"), ["begin"], "others go on");
    let expected = [
        ("file-b", "writer-2"),
        ("file-b", "writer-3"),
        ("file-b", "writer-4"),
    ];
    assert_eq!(desk.parked(), places(&expected));
    desk.skip_first();
    assert_eq!(desk.files(), 0);
    assert_eq!(desk.file("a"), ["begin", "1", "2"]);
    assert_eq!(desk.file("b"), ["begin", "1"]);
}

#[test]
fn an_effect_waits_for_every_partition_that_it_is_for() {
    let mut desk = Desk::new();
    for text in ["bad", "worse"] {
        desk.printer.fail(text);
    }
    desk.write(&["a: bad"]);
    desk.write(&["b: worse"]);
    desk.write(&["c: 1", "a: 1", "b: 1"]);
    desk.write(&["a: 2"]);
    desk.write(&["c: 2"]);
    desk.write(&["d: 1"]);
    assert_eq!(desk.print(), 5);
    assert_eq!(desk.printer.printed(), ["d: 1"]);
    // What is for a, b and c waits behind the last of them; and all that is for one of these waits behind that.
    let expected = [
        ("a", "writer-1"),
        ("b", "writer-2"),
        ("b", "writer-3"),
        ("b", "writer-4"),
        ("b", "writer-5"),
    ];
    assert_eq!(desk.parked(), places(&expected));

    // b goes on as far as it can without a.
    desk.printer.mend();
    desk.retry("reactor.printer", "b");
    assert_eq!(desk.print(), 4);
    assert_eq!(desk.printer.printed(), ["d: 1", "b: worse"]);
    assert_eq!(
        desk.print(),
        4,
        "and waits, without going round in a circle"
    );

    // When a is out of the way, the wish for b still counts. A lost checkpoint changes nothing.
    desk.retry("reactor.printer", "a");
    let checkpoint = StreamName::new("factum.checkpoint-reactor.printer").unwrap();
    let delete = AppendBatch::change(checkpoint, ExpectedRevision::Any, Change::Delete);
    block_on(desk.store.append(delete)).unwrap();
    assert_eq!(desk.print(), 0);
    let printed = [
        "d: 1", "b: worse", "a: bad", "c: 1", "a: 1", "b: 1", "a: 2", "c: 2",
    ];
    assert_eq!(desk.printer.printed(), printed);
}

#[test]
fn a_failure_in_the_middle_holds_all_that_the_event_is_for() {
    let mut desk = Desk::new();
    desk.printer.fail("bad");
    desk.write(&["a: 1", "b: bad", "c: 1"]);
    desk.write(&["c: 2"]);
    desk.write(&["b: 2"]);
    desk.write(&["a: 2"]);
    assert_eq!(desk.print(), 4);
    assert_eq!(desk.printer.printed(), ["a: 1"]);
    desk.printer.mend();
    desk.retry("reactor.printer", "a");
    assert_eq!(desk.print(), 0);
    let printed = ["a: 1", "b: bad", "c: 1", "c: 2", "b: 2", "a: 2"];
    assert_eq!(desk.printer.printed(), printed);
}

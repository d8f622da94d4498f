//! Small scripts for the layers that try every call: a few words each.
//!
//! | word | what it does |
//! |---|---|
//! | `put S N B` | appends N events of B bytes to stream S and waits for the answer |
//! | `zero S B`, `forge S B` | the same with one event of zeros, or of bytes of the log itself |
//! | `next S B` | the same, expecting the right revision |
//! | `wrong S` | appends under an expectation that does not hold, without waiting |
//! | `only S T` | appends one event with tag T on condition that none has it, without waiting |
//! | `ask S N B` | appends without waiting |
//! | `pairs N B` | N times two frames at once, each in its own page: what is later packed |
//! | `multi B` | one batch over three streams |
//! | `delete S`, `close S`, `limit S` | delete, tombstone, settings |
//! | `snap S` | saves a snapshot |
//! | `again N` | asks for the Nth batch again, counted back from the last |
//! | `build`, `write N`, `done N`, `begin` | frames under way, by hand |
//! | `drain`, `mark`, `prepare`, `seal` | works everything off; checkpoint frame; one thing, or everything, in the background |
//! | `reopen`, `kill` | ends the process and opens again |
//!
//! Relies on: segments of 64 KiB, so that `put o 3 20000` nearly fills one. Never: reads.

use factum_store::{AppendBatch, Change, Condition, Snapshot, StreamWrite};
use factum_types::{
    EventId, EventType, ExpectedRevision, NewEvent, Query, Revision, StreamName, StreamSettings,
    Tag, Timestamp,
};

use crate::history::{History, Request};
use crate::session::{Session, Settings};
use crate::violation::{Checked, Violation};
use crate::workload::named;

/// What is done before power may fail, and what is done while it may.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Done first, and closed cleanly.
    pub setup: &'static str,
    /// Done then, on the store opened again.
    pub body: &'static str,
}

const fn script(setup: &'static str, body: &'static str) -> Script {
    Script { setup, body }
}

/// The scripts.
pub const SCRIPTS: [Script; 56] = [
    script("", ""),
    script("", "put o 1 10"),
    script("", "put o 1 10; put o 1 10"),
    script("", "put o 1 3000; put p 1 5000"),
    script("", "put o 2 100; mark; put o 1 100"),
    script("", "zero o 6000"),
    script("", "put o 1 100; zero o 2048; put o 1 100"),
    script("put o 1 100", "zero o 1500; zero o 1500; zero p 9000"),
    script("", "multi 50; multi 900"),
    script("put o 1 100", "forge o 3000; forge o 900; put o 1 10"),
    script("put o 1 100", "ask o 1 100; build; ask p 1 100; build; begin"),
    script("put o 1 100", "ask o 1 3000; build; ask p 1 3000; build; begin"),
    script("put o 1 100", "ask o 1 100; build; ask p 1 100; build; write 1; begin"),
    script("put o 1 100", "ask o 1 100; build; ask p 1 100; build; write 1; done 0; write 0; done 0"),
    script("put o 1 100", "ask o 1 2000; build; ask p 1 100; build; write 1; done 0; ask q 1 10; build; begin"),
    script("put o 1 100", "ask o 1 100; build; write 0; ask p 1 100; build; write 0; done 1; ask q 1 40; build; begin"),
    script("", "ask o 1 100; build; ask p 1 9000; build; write 0; begin"),
    script("put o 1 100; put o 1 50", "next o 10; wrong o; drain; next o 10"),
    script("put o 1 100", "ask o 1 10; build; wrong o; build; begin"),
    script("put o 1 100", "only o t:1; build; only p t:1; build; begin"),
    script("put o 1 100", "only o t:1; only p t:1; drain; put o 1 10"),
    script("put o 3 20000", "put o 1 20000"),
    script("put o 3 18000", "put o 1 20000; seal"),
    script("put o 3 18000; put o 1 9000", "seal"),
    script("put o 2 18000", "prepare; put o 2 18000"),
    script("put o 2 18000", "prepare; put o 2 18000; seal; put o 1 10"),
    script("put o 3 20000; put p 3 20000; put q 3 20000", "seal; put o 1 10"),
    script("put o 3 19000", "ask o 1 1000; build; ask p 1 15000; build; begin"),
    script("put o 3 19000", "ask o 1 1000; build; ask p 1 15000; build; write 1; begin"),
    script("put o 3 19000", "ask o 1 1000; build; ask p 1 15000; build; write 1; done 0; write 0; done 0; seal"),
    script("put o 3 19000", "mark; put o 1 9000; mark; put p 1 1; seal"),
    script("put o 1 10", "delete o; put o 1 10; delete o"),
    script("put o 1 10; put p 1 10", "close o; limit p; put p 2 10"),
    script("put o 1 10; close p", "put o 3 20000; put o 1 20000; seal; put q 1 1"),
    script("put o 1 10; delete o; limit p", "put q 3 20000; put q 1 20000; seal; put o 1 1"),
    script("", "snap o; put o 1 10; snap o"),
    script("snap o; snap o", "put q 3 20000; put q 1 20000; seal; snap o"),
    script("put o 1 10", "put o 1 20; again; put o 1 30; again"),
    script("put o 1 10", "ask o 1 20; build; again; build; begin"),
    script("put o 1 10", "put o 1 20; kill; again; put o 1 30"),
    script("put o 1 10", "ask o 1 700; build; begin; kill; put o 1 30; mark"),
    script("put o 1 10", "ask o 1 700; build; begin; kill; put p 1 4000; kill; put o 1 1"),
    script("put o 1 10", "reopen; put o 1 10; reopen"),
    script("put o 1 1000; put p 1 10; put q 1 5000", "kill; put p 1 10; kill; put o 2 10"),
    script("put o 40 10", "put p 40 200; put q 1 1"),
    script("put o 40 1200", "put p 10 1200; put q 1 1; seal; kill; put o 1 9"),
    script("", "ask o 1 500; build; ask p 1 500; build; write 0; ask q 1 500; done 0; build; write 1; begin"),
    script("put a 1 10; put o 3 19000", "prepare; kill; put o 1 9000; prepare; seal; put a 1 1"),
    script("put o 2 18000; put a 2 9000; put a 1 9000", "prepare; seal; reopen; put o 1 10"),
    script("pairs 8 300; put o 1 10", "seal; put o 1 10"),
    script("pairs 6 300; snap o; delete o; pairs 3 100", "seal; kill; put o 1 10; seal"),
    script("pairs 7 3000; close p; limit o; put o 1 9000", "seal; pairs 1 10; begin"),
    script("pairs 5 200", "pairs 3 50; ask o 1 5000; build; ask p 1 5000; build; write 1; begin"),
    script("put o 1 20; put q 3 20000; put q 1 20000; put q 1 9", "seal; kill; again 3; drain; put p 1 1"),
    script("put o 1 20; put q 3 20000; put q 1 20000; seal", "reopen; next o 5; again 1; drain; wrong o"),
    script("", "put o 1 100; ask o 1 100; build; ask p 1 100; build; write 1; begin; kill; put q 1 50; put q 1 60"),
];

/// Does what a script says, on an open store.
#[derive(Debug)]
pub struct Actor {
    /// What was asked and answered.
    pub history: History,
    settings: Settings,
    ids: u64,
    asked: Vec<AppendBatch>,
    revisions: std::collections::BTreeMap<StreamName, u64>,
    opened: u64,
}

impl Actor {
    /// An actor who has done nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            history: History::default(),
            settings,
            ids: 0,
            asked: Vec::new(),
            revisions: std::collections::BTreeMap::new(),
            opened: 0,
        }
    }

    /// Does all the words, until power fails.
    ///
    /// # Errors
    /// When an answer is wrong, or the store does not open again.
    pub fn perform(&mut self, session: &mut Session, words: &str) -> Checked {
        for word in words.split(';').map(str::trim).filter(|word| !word.is_empty()) {
            if session.is_off() {
                return Ok(());
            }
            self.word(session, word).map_err(|v| v.at(format_args!("`{word}`")))?;
        }
        Ok(())
    }

    fn word(&mut self, session: &mut Session, word: &str) -> Checked {
        let mut parts = word.split_whitespace();
        let verb = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let text = |n: usize| rest.get(n).copied().unwrap_or("s");
        let number = |n: usize| rest.get(n).and_then(|t| t.parse::<usize>().ok()).unwrap_or(0);
        let any = ExpectedRevision::Any;
        match verb {
            "put" => self.append(session, text(0), any, vec![number(2); number(1)], true),
            "ask" => self.append(session, text(0), any, vec![number(2); number(1)], false),
            "next" => {
                let next = self.revisions.get(&stream(text(0))).copied().unwrap_or(0);
                let expected = next.checked_sub(1).map_or(ExpectedRevision::NoStream, |last| {
                    ExpectedRevision::Exactly(Revision::new(last))
                });
                self.append(session, text(0), expected, vec![number(1)], true)
            }
            "wrong" => {
                let expected = ExpectedRevision::NoStream;
                self.append(session, text(0), expected, vec![5], false)
            }
            "zero" => {
                let data = vec![0; number(1)];
                self.payload(session, text(0), data)
            }
            "forge" => {
                let files = session.world.disk.files();
                let log = files.iter().rfind(|file| file.extension().is_some_and(|e| e == "seg"));
                let bytes = log.and_then(|file| session.world.disk.read_file(file));
                let bytes = bytes.unwrap_or_default();
                let data = bytes.get(4_096..4_096 + number(1)).unwrap_or_default().to_vec();
                self.payload(session, text(0), data)
            }
            "only" => {
                let tag = named(Tag::new(text(1)));
                let event = self.event(10).with_tags([tag.clone()]);
                let batch = AppendBatch::events(stream(text(0)), any, vec![event])
                    .on(Condition::NoMatch { query: Query::tag(tag), after: None });
                self.ask(session, batch, false)
            }
            "pairs" => {
                for _ in 0..number(0) {
                    for name in ["o", "p"] {
                        self.append(session, name, any, vec![number(1)], false)?;
                        session.build(&mut self.history)?;
                    }
                    session.write(1);
                    session.complete(&mut self.history, 0)?;
                    session.drain(&mut self.history)?;
                }
                Ok(())
            }
            "multi" => {
                let mut batch = AppendBatch::default();
                for name in ["order-1", "order-2", "cart-9"] {
                    let events = vec![self.event(number(0)), self.event(number(0) / 2)];
                    batch = batch.and(StreamWrite::events(stream(name), any, events));
                }
                self.ask(session, batch, true)
            }
            "delete" => self.change(session, text(0), Change::Delete),
            "close" => self.change(session, text(0), Change::Tombstone),
            "limit" => {
                let settings = StreamSettings { max_count: Some(2), ..StreamSettings::default() };
                self.change(session, text(0), Change::Settings(settings))
            }
            "snap" => {
                self.ids += 1;
                let data = bytes::Bytes::from(format!("snapshot {}", self.ids));
                let (key, version) = ("fold".to_owned(), 1);
                let time = Timestamp::default();
                let snapshot = Snapshot { stream: stream(text(0)), key, version, data, time };
                session.ask(&mut self.history, Request::Snapshot(snapshot))?;
                session.drain(&mut self.history)
            }
            "again" => match self.asked.iter().rev().nth(number(0)).cloned() {
                Some(batch) => session.ask(&mut self.history, Request::Append(batch)).map(drop),
                None => Ok(()),
            },
            _ => self.step(session, verb, number(0)),
        }
    }

    fn step(&mut self, session: &mut Session, verb: &str, number: usize) -> Checked {
        match verb {
            "build" => session.build(&mut self.history).map(drop),
            "write" => {
                session.write(number);
                Ok(())
            }
            "done" => session.complete(&mut self.history, number).map(drop),
            "begin" => {
                session.begin_writes();
                Ok(())
            }
            "drain" => session.drain(&mut self.history),
            "mark" => {
                session.build_checkpoint();
                session.drain(&mut self.history)
            }
            "prepare" => self.maintained(session, session.maintain().map(drop)),
            "seal" => loop {
                match session.maintain() {
                    Ok(true) => {}
                    outcome => return self.maintained(session, outcome.map(drop)),
                }
            },
            "reopen" | "kill" => {
                if verb == "reopen" {
                    drop(session.engine.close());
                    if session.is_off() {
                        return Ok(());
                    }
                }
                self.opened += 1;
                match Session::open_in(session.replace_world(), &self.settings) {
                    Ok(mut next) => {
                        next.may_fail = session.may_fail;
                        *session = next;
                        let history = &mut self.history;
                        let scan = crate::compare::scan(&session.engine, history.end)?;
                        let end = crate::compare::end(&session.engine)?;
                        history.settle(&scan, end, true)
                    }
                    Err(error) => {
                        if session.may_fail {
                            let world = session.replace_world();
                            world.disk.clear_faults();
                            *session = Session::open_in(world, &self.settings).map_err(|error| {
                                Violation::new(format!("opening again after an error: {error}"))
                            })?;
                            session.may_fail = true;
                            return Ok(());
                        }
                        // The next process found the disk without power; what it left is what counts.
                        let off = error.to_string().contains("power lost");
                        if off {
                            session.world = session.replace_world();
                            session.lose_power();
                            return Ok(());
                        }
                        Err(Violation::new(format!("opening again: {error}")))
                    }
                }
            }
            _ => Err(Violation::new(format!("no such word: {verb}"))),
        }
    }

    #[expect(clippy::unused_self, reason = "one shape for all words")]
    fn maintained(&self, session: &Session, outcome: std::io::Result<()>) -> Checked {
        match outcome {
            Err(error) if !session.is_off() && !session.may_fail => {
                Err(Violation::new(format!("background work: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn append(
        &mut self,
        session: &mut Session,
        name: &str,
        expected: ExpectedRevision,
        sizes: Vec<usize>,
        wait: bool,
    ) -> Checked {
        let events: Vec<NewEvent> = sizes.into_iter().map(|bytes| self.event(bytes)).collect();
        *self.revisions.entry(stream(name)).or_default() += events.len() as u64;
        self.ask(session, AppendBatch::events(stream(name), expected, events), wait)
    }

    fn payload(&mut self, session: &mut Session, name: &str, data: Vec<u8>) -> Checked {
        let event = NewEvent { data: data.into(), ..self.event(0) };
        let batch = AppendBatch::events(stream(name), ExpectedRevision::Any, vec![event]);
        self.ask(session, batch, true)
    }

    fn change(&mut self, session: &mut Session, name: &str, change: Change) -> Checked {
        let batch = AppendBatch::change(stream(name), ExpectedRevision::Any, change);
        session.ask(&mut self.history, Request::Append(batch))?;
        session.drain(&mut self.history)
    }

    fn ask(&mut self, session: &mut Session, batch: AppendBatch, wait: bool) -> Checked {
        self.asked.push(batch.clone());
        session.ask(&mut self.history, Request::Append(batch))?;
        if wait { session.drain(&mut self.history) } else { Ok(()) }
    }

    fn event(&mut self, bytes: usize) -> NewEvent {
        self.ids += 1;
        let id = EventId::from_bytes((0x5C21_0000_0000_0000_u128 << 64 | u128::from(self.ids)).to_be_bytes());
        let mut data = vec![0; bytes];
        fastrand::Rng::with_seed(self.ids).fill(&mut data);
        let tags = [named(Tag::new(format!("n:{}", self.ids % 3)))];
        NewEvent::binary(id, named(EventType::new("Happened")), data).with_tags(tags)
    }
}

fn stream(name: &str) -> StreamName {
    named(StreamName::new(name))
}

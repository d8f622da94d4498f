//! Who does what a script says: every word is one call on the session, and every answer goes into the history.
//!
//! Relies on: the words that `scripts` lists. Never: goes on when the power has failed.

use factum_store::{AppendBatch, Change, Condition, Snapshot, StreamWrite};
use factum_types::{
    EventId, EventType, ExpectedRevision, NewEvent, Query, Revision, StreamName, StreamSettings,
    Tag,
};

use crate::history::{History, Request};
use crate::session::{Session, Settings};
use crate::violation::{Checked, Violation};
use crate::workload::named;

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
        for word in words
            .split(';')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            if session.is_off() {
                return Ok(());
            }
            self.word(session, word)
                .map_err(|v| v.at(format_args!("`{word}`")))?;
        }
        Ok(())
    }

    fn word(&mut self, session: &mut Session, word: &str) -> Checked {
        let mut parts = word.split_whitespace();
        let verb = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let text = |n: usize| rest.get(n).copied().unwrap_or("s");
        let number = |n: usize| {
            rest.get(n)
                .and_then(|t| t.parse::<usize>().ok())
                .unwrap_or(0)
        };
        let any = ExpectedRevision::Any;
        match verb {
            "put" => self.append(session, text(0), any, vec![number(2); number(1)], true),
            "ask" => self.append(session, text(0), any, vec![number(2); number(1)], false),
            "next" => {
                let next = self.revisions.get(&stream(text(0))).copied().unwrap_or(0);
                let expected = next
                    .checked_sub(1)
                    .map_or(ExpectedRevision::NoStream, |last| {
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
                let log = files
                    .iter()
                    .rfind(|file| file.extension().is_some_and(|e| e == "seg"));
                let bytes = log.and_then(|file| session.world.disk.read_file(file));
                let bytes = bytes.unwrap_or_default();
                let data = bytes
                    .get(4_096..4_096 + number(1))
                    .unwrap_or_default()
                    .to_vec();
                self.payload(session, text(0), data)
            }
            _ => self.special(session, verb, &rest),
        }
    }

    /// Words for what is rarer than an append.
    fn special(&mut self, session: &mut Session, verb: &str, rest: &[&str]) -> Checked {
        let text = |n: usize| rest.get(n).copied().unwrap_or("s");
        let number = |n: usize| {
            rest.get(n)
                .and_then(|t| t.parse::<usize>().ok())
                .unwrap_or(0)
        };
        let any = ExpectedRevision::Any;
        match verb {
            "only" => {
                let tag = named(Tag::new(text(1)));
                let event = self.event(10).with_tags([tag.clone()]);
                let batch =
                    AppendBatch::events(stream(text(0)), any, vec![event]).on(Condition::NoMatch {
                        query: Query::tag(tag),
                        after: None,
                    });
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
                let settings = StreamSettings {
                    max_count: Some(2),
                    ..StreamSettings::default()
                };
                self.change(session, text(0), Change::Settings(settings))
            }
            "snap" => {
                self.ids += 1;
                let data = bytes::Bytes::from(format!("snapshot {}", self.ids));
                let snapshot = Snapshot::new(stream(text(0)), "fold", 1, data);
                session.ask(&mut self.history, Request::Snapshot(snapshot))?;
                session.drain(&mut self.history)
            }
            "again" => match self.asked.iter().rev().nth(number(0)).cloned() {
                Some(batch) => session
                    .ask(&mut self.history, Request::Append(batch))
                    .map(drop),
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
                            *session =
                                Session::open_in(world, &self.settings).map_err(|error| {
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
        self.ask(
            session,
            AppendBatch::events(stream(name), expected, events),
            wait,
        )
    }

    fn payload(&mut self, session: &mut Session, name: &str, data: Vec<u8>) -> Checked {
        let event = NewEvent {
            data: data.into(),
            ..self.event(0)
        };
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
        if wait {
            session.drain(&mut self.history)
        } else {
            Ok(())
        }
    }

    fn event(&mut self, bytes: usize) -> NewEvent {
        self.ids += 1;
        let id = EventId::from_bytes(
            (0x5C21_0000_0000_0000_u128 << 64 | u128::from(self.ids)).to_be_bytes(),
        );
        let mut data = vec![0; bytes];
        fastrand::Rng::with_seed(self.ids).fill(&mut data);
        let tags = [named(Tag::new(format!("n:{}", self.ids % 3)))];
        NewEvent::binary(id, named(EventType::new("Happened")), data).with_tags(tags)
    }
}

fn stream(name: &str) -> StreamName {
    named(StreamName::new(name))
}

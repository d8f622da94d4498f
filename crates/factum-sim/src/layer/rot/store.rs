//! The store to be damaged: every class of files is there.
//!
//! Relies on: the workload. Never: is damaged itself; copies are.

use std::collections::BTreeMap;

use factum_io::sim::SimDisk;
use factum_store::{AppendBatch, Change, Source};
use factum_types::{Category, EventType, Query, RecordedEvent, StreamName, Tag};

use crate::compare;
use crate::history::{History, Request};
use crate::oracle;
use crate::session::{Session, Settings};
use crate::violation::{Checked, Violation};
use crate::workload::{Sizes, Workload, named};

/// A store, and everything that is in it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) disk: SimDisk,
    pub(super) settings: Settings,
    /// Everything shown, by position.
    pub(super) events: BTreeMap<u64, RecordedEvent>,
    /// One more than the last position.
    pub(super) end: u64,
    /// The last position before the last frame with records.
    pub(super) before_last_frame: Option<u64>,
    pub(super) sources: Vec<Source>,
}

impl Stored {
    /// Writes a store from a seed: sealed segments, packed and not, an active one, a prepared one.
    pub(super) fn make(seed: u64) -> Checked<Self> {
        let settings = Settings::default();
        let mut session = Session::open(SimDisk::new(), seed, &settings)
            .map_err(|error| Violation::new(format!("making a store: {error}")))?;
        let mut history = History::default();
        let sizes = if seed.is_multiple_of(2) {
            Sizes::Mixed
        } else {
            Sizes::Small
        };
        let mut workload = Workload::new(seed, sizes);
        let appends = workload.random.usize(10..120);
        for _ in 0..appends {
            write(&mut session, &mut history, &mut workload)?;
        }
        session.drain(&mut history)?;
        session.settle(&mut history)?;
        let before_last_frame = compare::end(&session.engine)?.checked_sub(1);
        session.ask(&mut history, Request::Append(plain(&mut workload)))?;
        session.drain(&mut history)?;
        let scan = compare::scan(&session.engine, 0)?;
        let end = compare::end(&session.engine)?;
        let events = scan
            .into_iter()
            .map(|event| (event.position.raw(), event))
            .collect();
        let disk = if seed.is_multiple_of(3) {
            session.kill().disk
        } else {
            oracle::close(session)?.disk.fork()
        };
        Ok(Self {
            disk,
            settings,
            events,
            end,
            before_last_frame,
            sources: sources(),
        })
    }

    /// Whether something was shown at a position that the damaged store does not show any more.
    pub(super) fn shown_at(&self, position: u64, readable: &BTreeMap<u64, RecordedEvent>) -> bool {
        readable.contains_key(&position)
            || self.before_last_frame.is_some_and(|last| position <= last)
    }
}

/// An append, two frames under way at times, and background work at times.
fn write(session: &mut Session, history: &mut History, workload: &mut Workload) -> Checked {
    let request = workload.request();
    let hides = |batch: &AppendBatch| {
        batch
            .writes
            .iter()
            .any(|write| !matches!(write.change, Change::Events(_)))
    };
    match &request {
        // Streams that hide events are compared elsewhere; here every event must be read.
        Request::Append(batch) if hides(batch) => return Ok(()),
        Request::Append(_) => {}
        _ if history.hidden_is_open() => return Ok(()),
        _ => {}
    }
    session.ask(history, request)?;
    session.build(history)?;
    if workload.random.u8(0..3) == 0 {
        session.drain(history)?;
    }
    if workload.random.u8(0..4) == 0 {
        session.build_checkpoint();
    }
    if workload.random.u8(0..6) == 0 {
        session
            .maintain()
            .map_err(|error| Violation::new(format!("background: {error}")))?;
    }
    Ok(())
}

fn plain(workload: &mut Workload) -> AppendBatch {
    // Longer than a sector, so that no single one holds it and a frame before it.
    let mut data = vec![0; 900];
    workload.random.fill(&mut data);
    let event = factum_types::NewEvent {
        data: data.into(),
        ..workload.event(true)
    };
    let any = factum_types::ExpectedRevision::Any;
    AppendBatch::events(named(StreamName::new("order-1")), any, vec![event])
}

fn sources() -> Vec<Source> {
    vec![
        Source::Category(named(Category::new("order"))),
        Source::Stream(named(StreamName::new("order-1"))),
        Source::Stream(named(StreamName::new("plain"))),
        Source::Query(Query::event_type(named(EventType::new("Paid")))),
        Source::Query(Query::tag(named(Tag::new("student:1")))),
        Source::Query(Query::of(
            [named(EventType::new("Placed")), named(EventType::new("x"))],
            [named(Tag::new("t:2"))],
        )),
    ]
}

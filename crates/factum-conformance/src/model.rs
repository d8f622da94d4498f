//! The model test: random operations on the store and on the memory store, compared step by step.
//!
//! Positions are compared by their places in the order of visible records, because a store may have records of its own; times and the
//! ids of control records, which follow from positions, are left out. What a retry says of changes without events is left out too.
//! Relies on: factum-store's memory store, which is the definition.

mod choose;
mod compare;

use std::collections::BTreeMap;

use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest, Source};
use factum_types::{Position, RecordedEvent, StreamName};

use crate::check::{Outcome, Stop, same};
use crate::trial::Trial;
use crate::words::stream;

const STEPS: usize = 200;
const STREAMS: [&str; 7] = ["a-1", "a-2", "a-3", "b-1", "b-2", "plain", "c-x-y"];

/// The store, the oracle, and how their positions correspond.
pub(crate) struct Model<'a> {
    t: &'a Trial,
    oracle: MemoryStore,
    random: fastrand::Rng,
    names: Vec<StreamName>,
    /// Batches that were written, and a few that were not, with the oracle's positions, for retries.
    tried: Vec<AppendBatch>,
    /// The oracle's position of each visible record, and the store's.
    places: BTreeMap<Position, Position>,
}

fn run(t: &Trial, salt: u64) -> Outcome {
    let mut model = Model {
        t,
        oracle: MemoryStore::new(),
        random: t.random(1_000 + salt),
        names: STREAMS.into_iter().map(stream).collect(),
        tried: Vec::new(),
        places: BTreeMap::new(),
    };
    for step in 0..STEPS {
        model
            .step()
            .map_err(|stop| stop.at(format!("step {step}")))?;
    }
    model.compare_subscriptions()
}

impl Model<'_> {
    fn step(&mut self) -> Outcome {
        match self.random.u8(..20) {
            0..17 => self.append()?,
            17 | 18 => self.save_snapshot()?,
            _ => self.save_checkpoint()?,
        }
        self.compare_streams()?;
        for _ in 0..3 {
            let request = self.choose_read();
            self.compare_read(request)?;
        }
        self.compare_saved()
    }

    fn append(&mut self) -> Outcome {
        let batch = self.choose_batch();
        let what = format!("{batch:?}");
        let expected = self
            .t
            .wait("the oracle", self.oracle.append(batch.clone()))?;
        let found = self.t.append(self.translated(batch.clone()));
        self.align().map_err(|stop| stop.at(&what))?;
        let again = expected.is_ok() || self.random.u8(..4) == 0;
        self.compare_answers(&batch, found, expected)
            .map_err(|stop| stop.at(&what))?;
        if again {
            self.tried.push(batch);
        }
        Ok(())
    }

    /// Reads all records of both, compares them, and learns how their positions correspond.
    fn align(&mut self) -> Outcome {
        let everything = || ReadRequest::all().with_control();
        let expected = self
            .t
            .wait("the oracle", self.oracle.read(everything()).collect())??;
        let mut found = self.t.read(everything())?;
        found.retain(|record| self.names.contains(&record.stream));
        let short = |records: &[RecordedEvent]| -> Vec<_> {
            records
                .iter()
                .map(|r| (r.stream.clone(), r.kind, r.revision, r.data.clone()))
                .collect()
        };
        if expected.len() != found.len() {
            same("all records", short(&found), short(&expected))?;
        }
        self.places = expected
            .iter()
            .zip(&found)
            .map(|(e, f)| (e.position, f.position))
            .collect();
        self.compare_events("all records", &found, &expected)
    }

    /// The oracle's events, as a reader of the store should find them.
    fn oracle_read(
        &self,
        request: ReadRequest,
    ) -> Result<Result<Vec<RecordedEvent>, factum_store::StoreError>, Stop> {
        Ok(self
            .t
            .wait("the oracle", self.oracle.read(request).collect())?)
    }

    fn sources(&self) -> Vec<Source> {
        let mut sources = vec![Source::All];
        sources.extend(
            ["a", "b", "c"]
                .into_iter()
                .map(|c| Source::Category(crate::words::category(c))),
        );
        sources.extend(self.names.iter().cloned().map(Source::Stream));
        sources
    }
}

macro_rules! seeds {
    ($($name:ident $salt:literal),*) => {
        $(pub(crate) fn $name(t: &Trial) -> Outcome {
            run(t, $salt)
        })*
    };
}

seeds!(seed_1 1, seed_2 2, seed_3 3, seed_4 4, seed_5 5, seed_6 6, seed_7 7, seed_8 8);

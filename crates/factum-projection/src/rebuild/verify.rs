//! Whether a generation has the rows that a fresh fold of the same events gives.
//!
//! Relies on: a generation that no one else writes, up to its checkpoint. Never: takes the absence of a row for a row.

use std::collections::BTreeSet;

use factum_framework::Stop;
use factum_store::{ReadRequest, Source};
use factum_types::{Position, RecordedEvent};

use super::Watch;
use crate::error::{Error, Kind};
use crate::manage::Manage;
use crate::memory::{Fold, MemoryWriter};
use crate::projector::Projector;
use crate::read_back::{ReadBack, Row};
use crate::runner::{Runner, is_nothing};
use crate::sink::{Lease, Sink};
use crate::table::Table;

/// Up to so many rows all are compared, unless told otherwise: the fresh fold has them in memory.
const FITTING_ROWS: u64 = 1_000_000;
/// How many rows are read back at once.
const PAGE_ROWS: usize = 10_000;
/// How many events are folded between two looks whether to stop.
const LOOK_EVENTS: u64 = 1_024;

/// How much of a new generation is compared with a fresh fold in memory before it is switched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verify {
    /// Everything, or of more than a million rows so many as make a million.
    #[default]
    Fitting,
    /// All rows and their number.
    Everything,
    /// One row in so many, chosen by its key, at least one.
    OneIn(u32),
    /// Nothing.
    Nothing,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many rows.
    pub rows: u64,
    /// One row in so many.
    pub one_in: u32,
    /// How many events were folded.
    pub events: u64,
}

/// Compares; the outer `None` when it was stopped, the inner when nothing was to be compared.
pub(super) async fn verify<S, P>(
    runner: &mut Runner<S, P>,
    how: Verify,
    watch: &Watch,
    stop: &Stop,
) -> Result<Option<Option<Verified>>, Error>
where
    S: Sink + Manage + ReadBack,
    P: Projector<S::Writer> + Projector<MemoryWriter>,
{
    let Some(lease) = runner.lease().cloned() else {
        return Err(Error::unavailable("nothing is claimed"));
    };
    let tables = runner.sink().tables().to_vec();
    let Some(one_in) = share(runner.sink(), &lease, &tables, how).await? else {
        return Ok(Some(None));
    };
    let (checkpoint, parked) = runner.settled_state().await?;
    let mut fold = Fold::new(tables.clone(), one_in);
    let Some(events) = refold(runner, checkpoint, &parked, &mut fold, watch, stop).await? else {
        return Ok(None);
    };
    let mut rows = 0;
    for table in &tables {
        let Some(compared) = compare(runner.sink(), &lease, table, &mut fold, stop).await? else {
            return Ok(None);
        };
        rows += compared;
    }
    Ok(Some(Some(Verified {
        rows,
        one_in,
        events,
    })))
}

async fn share<S: ReadBack>(
    sink: &mut S,
    lease: &Lease,
    tables: &[Table],
    how: Verify,
) -> Result<Option<u32>, Error> {
    match how {
        Verify::Nothing => Ok(None),
        Verify::Everything => Ok(Some(1)),
        Verify::OneIn(rows) => Ok(Some(rows.max(1))),
        Verify::Fitting => {
            let mut all = 0_u64;
            for table in tables {
                let count = sink.count(&lease.projection, lease.generation, &table.name);
                all = all.saturating_add(count.await?);
            }
            let share = all.div_ceil(FITTING_ROWS).max(1);
            Ok(Some(u32::try_from(share).unwrap_or(u32::MAX)))
        }
    }
}

/// Folds the events up to the checkpoint, those that wait excepted.
async fn refold<S, P>(
    runner: &Runner<S, P>,
    checkpoint: Option<Position>,
    parked: &BTreeSet<Position>,
    fold: &mut Fold,
    watch: &Watch,
    stop: &Stop,
) -> Result<Option<u64>, Error>
where
    S: Sink,
    P: Projector<S::Writer> + Projector<MemoryWriter>,
{
    let projector = runner.projector();
    let source: Source = Projector::<MemoryWriter>::source(projector);
    let mut events = runner.store().read(ReadRequest::forward(source));
    let mut folded = 0;
    while let Some(event) = events.next().await {
        let event = match event {
            Err(error) if is_nothing(&error) => break,
            event => event?,
        };
        if Some(event.position) > checkpoint {
            break;
        }
        if folded % LOOK_EVENTS == 0 {
            if stop.is_asked() {
                return Ok(None);
            }
            watch.folded(event.position);
        }
        folded += 1;
        if parked.contains(&event.position) {
            continue;
        }
        let projected = projector.project(&event, fold.writer(&event));
        let applied = projected.and_then(|()| fold.apply());
        applied.map_err(|error| differs_at(&event, &error))?;
    }
    Ok(Some(folded))
}

fn differs_at(event: &RecordedEvent, error: &Error) -> Error {
    if error.kind() != Kind::Refused {
        return error.clone();
    }
    Error::invalid(format!(
        "event {} of stream {} was applied, but a fresh fold refuses it: {error}",
        event.revision, event.stream
    ))
}

/// Compares the rows of a table and says how many those are.
async fn compare<S: ReadBack>(
    sink: &mut S,
    lease: &Lease,
    table: &Table,
    fold: &mut Fold,
    stop: &Stop,
) -> Result<Option<u64>, Error> {
    let (name, number) = (&lease.projection, lease.generation);
    let differs = |what: String| {
        let table = &table.name;
        Error::invalid(format!(
            "generation {number} of {name} differs from a fresh fold, so readers keep what they see: table {table} {what}"
        ))
    };
    let count = sink.count(name, number, &table.name).await?;
    let expected = fold.count(&table.name);
    if fold.has_all() && count != expected {
        return Err(differs(format!("has {count} rows in place of {expected}")));
    }
    let (mut compared, mut after) = (0, None::<Row>);
    loop {
        if stop.is_asked() {
            return Ok(None);
        }
        let page = sink.page(name, number, &table.name, after.as_ref(), PAGE_ROWS);
        let page = page.await?;
        for row in &page {
            if !fold.wants(table, row) {
                continue;
            }
            match fold.take(table, row) {
                Some(expected) if same(table, row, &expected) => compared += 1,
                Some(expected) => {
                    return Err(differs(format!(
                        "has the row {row:?} in place of {expected:?}"
                    )));
                }
                None => return Err(differs(format!("has the row {row:?}, which should not be"))),
            }
        }
        match page.into_iter().last() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    match fold.rest(&table.name) {
        Some(missing) => Err(differs(format!("has no row {missing:?}"))),
        None => Ok(Some(compared)),
    }
}

/// Columns that an expected row does not have hold nothing.
fn same(table: &Table, row: &Row, expected: &Row) -> bool {
    table.columns.iter().all(|column| {
        let of = |row: &Row| {
            let value = row.get(&column.name).cloned();
            value.unwrap_or(crate::Value::Null)
        };
        of(row).same(&of(expected))
    })
}

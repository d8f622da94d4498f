//! What the sink remembers: epoch, checkpoint, edits, parked events.
//!
//! Relies on: a transaction around each call. Never: moves a checkpoint under another's epoch.

use factum_projection::manage::no_generation;
use factum_projection::{Change, Edit, Error, Kind, Lease, Parked, State};
use factum_types::{EventId, EventType, Position, Revision, StreamName, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, Type};

use crate::session::{Bound, Sent, Session};

/// What stands with a generation.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) epoch: u64,
    pub(crate) checkpoint: Option<Position>,
    pub(crate) edits: u64,
    pub(crate) paused: bool,
    pub(crate) bulk: bool,
    pub(crate) version: String,
}

/// A statement with the values bound to it, kept until it is sent.
pub(crate) struct Ready {
    what: String,
    sql: String,
    values: Vec<(Held, Type)>,
}

/// A bound value of the sink's own.
pub(crate) enum Held {
    Text(String),
    Number(i64),
    Maybe(Option<i64>),
    Truth(bool),
}

/// A position as PostgreSQL can hold it.
pub(crate) const fn number(position: Position) -> i64 {
    position.raw().cast_signed()
}

pub(crate) fn position(number: i64) -> Position {
    Position::from_raw(number.cast_unsigned())
}

/// A cell of the sink's own tables.
pub(crate) fn cell<T: FromSqlOwned>(row: &Row, index: usize) -> Result<T, Error> {
    row.try_get(index)
        .map_err(|error| crate::error::kept("a table of the sink holds something else", error))
}

impl Ready {
    fn new(what: String, sql: String, values: Vec<Held>) -> Self {
        let values = values.into_iter().map(|value| {
            let of = match value {
                Held::Text(_) => Type::TEXT,
                Held::Number(_) | Held::Maybe(_) => Type::INT8,
                Held::Truth(_) => Type::BOOL,
            };
            (value, of)
        });
        let values = values.collect();
        Self { what, sql, values }
    }

    /// Sends it when polled; gives how many rows it changed.
    pub(crate) fn send<'a>(&'a self, session: &'a Session) -> Sent<'a, u64> {
        Box::pin(async move {
            let values: Vec<Bound<'_>> = self.values.iter().map(bound).collect();
            let done = session.execute(&self.what, &self.sql, &values).await;
            done.map_err(crate::error::not_refused)
        })
    }
}

fn bound((value, of): &(Held, Type)) -> Bound<'_> {
    let value: &(dyn tokio_postgres::types::ToSql + Sync) = match value {
        Held::Text(text) => text,
        Held::Number(number) => number,
        Held::Maybe(number) => number,
        Held::Truth(truth) => truth,
    };
    (value, of.clone())
}

/// What stands with a generation, if there is one, locked until the transaction ends. Whatever a lost connection still does is over then.
pub(crate) async fn locked(
    session: &Session,
    projection: &str,
    generation: u32,
) -> Result<Option<Kept>, Error> {
    let sql = format!(
        "SELECT epoch, position, edits, paused, bulk, version FROM {}.factum_generations
         WHERE projection = $1 AND generation = $2 FOR UPDATE",
        session.schema()
    );
    let what = format!("cannot read the checkpoint of {projection}");
    let generation = i64::from(generation);
    let values: [Bound<'_>; 2] = [(&projection, Type::TEXT), (&generation, Type::INT8)];
    let rows = session.query(&what, &sql, &values).await;
    let rows = rows.map_err(crate::error::not_refused)?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Kept {
        epoch: cell::<i64>(row, 0)?.cast_unsigned(),
        checkpoint: cell::<Option<i64>>(row, 1)?.map(position),
        edits: cell::<i64>(row, 2)?.cast_unsigned(),
        paused: cell(row, 3)?,
        bulk: cell(row, 4)?,
        version: cell(row, 5)?,
    }))
}

/// What stands with the generation, if the lease holds.
pub(crate) fn check_epoch(lease: &Lease, kept: Option<Kept>) -> Result<Kept, Error> {
    let name = &lease.projection;
    match kept {
        Some(kept) if kept.epoch == lease.epoch => Ok(kept),
        Some(kept) => Err(Error::fenced(name, lease.epoch, kept.epoch)),
        None => {
            let what = format!("generation {} of {name} was dropped", lease.generation);
            Err(Error::new(Kind::Fenced, what))
        }
    }
}

pub(crate) async fn state(session: &Session, lease: &Lease) -> Result<State, Error> {
    let kept = locked(session, &lease.projection, lease.generation).await?;
    let kept = check_epoch(lease, kept)?;
    let parked = parked(session, &lease.projection, lease.generation, i64::MAX).await?;
    Ok(State {
        checkpoint: kept.checkpoint,
        parked: parked.into_iter().collect(),
        paused: kept.paused,
        edits: kept.edits,
    })
}

/// What waits in a generation, by position, at most so much.
pub(crate) async fn parked(
    session: &Session,
    projection: &str,
    generation: u32,
    limit: i64,
) -> Result<Vec<Parked>, Error> {
    // Positions of high partitions are negative numbers, and come last.
    let sql = format!(
        "SELECT partition, position, event, stream, revision, event_type, reason, attempts, since, wanted
         FROM {}.factum_parked WHERE projection = $1 AND generation = $2
         ORDER BY position < 0, position LIMIT $3",
        session.schema()
    );
    let what = format!("cannot list what {projection} parked");
    let generation = i64::from(generation);
    let values: [Bound<'_>; 3] = [
        (&projection, Type::TEXT),
        (&generation, Type::INT8),
        (&limit, Type::INT8),
    ];
    let rows = session.query(&what, &sql, &values).await;
    let rows = rows.map_err(crate::error::not_refused)?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Parked, Error> {
    let bad =
        |what: &str, text: &str| Error::invalid(format!("a parked event has {what} {text:?}"));
    let (event, stream): (String, String) = (cell(row, 2)?, cell(row, 3)?);
    let event_type: String = cell(row, 5)?;
    let attempts: i64 = cell(row, 7)?;
    let id: Result<EventId, _> = event.parse();
    Ok(Parked {
        partition: cell(row, 0)?,
        position: position(cell(row, 1)?),
        event: id.map_err(|error| bad("the id", &event).because(error))?,
        stream: StreamName::new(&stream)
            .map_err(|error| bad("the stream", &stream).because(error))?,
        revision: Revision::new(cell::<i64>(row, 4)?.cast_unsigned()),
        event_type: EventType::new(&event_type)
            .map_err(|error| bad("the type", &event_type).because(error))?,
        reason: cell(row, 6)?,
        attempts: u32::try_from(attempts)
            .map_err(|error| bad("attempts", &attempts.to_string()).because(error))?,
        since: Timestamp::from_micros(cell(row, 8)?),
        wanted: cell(row, 9)?,
    })
}

/// The statements that store what waits, and then the checkpoint; they are right under a lock on the generation, which was looked at.
pub(crate) fn advance(
    session: &Session,
    lease: &Lease,
    to: Option<Position>,
    changes: &[Change],
) -> Vec<Ready> {
    let schema = session.schema();
    let mut all = Vec::new();
    for change in changes {
        match change {
            Change::Park(parked) => park(&mut all, &schema, lease, parked),
            Change::Release(at) => all.push(release(&schema, lease, *at)),
        }
    }
    let name = &lease.projection;
    let sql = format!(
        "UPDATE {schema}.factum_generations SET position = $3 WHERE projection = $1 AND generation = $2"
    );
    let mut values = of(lease);
    values.push(Held::Maybe(to.map(number)));
    let what = format!("cannot move the checkpoint of {name}");
    all.push(Ready::new(what, sql, values));
    all
}

/// Notes that nothing was applied in a generation, nor parked.
pub(crate) async fn forget(
    session: &Session,
    projection: &str,
    generation: u32,
) -> Result<(), Error> {
    let schema = session.schema();
    let what = format!("cannot take back the checkpoint of {projection}");
    for sql in [
        "UPDATE {s}.factum_generations SET position = NULL WHERE projection = $1 AND generation = $2",
        "DELETE FROM {s}.factum_parked WHERE projection = $1 AND generation = $2",
    ] {
        let values = vec![
            Held::Text(projection.to_owned()),
            Held::Number(generation.into()),
        ];
        let ready = Ready::new(what.clone(), sql.replace("{s}", &schema), values);
        ready.send(session).await?;
    }
    Ok(())
}

/// Notes that a generation is not filled in bulk any more.
pub(crate) async fn end_bulk(session: &Session, lease: &Lease) -> Result<(), Error> {
    let sql = format!(
        "UPDATE {}.factum_generations SET bulk = false WHERE projection = $1 AND generation = $2",
        session.schema()
    );
    let what = format!("cannot end the bulk of {}", lease.projection);
    Ready::new(what, sql, of(lease)).send(session).await?;
    Ok(())
}

fn of(lease: &Lease) -> Vec<Held> {
    vec![
        Held::Text(lease.projection.clone()),
        Held::Number(lease.generation.into()),
    ]
}

fn park(all: &mut Vec<Ready>, schema: &str, lease: &Lease, parked: &Parked) {
    let what = format!("cannot store what {} parks", lease.projection);
    if parked.attempts > 0 {
        all.push(mark(schema, lease, &parked.partition, false));
    }
    let sql = format!(
        "INSERT INTO {schema}.factum_parked AS old
         (projection, generation, position, partition, event, stream, revision, event_type, reason, attempts, since, wanted)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (projection, generation, position) DO UPDATE SET partition = excluded.partition, event = excluded.event,
           stream = excluded.stream, revision = excluded.revision, event_type = excluded.event_type, reason = excluded.reason,
           attempts = excluded.attempts, since = excluded.since, wanted = excluded.wanted"
    );
    let mut values = of(lease);
    values.extend([
        Held::Number(number(parked.position)),
        Held::Text(parked.partition.clone()),
        Held::Text(parked.event.to_string()),
        Held::Text(parked.stream.to_string()),
        Held::Number(parked.revision.number().cast_signed()),
        Held::Text(parked.event_type.to_string()),
        // A projector may say anything.
        Held::Text(parked.reason.replace('\0', "\u{fffd}")),
        Held::Number(parked.attempts.into()),
        Held::Number(parked.since.as_micros()),
        Held::Truth(parked.wanted),
    ]);
    all.push(Ready::new(what, sql, values));
}

fn release(schema: &str, lease: &Lease, at: Position) -> Ready {
    let sql = format!(
        "DELETE FROM {schema}.factum_parked WHERE projection = $1 AND generation = $2 AND position = $3"
    );
    let mut values = of(lease);
    values.push(Held::Number(number(at)));
    Ready::new(format!("cannot release position {at}"), sql, values)
}

fn mark(schema: &str, lease: &Lease, partition: &str, wanted: bool) -> Ready {
    let sql = format!(
        "UPDATE {schema}.factum_parked SET wanted = $4 WHERE projection = $1 AND generation = $2 AND partition = $3"
    );
    let mut values = of(lease);
    values.extend([Held::Text(partition.to_owned()), Held::Truth(wanted)]);
    Ready::new(format!("cannot mark partition {partition}"), sql, values)
}

/// Does something by hand, as [`State::edit`] says.
pub(crate) async fn edit(
    session: &Session,
    projection: &str,
    generation: u32,
    edit: &Edit,
) -> Result<(), Error> {
    let Some(kept) = locked(session, projection, generation).await? else {
        return Err(no_generation(projection, generation));
    };
    let lease = Lease {
        projection: projection.to_owned(),
        generation,
        epoch: kept.epoch,
    };
    let schema = session.schema();
    let mut paused = kept.paused;
    match edit {
        Edit::Pause => paused = true,
        Edit::Resume => paused = false,
        Edit::Retry { partition } => {
            let marked = mark(&schema, &lease, partition, true);
            if marked.send(session).await? == 0 {
                let what = format!("nothing is parked in the partition {partition}");
                return Err(Error::invalid(what));
            }
        }
        Edit::Skip { position } => skip(session, &schema, &lease, *position).await?,
    }
    let sql = format!(
        "UPDATE {schema}.factum_generations SET edits = edits + 1, paused = $3 WHERE projection = $1 AND generation = $2"
    );
    let mut values = of(&lease);
    values.push(Held::Truth(paused));
    let what = format!("cannot note an edit of {projection}");
    Ready::new(what, sql, values).send(session).await?;
    Ok(())
}

async fn skip(session: &Session, schema: &str, lease: &Lease, at: Position) -> Result<(), Error> {
    let sql = format!(
        "DELETE FROM {schema}.factum_parked WHERE projection = $1 AND generation = $2 AND position = $3 RETURNING partition"
    );
    let (generation, number) = (i64::from(lease.generation), number(at));
    let values: [Bound<'_>; 3] = [
        (&lease.projection, Type::TEXT),
        (&generation, Type::INT8),
        (&number, Type::INT8),
    ];
    let what = format!("cannot skip position {at}");
    let rows = session.query(&what, &sql, &values).await;
    let rows = rows.map_err(crate::error::not_refused)?;
    let Some(row) = rows.first() else {
        let what = format!("the event at position {at} is not parked");
        return Err(Error::invalid(what));
    };
    let partition: String = cell(row, 0)?;
    mark(schema, lease, &partition, true).send(session).await?;
    Ok(())
}

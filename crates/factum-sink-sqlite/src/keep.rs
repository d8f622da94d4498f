//! What the sink remembers: epoch, checkpoint, edits, parked events.
//!
//! Relies on: a transaction around each call. Never: moves a checkpoint under another's epoch.

use factum_projection::manage::no_generation;
use factum_projection::{Advance, Change, Edit, Error, Kind, Lease, Parked, State};
use factum_types::{EventId, EventType, Position, Revision, StreamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use crate::error::said;

/// A position as SQLite can hold it.
pub(crate) const fn number(position: Position) -> i64 {
    position.raw().cast_signed()
}

pub(crate) fn position(number: i64) -> Position {
    Position::from_raw(number.cast_unsigned())
}

/// What stands with a generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) checkpoint: Option<Position>,
    pub(crate) edits: u64,
    pub(crate) paused: bool,
}

/// What stands with the generation, if the lease holds.
pub(crate) fn check_epoch(connection: &Connection, lease: &Lease) -> Result<Kept, Error> {
    let name = &lease.projection;
    match kept(connection, name, lease.generation)? {
        Some((kept, epoch)) if epoch == lease.epoch => Ok(kept),
        Some((_, epoch)) => Err(Error::fenced(name, lease.epoch, epoch)),
        None => {
            let what = format!("generation {} of {name} was dropped", lease.generation);
            Err(Error::new(Kind::Fenced, what))
        }
    }
}

fn kept(
    connection: &Connection,
    name: &str,
    generation: u32,
) -> Result<Option<(Kept, u64)>, Error> {
    connection
        .prepare_cached(
            "SELECT epoch, position, edits, paused FROM factum_generations WHERE projection = ?1 AND generation = ?2",
        )
        .and_then(|mut statement| {
            let read = statement.query_row(params![name, generation], |row| {
                let kept = Kept {
                    checkpoint: row.get::<_, Option<i64>>(1)?.map(position),
                    edits: row.get::<_, i64>(2)?.cast_unsigned(),
                    paused: row.get(3)?,
                };
                Ok((kept, row.get::<_, i64>(0)?.cast_unsigned()))
            });
            read.optional()
        })
        .map_err(|error| said(format!("cannot read the checkpoint of {name}"), error))
}

pub(crate) fn state(connection: &Connection, lease: &Lease) -> Result<State, Error> {
    let kept = check_epoch(connection, lease)?;
    with_parked(connection, &lease.projection, lease.generation, kept)
}

/// The state of a generation, whoever has claimed it.
pub(crate) fn state_of(
    connection: &Connection,
    projection: &str,
    generation: u32,
) -> Result<State, Error> {
    match kept(connection, projection, generation)? {
        Some((kept, _)) => with_parked(connection, projection, generation, kept),
        None => Err(no_generation(projection, generation)),
    }
}

fn with_parked(
    connection: &Connection,
    projection: &str,
    generation: u32,
    kept: Kept,
) -> Result<State, Error> {
    let trouble = |error| said(format!("cannot list what {projection} parked"), error);
    let mut statement = connection
        .prepare_cached(
            "SELECT partition, position, event, stream, revision, event_type, reason, attempts, since, wanted
             FROM factum_parked WHERE projection = ?1 AND generation = ?2",
        )
        .map_err(trouble)?;
    let mut rows = statement
        .query(params![projection, generation])
        .map_err(trouble)?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next().map_err(trouble)? {
        parked.push(read(row)?);
    }
    // Sorted here: positions of high partitions are negative numbers in SQLite.
    let parked = parked.into_iter().collect();
    Ok(State {
        checkpoint: kept.checkpoint,
        parked,
        paused: kept.paused,
        edits: kept.edits,
    })
}

fn read(row: &Row<'_>) -> Result<Parked, Error> {
    fn cell<T: rusqlite::types::FromSql>(row: &Row<'_>, name: &str) -> Result<T, Error> {
        row.get(name)
            .map_err(|error| said(format!("{name} of a parked event"), error))
    }
    let bad =
        |what: &str, text: &str| Error::invalid(format!("a parked event has {what} {text:?}"));
    let (event, stream): (String, String) = (cell(row, "event")?, cell(row, "stream")?);
    let event_type: String = cell(row, "event_type")?;
    let id: Result<EventId, _> = event.parse();
    Ok(Parked {
        partition: cell(row, "partition")?,
        position: position(cell(row, "position")?),
        event: id.map_err(|error| bad("the id", &event).because(error))?,
        stream: StreamName::new(&stream)
            .map_err(|error| bad("the stream", &stream).because(error))?,
        revision: Revision::new(cell::<i64>(row, "revision")?.cast_unsigned()),
        event_type: EventType::new(&event_type)
            .map_err(|error| bad("the type", &event_type).because(error))?,
        reason: cell(row, "reason")?,
        attempts: cell(row, "attempts")?,
        since: Timestamp::from_micros(cell(row, "since")?),
        wanted: cell(row, "wanted")?,
    })
}

/// Moves the checkpoint, if epoch and checkpoint are what they were, and stores what waits.
pub(crate) fn advance(
    connection: &Connection,
    lease: &Lease,
    advance: &Advance,
) -> Result<(), Error> {
    let name = &lease.projection;
    let moved = connection
        .prepare_cached(
            "UPDATE factum_generations SET position = ?1
             WHERE projection = ?2 AND generation = ?3 AND epoch = ?4 AND position IS ?5 AND edits = ?6",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                advance.to.map(number),
                name,
                lease.generation,
                lease.epoch.cast_signed(),
                advance.from.map(number),
                advance.edits.cast_signed(),
            ])
        })
        .map_err(|error| said(format!("cannot move the checkpoint of {name}"), error))?;
    if moved != 1 {
        let kept = check_epoch(connection, lease)?;
        return Err(if kept.checkpoint == advance.from {
            Error::changed(name)
        } else {
            Error::moved(name)
        });
    }
    advance.changes.iter().try_for_each(|change| {
        let changed = match change {
            Change::Park(parked) => park(connection, lease, parked),
            Change::Release(at) => release(connection, lease, *at).map(|_| ()),
        };
        // Bookkeeping that fails is no fault of an event, whatever the code: it must not park one.
        changed.map_err(|error| {
            let error = said(format!("cannot store what {name} parks"), error);
            match error.kind() {
                Kind::Refused => Error::invalid(error.to_string()).because(error),
                _ => error,
            }
        })
    })
}

fn park(connection: &Connection, lease: &Lease, parked: &Parked) -> rusqlite::Result<()> {
    if parked.attempts > 0 {
        connection.execute(
            "UPDATE factum_parked SET wanted = 0 WHERE projection = ?1 AND generation = ?2 AND partition = ?3",
            params![lease.projection, lease.generation, parked.partition],
        )?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO factum_parked
         (projection, generation, position, partition, event, stream, revision, event_type, reason, attempts, since, wanted)
         VALUES (:projection, :generation, :position, :partition, :event, :stream, :revision, :event_type, :reason, :attempts, :since, :wanted)",
    )?;
    statement.execute(named_params! {
        ":projection": lease.projection,
        ":generation": lease.generation,
        ":position": number(parked.position),
        ":partition": parked.partition,
        ":event": parked.event.to_string(),
        ":stream": parked.stream.as_str(),
        ":revision": parked.revision.number().cast_signed(),
        ":event_type": parked.event_type.as_str(),
        ":reason": parked.reason,
        ":attempts": parked.attempts,
        ":since": parked.since.as_micros(),
        ":wanted": parked.wanted,
    })?;
    Ok(())
}

fn release(connection: &Connection, lease: &Lease, at: Position) -> rusqlite::Result<usize> {
    connection.execute(
        "DELETE FROM factum_parked WHERE projection = ?1 AND generation = ?2 AND position = ?3",
        params![lease.projection, lease.generation, number(at)],
    )
}

pub(crate) fn end_bulk(connection: &Connection, lease: &Lease) -> Result<(), Error> {
    connection
        .execute(
            "UPDATE factum_generations SET bulk = 0 WHERE projection = ?1 AND generation = ?2",
            params![lease.projection, lease.generation],
        )
        .map_err(|error| {
            said(
                format!("cannot end the bulk of {}", lease.projection),
                error,
            )
        })?;
    Ok(())
}

/// Does something by hand.
pub(crate) fn edit(
    connection: &Connection,
    projection: &str,
    generation: u32,
    edit: &Edit,
) -> Result<(), Error> {
    let mut state = state_of(connection, projection, generation)?;
    state.edit(edit)?;
    let trouble = |error| said(format!("cannot change {projection} by hand"), error);
    let mark = "UPDATE factum_parked SET wanted = 1 WHERE projection = ?1 AND generation = ?2 AND partition = ";
    match edit {
        Edit::Pause | Edit::Resume => (),
        Edit::Retry { partition } => {
            let key = params![projection, generation, partition];
            connection
                .execute(&format!("{mark}?3"), key)
                .map_err(trouble)?;
        }
        Edit::Skip { position } => {
            let key = params![projection, generation, number(*position)];
            let of = "(SELECT partition FROM factum_parked WHERE projection = ?1 AND generation = ?2 AND position = ?3)";
            connection
                .execute(&format!("{mark}{of}"), key)
                .map_err(trouble)?;
            let gone = "DELETE FROM factum_parked WHERE projection = ?1 AND generation = ?2 AND position = ?3";
            connection.execute(gone, key).map_err(trouble)?;
        }
    }
    connection
        .execute(
            "UPDATE factum_generations SET edits = ?3, paused = ?4 WHERE projection = ?1 AND generation = ?2",
            params![projection, generation, state.edits.cast_signed(), state.paused],
        )
        .map_err(trouble)?;
    Ok(())
}

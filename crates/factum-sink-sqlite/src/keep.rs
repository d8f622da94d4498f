//! What the sink remembers: epoch, checkpoint, parked events.
//!
//! Relies on: a transaction around each call. Never: moves a checkpoint under another's epoch.

use factum_projection::{Advance, Change, Error, Kind, Lease, Parked, State};
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

/// The checkpoint, if the lease holds.
pub(crate) fn check_epoch(
    connection: &Connection,
    lease: &Lease,
) -> Result<Option<Position>, Error> {
    let name = &lease.projection;
    let found: Option<(i64, Option<i64>)> = connection
        .prepare_cached(
            "SELECT epoch, position FROM factum_generations WHERE projection = ?1 AND generation = ?2",
        )
        .and_then(|mut statement| {
            let row = params![name, lease.generation];
            let read = statement.query_row(row, |row| Ok((row.get(0)?, row.get(1)?)));
            read.optional()
        })
        .map_err(|error| said(format!("cannot read the checkpoint of {name}"), error))?;
    match found {
        Some((epoch, at)) if epoch.cast_unsigned() == lease.epoch => Ok(at.map(position)),
        Some((epoch, _)) => Err(Error::fenced(name, lease.epoch, epoch.cast_unsigned())),
        None => {
            let what = format!("generation {} of {name} was dropped", lease.generation);
            Err(Error::new(Kind::Fenced, what))
        }
    }
}

pub(crate) fn state(connection: &Connection, lease: &Lease) -> Result<State, Error> {
    let checkpoint = check_epoch(connection, lease)?;
    let trouble = |error| {
        said(
            format!("cannot list what {} parked", lease.projection),
            error,
        )
    };
    let mut statement = connection
        .prepare_cached(
            "SELECT partition, position, event, stream, revision, event_type, reason, attempts, since, wanted
             FROM factum_parked WHERE projection = ?1 AND generation = ?2",
        )
        .map_err(trouble)?;
    let mut rows = statement
        .query(params![lease.projection, lease.generation])
        .map_err(trouble)?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next().map_err(trouble)? {
        parked.push(read(row)?);
    }
    // Sorted here: positions of high partitions are negative numbers in SQLite.
    let parked = parked.into_iter().collect();
    Ok(State { checkpoint, parked })
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
             WHERE projection = ?2 AND generation = ?3 AND epoch = ?4 AND position IS ?5",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                advance.to.map(number),
                name,
                lease.generation,
                lease.epoch.cast_signed(),
                advance.from.map(number),
            ])
        })
        .map_err(|error| said(format!("cannot move the checkpoint of {name}"), error))?;
    if moved != 1 {
        check_epoch(connection, lease)?;
        let what = format!("the checkpoint of projection {name} was moved by another");
        return Err(Error::new(Kind::Fenced, what));
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

fn want(connection: &Connection, lease: &Lease, partition: &str) -> Result<usize, Error> {
    connection
        .execute(
            "UPDATE factum_parked SET wanted = 1 WHERE projection = ?1 AND generation = ?2 AND partition = ?3",
            params![lease.projection, lease.generation, partition],
        )
        .map_err(|error| said(format!("cannot mark partition {partition}"), error))
}

pub(crate) fn retry(connection: &Connection, lease: &Lease, partition: &str) -> Result<(), Error> {
    check_epoch(connection, lease)?;
    if want(connection, lease, partition)? > 0 {
        return Ok(());
    }
    let name = &lease.projection;
    Err(Error::invalid(format!(
        "projection {name} has nothing parked in the partition {partition}"
    )))
}

pub(crate) fn skip(connection: &Connection, lease: &Lease, at: Position) -> Result<(), Error> {
    let state = state(connection, lease)?;
    let name = &lease.projection;
    let Some(parked) = state.parked.get(at) else {
        return Err(Error::invalid(format!(
            "the event at position {at} is not parked by projection {name}"
        )));
    };
    release(connection, lease, at)
        .map_err(|error| said(format!("cannot skip position {at}"), error))?;
    want(connection, lease, &parked.partition)?;
    Ok(())
}

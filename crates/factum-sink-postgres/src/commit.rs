//! A batch as it is sent.
//!
//! In one flight, unless rows are copied or it is of a bulk, and then the COMMIT. Its transaction begins with a lock on the row of the generation, whose epoch,
//! checkpoint and edits cannot change from there on. Relies on: keys being there but in a bulk. Never: stores rows without their checkpoint.

use std::time::Duration;

use factum_projection::{Advance, Error, Lease, Table};

use crate::PostgresRows;
use crate::keep::{self, Kept};
use crate::schema;
use crate::send::{Statement, copied, statements};
use crate::session::{Sent, Session, begin_sql, pipeline};

/// How long a commit waits for a lock: its own rows are locked by nobody but another runner and an administrator.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// What came back in a flight.
enum Answer {
    Done,
    Kept(Option<Kept>),
}

/// What a transaction came to before its COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// A reader may see it.
    Seen,
    /// No reader can see it, nor will before the bulk is ended.
    Unseen,
    /// Rows that were copied without a key were there twice: the generation is empty again, with its keys.
    Emptied,
}

/// With what care a batch of a bulk is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Care {
    /// Every key is made first, so that what is refused is found.
    pub(crate) strict: bool,
    /// How many rows a statement is for at most.
    pub(crate) rows_max: usize,
}

impl Care {
    /// With none: as fast as it can be.
    pub(crate) const NONE: Self = Self {
        strict: false,
        rows_max: usize::MAX,
    };
}

/// What is sent for a batch, or for several.
pub(crate) struct Sending<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) advance: &'a Advance,
    /// Whether a commit was sent that was not answered.
    pub(crate) unsure: bool,
}

impl Sending<'_> {
    pub(crate) async fn commit(
        &self,
        session: &mut Session,
        rows: &PostgresRows,
    ) -> Result<(), Error> {
        session.opened();
        let written = self.write(session, rows).await;
        self.end(session, written).await
    }

    /// The same in a bulk, where the checkpoint may be behind what the runner knows, and keys may be missing: those that are needed are made
    /// first.
    pub(crate) async fn commit_bulk(
        &self,
        session: &mut Session,
        rows: PostgresRows,
        care: Care,
    ) -> Result<(), Error> {
        session.opened();
        let written = self.write_bulk(session, rows, care).await;
        self.end(session, written).await
    }

    async fn end(
        &self,
        session: &mut Session,
        written: Result<Written, Error>,
    ) -> Result<(), Error> {
        let commit = match &written {
            // Lost with a crash of the machine, rows and checkpoint together; the end of the bulk makes all of it durable.
            Ok(Written::Unseen | Written::Emptied) => "SET LOCAL synchronous_commit = off; COMMIT",
            _ => "COMMIT",
        };
        match session.end_by(commit, written).await? {
            Written::Seen | Written::Unseen => Ok(()),
            Written::Emptied => Err(filled_again(self.lease)),
        }
    }

    /// Everything of a batch but its COMMIT.
    async fn write(&self, session: &mut Session, rows: &PostgresRows) -> Result<Written, Error> {
        let all = self.statements(session, rows, usize::MAX);
        let ready = keep::advance(session, self.lease, self.advance.to, &self.advance.changes);
        let mut flight = first(session, self.lease);
        if all.iter().all(|it| matches!(it, Statement::Bound { .. })) {
            flight.extend(all.iter().map(|it| bound(session, it)));
            flight.extend(ready.iter().map(|it| kept(session, it)));
            return self.land(pipeline(flight).await).map(|kept| seen(&kept));
        }
        let stored = self.land(pipeline(flight).await)?;
        self.write_all(session, &all).await?;
        Ok(seen(&stored))
    }

    async fn write_bulk(
        &self,
        session: &mut Session,
        mut rows: PostgresRows,
        care: Care,
    ) -> Result<Written, Error> {
        let stored = self.land(pipeline(first(session, self.lease)).await)?;
        let all_tables = rows.tables().to_vec();
        if stored.bulk && stored.checkpoint.is_none() {
            rows.settle_empty();
        }
        let all = self.statements(session, &rows, care.rows_max);
        if stored.bulk {
            let needed: Vec<&Table> = if care.strict {
                all_tables.iter().collect()
            } else {
                all.iter().filter_map(Statement::needs_key).collect()
            };
            if !schema::make_keys(session, &needed, self.lease.generation).await? {
                let lease = self.lease;
                schema::empty(session, &all_tables, lease.generation).await?;
                keep::forget(session, &lease.projection, lease.generation).await?;
                return Ok(Written::Emptied);
            }
        }
        self.write_all(session, &all).await?;
        Ok(seen(&stored))
    }

    fn statements<'a>(
        &self,
        session: &Session,
        rows: &'a PostgresRows,
        rows_max: usize,
    ) -> Vec<Statement<'a>> {
        let (schema, generation) = (session.schema(), self.lease.generation);
        let all = rows.batches();
        all.flat_map(|(table, batch)| statements(&schema, table, generation, batch, rows_max))
            .collect()
    }

    /// Rows, and then the checkpoint.
    async fn write_all(&self, session: &mut Session, all: &[Statement<'_>]) -> Result<(), Error> {
        let limit = Some(session.options().answer_limit());
        for statement in all {
            if let Statement::Copy {
                what,
                sql,
                table,
                effects,
            } = statement
            {
                let chunks = copied(table, effects);
                let copy = session.copy(what, sql, limit, effects.len(), chunks);
                copy.await?;
            } else {
                bound(session, statement).await?;
            }
        }
        let ready = keep::advance(session, self.lease, self.advance.to, &self.advance.changes);
        let rest = ready.iter().map(|it| kept(session, it)).collect();
        pipeline(rest)
            .await
            .into_iter()
            .try_for_each(|answer| answer.map(drop))
    }

    /// The first error of a flight; that the lease does not hold comes before what followed from it.
    fn land(&self, answers: Vec<Result<Answer, Error>>) -> Result<Kept, Error> {
        let (lease, advance) = (self.lease, self.advance);
        let mut stored = None;
        for answer in answers {
            if let Answer::Kept(kept) = answer? {
                let kept = keep::check_epoch(lease, kept)?;
                let name = &lease.projection;
                if kept.checkpoint != advance.from && kept.bulk {
                    // What was answered for, or committed and not yet durable, is lost when the server crashes.
                    let what = format!("what was last written of {name} was lost");
                    return Err(Error::unavailable(what));
                }
                if kept.checkpoint != advance.from && self.unsure {
                    let what = format!("a commit of {name} went through that was not answered");
                    return Err(Error::unavailable(what));
                }
                if kept.checkpoint != advance.from {
                    return Err(Error::moved(name));
                }
                if kept.edits != advance.edits {
                    return Err(Error::changed(name));
                }
                stored = Some(kept);
            }
        }
        stored.ok_or_else(|| Error::unavailable("the checkpoint was not read"))
    }
}

fn seen(kept: &Kept) -> Written {
    if kept.bulk {
        Written::Unseen
    } else {
        Written::Seen
    }
}

fn filled_again(lease: &Lease) -> Error {
    let (generation, name) = (lease.generation, &lease.projection);
    Error::unavailable(format!(
        "generation {generation} of {name} had rows with the same key, or with a key that is too long: it is filled again, event by event"
    ))
}

/// What every batch begins with.
fn first<'a>(session: &'a Session, lease: &'a Lease) -> Vec<Sent<'a, Answer>> {
    vec![
        Box::pin(async move {
            let sql = begin_sql(LOCK_WITHIN);
            session.batch("cannot begin", &sql).await?;
            Ok(Answer::Done)
        }),
        Box::pin(async move {
            let kept = keep::locked(session, &lease.projection, lease.generation);
            kept.await.map(Answer::Kept)
        }),
    ]
}

fn bound<'a>(session: &'a Session, statement: &'a Statement<'_>) -> Sent<'a, Answer> {
    Box::pin(async move {
        if let Statement::Bound {
            what, sql, lists, ..
        } = statement
        {
            let values: Vec<_> = lists.iter().map(|list| list.bound()).collect();
            session.execute(what, sql, &values).await?;
        }
        Ok(Answer::Done)
    })
}

fn kept<'a>(session: &'a Session, ready: &'a keep::Ready) -> Sent<'a, Answer> {
    Box::pin(async move { ready.send(session).await.map(|_| Answer::Done) })
}

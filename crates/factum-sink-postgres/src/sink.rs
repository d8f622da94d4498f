//! The sink as a runner sees it.
//!
//! A batch is taken down in memory and sent at commit: in one flight, unless rows are copied, and then the COMMIT. Its transaction begins with a
//! lock on the row of the generation, whose epoch, checkpoint and edits cannot change from there on.
//!
//! A batch of a bulk is written while the runner makes the next one. So that it may fail later than it was answered for, every call waits for
//! it first, and a failure is `Unavailable` (or `Fenced`) until the runner has looked, which then goes on from what is stored.

use factum_projection::{Advance, Claim, Error, Kind, Lease, Sink, State};
use factum_types::RecordedEvent;
use futures_core::future::BoxFuture;

use crate::keep::{self, Kept};
use crate::schema;
use crate::send::{Statement, statements};
use crate::session::{Sent, Session, begin_sql, pipeline};
use crate::{PostgresRows, PostgresSink};

/// How long a commit waits for a lock: its own rows are locked by nobody but another runner and an administrator.
const LOCK_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// How many batches are waited for, one by one, after one of a bulk was refused.
const CAREFUL: u32 = 64;

/// Whether no reader can see what a batch writes, nor will before the bulk is ended.
struct Bulk(bool);

/// What came back in a flight.
enum Answer {
    Done,
    Kept(Option<Kept>),
}

/// What is sent for a batch.
struct Sending<'a> {
    rows: &'a PostgresRows,
    lease: &'a Lease,
    advance: &'a Advance,
    unsure: bool,
}

impl PostgresSink {
    async fn claim_now(&mut self, claim: Claim<'_>) -> Result<Lease, Error> {
        // Whatever became of the last batch, the claim shows it.
        drop(self.home().await);
        self.session.begin().await?;
        let claimed = schema::claim(&self.session, self.rows.tables(), claim).await;
        let claimed = claimed.map_err(crate::error::not_refused);
        let (lease, bulk) = self.session.end(claimed).await?;
        self.unsure = false;
        self.failed = None;
        self.away_for = bulk.then(|| lease.clone());
        Ok(lease)
    }

    async fn look_now(&mut self, lease: &Lease) -> Result<State, Error> {
        drop(self.home().await);
        self.session.begin().await?;
        let state = keep::state(&self.session, lease).await;
        let state = self.session.end(state).await?;
        self.failed = None;
        Ok(state)
    }

    async fn finish_now(&mut self, lease: &Lease) -> Result<(), Error> {
        // The bulk ends with what is stored. Whoever finishes one looks afterwards, and does again what is not.
        drop(self.home().await);
        self.failed = None;
        self.session.begin().await?;
        let done = self.finish(lease).await;
        let done = done.map_err(crate::error::not_refused);
        self.session.end(done).await?;
        self.away_for = None;
        Ok(())
    }

    async fn finish(&self, lease: &Lease) -> Result<(), Error> {
        let (session, name) = (&self.session, &lease.projection);
        let kept = keep::locked(session, name, lease.generation).await?;
        if !keep::check_epoch(lease, kept)?.bulk {
            return Ok(());
        }
        schema::make_indexes(session, self.rows.tables(), lease.generation).await?;
        schema::analyze(session, self.rows.tables(), lease.generation).await?;
        keep::end_bulk(session, lease).await
    }

    async fn commit_now(&mut self, lease: &Lease, advance: &Advance) -> Result<(), Error> {
        if !self.begun {
            let what = "a batch was committed that was not begun";
            return Err(Error::unavailable(what));
        }
        self.begun = false;
        self.home().await?;
        self.session.ready().await?;
        let rows = self.rows.take();
        if self.away_for.as_ref() == Some(lease) && self.careful == 0 {
            return self.send_away(rows, lease.clone(), advance.clone());
        }
        let sending = Sending {
            rows: &rows,
            lease,
            advance,
            unsure: self.unsure,
        };
        // Also when this is dropped half-way.
        self.unsure = true;
        let sent = sending.commit(&mut self.session).await;
        self.settle(&sent);
        sent
    }

    /// Lets a batch that no reader sees be written while the next one is made. What becomes of it is asked before anything else is done.
    fn send_away(
        &mut self,
        rows: PostgresRows,
        lease: Lease,
        advance: Advance,
    ) -> Result<(), Error> {
        let unsure = std::mem::replace(&mut self.unsure, true);
        let (mut session, handle) = self.session.leave()?;
        self.away = Some(handle.spawn(async move {
            let sending = Sending {
                rows: &rows,
                lease: &lease,
                advance: &advance,
                unsure,
            };
            let sent = sending.commit(&mut session).await;
            (session, sent)
        }));
        Ok(())
    }

    /// Waits for the batch that is written meanwhile. That it failed is said until the sink is looked at: the runner thought it was done.
    pub(crate) async fn home(&mut self) -> Result<(), Error> {
        if let Some(away) = &mut self.away {
            let back = away.await;
            self.away = None;
            match back {
                Ok((session, sent)) => {
                    self.session = session;
                    self.settle(&sent);
                    self.failed = sent.err();
                    // The runner was told that it is done: the checkpoint is not where it thinks.
                    self.unsure |= self.failed.is_some();
                }
                Err(error) => {
                    let session = Session::new(self.session.options().clone());
                    self.session = session?;
                    let what = "the thread of the connection ended";
                    self.failed = Some(Error::unavailable(what).because(error));
                }
            }
        }
        match &self.failed {
            None => Ok(()),
            Some(error) if error.kind() == Kind::Refused => {
                // It is read again and done by itself, so that what is refused is found.
                self.careful = CAREFUL;
                let what = format!("the batch before was refused: {error}");
                Err(Error::unavailable(what).because(error.clone()))
            }
            Some(error) => Err(error.clone()),
        }
    }

    fn settle(&mut self, sent: &Result<(), Error>) {
        self.careful = self.careful.saturating_sub(u32::from(sent.is_ok()));
        // What was answered is known.
        let known = !matches!(sent, Err(error) if error.kind() == Kind::Unavailable);
        self.unsure &= !known;
    }
}

impl Sending<'_> {
    async fn commit(&self, session: &mut Session) -> Result<(), Error> {
        session.opened();
        let written = self.write(session).await;
        let commit = match &written {
            // Lost with a crash of the machine, rows and checkpoint together; the end of the bulk makes all of it durable.
            Ok(Bulk(true)) => "SET LOCAL synchronous_commit = off; COMMIT",
            _ => "COMMIT",
        };
        session.end_by(commit, written).await.map(drop)
    }

    /// Everything of a batch but its COMMIT.
    async fn write(&self, session: &mut Session) -> Result<Bulk, Error> {
        let (schema, lease) = (session.schema(), self.lease);
        let mut all = Vec::new();
        for (table, batch) in self.rows.batches() {
            all.extend(statements(&schema, table, lease.generation, batch)?);
        }
        let ready = keep::advance(session, lease, self.advance.to, &self.advance.changes);
        let copies = all.iter().any(|it| matches!(it, Statement::Copy { .. }));
        let mut flight = first(session, lease);
        if !copies {
            flight.extend(all.iter().map(|it| bound(session, it)));
            flight.extend(ready.iter().map(|it| kept(session, it)));
            return self.land(pipeline(flight).await);
        }
        let bulk = self.land(pipeline(flight).await)?;
        let limit = Some(session.options().answer_limit());
        for statement in all {
            if let Statement::Copy { what, sql, chunks } = statement {
                session.copy(&what, &sql, limit, chunks).await?;
            } else {
                bound(session, &statement).await?;
            }
        }
        let rest = ready.iter().map(|it| kept(session, it)).collect();
        for answer in pipeline(rest).await {
            answer?;
        }
        Ok(bulk)
    }

    /// The first error of a flight; that the lease does not hold comes before what followed from it.
    fn land(&self, answers: Vec<Result<Answer, Error>>) -> Result<Bulk, Error> {
        let (lease, advance) = (self.lease, self.advance);
        let mut bulk = Bulk(false);
        for answer in answers {
            if let Answer::Kept(kept) = answer? {
                let kept = keep::check_epoch(lease, kept)?;
                let name = &lease.projection;
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
                bulk = Bulk(kept.bulk);
            }
        }
        Ok(bulk)
    }
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
        if let Statement::Bound { what, sql, lists } = statement {
            let values: Vec<_> = lists.iter().map(|list| list.bound()).collect();
            session.execute(what, sql, &values).await?;
        }
        Ok(Answer::Done)
    })
}

fn kept<'a>(session: &'a Session, ready: &'a keep::Ready) -> Sent<'a, Answer> {
    Box::pin(async move { ready.send(session).await.map(|_| Answer::Done) })
}

impl Sink for PostgresSink {
    type Writer = PostgresRows;

    fn claim<'a>(&'a mut self, claim: Claim<'a>) -> BoxFuture<'a, Result<Lease, Error>> {
        Box::pin(self.claim_now(claim))
    }

    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>> {
        Box::pin(self.look_now(lease))
    }

    fn begin<'a>(&'a mut self, _: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        // Nothing is sent before the commit, which looks at the lease.
        self.rows.clear();
        self.begun = true;
        Box::pin(std::future::ready(Ok(())))
    }

    fn writer(&mut self, _: &RecordedEvent) -> &mut PostgresRows {
        &mut self.rows
    }

    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.commit_now(lease, advance))
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.rows.clear();
            self.begun = false;
            // What failed meanwhile is remembered, and said later.
            drop(self.home().await);
            self.session.roll_back().await;
        })
    }

    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.finish_now(lease))
    }
}

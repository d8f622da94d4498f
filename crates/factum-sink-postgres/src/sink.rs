//! The sink as a runner sees it.
//!
//! A batch is taken down in memory and sent at commit: in one flight, unless rows are copied, and then the COMMIT. Its transaction begins with a
//! lock on the row of the generation, whose epoch, checkpoint and edits cannot change from there on.

use factum_projection::{Advance, Claim, Error, Lease, Sink, State};
use factum_types::RecordedEvent;
use futures_core::future::BoxFuture;

use crate::keep::{self, Kept};
use crate::schema;
use crate::send::{Statement, statements};
use crate::session::{Sent, begin_sql, pipeline};
use crate::{PostgresRows, PostgresSink};

/// How long a commit waits for a lock: its own rows are locked by nobody but another runner and an administrator.
const LOCK_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Whether no reader can see what a batch writes, nor will before the bulk is ended.
struct Bulk(bool);

/// What came back in a flight.
enum Answer {
    Done,
    Kept(Option<Kept>),
}

impl PostgresSink {
    async fn claim_now(&mut self, claim: Claim<'_>) -> Result<Lease, Error> {
        self.session.begin().await?;
        let claimed = schema::claim(&self.session, self.rows.tables(), claim).await;
        let lease = self
            .session
            .end(claimed.map_err(crate::error::not_refused))
            .await?;
        self.unsure = false;
        Ok(lease)
    }

    async fn look_now(&mut self, lease: &Lease) -> Result<State, Error> {
        self.session.begin().await?;
        let state = keep::state(&self.session, lease).await;
        self.session.end(state).await
    }

    async fn finish_now(&mut self, lease: &Lease) -> Result<(), Error> {
        self.session.begin().await?;
        let done = self.finish(lease).await.map_err(crate::error::not_refused);
        self.session.end(done).await
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
            return Err(Error::unavailable(
                "a batch was committed that was not begun",
            ));
        }
        self.begun = false;
        self.session.ready().await?;
        self.session.opened();
        let written = self.write(lease, advance).await;
        let commit = match &written {
            // Lost with a crash of the machine, rows and checkpoint together; the end of the bulk makes all of it durable.
            Ok(Bulk(true)) => "SET LOCAL synchronous_commit = off; COMMIT",
            _ => "COMMIT",
        };
        self.unsure |= written.is_ok();
        self.session.end_by(commit, written).await?;
        self.unsure = false;
        self.rows.clear();
        Ok(())
    }

    /// Everything of a batch but its COMMIT.
    async fn write(&mut self, lease: &Lease, advance: &Advance) -> Result<Bulk, Error> {
        let schema = self.session.schema();
        let mut all = Vec::new();
        for (table, batch) in self.rows.batches() {
            all.extend(statements(&schema, table, lease.generation, batch)?);
        }
        let ready = keep::advance(&self.session, lease, advance.to, &advance.changes);
        let copies = all.iter().any(|it| matches!(it, Statement::Copy { .. }));
        let mut flight = self.first(lease);
        if !copies {
            flight.extend(all.iter().map(|it| self.bound(it)));
            flight.extend(ready.iter().map(|it| self.kept(it)));
            return self.land(pipeline(flight).await, lease, advance);
        }
        let bulk = self.land(pipeline(flight).await, lease, advance)?;
        let limit = Some(self.session.options().answer_limit());
        for statement in all {
            if let Statement::Copy { what, sql, chunks } = statement {
                self.session.copy(&what, &sql, limit, chunks).await?;
            } else {
                self.bound(&statement).await?;
            }
        }
        let rest = ready.iter().map(|it| self.kept(it)).collect();
        for answer in pipeline(rest).await {
            answer?;
        }
        Ok(bulk)
    }

    /// What every batch begins with.
    fn first<'a>(&'a self, lease: &'a Lease) -> Vec<Sent<'a, Answer>> {
        let session = &self.session;
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

    fn bound<'a>(&'a self, statement: &'a Statement<'_>) -> Sent<'a, Answer> {
        Box::pin(async move {
            if let Statement::Bound { what, sql, lists } = statement {
                let values: Vec<_> = lists.iter().map(|list| list.bound()).collect();
                self.session.execute(what, sql, &values).await?;
            }
            Ok(Answer::Done)
        })
    }

    fn kept<'a>(&'a self, ready: &'a keep::Ready) -> Sent<'a, Answer> {
        Box::pin(async move { ready.send(&self.session).await.map(|_| Answer::Done) })
    }

    /// The first error of a flight; that the lease does not hold comes before what followed from it.
    fn land(
        &self,
        answers: Vec<Result<Answer, Error>>,
        lease: &Lease,
        advance: &Advance,
    ) -> Result<Bulk, Error> {
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
            self.session.roll_back().await;
        })
    }

    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.finish_now(lease))
    }
}

//! The sink as a runner sees it.
//!
//! A batch is taken down in memory and sent at commit. One of a bulk is kept back and put together with others: see `bulk`. Relies on: the lock
//! that a claim and a commit take. Never: sends anything before the commit.

use factum_projection::{Advance, Claim, Error, Kind, Lease, Sink, State};
use factum_types::RecordedEvent;
use futures_core::future::BoxFuture;

use crate::bulk::Bulk;
use crate::commit::Sending;
use crate::{PostgresRows, PostgresSink, keep, schema};

impl PostgresSink {
    async fn claim_now(&mut self, claim: Claim<'_>) -> Result<Lease, Error> {
        // Whatever became of the last batch, the claim shows it.
        drop(self.home().await);
        self.session.begin().await?;
        let claimed = schema::claim(&self.session, self.rows.tables(), claim).await;
        let claimed = claimed.map_err(crate::error::not_refused);
        let (lease, bulk) = self.session.end(claimed).await?;
        self.unsure = false;
        self.bulk = Bulk::default();
        self.bulk.lease = bulk.then(|| lease.clone());
        Ok(lease)
    }

    async fn look_now(&mut self, lease: &Lease) -> Result<State, Error> {
        drop(self.home().await);
        self.session.begin().await?;
        let state = keep::state(&self.session, lease).await;
        let state = self.session.end(state).await?;
        self.bulk.looked();
        Ok(state)
    }

    async fn finish_now(&mut self, lease: &Lease) -> Result<(), Error> {
        // The bulk ends with what is stored. Whoever finishes one looks afterwards, and does again what is not.
        drop(self.home().await);
        self.session.begin().await?;
        let done = self.finish(lease).await;
        let done = done.map_err(crate::error::not_refused);
        self.session.end(done).await?;
        // Not before: until then rows go into tables without keys.
        self.bulk = Bulk::default();
        Ok(())
    }

    async fn finish(&self, lease: &Lease) -> Result<(), Error> {
        let (session, name) = (&self.session, &lease.projection);
        let kept = keep::locked(session, name, lease.generation).await?;
        if !keep::check_epoch(lease, kept)?.bulk {
            return Ok(());
        }
        let tables = self.rows.tables();
        schema::settle(session, tables, name, lease.generation).await?;
        schema::make_indexes(session, tables, lease.generation).await?;
        schema::analyze(session, tables, lease.generation).await?;
        keep::end_bulk(session, lease).await
    }

    async fn commit_now(&mut self, lease: &Lease, advance: &Advance) -> Result<(), Error> {
        if !self.begun {
            let what = "a batch was committed that was not begun";
            return Err(Error::unavailable(what));
        }
        self.begun = false;
        if self.bulk.takes(lease) {
            return self.keep_back(lease, advance).await;
        }
        self.home().await?;
        self.session.ready().await?;
        let rows = self.rows.take();
        let sending = Sending {
            lease,
            advance,
            unsure: self.unsure,
        };
        // Also when this is dropped half-way.
        self.unsure = true;
        let sent = if self.bulk.is_of(lease) {
            let care = self.bulk.care();
            sending.commit_bulk(&mut self.session, rows, care).await
        } else {
            sending.commit(&mut self.session, &rows).await
        };
        // What was answered is known.
        let known = !matches!(&sent, Err(error) if error.kind() == Kind::Unavailable);
        self.unsure &= !known;
        self.bulk.written(advance.to, &sent);
        sent
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
            // What failed meanwhile is remembered, and said later.
            drop(self.home().await);
            self.session.roll_back().await;
        })
    }

    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.finish_now(lease))
    }
}

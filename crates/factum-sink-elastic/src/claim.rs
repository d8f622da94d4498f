//! Claiming a generation, and making what is not there yet.
//!
//! Relies on: documents of ours that are written under a condition, so that two claims at once make one thing. Never: gives a number twice.

use factum_projection::manage::{no_generation, other_version};
use factum_projection::{Claim, Error, Kind, Lease, Table, Which};

use crate::ElasticSink;
use crate::head::{self, Head, Owner, Projection};
use crate::server::Found;
use crate::session::{SWAPS, busy};

impl ElasticSink {
    pub(crate) async fn claim_generation(&mut self, claim: Claim<'_>) -> Result<Lease, Error> {
        head::check_name(claim.projection)?;
        self.make_meta().await?;
        for table in &self.rows.tables {
            self.check_owner(table, claim.projection).await?;
        }
        let (projection, generation) = self.generation(&claim).await?;
        let live = projection.live == Some(generation);
        self.take_over(claim, generation, live).await
    }

    /// The generation that is asked for, made if need be.
    async fn generation(&self, claim: &Claim<'_>) -> Result<(Projection, u32), Error> {
        for _ in 0..SWAPS {
            let found = self.projection(claim.projection).await?;
            let projection = &found.value;
            let number = match claim.which {
                Which::Live => projection.live.unwrap_or(projection.newest + 1),
                Which::New => projection.newest + 1,
                Which::Number(number) => number,
                _ => return Err(Error::invalid("this sink does not know such a generation")),
            };
            let made = projection.generations.contains(&number);
            if matches!(claim.which, Which::Number(_)) && !made {
                return Err(no_generation(claim.projection, number));
            }
            for table in &self.rows.tables {
                self.make_index(table, claim.projection, number, !made)
                    .await?;
            }
            if made {
                self.mend_names(claim.projection).await?;
                return Ok((found.value, number));
            }
            let publish = claim.which == Which::Live;
            if let Some(made) = self.add_generation(claim, &found, number, publish).await? {
                if publish {
                    self.mend_names(claim.projection).await?;
                }
                return Ok((made, number));
            }
        }
        Err(busy("the generations"))
    }

    async fn add_generation(
        &self,
        claim: &Claim<'_>,
        found: &Found<Projection>,
        number: u32,
        publish: bool,
    ) -> Result<Option<Projection>, Error> {
        let head = Head {
            kind: "generation".to_owned(),
            projection: claim.projection.to_owned(),
            generation: number,
            version: claim.version.to_owned(),
            bulk: false,
            epoch: 0,
            session: 0,
            attempt: 0,
            closed: Vec::new(),
            checkpoint: None,
            edits: 0,
            paused: false,
            parked: 0,
            lot: None,
            dropped: false,
            tables: self
                .rows
                .tables
                .iter()
                .map(|table| table.name.clone())
                .collect(),
        };
        let id = head::head_id(claim.projection, number);
        if !self.server.create(&self.meta, &id, &head).await? {
            // Left by a claim that did not get further, or another is under way: it counts as ours as long as nobody has it.
            let old = self.server.get::<Head>(&self.meta, &id).await?;
            let Some(old) = old.filter(|old| old.value.epoch == 0) else {
                return Ok(None);
            };
            if !self
                .server
                .swap(&self.meta, &id, old.version, &head)
                .await?
            {
                return Ok(None);
            }
        }
        let mut made = found.value.clone();
        made.newest = number;
        made.generations.push(number);
        if publish && made.live.is_none() {
            made.live = Some(number);
            made.published.push(number);
        }
        let id = head::projection_id(claim.projection);
        let added = self
            .server
            .swap(&self.meta, &id, found.version, &made)
            .await?;
        Ok(added.then_some(made))
    }

    /// Raises the epoch.
    async fn take_over(
        &mut self,
        claim: Claim<'_>,
        generation: u32,
        live: bool,
    ) -> Result<Lease, Error> {
        let id = head::head_id(claim.projection, generation);
        for _ in 0..SWAPS {
            let found = self.server.get::<Head>(&self.meta, &id).await?;
            let Some(Found { value, version }) = found else {
                return Err(no_generation(claim.projection, generation));
            };
            let mut head = value;
            if head.dropped {
                return Err(no_generation(claim.projection, generation));
            }
            if head.version != claim.version {
                let (name, theirs, ours) = (claim.projection, &head.version, claim.version);
                return Err(other_version(name, generation, theirs, ours));
            }
            let bulk = claim.bulk && !live;
            if !bulk {
                // Before the head says it, and whatever it says: what a bulk sent before another claim ended it may have come after that.
                self.end_bulk(&head.tables, generation, head.bulk).await?;
            }
            head.bulk = bulk;
            head.epoch += 1;
            let forgotten = head.next_session();
            if self.server.swap(&self.meta, &id, version, &head).await? {
                let lease = Lease {
                    projection: claim.projection.to_owned(),
                    generation,
                    epoch: head.epoch,
                };
                self.unclean = true;
                if bulk {
                    self.begin_bulk(&lease, &head).await?;
                }
                self.opened(&lease, head, forgotten).await?;
                return Ok(lease);
            }
        }
        Err(busy("the epoch"))
    }

    /// Refreshes no more, after the head says that it is filled in bulk; unless another claimed meanwhile, who may not fill it in bulk.
    async fn begin_bulk(&self, lease: &Lease, head: &Head) -> Result<(), Error> {
        self.set_bulk(&head.tables, lease.generation, true).await?;
        match self.head(lease).await {
            Err(error) if error.kind() == Kind::Fenced => {
                // At worst it is not refreshed before the next claim; nothing is left to be refreshed where it was dropped.
                drop(self.set_bulk(&head.tables, lease.generation, false).await);
                Err(error)
            }
            other => other.map(drop),
        }
    }

    /// The document of a projection, made if need be.
    async fn projection(&self, name: &str) -> Result<Found<Projection>, Error> {
        let id = head::projection_id(name);
        for _ in 0..SWAPS {
            if let Some(found) = self.server.get::<Projection>(&self.meta, &id).await? {
                return Ok(found);
            }
            let new = Projection {
                kind: "projection".to_owned(),
                projection: name.to_owned(),
                live: None,
                newest: 0,
                generations: Vec::new(),
                published: Vec::new(),
                dropping: Vec::new(),
            };
            self.server.create(&self.meta, &id, &new).await?;
        }
        Err(busy("the projection"))
    }

    /// A table belongs to one projection.
    async fn check_owner(&self, table: &Table, projection: &str) -> Result<(), Error> {
        if let Some(what) = self.taken_by(table).await? {
            return Err(Error::invalid(what));
        }
        let id = head::owner_id(&table.name);
        let new = Owner {
            kind: "table".to_owned(),
            projection: projection.to_owned(),
        };
        if self.server.create(&self.meta, &id, &new).await? {
            return Ok(());
        }
        let found = self.server.get::<Owner>(&self.meta, &id).await?;
        match found.map(|found| found.value.projection) {
            Some(owner) if owner != projection => {
                Err(Error::invalid(theirs(&table.name, &owner, projection)))
            }
            _ => Ok(()),
        }
    }
}

/// Why a table cannot be had.
pub(crate) fn theirs(table: &str, owner: &str, projection: &str) -> String {
    format!("table {table} belongs to projection {owner}, not to {projection}")
}

//! What an administrator does.
//!
//! Relies on: a runner that takes edits up, for nothing else may write a head. Never: needs a lease.

use factum_projection::manage::{check_drop, check_switch, no_generation};
use factum_projection::{Behind, Edit, Error, Generation, Manage, Parked, State};
use factum_types::Position;
use futures_core::future::BoxFuture;

use crate::InfluxSink;
use crate::keep::{Known, Projection, Standing};

impl InfluxSink {
    async fn list(&self, name: &str, projection: &Projection) -> Result<Vec<Generation>, Error> {
        let mut all = Vec::new();
        for known in &projection.generations {
            let standing = self.standing(name, known.number).await?;
            let state = self.seen(name, known.number, &standing).await?;
            all.push(Generation {
                number: known.number,
                live: projection.live == Some(known.number),
                published: known.published,
                bulk: known.bulk,
                version: known.version.clone(),
                checkpoint: standing.head.checkpoint.map(Position::from_raw),
                epoch: standing.epoch(),
                paused: state.paused,
                parked: state.parked.len() as u64,
            });
        }
        Ok(all)
    }

    /// The state, with what was asked for and the runner did not see yet.
    async fn seen(&self, name: &str, generation: u32, standing: &Standing) -> Result<State, Error> {
        let state = self.state((name, generation), &standing.head).await?;
        Ok(standing.edited(state).0)
    }

    async fn known(&self, name: &str, generation: u32) -> Result<(Projection, State), Error> {
        let projection = self.projection(name).await?.unwrap_or_default();
        let mut all = projection.generations.iter();
        if !all.any(|known| known.number == generation) {
            return Err(no_generation(name, generation));
        }
        let standing = self.standing(name, generation).await?;
        let state = self.seen(name, generation, &standing).await?;
        Ok((projection, state))
    }

    async fn ask_edit(&self, name: &str, generation: u32, edit: Edit) -> Result<(), Error> {
        let (_, mut state) = self.known(name, generation).await?;
        state.edit(&edit)?;
        self.keep_edit(name, generation, &edit).await
    }

    async fn switch_to(&self, name: &str, generation: u32, behind: Behind) -> Result<(), Error> {
        let (mut projection, _) = self.known(name, generation).await?;
        let all = self.list(name, &projection).await?;
        check_switch(name, &all, generation, behind)?;
        projection.live = Some(generation);
        for known in &mut projection.generations {
            known.published |= known.number == generation;
        }
        self.keep_projection(name, &projection).await
    }

    /// Takes the generation off the list, then removes its database, and then the note that it is being dropped. So it can be repeated, wherever it
    /// was interrupted.
    async fn drop_all(&self, name: &str, generation: u32) -> Result<(), Error> {
        let projection = self.projection(name).await?.unwrap_or_default();
        if !projection.dropping.contains(&generation) {
            let (mut projection, _) = self.known(name, generation).await?;
            let all = self.list(name, &projection).await?;
            check_drop(name, &all, generation)?;
            let other = |known: &Known| known.number != generation;
            projection.generations.retain(other);
            projection.dropping.push(generation);
            self.keep_projection(name, &projection).await?;
        }
        self.server.remove(&self.database(generation)).await?;
        let number = generation.to_string();
        let all = ["factum_lot", "factum_edit", "factum_claim", "factum_head"];
        let all = all.map(|measurement| (measurement, "generation", number.as_str()));
        self.tidy(name, generation, &all).await;
        let mut projection = self.projection(name).await?.unwrap_or_default();
        projection.dropping.retain(|number| *number != generation);
        self.keep_projection(name, &projection).await
    }
}

impl Manage for InfluxSink {
    fn projections(&mut self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        Box::pin(async move {
            let statement = "SELECT kept, projection FROM factum_projection".to_owned();
            let found = self.server.ask(&self.options.meta, &[statement]).await?;
            let names = found.iter().flatten();
            let names = names.filter_map(|row| row.get("projection")?.as_str());
            let mut names: Vec<String> = names.map(str::to_owned).collect();
            names.sort();
            Ok(names)
        })
    }

    fn generations<'a>(
        &'a mut self,
        projection: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Generation>, Error>> {
        Box::pin(async move {
            match self.projection(projection).await? {
                Some(kept) => self.list(projection, &kept).await,
                None => Ok(Vec::new()),
            }
        })
    }

    fn parked<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Parked>, Error>> {
        Box::pin(async move {
            let (_, state) = self.known(projection, generation).await?;
            Ok(state.parked.iter().take(limit).cloned().collect())
        })
    }

    fn edit<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        edit: Edit,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.ask_edit(projection, generation, edit))
    }

    fn switch<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        behind: Behind,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.switch_to(projection, generation, behind))
    }

    fn drop_generation<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.drop_all(projection, generation))
    }
}

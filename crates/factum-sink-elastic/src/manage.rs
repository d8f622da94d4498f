//! What an administrator does.
//!
//! Relies on: documents of ours that are written under a condition. Never: needs a lease.

use factum_http_client::Method;
use factum_projection::manage::{check_drop, check_switch, no_generation};
use factum_projection::{Behind, Edit, Error, Generation, Manage, Parked};
use futures_core::future::BoxFuture;
use serde_json::{Value as Json, json};

use crate::ElasticSink;
use crate::head::{self, Head, Projection};
use crate::server::{self, Found};
use crate::session::{SWAPS, busy};

/// How many projections are listed.
const PROJECTIONS_MAX: usize = 10_000;

impl ElasticSink {
    async fn list(&self, projection: &str) -> Result<Option<Listed>, Error> {
        let id = head::projection_id(projection);
        let Some(found) = self.server.get::<Projection>(&self.meta, &id).await? else {
            return Ok(None);
        };
        let ids: Vec<String> = found
            .value
            .generations
            .iter()
            .map(|number| head::head_id(projection, *number))
            .collect();
        let places: Vec<(&str, &str)> = ids
            .iter()
            .map(|id| (self.meta.as_str(), id.as_str()))
            .collect();
        let mut heads = Vec::new();
        for (id, document) in ids.iter().zip(self.server.fetch(&places).await?) {
            heads.extend(server::owned::<Head>(id, document)?);
        }
        Ok(Some(Listed { found, heads }))
    }

    async fn listed(&self, projection: &str, generation: u32) -> Result<Listed, Error> {
        let listed = self.list(projection).await?;
        listed.ok_or_else(|| no_generation(projection, generation))
    }

    /// The head of a generation that is listed.
    pub(crate) async fn known(
        &self,
        projection: &str,
        generation: u32,
    ) -> Result<Found<Head>, Error> {
        let listed = self.listed(projection, generation).await?;
        let mut heads = listed.heads.into_iter();
        let found = heads.find(|head| head.value.generation == generation);
        found.ok_or_else(|| no_generation(projection, generation))
    }

    /// Lets the names that readers use stand for the live generation, until they do.
    pub(crate) async fn mend_names(&self, projection: &str) -> Result<(), Error> {
        for _ in 0..SWAPS {
            let Some(listed) = self.list(projection).await? else {
                return Ok(());
            };
            let Some(live) = listed.found.value.live else {
                return Ok(());
            };
            let tables = |head: &&Found<Head>| head.value.generation == live;
            let Some(head) = listed.heads.iter().find(tables) else {
                return Ok(());
            };
            let shown = &head.value.tables;
            self.point(shown, live).await?;
            let others = listed.heads.iter().flat_map(|head| &head.value.tables);
            let mut others: Vec<String> = others
                .filter(|name| !shown.contains(name))
                .cloned()
                .collect();
            others.sort();
            others.dedup();
            self.unpoint(&others).await?;
            let id = head::projection_id(projection);
            let now = self.server.get::<Projection>(&self.meta, &id).await?;
            if now.is_none_or(|now| now.value.live == Some(live)) {
                return Ok(());
            }
        }
        Err(busy("the live generation"))
    }

    async fn edit_head(&self, projection: &str, generation: u32, edit: &Edit) -> Result<(), Error> {
        for _ in 0..SWAPS {
            let Found { value, version } = self.known(projection, generation).await?;
            let mut state = self.state(&value).await?;
            state.edit(edit)?;
            let mut new = Head {
                paused: state.paused,
                edits: state.edits,
                ..value.clone()
            };
            if matches!(edit, Edit::Retry { .. } | Edit::Skip { .. }) {
                let writes = self.lot(&mut new, &state)?;
                self.put_own(&writes).await?;
            }
            let id = head::head_id(projection, generation);
            if self.server.swap(&self.meta, &id, version, &new).await? {
                self.drop_lot(&value, &new).await;
                return Ok(());
            }
            self.drop_lot(&new, &value).await;
        }
        Err(busy("the generation"))
    }

    async fn switch_to(
        &self,
        projection: &str,
        generation: u32,
        behind: Behind,
    ) -> Result<(), Error> {
        for _ in 0..SWAPS {
            let listed = self.listed(projection, generation).await?;
            check_switch(projection, &listed.described(), generation, behind)?;
            let mut new = listed.found.value.clone();
            new.live = Some(generation);
            if !new.published.contains(&generation) {
                new.published.push(generation);
            }
            let id = head::projection_id(projection);
            let same = new == listed.found.value;
            if same
                || self
                    .server
                    .swap(&self.meta, &id, listed.found.version, &new)
                    .await?
            {
                return self.mend_names(projection).await;
            }
        }
        Err(busy("the live generation"))
    }

    /// Takes the generation off the list, then removes what there is of it, the head last, and then the note that it is being dropped. So it can be
    /// repeated, wherever it was interrupted.
    async fn drop_all(&self, projection: &str, generation: u32) -> Result<(), Error> {
        self.unlist(projection, generation).await?;
        if let Some(head) = self.close_head(projection, generation).await? {
            self.remove_generation(projection, generation, head).await?;
        }
        for _ in 0..SWAPS {
            let Found { value, version } = self.listed(projection, generation).await?.found;
            let mut new = value;
            new.dropping.retain(|number| *number != generation);
            let id = head::projection_id(projection);
            if self.server.swap(&self.meta, &id, version, &new).await? {
                return Ok(());
            }
        }
        Err(busy("the generations"))
    }

    async fn unlist(&self, projection: &str, generation: u32) -> Result<(), Error> {
        for _ in 0..SWAPS {
            let listed = self.listed(projection, generation).await?;
            if listed.found.value.dropping.contains(&generation) {
                return Ok(());
            }
            check_drop(projection, &listed.described(), generation)?;
            let mut new = listed.found.value;
            new.generations.retain(|number| *number != generation);
            new.published.retain(|number| *number != generation);
            new.dropping.push(generation);
            let id = head::projection_id(projection);
            let version = listed.found.version;
            if self.server.swap(&self.meta, &id, version, &new).await? {
                return Ok(());
            }
        }
        Err(busy("the generations"))
    }

    /// Lets nobody write a generation any more; gives its head, if it is there.
    async fn close_head(&self, projection: &str, generation: u32) -> Result<Option<Head>, Error> {
        let id = head::head_id(projection, generation);
        for _ in 0..SWAPS {
            let Some(found) = self.server.get::<Head>(&self.meta, &id).await? else {
                return Ok(None);
            };
            let Found { value, version } = found;
            let new = Head {
                dropped: true,
                ..value
            };
            if self.server.swap(&self.meta, &id, version, &new).await? {
                return Ok(Some(new));
            }
        }
        Err(busy("the generation"))
    }

    /// Removes what a generation that is not listed any more left.
    async fn remove_generation(
        &self,
        projection: &str,
        generation: u32,
        head: Head,
    ) -> Result<(), Error> {
        for table in &head.tables {
            self.remove_index(&self.index(table, generation)).await?;
        }
        let none = Head {
            lot: None,
            ..head.clone()
        };
        self.drop_lot(&head, &none).await;
        let lease = factum_projection::Lease {
            projection: projection.to_owned(),
            generation,
            epoch: head.epoch,
        };
        for closed in head
            .closed
            .iter()
            .map(|it| it.session)
            .chain([head.session])
        {
            self.forget_undo(&lease, closed).await?;
        }
        let id = factum_http_client::encoded(&head::head_id(projection, generation));
        let path = format!("/{}/_doc/{id}", self.meta);
        let answer = self.server.send(Method::Delete, &path, None).await?;
        if answer.is_fine() || answer.status == 404 {
            return Ok(());
        }
        Err(self.server.failed(&answer))
    }

    async fn names(&self) -> Result<Vec<String>, Error> {
        if !self.refresh(&self.meta).await? {
            return Ok(Vec::new());
        }
        let body = json!({"size": PROJECTIONS_MAX, "query": {"term": {"kind": "projection"}}});
        let path = format!("/{}/_search", self.meta);
        let answer = self.server.ask(Method::Post, &path, Some(&body)).await?;
        let hits = answer.pointer("/hits/hits").and_then(Json::as_array);
        let hits = hits.ok_or_else(|| server::strange(&answer))?;
        let mut names: Vec<String> = hits
            .iter()
            .filter_map(|hit| hit.pointer("/_source/data/projection")?.as_str())
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }
}

/// A projection and its generations.
#[derive(Debug)]
struct Listed {
    found: Found<Projection>,
    heads: Vec<Found<Head>>,
}

impl Listed {
    fn described(&self) -> Vec<Generation> {
        let projection = &self.found.value;
        self.heads
            .iter()
            .map(|head| head.value.described(projection))
            .collect()
    }
}

impl Manage for ElasticSink {
    fn projections(&mut self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        Box::pin(self.names())
    }

    fn generations<'a>(
        &'a mut self,
        projection: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Generation>, Error>> {
        Box::pin(async move {
            let listed = self.list(projection).await?;
            Ok(listed.map_or_else(Vec::new, |listed| listed.described()))
        })
    }

    fn parked<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Parked>, Error>> {
        Box::pin(async move {
            let head = self.known(projection, generation).await?;
            let state = self.state(&head.value).await?;
            Ok(state.parked.iter().take(limit).cloned().collect())
        })
    }

    fn edit<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        edit: Edit,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.edit_head(projection, generation, &edit).await })
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

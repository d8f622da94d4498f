//! The memory sink as an administrator sees it, and read row by row.
//!
//! Relies on: one lock. Never: looks at an epoch.

use futures_core::future::BoxFuture;

use super::{Generation, MemorySink, Projection};
use crate::error::Error;
use crate::manage::{self, Behind, Edit, Manage, check_drop, check_switch, no_generation};
use crate::parked::Parked;
use crate::read_back::{ReadBack, Row};
use crate::table::Table;

type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

impl MemorySink {
    fn of<T>(
        &self,
        projection: &str,
        number: u32,
        work: impl FnOnce(&mut Generation) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut shared = self.lock();
        let found = shared.projections.get_mut(projection);
        match found.and_then(|it| it.generations.get_mut(&number)) {
            Some(generation) => work(generation),
            None => Err(no_generation(projection, number)),
        }
    }

    fn within<T>(
        &self,
        projection: &str,
        number: u32,
        work: impl FnOnce(&mut Projection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut shared = self.lock();
        match shared.projections.get_mut(projection) {
            Some(projection) => work(projection),
            None => Err(no_generation(projection, number)),
        }
    }
}

impl Projection {
    fn list(&self) -> Vec<manage::Generation> {
        let all = self.generations.iter();
        all.map(|(number, it)| manage::Generation {
            number: *number,
            live: self.live == Some(*number),
            published: it.published,
            bulk: it.bulk,
            version: it.version.clone(),
            checkpoint: it.state.checkpoint,
            epoch: it.epoch,
            paused: it.state.paused,
            parked: it.state.parked.len() as u64,
        })
        .collect()
    }
}

impl Manage for MemorySink {
    fn projections(&mut self) -> Answer<'_, Vec<String>> {
        let names = self.lock().projections.keys().cloned().collect();
        Box::pin(std::future::ready(Ok(names)))
    }

    fn generations<'a>(&'a mut self, projection: &'a str) -> Answer<'a, Vec<manage::Generation>> {
        let found = self
            .lock()
            .projections
            .get(projection)
            .map(Projection::list);
        Box::pin(std::future::ready(Ok(found.unwrap_or_default())))
    }

    fn parked<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        limit: usize,
    ) -> Answer<'a, Vec<Parked>> {
        let parked = self.of(projection, generation, |it| {
            Ok(it.state.parked.iter().take(limit).cloned().collect())
        });
        Box::pin(std::future::ready(parked))
    }

    fn edit<'a>(&'a mut self, projection: &'a str, generation: u32, edit: Edit) -> Answer<'a, ()> {
        let done = self.of(projection, generation, |it| it.state.edit(&edit));
        Box::pin(std::future::ready(done))
    }

    fn switch<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        behind: Behind,
    ) -> Answer<'a, ()> {
        let done = self.within(projection, generation, |it| {
            check_switch(projection, &it.list(), generation, behind)?;
            it.live = Some(generation);
            let seen = it.generations.get_mut(&generation);
            seen.into_iter().for_each(|seen| seen.published = true);
            Ok(())
        });
        Box::pin(std::future::ready(done))
    }

    fn drop_generation<'a>(&'a mut self, projection: &'a str, generation: u32) -> Answer<'a, ()> {
        let done = self.within(projection, generation, |it| {
            check_drop(projection, &it.list(), generation)?;
            it.generations.remove(&generation);
            Ok(())
        });
        Box::pin(std::future::ready(done))
    }
}

impl ReadBack for MemorySink {
    fn tables(&self) -> &[Table] {
        self.writer.tables()
    }

    fn count<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
    ) -> Answer<'a, u64> {
        let shape = self.writer.table(table).map(|_| ());
        let count =
            shape.and_then(|()| self.of(projection, generation, |it| Ok(it.stored.count(table))));
        Box::pin(std::future::ready(count.map_err(Error::into_invalid)))
    }

    fn page<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
        after: Option<&'a Row>,
        limit: usize,
    ) -> Answer<'a, Vec<Row>> {
        let shape = self.writer.table(table).cloned();
        let page = shape.and_then(|shape| {
            self.of(projection, generation, |it| {
                Ok(it.stored.page(&shape, after, limit))
            })
        });
        Box::pin(std::future::ready(page.map_err(Error::into_invalid)))
    }
}

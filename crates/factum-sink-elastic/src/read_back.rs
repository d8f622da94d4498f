//! Reading documents again, to compare them.
//!
//! Relies on: a refresh before each read. Never: is how an application searches.

use factum_http_client::Method;
use factum_projection::{Error, ReadBack, Row, Table};
use futures_core::future::BoxFuture;
use serde_json::{Value as Json, json};

use crate::ElasticSink;
use crate::commit::columns;
use crate::head::Head;
use crate::server;
use crate::session::tx_of;
use crate::values;

/// What the servers give at once.
const PAGE_MAX: usize = 5_000;

impl ElasticSink {
    /// The table, its index refreshed, and the head of the generation.
    async fn open(
        &self,
        projection: &str,
        generation: u32,
        table: &str,
    ) -> Result<(Table, String, Head), Error> {
        let mut tables = self.rows.tables.iter();
        let Some(table) = tables.find(|found| found.name == table) else {
            return Err(Error::invalid(format!("there is no table {table}")));
        };
        let head = self.known(projection, generation).await?;
        let index = self.index(&table.name, generation);
        if !self.refresh(&index).await? {
            let what = format!("the index {index} was removed");
            return Err(Error::invalid(what));
        }
        Ok((table.clone(), index, head.value))
    }

    async fn read_page(
        &self,
        projection: &str,
        generation: u32,
        table: &str,
        after: Option<&Row>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let (table, index, head) = self.open(projection, generation, table).await?;
        let mut body = json!({
            "size": limit.min(PAGE_MAX),
            "sort": [{"factum_id": "asc"}],
            "query": shown(),
        });
        if let (Some(row), Some(body)) = (after, body.as_object_mut()) {
            let cells: Vec<_> = row
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone()))
                .collect();
            body.insert(
                "search_after".to_owned(),
                json!([values::id(&table, &cells)?]),
            );
        }
        let path = format!("/{index}/_search");
        let answer = self.server.ask(Method::Post, &path, Some(&body)).await?;
        let hits = answer.pointer("/hits/hits").and_then(Json::as_array);
        let mut rows = Vec::new();
        for hit in hits.ok_or_else(|| server::strange(&answer))? {
            let source = hit.get("_source").ok_or_else(|| server::strange(hit))?;
            if let Some(tx) = tx_of(source).filter(|tx| head.counts(*tx) == Some(false)) {
                let what = format!("attempt {tx:?} of {projection} is not taken back yet");
                return Err(Error::unavailable(what));
            }
            if let Some(columns) = columns(source) {
                rows.push(values::row(&table, &columns)?);
            }
        }
        Ok(rows)
    }

    async fn read_count(
        &self,
        projection: &str,
        generation: u32,
        table: &str,
    ) -> Result<u64, Error> {
        let (_, index, _) = self.open(projection, generation, table).await?;
        let path = format!("/{index}/_count");
        let body = json!({ "query": shown() });
        let answer = self.server.ask(Method::Post, &path, Some(&body)).await?;
        let count = answer.get("count").and_then(Json::as_u64);
        count.ok_or_else(|| server::strange(&answer))
    }
}

/// All documents that do not stand for a removed one.
fn shown() -> Json {
    json!({"bool": {"must_not": {"term": {"factum_gone": true}}}})
}

impl ReadBack for ElasticSink {
    fn tables(&self) -> &[Table] {
        &self.rows.tables
    }

    fn count<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(self.read_count(projection, generation, table))
    }

    fn page<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
        after: Option<&'a Row>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Row>, Error>> {
        Box::pin(self.read_page(projection, generation, table, after, limit))
    }
}

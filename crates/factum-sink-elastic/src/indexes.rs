//! Indexes and aliases: one index for each table and generation, and an alias under the name that readers use.
//!
//! Relies on: names that are checked. Never: takes over an index or alias that it did not make; leaves an index unrefreshed that is claimed and not
//! in bulk.

use factum_http_client::Method;
use factum_projection::{ColumnType, Error, Table};
use serde_json::{Map, Value as Json, json};

use crate::ElasticSink;
use crate::server::is_missing;

impl ElasticSink {
    /// The names of the indexes of a generation, in the order of the tables.
    pub(crate) fn indexes(&self, generation: u32) -> Vec<String> {
        let tables = self.rows.tables.iter();
        tables
            .map(|table| self.index(&table.name, generation))
            .collect()
    }

    pub(crate) fn index(&self, table: &str, generation: u32) -> String {
        format!("{}{table}-g{generation}", self.options.prefix)
    }

    fn alias(&self, table: &str) -> String {
        format!("{}{table}", self.options.prefix)
    }

    /// Makes the index of what the sink remembers, unless it is there.
    pub(crate) async fn make_meta(&self) -> Result<(), Error> {
        let head = self
            .server
            .send(Method::Head, &format!("/{}", self.meta), None)
            .await?;
        if head.status == 200 {
            return Ok(());
        }
        let mappings = json!({
            "dynamic": "strict",
            "properties": {"kind": {"type": "keyword"}, "data": {"type": "object", "enabled": false}},
        });
        let body = json!({"settings": self.settings(), "mappings": mappings});
        self.make(&self.meta, &body).await?;
        Ok(())
    }

    /// Makes an index; says whether it was not there.
    async fn make(&self, index: &str, body: &Json) -> Result<bool, Error> {
        let answer = self
            .server
            .send(Method::Put, &format!("/{index}"), Some(body))
            .await?;
        if answer.is_fine() {
            return Ok(true);
        }
        let text = answer.excerpt();
        if answer.status == 400 && text.contains("resource_already_exists_exception") {
            return Ok(false);
        }
        Err(self.server.failed(&answer))
    }

    fn settings(&self) -> Map<String, Json> {
        let mut settings = Map::new();
        for (name, value) in [
            ("index.number_of_shards", self.options.shards),
            ("index.number_of_replicas", self.options.replicas),
        ] {
            if let Some(value) = value {
                settings.insert(name.to_owned(), value.into());
            }
        }
        settings
    }

    /// Makes the index of a table in a generation, or checks that it is as it would be made.
    pub(crate) async fn make_index(
        &self,
        table: &Table,
        projection: &str,
        generation: u32,
        new: bool,
    ) -> Result<(), Error> {
        let index = self.index(&table.name, generation);
        let mappings = self.mappings(table, projection, generation);
        let body = json!({"settings": self.settings(), "mappings": &mappings});
        let found = self.found_mappings(&index).await?;
        let Some(found) = found else {
            if !new {
                return Err(Error::outdated(format!(
                    "generation {generation} of {projection} has no table {}, or its index {index} was removed",
                    table.name
                )));
            }
            self.make(&index, &body).await?;
            return Ok(());
        };
        let meta = |mappings: &Json| mappings.get("_meta").cloned();
        if meta(&found) == meta(&mappings) {
            return Ok(());
        }
        let of = |mappings: &Json| {
            let ours = mappings.pointer("/_meta/factum/projection").cloned();
            (ours, mappings.pointer("/_meta/factum/generation").cloned())
        };
        if of(&found) != of(&mappings) {
            return Err(Error::invalid(format!(
                "the server has an index {index} that this projection did not make; choose another name or prefix, or remove it"
            )));
        }
        if new {
            // Left over by a claim that did not get further, with other columns.
            self.remove_index(&index).await?;
            self.make(&index, &body).await?;
            return Ok(());
        }
        Err(Error::outdated(format!(
            "table {} of projection {projection} has other columns in generation {generation}",
            table.name
        )))
    }

    async fn found_mappings(&self, index: &str) -> Result<Option<Json>, Error> {
        let path = format!("/{index}/_mapping");
        let answer = self.server.send(Method::Get, &path, None).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        if !answer.is_fine() {
            return Err(self.server.failed(&answer));
        }
        let answer = answer.json()?;
        // By the name of the index, which is another one when this is an alias.
        let mappings = answer.get(index).and_then(|index| index.get("mappings"));
        Ok(Some(mappings.cloned().unwrap_or(Json::Null)))
    }

    pub(crate) async fn remove_index(&self, index: &str) -> Result<(), Error> {
        let path = format!("/{index}");
        let answer = self.server.send(Method::Delete, &path, None).await?;
        match answer.status {
            404 => Ok(()),
            _ if answer.is_fine() => Ok(()),
            _ => Err(self.server.failed(&answer)),
        }
    }

    fn mappings(&self, table: &Table, projection: &str, generation: u32) -> Json {
        let mut properties = Map::new();
        let mut columns = Vec::new();
        for column in &table.columns {
            let own = self.options.mapping_of(&table.name, &column.name);
            let mapping = own.cloned().unwrap_or_else(|| mapping(column.holds));
            columns.push(format!("{} {:?} {mapping}", column.name, column.holds));
            properties.insert(column.name.clone(), mapping);
        }
        for (name, mapping) in [
            (
                "factum_tx",
                json!({"type": "long", "index": false, "doc_values": false}),
            ),
            ("factum_id", json!({"type": "keyword"})),
            ("factum_gone", json!({"type": "boolean"})),
        ] {
            properties.insert(name.to_owned(), mapping);
        }
        let made = json!({
            "projection": projection, "generation": generation, "columns": columns, "key": table.key,
        });
        json!({"dynamic": "strict", "_meta": {"factum": made}, "properties": properties})
    }

    /// What has the name that readers use, in words, where no projection made it.
    pub(crate) async fn taken_by(&self, table: &Table) -> Result<Option<String>, Error> {
        let alias = self.alias(&table.name);
        let path = format!("/{alias}/_alias");
        let answer = self.server.send(Method::Get, &path, None).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let answer = self.fine(&answer)?;
        let begin = format!("{alias}-g");
        let names = answer.as_object().map(Map::keys);
        let ours = |name: &&String| {
            let number = name.strip_prefix(&begin);
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let other = names.into_iter().flatten().find(|name| !ours(name));
        Ok(other.map(|name| {
            format!(
                "the server has {alias} already, as the name of {name}, which no projection made; choose another name or prefix, or remove it"
            )
        }))
    }

    /// Points the names that readers use at a generation, at once, whatever they point at now.
    pub(crate) async fn point(&self, tables: &[String], generation: u32) -> Result<(), Error> {
        let mut actions = Vec::new();
        for table in tables {
            let (alias, to) = (self.alias(table), self.index(table, generation));
            let path = format!("/_alias/{alias}");
            let answer = self.server.send(Method::Get, &path, None).await?;
            let answer = if answer.status == 404 {
                Json::Null
            } else {
                self.fine(&answer)?
            };
            let now: Vec<&String> = answer
                .as_object()
                .map(Map::keys)
                .into_iter()
                .flatten()
                .collect();
            if now == [&to] {
                continue;
            }
            for old in now.into_iter().filter(|old| **old != to) {
                actions.push(json!({"remove": {"index": old, "alias": alias}}));
            }
            let shown = json!({"bool": {"must_not": {"term": {"factum_gone": true}}}});
            actions.push(json!({"add": {"index": to, "alias": alias, "filter": shown}}));
        }
        if !actions.is_empty() {
            let body = json!({ "actions": actions });
            self.server
                .ask(Method::Post, "/_aliases", Some(&body))
                .await?;
        }
        Ok(())
    }

    /// Takes names away that the live generation does not have.
    pub(crate) async fn unpoint(&self, tables: &[String]) -> Result<(), Error> {
        for table in tables {
            let alias = self.alias(table);
            let body =
                json!({"actions": [{"remove": {"index": format!("{alias}-g*"), "alias": alias}}]});
            let answer = self
                .server
                .send(Method::Post, "/_aliases", Some(&body))
                .await?;
            if !answer.is_fine() && answer.status != 404 {
                return Err(self.server.failed(&answer));
            }
        }
        Ok(())
    }

    fn fine(&self, answer: &factum_http_client::Answer) -> Result<Json, Error> {
        if answer.is_fine() {
            answer.json()
        } else {
            Err(self.server.failed(answer))
        }
    }

    /// Refreshes rarely or as usual, while and after a generation is filled in bulk.
    pub(crate) async fn set_bulk(
        &self,
        tables: &[String],
        generation: u32,
        bulk: bool,
    ) -> Result<(), Error> {
        for table in tables {
            let index = self.index(table, generation);
            let interval = if bulk { json!("-1") } else { Json::Null };
            let body = json!({"index": {"refresh_interval": interval}});
            let path = format!("/{index}/_settings");
            self.server.ask(Method::Put, &path, Some(&body)).await?;
            if !bulk {
                let path = format!("/{index}/_refresh");
                self.server.ask(Method::Post, &path, None).await?;
            }
        }
        Ok(())
    }

    /// Refreshes as usual where that was ended for a bulk, or everywhere. How often somebody else said is left as it is.
    pub(crate) async fn end_bulk(
        &self,
        tables: &[String],
        generation: u32,
        everywhere: bool,
    ) -> Result<(), Error> {
        let mut ended = Vec::new();
        for table in tables {
            if everywhere || self.is_in_bulk(table, generation).await? {
                ended.push(table.clone());
            }
        }
        self.set_bulk(&ended, generation, false).await
    }

    async fn is_in_bulk(&self, table: &str, generation: u32) -> Result<bool, Error> {
        let index = self.index(table, generation);
        let path = format!("/{index}/_settings/index.refresh_interval?flat_settings=true");
        let settings = self.server.ask(Method::Get, &path, None).await?;
        let settings = settings.get(&index).and_then(|it| it.get("settings"));
        let interval = settings.and_then(|it| it.get("index.refresh_interval"));
        Ok(interval.and_then(Json::as_str) == Some("-1"))
    }

    /// Makes what was written visible to searches; says whether there is such an index.
    pub(crate) async fn refresh(&self, index: &str) -> Result<bool, Error> {
        let path = format!("/{index}/_refresh");
        let answer = self.server.send(Method::Post, &path, None).await?;
        if answer.status == 404 {
            let said = answer.json()?;
            return match said.get("error").is_some_and(is_missing) {
                true => Ok(false),
                false => Err(self.server.failed(&answer)),
            };
        }
        self.fine(&answer).map(|_| true)
    }
}

/// How a column is indexed, unless the options say otherwise.
fn mapping(holds: ColumnType) -> Json {
    match holds {
        ColumnType::Integer => json!({"type": "long"}),
        ColumnType::Real => json!({"type": "double"}),
        ColumnType::Bool => json!({"type": "boolean"}),
        ColumnType::Bytes => json!({"type": "binary"}),
        ColumnType::Time => json!({"type": "date", "format": "strict_date_optional_time"}),
        ColumnType::Json => json!({"type": "object", "enabled": false}),
        // Exact as it is, for filters, sorting and aggregations; word by word as `name.text`. What is longer than Lucene takes as one term is
        // found by its words only.
        _ => json!({"type": "keyword", "ignore_above": 8191, "fields": {"text": {"type": "text"}}}),
    }
}

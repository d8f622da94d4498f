//! What we ask of a server, and what its answers mean.
//!
//! Relies on: one of the three interfaces for writing, and `InfluxQL` for the rest. Never: repeats a request.

use std::collections::BTreeMap;

use factum_http_client::{Answer, Client, Method, Request, encoded};
use factum_projection::{Error, Kind};
use serde_json::{Value as Json, json};

use crate::line::Line;
use crate::options::Api;

const FORM: &str = "application/x-www-form-urlencoded";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// How much is sent at once.
const WRITE_BYTES: usize = 4 << 20;
const WRITE_LINES: usize = 5_000;

/// A row that was asked for: columns by name, what is nothing left out.
pub(crate) type Found = BTreeMap<String, Json>;

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    client: Client,
    api: Api,
}

impl Server {
    pub(crate) const fn new(client: Client, api: Api) -> Self {
        Self { client, api }
    }

    /// Writes points, in parts; repeating it changes nothing.
    pub(crate) async fn write(&self, database: &str, lines: &[Line]) -> Result<(), Error> {
        let database = encoded(database);
        let path = match &self.api {
            Api::V1 => format!("/write?db={database}&precision=ns"),
            Api::V2 { organization } => {
                let organization = encoded(organization);
                format!("/api/v2/write?org={organization}&bucket={database}&precision=ns")
            }
            Api::V3 => format!("/api/v3/write_lp?db={database}&precision=nanosecond"),
        };
        let (mut body, mut count) = (String::new(), 0);
        let mut lines = lines.iter().peekable();
        while let Some(line) = lines.next() {
            let written = line.write(&mut body);
            written
                .map_err(|error| Error::refused(format!("a point cannot be written: {error}")))?;
            count += 1;
            if body.len() >= WRITE_BYTES || count >= WRITE_LINES || lines.peek().is_none() {
                let request = Request::new(Method::Post, path.clone());
                let answer = self
                    .client
                    .send(request.body(TEXT, std::mem::take(&mut body)))
                    .await?;
                count = 0;
                self.taken(&answer)?;
            }
        }
        Ok(())
    }

    /// Whether points were taken. Of those that were not, the others were written all the same.
    fn taken(&self, answer: &Answer) -> Result<(), Error> {
        match answer.status {
            _ if answer.is_fine() => Ok(()),
            400 | 413 | 422 => {
                let what = format!("the server does not take a point: {}", said(answer));
                Err(Error::refused(what))
            }
            _ => Err(self.failed(answer)),
        }
    }

    /// Asks in `InfluxQL`: the rows of each statement. There are none where there is no database.
    pub(crate) async fn ask(
        &self,
        database: &str,
        statements: &[String],
    ) -> Result<Vec<Vec<Found>>, Error> {
        let query = statements.join("; ");
        let body = format!("db={}&epoch=ns&q={}", encoded(database), encoded(&query));
        let request = Request::new(Method::Post, "/query").body(FORM, body);
        let answer = self.client.send(request).await?;
        if !answer.is_fine() {
            if answer.status == 404 && said(&answer).contains("not found") {
                return Ok(vec![Vec::new(); statements.len()]);
            }
            return Err(self.failed(&answer));
        }
        let answer = answer.json()?;
        let results = answer.get("results").and_then(Json::as_array);
        let results = results.filter(|results| results.len() == statements.len());
        let results = results.ok_or_else(|| strange(&answer))?;
        results.iter().map(rows).collect()
    }

    /// Makes a database, unless it is there.
    pub(crate) async fn make(&self, database: &str) -> Result<(), Error> {
        match &self.api {
            Api::V1 => {
                let statement = format!("CREATE DATABASE {}", name(database));
                self.ask("", &[statement]).await?;
            }
            Api::V2 { organization } => {
                let path = format!("/api/v2/orgs?org={}", encoded(organization));
                let found = self.fine(Request::new(Method::Get, path)).await?.json()?;
                let id = found.pointer("/orgs/0/id").and_then(Json::as_str);
                let Some(id) = id else {
                    return Err(Error::invalid(format!(
                        "there is no organization {organization}"
                    )));
                };
                let body = json!({"orgID": id, "name": database, "retentionRules": []});
                let request =
                    Request::new(Method::Post, "/api/v2/buckets").body(JSON, body.to_string());
                let answer = self.client.send(request).await?;
                // Its name is taken: it is there.
                if !answer.is_fine() && answer.status != 422 {
                    return Err(self.failed(&answer));
                }
            }
            Api::V3 => {
                let body = json!({ "db": database }).to_string();
                let request =
                    Request::new(Method::Post, "/api/v3/configure/database").body(JSON, body);
                let answer = self.client.send(request).await?;
                if !answer.is_fine() && answer.status != 409 {
                    return Err(self.failed(&answer));
                }
            }
        }
        Ok(())
    }

    /// Removes a database with all that is in it, if it is there.
    pub(crate) async fn remove(&self, database: &str) -> Result<(), Error> {
        let path = match &self.api {
            Api::V1 => {
                let statement = format!("DROP DATABASE {}", name(database));
                self.ask("", &[statement]).await?;
                return Ok(());
            }
            Api::V2 { organization } => {
                let (organization, bucket) = (encoded(organization), encoded(database));
                let path = format!("/api/v2/buckets?org={organization}&name={bucket}");
                let answer = self.client.send(Request::new(Method::Get, path)).await?;
                if answer.status == 404 {
                    return Ok(());
                }
                let found = answer.json()?;
                match found.pointer("/buckets/0/id").and_then(Json::as_str) {
                    Some(id) => format!("/api/v2/buckets/{}", encoded(id)),
                    None => return Ok(()),
                }
            }
            Api::V3 => format!("/api/v3/configure/database?db={}", encoded(database)),
        };
        let answer = self.client.send(Request::new(Method::Delete, path)).await?;
        match answer.status {
            404 => Ok(()),
            _ if answer.is_fine() => Ok(()),
            _ => Err(self.failed(&answer)),
        }
    }

    async fn fine(&self, request: Request) -> Result<Answer, Error> {
        let answer = self.client.send(request).await?;
        if answer.is_fine() {
            Ok(answer)
        } else {
            Err(self.failed(&answer))
        }
    }

    fn failed(&self, answer: &Answer) -> Error {
        let (url, why) = (self.client.url(), said(answer));
        let (kind, what) = match answer.status {
            401 | 403 => (
                Kind::Denied,
                format!("{url} refuses who we are or what we may: {why}"),
            ),
            status @ (408 | 429 | 500..) => {
                (Kind::Unavailable, format!("{url} answers {status}: {why}"))
            }
            status => (Kind::Invalid, format!("{url} answers {status}: {why}")),
        };
        Error::new(kind, what)
    }
}

/// What an answer that is not fine says.
fn said(answer: &Answer) -> String {
    let said = serde_json::from_slice::<Json>(&answer.body).ok();
    let text = |name: &str| {
        let said = said.as_ref()?.get(name)?.as_str()?;
        Some(said.to_owned())
    };
    text("error")
        .or_else(|| text("message"))
        .unwrap_or_else(|| answer.excerpt())
}

fn rows(result: &Json) -> Result<Vec<Found>, Error> {
    if let Some(error) = result.get("error").and_then(Json::as_str) {
        if error.contains("not found") {
            return Ok(Vec::new());
        }
        return Err(Error::unavailable(format!(
            "the server cannot answer: {error}"
        )));
    }
    let mut all = Vec::new();
    let series = result.get("series").and_then(Json::as_array);
    for series in series.into_iter().flatten() {
        let array = |name: &str| series.get(name).and_then(Json::as_array);
        let (columns, values) = (array("columns"), array("values"));
        let (columns, values) = columns.zip(values).ok_or_else(|| strange(series))?;
        let source = series.get("name").cloned().unwrap_or(Json::Null);
        for row in values {
            let cells = row.as_array().into_iter().flatten().zip(columns);
            let cells = cells.filter(|(value, _)| !value.is_null());
            let named =
                cells.filter_map(|(value, name)| Some((name.as_str()?.to_owned(), value.clone())));
            let mut row: Found = named.collect();
            row.insert("from".to_owned(), source.clone());
            all.push(row);
        }
    }
    Ok(all)
}

fn strange(answer: &Json) -> Error {
    let mut text = answer.to_string();
    text.truncate(text.floor_char_boundary(300));
    Error::unavailable(format!("the server answers what it should not: {text}"))
}

/// A name in a statement.
pub(crate) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text in a statement.
pub(crate) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

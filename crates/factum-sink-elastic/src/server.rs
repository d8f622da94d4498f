//! What we ask of a server, and what its answers mean.
//!
//! Relies on: the endpoints that Elasticsearch since 7.10 and OpenSearch have in common. Never: repeats a request, or takes an error that could
//! pass for a refused event.

use factum_http_client::{Answer, Client, Method, Request, encoded};
use factum_projection::{Error, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
/// How much is sent at once; one document may be larger.
const BULK_BYTES: usize = 8 << 20;
const BULK_ITEMS: usize = 2_000;
const FETCH_ITEMS: usize = 500;

/// A version of a document: a write with it succeeds only if nothing else was written meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) seq: i64,
    pub(crate) term: i64,
}

/// A document as it was found.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) version: Version,
}

/// A write to a document.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) index: String,
    pub(crate) id: String,
    /// `None` removes it.
    pub(crate) document: Option<Json>,
    pub(crate) condition: Condition,
}

/// What must be so for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    /// There is no such document.
    Absent,
    /// It was not written since.
    Still(Version),
}

/// What became of a write.
#[derive(Debug, Clone)]
pub(crate) enum Written {
    Done(Version),
    /// The condition did not hold.
    Conflict,
    /// It will never be taken.
    Refused(String),
    /// Something else: the sink is not as it should be, or waiting may help.
    Failed(Error),
}

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    client: Client,
}

impl Server {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Answer, Error> {
        let request = Request::new(method, path);
        let request = match body {
            Some(body) => request.body(JSON, body.to_string()),
            None if matches!(method, Method::Post | Method::Put) => request.body(JSON, ""),
            None => request,
        };
        self.client.send(request).await
    }

    /// As [`send`](Self::send), and the answer must be fine.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Json, Error> {
        let answer = self.send(method, path, body).await?;
        if answer.is_fine() {
            return answer.json();
        }
        Err(self.failed(&answer))
    }

    /// The error of an answer that is not fine.
    pub(crate) fn failed(&self, answer: &Answer) -> Error {
        let said = serde_json::from_slice::<Json>(&answer.body).ok();
        let error = said.as_ref().and_then(|said| said.get("error"));
        let why = error.map_or_else(|| answer.excerpt(), reason);
        let url = self.client.url();
        let what = match answer.status {
            401 | 403 if !is_block(error) => {
                format!("{url} refuses who we are or what we may: {why}")
            }
            status => format!("{url} answers {status}: {why}"),
        };
        Error::new(kind(answer.status, error), what)
    }

    /// A document of ours; `None` when it or its index is not there.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        index: &str,
        id: &str,
    ) -> Result<Option<Found<T>>, Error> {
        let path = format!("/{index}/_doc/{}", encoded(id));
        let answer = self.send(Method::Get, &path, None).await?;
        match answer.status {
            200 => found(&answer.json()?)?
                .map(|found| own(id, found))
                .transpose(),
            404 => Ok(None),
            _ => Err(self.failed(&answer)),
        }
    }

    /// Documents, in the order asked for; `None` for those that are not there.
    pub(crate) async fn fetch(
        &self,
        places: &[(&str, &str)],
    ) -> Result<Vec<Option<Found<Json>>>, Error> {
        let mut documents = Vec::with_capacity(places.len());
        for part in places.chunks(FETCH_ITEMS) {
            let wanted: Vec<Json> = part
                .iter()
                .map(|(index, id)| json!({"_index": index, "_id": id}))
                .collect();
            let body = json!({ "docs": wanted });
            let answer = self.ask(Method::Post, "/_mget", Some(&body)).await?;
            let items = answer.get("docs").and_then(Json::as_array);
            let items = items.filter(|items| items.len() == part.len());
            for item in items.ok_or_else(|| strange(&answer))? {
                if let Some(error) = item.get("error") {
                    let status = if is_missing(error) { 404 } else { 503 };
                    let what = format!("a document cannot be read: {}", reason(error));
                    return Err(Error::new(kind(status, Some(error)), what));
                }
                documents.push(found(item)?);
            }
        }
        Ok(documents)
    }

    /// Makes a document of ours; says whether it was not there.
    pub(crate) async fn create(
        &self,
        index: &str,
        id: &str,
        document: &impl Serialize,
    ) -> Result<bool, Error> {
        let path = format!("/{index}/_create/{}", encoded(id));
        let answer = self
            .send(Method::Put, &path, Some(&stored(document)?))
            .await?;
        match answer.status {
            200 | 201 => Ok(true),
            409 => Ok(false),
            _ => Err(self.failed(&answer)),
        }
    }

    /// Writes a document of ours in place of this version; says whether it still was that.
    pub(crate) async fn swap(
        &self,
        index: &str,
        id: &str,
        version: Version,
        document: &impl Serialize,
    ) -> Result<bool, Error> {
        let Version { seq, term } = version;
        let id = encoded(id);
        let path = format!("/{index}/_doc/{id}?if_seq_no={seq}&if_primary_term={term}");
        let answer = self
            .send(Method::Put, &path, Some(&stored(document)?))
            .await?;
        match answer.status {
            200 | 201 => Ok(true),
            409 => Ok(false),
            _ => Err(self.failed(&answer)),
        }
    }

    /// Writes documents, in parts; what became of each, as far as parts were sent: none after one that was not done wholly.
    pub(crate) async fn bulk(&self, writes: &[&Write], query: &str) -> Result<Vec<Written>, Error> {
        let mut all = Vec::with_capacity(writes.len());
        let mut rest = writes;
        while !rest.is_empty() {
            let (body, count) = lines(rest);
            let (part, later) = rest.split_at(count);
            let request = Request::new(Method::Post, format!("/_bulk{query}")).body(LINES, body);
            let answer = self.client.send(request).await?;
            if answer.status == 413 && part.len() == 1 {
                all.push(Written::Refused(
                    "the document is larger than the server takes".to_owned(),
                ));
                break;
            }
            if !answer.is_fine() {
                return Err(self.failed(&answer));
            }
            let answer = answer.json()?;
            let items = answer.get("items").and_then(Json::as_array);
            let items = items.filter(|items| items.len() == part.len());
            all.extend(items.ok_or_else(|| strange(&answer))?.iter().map(written));
            if answer.get("errors") != Some(&Json::Bool(false)) {
                break;
            }
            rest = later;
        }
        Ok(all)
    }
}

/// What stands in a document of ours: it is not looked into by the server.
pub(crate) fn stored(document: &impl Serialize) -> Result<Json, Error> {
    let data = serde_json::to_value(document)
        .map_err(|error| Error::invalid(format!("cannot be written down: {error}")))?;
    let kind = data.get("kind").cloned();
    Ok(json!({ "kind": kind, "data": data }))
}

fn own<T: DeserializeOwned>(id: &str, found: Found<Json>) -> Result<Found<T>, Error> {
    let mut value = found.value;
    let data = value.get_mut("data").map_or(Json::Null, Json::take);
    let value = serde_json::from_value(data).map_err(|error| {
        Error::invalid(format!(
            "the document {id} is not what this sink writes: {error}"
        ))
    })?;
    let version = found.version;
    Ok(Found { value, version })
}

/// The documents of ours among what was fetched.
pub(crate) fn owned<T: DeserializeOwned>(
    id: &str,
    found: Option<Found<Json>>,
) -> Result<Option<Found<T>>, Error> {
    found.map(|found| own(id, found)).transpose()
}

fn found(answer: &Json) -> Result<Option<Found<Json>>, Error> {
    if answer.get("found") != Some(&Json::Bool(true)) {
        return Ok(None);
    }
    let version = version(answer);
    match (answer.get("_source"), version) {
        (Some(source), Some(version)) => Ok(Some(Found {
            value: source.clone(),
            version,
        })),
        _ => Err(strange(answer)),
    }
}

fn version(answer: &Json) -> Option<Version> {
    Some(Version {
        seq: answer.get("_seq_no")?.as_i64()?,
        term: answer.get("_primary_term")?.as_i64()?,
    })
}

/// As many writes as fit one request, and how many that are.
fn lines(writes: &[&Write]) -> (Vec<u8>, usize) {
    let (mut body, mut count) = (String::new(), 0);
    for write in writes {
        if count > 0 && (body.len() >= BULK_BYTES || count >= BULK_ITEMS) {
            break;
        }
        let mut target = json!({"_index": write.index, "_id": write.id});
        if let (Condition::Still(Version { seq, term }), Some(target)) =
            (write.condition, target.as_object_mut())
        {
            target.insert("if_seq_no".to_owned(), seq.into());
            target.insert("if_primary_term".to_owned(), term.into());
        }
        let action = match (&write.document, write.condition) {
            (None, _) => "delete",
            (Some(_), Condition::Absent) => "create",
            (Some(_), _) => "index",
        };
        body.push_str(&json!({ action: target }).to_string());
        body.push('\n');
        if let Some(document) = &write.document {
            body.push_str(&document.to_string());
            body.push('\n');
        }
        count += 1;
    }
    (body.into_bytes(), count)
}

fn written(item: &Json) -> Written {
    let item = item.as_object().and_then(|item| item.values().next());
    let item = item.unwrap_or(&Json::Null);
    let status = item.get("status").and_then(Json::as_u64).unwrap_or(0);
    let status = u16::try_from(status).unwrap_or(0);
    let error = item.get("error");
    let why = || error.map_or_else(|| item.to_string(), reason);
    match (status, version(item)) {
        (200..300, Some(version)) => Written::Done(version),
        (409, _) => Written::Conflict,
        // What was to be removed is not there any more.
        (404, Some(_)) if error.is_none() => Written::Conflict,
        (400 | 413, _) if !error.is_some_and(is_missing) => Written::Refused(why()),
        (status, _) => {
            let what = format!("a document cannot be written ({status}): {}", why());
            Written::Failed(Error::new(kind(status, error), what))
        }
    }
}

/// Whether waiting may help.
fn kind(status: u16, error: Option<&Json>) -> Kind {
    match status {
        // Read-only, by hand or because the disk is full: it will be lifted.
        403 if is_block(error) => Kind::Unavailable,
        401 | 403 => Kind::Denied,
        0 | 408 | 409 | 429 | 500.. => Kind::Unavailable,
        _ => Kind::Invalid,
    }
}

fn type_of(error: &Json) -> &str {
    error.get("type").and_then(Json::as_str).unwrap_or("")
}

fn is_block(error: Option<&Json>) -> bool {
    error.is_some_and(|error| type_of(error) == "cluster_block_exception")
}

pub(crate) fn is_missing(error: &Json) -> bool {
    type_of(error) == "index_not_found_exception"
}

/// What the server says, with the innermost cause.
fn reason(error: &Json) -> String {
    let said = |error: &Json| {
        let reason = error.get("reason").and_then(Json::as_str);
        reason.map(str::to_owned)
    };
    let mut reasons: Vec<String> = Vec::new();
    let mut at = Some(error);
    while let Some(error) = at.filter(|_| reasons.len() < 4) {
        reasons.extend(said(error));
        at = error.get("caused_by");
    }
    if reasons.is_empty() {
        return error
            .as_str()
            .map_or_else(|| error.to_string(), str::to_owned);
    }
    reasons.join(": ")
}

pub(crate) fn strange(answer: &Json) -> Error {
    let mut text = answer.to_string();
    text.truncate(text.floor_char_boundary(300));
    Error::unavailable(format!("the server answers what it should not: {text}"))
}

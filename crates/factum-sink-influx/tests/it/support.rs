//! The server, and databases in it that nobody else uses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_http_client::{Client, Method, Options as Http, Request, encoded};
use factum_sink_influx::{InfluxSink, Options};
use pollster::block_on;
use serde_json::Value as Json;

pub(crate) fn service(name: &str) -> Option<String> {
    let services = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/services");
    let found = std::fs::read_to_string(services.join("influxdb").join(name));
    match found {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "no InfluxDB: {error}");
            println!("not run: there is no InfluxDB; `cargo xtask services up influxdb`");
            None
        }
    }
}

/// The address of the server; without one a test says so and passes, but not where `CI` is set.
pub(crate) fn address() -> Option<String> {
    service("url")
}

/// Databases that no other test has; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: String,
    pub(crate) name: String,
    keeps: bool,
}

impl Place {
    pub(crate) fn new(address: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            address: address.to_owned(),
            name: format!("t{}-{next}-{:x}", std::process::id(), fastrand::u32(..)),
            keeps: false,
        }
    }

    /// The same, over another address; it removes nothing.
    pub(crate) fn seen_through(&self, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            name: self.name.clone(),
            keeps: true,
        }
    }

    pub(crate) fn options(&self) -> Options {
        let options = Options::new(&self.address, &self.name).unwrap();
        options.meta(format!("{}-meta", self.name))
    }

    pub(crate) fn open(&self) -> InfluxSink {
        InfluxSink::new(self.options()).unwrap()
    }

    /// The rows that a reader of a generation gets, past the sink: each by column.
    pub(crate) fn rows(&self, generation: u32, query: &str) -> Vec<BTreeMap<String, Json>> {
        let database = format!("{}_g{generation}", self.name);
        let answer = ask(&self.address, &database, query);
        let mut rows = Vec::new();
        for series in answer
            .pointer("/results/0/series")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            let columns = series["columns"].as_array().unwrap();
            for row in series["values"].as_array().unwrap() {
                let cells = columns.iter().zip(row.as_array().unwrap());
                let named = cells.filter(|(_, value)| !value.is_null());
                rows.push(
                    named
                        .map(|(name, value)| (name.as_str().unwrap().to_owned(), value.clone()))
                        .collect(),
                );
            }
        }
        rows
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.keeps {
            return;
        }
        for name in ["-meta", "_g1", "_g2", "_g3"] {
            let drop = format!("DROP DATABASE \"{}{name}\"", self.name);
            ask(&self.address, "", &drop);
        }
    }
}

pub(crate) fn ask(address: &str, database: &str, query: &str) -> Json {
    let client = Client::new(&Http::new(address).unwrap()).unwrap();
    let body = format!("db={}&epoch=ns&q={}", encoded(database), encoded(query));
    let request =
        Request::new(Method::Post, "/query").body("application/x-www-form-urlencoded", body);
    block_on(client.send(request)).map_or(Json::Null, |answer| answer.json().unwrap_or_default())
}

//! The server, and places in it that nobody else uses.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_http_client::{Answer, Client, Method, Options as Http, Request};
use factum_projection::Table;
use factum_sink_elastic::{ElasticSink, Options, Refresh};
use pollster::block_on;
use serde_json::Value as Json;

/// What `services` says about the server; without one a test says so and passes, but not where `CI` is set.
pub(crate) fn service(name: &str) -> Option<String> {
    let services = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/services");
    match std::fs::read_to_string(services.join("opensearch").join(name)) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "no OpenSearch: {error}");
            println!("not run: there is no OpenSearch; `cargo xtask services up opensearch`");
            None
        }
    }
}

pub(crate) fn address() -> Option<String> {
    service("url")
}

/// A prefix that no other test has, in this process or another.
pub(crate) fn fresh_prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("t{}-{next}-{:x}-", std::process::id(), fastrand::u32(..))
}

pub(crate) fn options(address: &str, prefix: &str) -> Options {
    let options = Options::new(address).unwrap();
    options
        .prefix(prefix)
        .refresh(Refresh::Interval)
        .shards(1)
        .replicas(0)
}

pub(crate) fn open(address: &str, prefix: &str, tables: &[Table]) -> ElasticSink {
    ElasticSink::new(options(address, prefix), tables.to_vec()).unwrap()
}

/// Asks the server past the sink.
pub(crate) fn ask(address: &str, method: Method, path: &str, body: Option<&Json>) -> Answer {
    let client = Client::new(&Http::new(address).unwrap()).unwrap();
    let mut request = Request::new(method, path);
    if let Some(body) = body {
        request = request.body("application/json", body.to_string());
    }
    block_on(client.send(request)).unwrap()
}

/// Removes everything whose name begins so, when it is dropped.
#[derive(Debug)]
pub(crate) struct Swept<'a> {
    pub(crate) address: &'a str,
    pub(crate) prefix: String,
}

impl Drop for Swept<'_> {
    fn drop(&mut self) {
        let path = format!("/{}*", self.prefix);
        drop(ask(self.address, Method::Delete, &path, None));
    }
}

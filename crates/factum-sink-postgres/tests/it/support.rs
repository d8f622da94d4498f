//! Servers, and schemas of their own in them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use factum_projection::Table;
use factum_sink_postgres::{Options, PostgresSink};
use tokio_postgres::{Client, NoTls};

/// A server of `cargo xtask services`.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) place: PathBuf,
}

/// Both servers, those of them that run. With `CI=true` each must.
pub(crate) fn servers(test: &str) -> Vec<Server> {
    let names = ["postgres15", "postgres18"];
    names.iter().filter_map(|name| server(name, test)).collect()
}

/// A server, if it runs.
pub(crate) fn server(name: &'static str, test: &str) -> Option<Server> {
    let url = told(name, "url", test)?;
    let place = services().join(name);
    Some(Server { url, place })
}

/// What `services` says of a server in the file of this name. What is not there is said, and fails where `CI=true`.
pub(crate) fn told(name: &str, file: &str, test: &str) -> Option<String> {
    if let Ok(text) = std::fs::read_to_string(services().join(name).join(file)) {
        return Some(text.trim().to_owned());
    }
    let needs = format!("{test} needs {name}: cargo xtask services up");
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{needs}"
    );
    // Past the harness, which keeps what a test prints to itself.
    writeln!(std::io::stderr(), "NOT RUN: {needs}").unwrap();
    None
}

fn services() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services")
}

impl Server {
    /// A schema that is empty, of this name in this run of this test.
    pub(crate) fn options(&self, schema: &str) -> Options {
        Options::from_url(&self.url)
            .unwrap()
            .schema(schema)
            .unwrap()
    }

    pub(crate) fn open(&self, schema: &str, tables: &[Table]) -> PostgresSink {
        PostgresSink::open(self.options(schema), tables.to_vec()).unwrap()
    }

    /// A reader or an administrator of its own.
    pub(crate) fn client(&self) -> Other {
        Other::new(&self.url)
    }
}

/// A name for a schema that no other test has.
pub(crate) fn fresh(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::SeqCst);
    format!("t_{name}_{}_{next}", std::process::id())
}

/// Someone else's connection.
pub(crate) struct Other {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Other {
    pub(crate) fn new(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (client, connection) = runtime
            .block_on(tokio_postgres::connect(url, NoTls))
            .unwrap();
        runtime.spawn(async move { drop(connection.await) });
        Self { runtime, client }
    }

    pub(crate) fn run(&self, sql: &str) {
        let done = self.runtime.block_on(self.client.batch_execute(sql));
        done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// All rows as text.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        let sent = self.client.simple_query(sql);
        let rows = self.runtime.block_on(sent);
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let rows = rows.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| {
            let cells = (0..row.len()).map(|cell| row.get(cell).unwrap_or("null"));
            cells.collect::<Vec<_>>().join("|")
        })
        .collect()
    }

    /// Removes a schema with all that is in it.
    pub(crate) fn drop_schema(&self, schema: &str) {
        self.run(&format!(
            "SET client_min_messages = error; DROP SCHEMA IF EXISTS \"{schema}\" CASCADE"
        ));
    }
}

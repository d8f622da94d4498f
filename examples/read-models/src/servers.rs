//! Where the servers are, and places in them for this example alone.

use std::error::Error;
use std::path::{Path, PathBuf};

use factum_http_client::{Client, Method, Options as Http, Request, encoded};
use factum_projection::Table;
use factum_sink_elastic::{ElasticSink, Options as ElasticOptions, Refresh};
use factum_sink_influx::{InfluxSink, Options as InfluxOptions};
use factum_sink_postgres::{Options as PostgresOptions, PostgresSink};
use serde_json::Value as Json;
use tokio_postgres::{NoTls, Row};

/// What can go wrong here.
pub(crate) type Fault = Box<dyn Error + Send + Sync>;

/// The schema in PostgreSQL, and the database in InfluxDB.
const NAME: &str = "read_models";
/// What indices in OpenSearch begin with.
const PREFIX: &str = "read-models-";

/// The servers that `cargo xtask services up` started.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    postgres: String,
    influx: String,
    elastic: String,
}

impl Servers {
    /// Those that run.
    ///
    /// # Errors
    /// Which one does not, and how to start it.
    pub(crate) fn find() -> Result<Self, Fault> {
        Ok(Self {
            postgres: address("postgres15")?,
            influx: address("influxdb")?,
            elastic: address("opensearch")?,
        })
    }

    /// Removes what an earlier run left there to be looked at.
    ///
    /// # Errors
    /// What a server says.
    pub(crate) fn clear(&self) -> Result<(), Fault> {
        let sql = format!("DROP SCHEMA IF EXISTS {NAME} CASCADE; CREATE SCHEMA {NAME}");
        Postgres::connect(self)?.run(&sql)?;
        for database in ["_g1", "_meta"] {
            self.ask_influx("", &format!("DROP DATABASE \"{NAME}{database}\""))?;
        }
        self.ask_elastic(Method::Delete, &format!("/{PREFIX}*"), None)?;
        Ok(())
    }

    /// The sink in PostgreSQL.
    ///
    /// # Errors
    /// What the sink says.
    pub(crate) fn postgres(&self, table: Table) -> Result<PostgresSink, Fault> {
        let options = PostgresOptions::from_url(&self.postgres)?.schema(NAME)?;
        Ok(PostgresSink::open(options, [table])?)
    }

    /// The sink in InfluxDB.
    ///
    /// # Errors
    /// What the sink says.
    pub(crate) fn influx(&self) -> Result<InfluxSink, Fault> {
        let options = InfluxOptions::new(&self.influx, NAME)?.meta(format!("{NAME}_meta"));
        Ok(InfluxSink::new(options)?)
    }

    /// The sink in OpenSearch.
    ///
    /// # Errors
    /// What the sink says.
    pub(crate) fn elastic(&self, table: Table) -> Result<ElasticSink, Fault> {
        let options = ElasticOptions::new(&self.elastic)?
            .prefix(PREFIX)
            .refresh(Refresh::Interval)
            .shards(1)
            .replicas(0);
        Ok(ElasticSink::new(options, [table])?)
    }

    /// The first row of an answer of InfluxDB.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn measure(&self, query: &str) -> Result<Json, Fault> {
        let answer = self.ask_influx(&format!("{NAME}_g1"), query)?;
        Ok(answer["results"][0]["series"][0]["values"][0].clone())
    }

    /// What OpenSearch finds.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn search(&self, query: &Json) -> Result<Json, Fault> {
        self.ask_elastic(Method::Post, &format!("/{PREFIX}orders/_refresh"), None)?;
        self.ask_elastic(
            Method::Post,
            &format!("/{PREFIX}orders/_search"),
            Some(query),
        )
    }

    fn ask_influx(&self, database: &str, query: &str) -> Result<Json, Fault> {
        let body = format!("db={}&q={}", encoded(database), encoded(query));
        let request =
            Request::new(Method::Post, "/query").body("application/x-www-form-urlencoded", body);
        ask(&self.influx, request)
    }

    fn ask_elastic(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Json, Fault> {
        let body = body.map_or_else(String::new, Json::to_string);
        let request = Request::new(method, path).body("application/json", body);
        ask(&self.elastic, request)
    }
}

fn ask(address: &str, request: Request) -> Result<Json, Fault> {
    let client = Client::new(&Http::new(address)?)?;
    let answer = pollster::block_on(client.send(request))?;
    if !answer.is_fine() {
        return Err(answer.excerpt().into());
    }
    Ok(answer.json()?)
}

fn address(service: &str) -> Result<String, Fault> {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/services")
        .join(service)
        .join("url");
    let url = std::fs::read_to_string(file).map_err(|error| {
        format!("{service} is not running ({error}): cargo xtask services up {service}")
    })?;
    Ok(url.trim().to_owned())
}

/// A reader's connection to PostgreSQL.
#[derive(Debug)]
pub(crate) struct Postgres {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

impl Postgres {
    /// Connects.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn connect(servers: &Servers) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connect = tokio_postgres::connect(&servers.postgres, NoTls);
        let (client, connection) = runtime.block_on(connect)?;
        runtime.spawn(async move { drop(connection.await) });
        let reader = Self { runtime, client };
        reader.run(&format!("SET search_path = {NAME}"))?;
        Ok(reader)
    }

    /// Does something.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn run(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.runtime.block_on(self.client.batch_execute(sql))?)
    }

    /// Asks something.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn ask(&self, sql: &str) -> Result<Vec<Row>, Fault> {
        Ok(self.runtime.block_on(self.client.query(sql, &[]))?)
    }
}

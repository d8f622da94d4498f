//! Projections into Elasticsearch and OpenSearch: documents by key, each commit all or nothing for the runner.
//!
//! What lives here: [`ElasticSink`]. Relies on: writes of single documents under a condition (`if_seq_no`), which both servers have. Never:
//! touches an index or alias that is not its own; sends a script.
//!
//! What a reader searches as `orders` is an alias of `orders-g1`, the index of the live generation. A document has the columns of its row and,
//! beside them, `factum_id`, `factum_tx` and, for a moment after it was removed, `factum_gone`; the alias hides those. What the sink remembers is in
//! `factum-meta`. Text is mapped as `keyword` with a `text` field below it, unless [`Options::mapping`] says otherwise.
//!
//! The servers have no transactions, so before a batch is written the documents it changes are noted as they are, and one write
//! to one document makes it count. *Exactly once* holds for what is committed: increments too, whatever crashes, and whoever still
//! writes, unless what it sent arrives after 64 more claims. What does not hold: while a batch is being written, or until a crashed one is taken back by the next claim, a search may see a part of
//! it. And the operations of a batch are carried out here, document by document, so that a value which a later event of the same batch
//! replaces is never sent, nor refused. Decision 0021 says it all.
//!
//! ```no_run
//! use factum_projection::{Error, Projector, Rows, Runner, Table};
//! use factum_sink_elastic::{ElasticSink, Options};
//! use factum_store::{MemoryStore, Source};
//! use factum_types::RecordedEvent;
//!
//! struct Orders;
//!
//! impl<W: Rows> Projector<W> for Orders {
//!     fn name(&self) -> &str { "orders" }
//!     fn source(&self) -> Source { Source::All }
//!     fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
//!         let id = ("id", event.stream.as_str().into());
//!         match event.event_type.as_str() {
//!             "OrderPlaced" => to.insert("orders", &[id, ("status", "placed".into())]),
//!             "OrderShipped" => to.update("orders", &[id], &[("status", "shipped".into())]),
//!             _ => Ok(()),
//!         }
//!     }
//! }
//!
//! # pollster::block_on(async {
//! let orders = Table::new("orders").text("id").text("status").key(["id"]);
//! let sink = ElasticSink::new(Options::new("http://localhost:9200")?, [orders])?;
//! let mut runner = Runner::new(std::sync::Arc::new(MemoryStore::new()), sink, Orders);
//! runner.run_until_caught_up().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod claim;
mod commit;
mod head;
mod indexes;
mod inspect;
mod manage;
mod options;
mod read_back;
mod rows;
mod server;
mod session;
mod values;

use std::fmt;
use std::sync::Arc;

use factum_framework::World;
use factum_http_client::Client;
use factum_io::Random;
use factum_projection::{Advance, Claim, Error, Lease, Sink, State, Table};
use factum_types::RecordedEvent;
use futures_core::future::BoxFuture;

pub use options::{Options, Refresh};
pub use rows::ElasticRows;

use head::Head;
use server::{Found, Server};
use session::{SWAPS, Session};

/// An Elasticsearch or OpenSearch as a sink. Connections are made when they are needed.
pub struct ElasticSink {
    server: Server,
    options: Options,
    /// The index of what the sink remembers.
    meta: String,
    rows: ElasticRows,
    random: Arc<dyn Random>,
    session: Option<Session>,
    /// Whether an attempt may have left something behind.
    unclean: bool,
    /// Sessions before this one left nothing behind.
    cleaned: u32,
}

impl ElasticSink {
    /// A sink for these tables. Nothing is asked of the server before a projection is claimed.
    ///
    /// # Errors
    /// - [`Kind::Invalid`](factum_projection::Kind::Invalid): a table is not well formed or begins with `_`, the prefix is not, a mapping is for a
    ///   column that is not there, or the certificates cannot be read.
    /// - [`Kind::Unavailable`](factum_projection::Kind::Unavailable): the system has no thread left.
    pub fn new(options: Options, tables: impl IntoIterator<Item = Table>) -> Result<Self, Error> {
        let tables: Vec<Table> = tables.into_iter().collect();
        Table::check_all(&tables)?;
        options.check()?;
        let bad = tables.iter().find(|table| table.name.starts_with('_'));
        if let Some(table) = bad.filter(|_| options.prefix.is_empty()) {
            let what = format!("table {} cannot begin with _ here", table.name);
            return Err(Error::invalid(what));
        }
        for (name, column) in options.mapped() {
            let table = tables.iter().find(|table| table.name == *name);
            if table.and_then(|table| table.find(column)).is_none() {
                let what = format!(
                    "a mapping is given for column {column} of table {name}, which is not there"
                );
                return Err(Error::invalid(what));
            }
        }
        Ok(Self {
            server: Server::new(Client::new(&options.http)?),
            meta: format!("{}factum-meta", options.prefix),
            options,
            rows: ElasticRows::new(tables),
            random: World::real().random,
            session: None,
            unclean: false,
            cleaned: 0,
        })
    }

    async fn finish(&mut self, lease: &Lease) -> Result<(), Error> {
        for _ in 0..SWAPS {
            let Found { value, version } = self.head(lease).await?;
            if !value.bulk {
                return Ok(());
            }
            self.set_bulk(&value.tables, lease.generation, false)
                .await?;
            let new = Head {
                bulk: false,
                ..value
            };
            let id = head::head_id(&lease.projection, lease.generation);
            if self.server.swap(&self.meta, &id, version, &new).await? {
                return Ok(());
            }
        }
        Err(session::busy("the generation"))
    }
}

impl Sink for ElasticSink {
    type Writer = ElasticRows;

    fn claim<'a>(&'a mut self, claim: Claim<'a>) -> BoxFuture<'a, Result<Lease, Error>> {
        Box::pin(self.claim_generation(claim))
    }

    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>> {
        Box::pin(async move {
            self.settle(lease).await?;
            let head = self.head(lease).await?;
            self.state(&head.value).await
        })
    }

    fn begin<'a>(&'a mut self, _lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        drop(self.rows.take());
        // Whether the lease holds is seen at commit.
        Box::pin(std::future::ready(Ok(())))
    }

    fn writer(&mut self, _event: &RecordedEvent) -> &mut ElasticRows {
        &mut self.rows
    }

    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.commit_batch(lease, advance))
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        drop(self.rows.take());
        Box::pin(std::future::ready(()))
    }

    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.finish(lease))
    }
}

impl fmt::Debug for ElasticSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElasticSink")
            .field("options", &self.options)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

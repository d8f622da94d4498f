//! Projections into PostgreSQL: rows, checkpoint and parked events in one transaction, so *exactly once*.
//!
//! What lives here: [`PostgresSink`]. Relies on: PostgreSQL 13 or newer, and a role that may make tables in the schema. Never: splices a
//! value into SQL, or a name that was not checked; touches a table or view that is not its own; loads another TLS than rustls.
//!
//! What a reader sees as `orders` is a view over `orders__g1`, the table of the live generation. What the sink keeps for itself has
//! names that begin with `factum_`. Nothing depends on a `search_path`.
//!
//! ```no_run
//! use factum_projection::{Error, Projector, Rows, Runner, Table};
//! use factum_sink_postgres::{Options, PostgresSink};
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
//! let options = Options::from_url("postgres://shop@127.0.0.1/read")?.password_file("/etc/shop/password");
//! let table = Table::new("orders").text("id").text("status").key(["id"]);
//! let sink = PostgresSink::open(options, [table])?;
//! let mut runner = Runner::new(std::sync::Arc::new(MemoryStore::new()), sink, Orders);
//! runner.run_until_caught_up().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod ask;
mod bulk;
mod commit;
mod desk;
mod effect;
mod error;
mod inspect;
mod keep;
pub mod limit;
mod options;
mod schema;
mod send;
mod session;
mod sink;
mod tls;
mod value;
mod views;
mod writer;

use factum_projection::{Error, Table};

pub use ask::Asked;
pub use error::{Late, Writes};
pub use options::{Options, Tls};
pub use writer::PostgresRows;

use bulk::Bulk;
use session::Session;

/// A schema of a PostgreSQL database as a sink.
///
/// It connects when it is first asked for something, and again whenever the connection was lost, so a runner may be started before
/// the server is. It has a thread of its own for the connection: it can be polled by any executor, and dropped anywhere.
///
/// In a bulk batches are put together and written while the runner makes the next ones, so the last ones are stored when the bulk is finished, or
/// the sink is asked for anything else. Primary keys are made at the end of a bulk, or as soon as a row has to be found by one. If there are two
/// rows of one key by then the generation is emptied and filled again with its keys, so that the events are found that are refused; one that was
/// skipped by hand in it is tried again. What takes longer than [`Options::answer_within`] is done again in smaller steps.
#[derive(Debug)]
pub struct PostgresSink {
    session: Session,
    rows: PostgresRows,
    /// Whether a batch was begun.
    begun: bool,
    /// Whether a commit was sent that was not answered, so that the checkpoint may be further than a lease was told.
    unsure: bool,
    /// What is kept back of a bulk.
    bulk: Bulk,
}

impl PostgresSink {
    /// A sink for these tables, not connected yet. They are made when a projection is claimed.
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_projection::Kind::Invalid): a table is not well formed. [`Kind::Unavailable`](factum_projection::Kind::Unavailable):
    /// no thread can be started.
    pub fn open(options: Options, tables: impl IntoIterator<Item = Table>) -> Result<Self, Error> {
        let tables: Vec<Table> = tables.into_iter().collect();
        Table::check_all(&tables)?;
        Ok(Self {
            session: Session::new(options)?,
            rows: PostgresRows::new(tables),
            begun: false,
            unsure: false,
            bulk: Bulk::default(),
        })
    }

    /// Connects now, unless it is connected.
    ///
    /// # Errors
    /// - [`Kind::Denied`](factum_projection::Kind::Denied): a wrong password, or a user who is not let in.
    /// - [`Kind::Invalid`](factum_projection::Kind::Invalid): no such database, a certificate that is not trusted: what somebody has to see to.
    /// - [`Kind::Unavailable`](factum_projection::Kind::Unavailable): nobody answers there now.
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    pub async fn connect(&mut self) -> Result<(), Error> {
        self.home().await?;
        self.session.ready().await
    }
}

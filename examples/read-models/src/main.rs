//! Orders, and four read models of them, while orders keep coming.
//!
//! One log, folded four times: order details in PostgreSQL, the orders of each customer in SQLite, what happens when in InfluxDB, and a search
//! in OpenSearch. Then somebody asks what an order costs: the details are rebuilt with a total, beside the ones that are being read, and switched
//! to. In the end each is compared with a fold of the whole log. `./run` starts the servers and this.

#![expect(clippy::print_stdout, reason = "a program that tells what it does")]

mod projectors;
mod reader;
mod servers;
mod shop;
mod story;
mod truth;

use servers::Fault;

fn main() -> Result<(), Fault> {
    let directory = tempfile::tempdir()?;
    let servers = servers::Servers::find()?;
    servers.clear()?;
    let story = story::Story::new(directory.path(), servers)?;
    story.tell()
}

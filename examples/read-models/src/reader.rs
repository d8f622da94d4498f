//! Somebody who reads all the time: once a millisecond, through the read model's name and through a view of their own.

use std::time::Duration;

use factum::framework::{Stop, World};

use crate::servers::{Fault, Postgres, Servers};

/// What a reader saw.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How often it read.
    pub(crate) reads: u64,
    /// The last count of orders.
    pub(crate) orders: i64,
}

/// Makes a view over the read model, as somebody else would.
///
/// # Errors
/// What the server says.
pub(crate) fn make_view(servers: &Servers) -> Result<(), Fault> {
    let sql = "CREATE VIEW shipped_orders AS SELECT id, customer FROM order_details WHERE status = 'shipped'";
    Postgres::connect(servers)?.run(sql)
}

/// Reads until it is told to stop.
///
/// # Errors
/// A read failed, or a count went backwards.
pub(crate) fn read(servers: &Servers, stop: &Stop) -> Result<Seen, Fault> {
    let (world, postgres) = (World::real(), Postgres::connect(servers)?);
    let mut seen = Seen::default();
    let mut shipped = 0;
    while !stop.is_asked() {
        let sql =
            "SELECT (SELECT count(*) FROM order_details), (SELECT count(*) FROM shipped_orders)";
        let rows = postgres.ask(sql)?;
        let row = rows.first().ok_or("no row")?;
        let (orders, now_shipped): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if orders < seen.orders || now_shipped < shipped {
            let what = format!(
                "a count went backwards: {} to {orders} orders, {shipped} to {now_shipped} shipped",
                seen.orders
            );
            return Err(what.into());
        }
        (seen.orders, shipped) = (orders, now_shipped);
        seen.reads += 1;
        pollster::block_on(stop.wait(&world, Duration::from_millis(1)));
    }
    Ok(seen)
}

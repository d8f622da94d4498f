//! The test kit for sinks and projectors.
//!
//! What lives here: [`check_sink`], which every sink with tables passes, its parts, and failures on demand. Relies on: a way to open the
//! sink again. Never: is needed outside of tests.
//!
//! A place is where read models live: a file, a schema, a prefix. Opening the same place twice gives two connections to the same; a place that
//! was not opened yet is empty.
//!
//! ```
//! use std::cell::RefCell;
//! use std::collections::BTreeMap;
//! use factum_projection::{MemorySink, kit};
//!
//! # pollster::block_on(async {
//! let places = RefCell::new(BTreeMap::new());
//! kit::check_sink(async |place, tables| {
//!     let open = || MemorySink::new(tables.to_vec()).unwrap();
//!     places.borrow_mut().entry(place).or_insert_with(open).clone()
//! })
//! .await;
//! # });
//! ```

#![expect(clippy::panic, reason = "a failed expectation of a test is a panic")]

mod alike;
mod bulk;
mod exactly_once;
mod faulty;
mod hand;
mod log;
mod random;

pub use alike::check_rows;
pub use bulk::check_bulk;
pub use exactly_once::check_exactly_once;
pub use faulty::{Fault, Faulty, Plan};
pub use hand::{check_fencing, check_generations, check_hand};
pub use log::{Orders, log, orders_tables};
pub use random::{check_random, check_random_bulk};

use crate::error::Error;
use crate::manage::Manage;
use crate::read_back::{ReadBack, Row};
use crate::rows::Rows;
use crate::sink::Sink;
use crate::table::Table;

/// A sink that the kit can check.
pub trait Subject: Sink<Writer: Rows> + Manage + ReadBack {}

impl<S: Sink<Writer: Rows> + Manage + ReadBack> Subject for S {}

/// Everything that a sink with tables has to pass: the rules of [`Rows`], leases, edits by hand, generations, bulks, and the same read model
/// whichever call fails.
///
/// # Panics
/// It does not pass.
pub async fn check_sink<S: Subject>(open: impl AsyncFn(u64, &[Table]) -> S) {
    // Parts have places of their own.
    check_rows(async |place, tables| open(place, tables).await).await;
    check_fencing(
        open(1_000, &orders_tables()).await,
        open(1_000, &orders_tables()).await,
    )
    .await;
    check_hand(
        open(1_001, &orders_tables()).await,
        open(1_001, &orders_tables()).await,
    )
    .await;
    let tables = orders_tables();
    check_generations(open(1_002, &tables).await, open(1_002, &tables).await).await;
    check_bulk(open(1_003, &tables).await).await;
    check_random(async |place, tables| open(2_000 + place, tables).await, 1).await;
    check_random_bulk(async |place, tables| open(3_000 + place, tables).await, 1).await;
    check_failures(async |place| open(10_000 + place, &orders_tables()).await).await;
}

/// The same read model and parked events whichever call fails; says how many runs that were.
///
/// # Panics
/// They are others, or a failure was not noticed.
pub async fn check_failures<S: Subject>(open: impl AsyncFn(u64) -> S) -> u64 {
    let read = async |place| {
        let mut sink = open(place).await;
        let parked = ok(sink.parked("kit_orders", 1, 1_000).await);
        let parked: Vec<_> = parked
            .into_iter()
            .map(|it| (it.position, it.partition, it.reason, it.attempts))
            .collect();
        let orders = all(&mut sink, "kit_orders", 1, "kit_orders").await;
        let counts = all(&mut sink, "kit_orders", 1, "kit_counts").await;
        (parked, orders, counts)
    };
    check_exactly_once(log().await, Orders::default(), 4, &open, read).await
}

/// All rows of a table, page by page.
///
/// # Panics
/// The sink gives an error, or a row twice.
pub async fn all<S: ReadBack>(
    sink: &mut S,
    projection: &str,
    generation: u32,
    table: &str,
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let page = sink.page(projection, generation, table, rows.last(), 3);
        let page = ok(page.await);
        assert!(page.len() <= 3, "a page has {} rows", page.len());
        let last = page.len() < 3;
        rows.extend(page);
        if last {
            break;
        }
        assert!(rows.len() < 1_000_000, "pages have no end");
    }
    let count = ok(sink.count(projection, generation, table).await);
    assert_eq!(rows.len() as u64, count, "rows of {table}, and their count");
    rows
}

pub(crate) fn ok<T>(done: Result<T, Error>) -> T {
    match done {
        Ok(done) => done,
        Err(error) => panic!("{}: {error}", error.kind()),
    }
}

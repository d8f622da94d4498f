//! What happens, in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use factum::framework::{Stop, World};
use factum::io::Env;
use factum::{Engine, Options};
use factum_projection::{Monitor, Projector, Rebuild, Runner, SharedReads, Sink};
use factum_sink_sqlite::SqliteSink;
use rusqlite::Connection;
use serde_json::json;

use crate::projectors::{Analytics, CustomerOrders, OrderDetails, Search};
use crate::reader;
use crate::servers::{Fault, Postgres, Servers};
use crate::shop::Shop;
use crate::truth::Log;

/// Orders before anybody looks.
const FIRST_ORDERS: u64 = 500;
/// Between two orders, while the read models are kept.
const PAUSE: Duration = Duration::from_millis(3);
/// How long orders come before the rebuild, and after it.
const A_WHILE: Duration = Duration::from_millis(1_500);
/// How far behind a read model may be that counts as up to date while orders keep coming, in events.
const NEARLY: u64 = 100;
/// How often a read model is looked at that does not catch up.
const PATIENCE: u32 = 600;

/// All that takes part.
#[derive(Debug)]
pub(crate) struct Story {
    store: Arc<Engine>,
    /// The same, read once for all four.
    shared: Arc<SharedReads>,
    servers: Servers,
    shop: Shop,
    sqlite: PathBuf,
    world: World,
    stop: Stop,
}

/// Stops everybody when it is dropped, so that nobody waits for somebody who failed.
struct Halt<'a>(&'a Stop);

impl Drop for Halt<'_> {
    fn drop(&mut self) {
        self.0.clone().stop();
    }
}

impl Story {
    /// A shop with a store of its own.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn new(directory: &Path, servers: Servers) -> Result<Self, Fault> {
        let store = Engine::open(Options::new(directory.join("orders-data")), Env::real())?;
        let store = Arc::new(store);
        Ok(Self {
            shop: Shop::new(Arc::clone(&store)),
            shared: Arc::new(SharedReads::new(store.clone())),
            store,
            servers,
            sqlite: directory.join("customers.db"),
            world: World::real(),
            stop: Stop::new(),
        })
    }

    /// Tells it.
    ///
    /// # Errors
    /// Something failed, or a read model is not what the log says.
    pub(crate) fn tell(&self) -> Result<(), Fault> {
        pollster::block_on(self.shop.sell(FIRST_ORDERS))?;
        println!(
            "{FIRST_ORDERS} orders are placed, some confirmed, shipped or cancelled; now they are read"
        );
        self.live()?;
        let log = Log::fold(&self.store)?;
        println!(
            "\n{} events of {} orders; each read model against a fold of all of them:",
            log.events,
            log.orders.len()
        );
        self.check(&log)?;
        println!("\nall four say what the log says");
        Ok(self.store.close()?)
    }

    /// Everybody at once: the shop, four runners, a reader; and the rebuild.
    fn live(&self) -> Result<(), Fault> {
        let details = self.runner(
            self.servers.postgres(OrderDetails::first().table())?,
            OrderDetails::first(),
        );
        let customers = self.runner(
            SqliteSink::open(&self.sqlite, [CustomerOrders.table()])?,
            CustomerOrders,
        );
        let analytics = self.runner(self.servers.influx()?, Analytics);
        let search = self.runner(self.servers.elastic(Search.table())?, Search);
        let others = [customers.monitor(), analytics.monitor(), search.monitor()];
        let before = details.monitor();
        let shop_stop = Stop::new();
        std::thread::scope(|scope| {
            let halt = Halt(&self.stop);
            let closed = Halt(&shop_stop);
            let runners = [
                scope.spawn(|| keep(details, &self.stop)),
                scope.spawn(|| keep(customers, &self.stop)),
                scope.spawn(|| keep(analytics, &self.stop)),
                scope.spawn(|| keep(search, &self.stop)),
            ];
            let shop =
                scope.spawn(|| pollster::block_on(self.shop.keep_selling(&shop_stop, PAUSE)));
            let told = (|| {
                self.reach(&[&others[..], &[before]].concat(), NEARLY)?;
                println!("four read models have caught up, and orders keep coming");

                reader::make_view(&self.servers)?;
                let watching = scope.spawn(|| reader::read(&self.servers, &self.stop));
                self.pause(A_WHILE);
                let mut rebuild = self.rebuild()?;
                let done = pollster::block_on(rebuild.run(&self.stop))?;
                let done = done.ok_or("the rebuild was stopped")?;
                println!(
                    "order details are rebuilt with a total: readers see generation {}, {} is kept for a way back",
                    done.generation,
                    done.before.unwrap_or_default()
                );
                let rebuilt = rebuild.into_runner();
                let after = rebuilt.monitor();
                let rebuilt = scope.spawn(|| keep(rebuilt, &self.stop));
                self.pause(A_WHILE);
                drop(closed);
                joined(shop.join())?;
                self.reach(&[&others[..], &[after]].concat(), 0)?;
                Ok::<_, Fault>((watching, rebuilt))
            })();
            drop(halt);
            // What a runner failed with says more than that somebody waited for it in vain.
            runners
                .into_iter()
                .try_for_each(|runner| joined(runner.join()))?;
            let (watching, rebuilt) = told?;
            let seen = joined(watching.join())?;
            println!(
                "meanwhile a reader read {} times, without an error, and never saw fewer orders than before; {} in the end",
                seen.reads, seen.orders
            );
            joined(rebuilt.join())
        })
    }

    fn runner<S: Sink, P: Projector<S::Writer>>(&self, sink: S, projector: P) -> Runner<S, P> {
        Runner::new(self.shared.clone(), sink, projector)
    }

    fn rebuild(&self) -> Result<Rebuild<factum_sink_postgres::PostgresSink, OrderDetails>, Fault> {
        let projector = OrderDetails::with_total();
        let sink = self.servers.postgres(projector.table())?;
        Ok(Rebuild::new(self.store.clone(), sink, projector))
    }

    /// Waits until these have everything that the store has, but for so many events.
    fn reach(&self, monitors: &[Monitor], but: u64) -> Result<(), Fault> {
        for monitor in monitors {
            let mut tries = 0;
            while pollster::block_on(monitor.lag())?.events > but {
                tries += 1;
                if tries > PATIENCE {
                    let status = monitor.status();
                    // A runner that failed says itself why, when it is joined.
                    return Err(format!("a read model does not catch up: {status:?}").into());
                }
                self.pause(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    fn pause(&self, duration: Duration) {
        pollster::block_on(self.stop.wait(&self.world, duration));
    }

    fn check(&self, log: &Log) -> Result<(), Fault> {
        let postgres = Postgres::connect(&self.servers)?;
        let rows = postgres.ask("SELECT status, count(*) FROM order_details GROUP BY status")?;
        let counts = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let counts = counts.collect::<Result<BTreeMap<String, i64>, Fault>>()?;
        same(
            "order details, PostgreSQL: orders by status",
            &counts,
            &log.by_status(),
        )?;
        let rows = postgres.ask("SELECT sum(total)::bigint FROM order_details")?;
        let total: i64 = rows.first().ok_or("no row")?.try_get(0)?;
        same(
            "order details, PostgreSQL: what all cost",
            &total,
            &log.total(),
        )?;

        let sqlite = Connection::open(&self.sqlite)?;
        let mut statement =
            sqlite.prepare("SELECT customer, count(*) FROM customer_orders GROUP BY customer")?;
        let counts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let counts = counts.collect::<Result<BTreeMap<String, i64>, _>>()?;
        same(
            "customer orders, SQLite: orders by customer",
            &counts,
            &log.by_customer(),
        )?;

        let measured = self
            .servers
            .measure("SELECT count(worth), sum(worth) FROM orders")?;
        same(
            "analytics, InfluxDB: events",
            &measured[1],
            &json!(log.events),
        )?;
        same(
            "analytics, InfluxDB: worth",
            &measured[2],
            &json!(log.total()),
        )?;

        let query = json!({ "size": 0, "track_total_hits": true,
            "aggs": { "by": { "terms": { "field": "status" } } } });
        let found = self.servers.search(&query)?;
        let buckets = found["aggregations"]["by"]["buckets"].as_array().cloned();
        let counts = buckets.unwrap_or_default().into_iter().map(|bucket| {
            let name = bucket["key"].as_str().unwrap_or_default().to_owned();
            (name, bucket["doc_count"].as_i64().unwrap_or_default())
        });
        same(
            "search, OpenSearch: orders by status",
            &counts.collect(),
            &log.by_status(),
        )
    }
}

/// Keeps a read model until it is told to stop.
fn keep<S: Sink, P: Projector<S::Writer>>(
    mut runner: Runner<S, P>,
    stop: &Stop,
) -> Result<(), Fault> {
    Ok(pollster::block_on(runner.run(stop))?)
}

fn joined<T>(outcome: std::thread::Result<Result<T, Fault>>) -> Result<T, Fault> {
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Fault> {
    if found != expected {
        return Err(format!("{what}: {found:?}, but the log says {expected:?}").into());
    }
    println!("  {what}: {found:?}");
    Ok(())
}

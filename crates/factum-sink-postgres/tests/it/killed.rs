//! Runners that are killed, servers that are killed, and runners that do not know that they are replaced: the read model is that of a
//! run in which nothing happened.
//!
//! 25 runs for each server, each with a seed that is named when it fails.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use factum_framework::{Retry, Stop};
use factum_projection::{Advance, Claim, Kind, Manage, Rebuild, Runner, Sink, Which};
use factum_sink_postgres::{Options, PostgresSink};
use factum_store::MemoryStore;
use factum_types::Position;
use pollster::block_on;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::orders::{Orders, orders, step, tables};
use super::own_server::{OwnServer, pause};
use super::support::{Other, fresh, server};

const ORDERS: u64 = 120;
/// What tells a child where to write: the address with the schema, and how many events a batch has.
const CHILD_URL: &str = "FACTUM_TEST_CHILD_URL";
const CHILD_BATCH: &str = "FACTUM_TEST_CHILD_BATCH";

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Stops a runner, also when the test fails.
struct Ending<'a>(&'a Stop);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn runner(store: &Arc<MemoryStore>, url: &str, batch: usize) -> Runner<PostgresSink, Orders> {
    let options = Options::from_url(url).unwrap();
    let sink = PostgresSink::open(options, tables()).unwrap();
    let mut backoff = Retry::jittered(u32::MAX);
    backoff.delay_first = Duration::from_millis(10);
    backoff.delay_max = Duration::from_millis(100);
    Runner::new(Arc::clone(store) as _, sink, Orders)
        .batch_events(batch)
        .backoff(backoff)
}

/// What readers see, but for the times of a store that is made again by every process.
fn seen(url: &str, schema: &str) -> Vec<String> {
    let other = Other::new(url);
    let mut all = other.rows(&format!(
        "SELECT id, customer, status, at IS NULL, items FROM \"{schema}\".orders ORDER BY id"
    ));
    all.extend(other.rows(&format!(
        "SELECT id, orders FROM \"{schema}\".customers ORDER BY id"
    )));
    all
}

fn with_schema(url: &str, schema: &str) -> String {
    format!("{url}?schema={schema}")
}

fn child(url: &str, batch: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child_runner", "--nocapture"])
        .env(CHILD_URL, url)
        .env(CHILD_BATCH, batch.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The runner of a process that the tests below kill; alone it has nothing to do.
#[test]
fn child_runner() {
    let Some(url) = std::env::var_os(CHILD_URL) else {
        return;
    };
    // Nothing is left running where the parent is killed itself.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let batch = std::env::var_os(CHILD_BATCH).unwrap();
    let batch = batch.to_str().unwrap().parse().unwrap();
    let mut runner = runner(&orders(ORDERS), url.to_str().unwrap(), batch);
    block_on(runner.run_until_caught_up()).unwrap();
}

#[test]
fn runners_on_15() {
    runners("postgres15", "killed::runners_on_15", 1_500);
}

#[test]
fn runners_on_18() {
    runners("postgres18", "killed::runners_on_18", 1_800);
}

/// Runners are killed, and replaced while they run.
fn runners(name: &'static str, test: &str, seeds: u64) {
    let Some(server) = server(name, test) else {
        return;
    };
    let calm = fresh("calm");
    let url = with_schema(&server.url, &calm);
    let store = orders(ORDERS);
    block_on(runner(&store, &url, 1_000).run_until_caught_up()).unwrap();
    let expected = seen(&server.url, &calm);
    assert!(expected.len() > 70, "{expected:?}");
    let (mut killed, mut fenced) = (0, 0);
    for seed in seeds..seeds + 15 {
        let mut chance = Chance(seed);
        let schema = fresh("killed");
        let url = with_schema(&server.url, &schema);
        for _ in 0..3 {
            let batch = 1 + chance.below(4);
            let mut first = child(&url, batch);
            pause(20 + chance.below(120));
            // One that takes over while the first still writes.
            let mut second = (chance.below(2) == 0).then(|| child(&url, batch));
            pause(chance.below(80));
            let dead = [Some(&mut first), second.as_mut()];
            for process in dead.into_iter().flatten() {
                match process.try_wait().unwrap() {
                    None => killed += 1,
                    Some(status) => fenced += i32::from(!status.success()),
                }
                process.kill().unwrap();
                process.wait().unwrap();
            }
        }
        // A zombie: it was told of a lease, slept, and another took over and finished.
        let mut zombie = runner(&store, &url, 3);
        block_on(zombie.run_until_caught_up()).unwrap();
        block_on(runner(&store, &url, 1_000).run_until_caught_up()).unwrap();
        let late = block_on(zombie.run_until_caught_up()).unwrap_err();
        assert_eq!(late.kind(), Kind::Fenced, "seed {seed}: {late}");
        assert_eq!(seen(&server.url, &schema), expected, "seed {seed}");
        server.client().drop_schema(&schema);
    }
    server.client().drop_schema(&calm);
    assert!(
        killed > 10,
        "only {killed} were killed at work, {fenced} fenced"
    );
}

#[test]
fn servers_of_15() {
    servers("postgres15", "killed::servers_of_15", 2_500);
}

#[test]
fn servers_of_18() {
    servers("postgres18", "killed::servers_of_18", 2_800);
}

/// The server is killed again and again under a runner, which goes on by itself.
fn servers(name: &'static str, test: &str, seeds: u64) {
    let Some(like) = server(name, test) else {
        return;
    };
    let own = OwnServer::start(&like);
    let calm = orders(ORDERS);
    let url = with_schema(&own.url(), "calm");
    block_on(runner(&calm, &url, 1_000).run_until_caught_up()).unwrap();
    let expected = seen(&own.url(), "calm");
    for seed in seeds..seeds + 10 {
        let mut chance = Chance(seed);
        let schema = format!("killed_{seed}");
        let url = with_schema(&own.url(), &schema);
        let store = Arc::new(MemoryStore::new());
        let stop = Stop::new();
        let batch = usize::try_from(1 + chance.below(4)).unwrap();
        let mut running = runner(&store, &url, batch);
        let monitor = running.monitor();
        thread::scope(|scope| {
            let ended = Ending(&stop);
            let run = scope.spawn(|| block_on(running.run(&stop)));
            for at in 0..4 {
                for order in (0..ORDERS).filter(|order| order % 5 >= at) {
                    step(&*store, order, at);
                }
                pause(chance.below(60));
                match chance.below(3) {
                    0 => own.stop_at_once(),
                    1 => own.kill(),
                    _ => continue,
                }
                pause(chance.below(100));
                own.restart();
            }
            let mut left = 2_000;
            while block_on(monitor.lag()).unwrap().events > 0 {
                left -= 1;
                assert!(left > 0, "seed {seed}: {:?}", monitor.status());
                assert!(!run.is_finished(), "seed {seed}: {:?}", run.join());
                pause(10);
            }
            drop(ended);
            run.join().unwrap().unwrap();
        });
        assert_eq!(seen(&own.url(), &schema), expected, "seed {seed}");
    }
}

/// The server is killed under a rebuild, whose batches are answered for before they are written.
#[test]
fn rebuilds_go_on() {
    let Some(like) = server("postgres18", "killed::rebuilds_go_on") else {
        return;
    };
    let own = OwnServer::start(&like);
    let store = orders(ORDERS);
    // What only the server refuses: there are such rows.
    for order in [3, 50, 119, 0] {
        step(&*store, order, 0);
    }
    let url = with_schema(&own.url(), "calm");
    let calm = block_on(runner(&store, &url, 1_000).run_until_caught_up()).unwrap();
    assert_eq!(calm.parked, 2);
    let expected = seen(&own.url(), "calm");
    let mut hit = 0;
    for seed in 3_000..3_008 {
        let mut chance = Chance(seed);
        let schema = format!("rebuilt_{seed}");
        let options = Options::from_url(&with_schema(&own.url(), &schema)).unwrap();
        let sink = PostgresSink::open(options, tables()).unwrap();
        let batch = usize::try_from(2 + chance.below(6)).unwrap();
        let mut backoff = Retry::jittered(u32::MAX);
        backoff.delay_first = Duration::from_millis(10);
        backoff.delay_max = Duration::from_millis(100);
        let mut rebuild = Rebuild::new(Arc::clone(&store) as _, sink, Orders)
            .configure(|runner| runner.batch_events(batch).backoff(backoff));
        let stop = Stop::new();
        let rebuilt = thread::scope(|scope| {
            let ended = Ending(&stop);
            let run = scope.spawn(|| block_on(rebuild.run(&stop)));
            for _ in 0..2 {
                pause(20 + chance.below(150));
                hit += i32::from(!run.is_finished());
                if chance.below(2) == 0 {
                    own.stop_at_once();
                } else {
                    own.kill();
                }
                own.restart();
            }
            let mut left = 2_000;
            while !run.is_finished() {
                left -= 1;
                assert!(left > 0, "seed {seed}: it does not end");
                pause(10);
            }
            drop(ended);
            run.join().unwrap()
        });
        let rebuilt = rebuilt.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let rebuilt = rebuilt.unwrap();
        assert_eq!(rebuilt.parked, calm.parked, "seed {seed}");
        assert!(
            rebuilt.verified.is_some_and(|it| it.one_in == 1),
            "seed {seed}"
        );
        assert_eq!(seen(&own.url(), &schema), expected, "seed {seed}");
    }
    assert!(hit > 4, "only {hit} kills hit a rebuild");
}

/// A server that is down for a while is waited for, visibly, and caught up with by itself.
#[test]
fn a_server_that_was_down_is_caught_up_with() {
    let test = "killed::a_server_that_was_down_is_caught_up_with";
    let Some(like) = server("postgres15", test) else {
        return;
    };
    let own = OwnServer::start(&like);
    own.stop_at_once();
    let url = with_schema(&own.url(), "down");
    let store = Arc::new(MemoryStore::new());
    let stop = Stop::new();
    // It is started before the server is.
    let mut running = runner(&store, &url, 100);
    let monitor = running.monitor();
    thread::scope(|scope| {
        let ended = Ending(&stop);
        let run = scope.spawn(|| block_on(running.run(&stop)));
        for round in 0..2 {
            for order in 0..50 {
                step(&*store, round * 50 + order, 0);
            }
            pause(1_500);
            let status = format!("{:?}", monitor.status());
            assert!(status.contains("cannot connect to"), "{status}");
            assert_eq!(block_on(monitor.lag()).unwrap().events, 50);
            own.restart();
            let mut left = 2_000;
            while block_on(monitor.lag()).unwrap().events > 0 {
                left -= 1;
                assert!(left > 0, "{:?}", monitor.status());
                assert!(!run.is_finished(), "{:?}", run.join());
                pause(10);
            }
            own.stop_at_once();
        }
        own.restart();
        drop(ended);
        run.join().unwrap().unwrap();
    });
    assert_eq!(
        Other::new(&own.url()).rows("SELECT count(*) FROM down.orders"),
        ["100"]
    );
}

/// Batches of a bulk that were committed and not yet durable are lost with the server: the runner is told to look, and goes on from there.
#[test]
fn what_a_bulk_loses_is_done_again() {
    let Some(like) = server("postgres18", "killed::what_a_bulk_loses_is_done_again") else {
        return;
    };
    let own = OwnServer::start(&like);
    let url = with_schema(&own.url(), "lost");
    let mut sink = PostgresSink::open(Options::from_url(&url).unwrap(), tables()).unwrap();
    let mut lease = None;
    let mut lost = 0;
    for round in 0..20_u64 {
        let claim = Claim {
            projection: "orders",
            which: Which::New,
            version: "1",
            bulk: true,
        };
        let lease = match &lease {
            Some(lease) => lease,
            None => lease.insert(block_on(sink.claim(claim)).unwrap()),
        };
        let state = block_on(sink.look(lease)).unwrap();
        block_on(sink.begin(lease)).unwrap();
        let advance = |from: Option<Position>| Advance {
            from,
            to: Some(Position::from_raw(from.map_or(1, |from| from.raw() + 1))),
            ..Advance::default()
        };
        let first = advance(state.checkpoint);
        block_on(sink.commit(lease, &first)).unwrap();
        // It is sent, and the server is killed before that is durable.
        block_on(sink.roll_back());
        own.stop_at_once();
        own.restart();
        let mut other = PostgresSink::open(Options::from_url(&url).unwrap(), []).unwrap();
        let stored = block_on(other.generations("orders")).unwrap();
        if stored[0].checkpoint != first.to {
            lost += 1;
            assert_eq!(stored[0].checkpoint, state.checkpoint, "round {round}");
            block_on(sink.begin(lease)).unwrap();
            block_on(sink.commit(lease, &advance(first.to))).unwrap();
            block_on(sink.roll_back());
            block_on(sink.begin(lease)).unwrap();
            let said = block_on(sink.commit(lease, &advance(first.to))).unwrap_err();
            assert_eq!(said.kind(), Kind::Unavailable, "round {round}: {said}");
            let state = block_on(sink.look(lease)).unwrap();
            assert_eq!(state.checkpoint, stored[0].checkpoint, "round {round}");
            if lost > 2 {
                return;
            }
        }
    }
    panic!("only {lost} commits were lost");
}

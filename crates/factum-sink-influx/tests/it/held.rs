//! A runner whose requests are held up while another takes its place, and a removal that is cut off: whichever request it is.

use std::sync::Arc;
use std::time::Duration;

use factum_http_client::kit::{Cut, Proxy};
use factum_projection::{Claim, Edit, Error, Kind, Manage, Sink, Which};
use factum_store::MemoryStore;
use pollster::block_on;

use super::cut::{parked, run};
use super::points::{append, positions};
use super::support::{Place, address, ask};

/// How long a request is waited for that must come.
const PATIENCE: Duration = Duration::from_secs(20);

const fn claim(which: Which) -> Claim<'static> {
    Claim {
        projection: "events",
        which,
        version: "1",
        bulk: false,
    }
}

fn proxy(address: &str) -> (Proxy, String) {
    let (before, port) = address.rsplit_once(':').unwrap();
    let proxy = Proxy::new(port.parse().unwrap()).unwrap();
    let through = format!("{before}:{}", proxy.port());
    (proxy, through)
}

/// Does the one while a request of the other is held up.
fn meanwhile<T: Send, U>(
    proxy: &Proxy,
    at: u64,
    held: impl FnOnce() -> T + Send,
    done: impl FnOnce() -> U,
) -> (T, U) {
    proxy.hold(at);
    std::thread::scope(|scope| {
        let late = scope.spawn(held);
        let waits = proxy.wait_held(PATIENCE);
        let done = done();
        proxy.let_go();
        assert!(waits, "request {at} does not come");
        (late.join().unwrap(), done)
    })
}

fn well(at: u64, late: Result<(), Error>) -> u64 {
    match late {
        Ok(()) => 0,
        Err(error) if error.kind() == Kind::Fenced => 1,
        // What is parked was replaced while it was read: it would begin again.
        Err(error) if error.kind() == Kind::Unavailable => 1,
        Err(error) => panic!("at {at}: {error}"),
    }
}

#[test]
fn a_runner_that_is_replaced_in_the_middle_of_anything_changes_nothing() {
    let Some(address) = address() else { return };
    let (proxy, through) = proxy(&address);
    let store = Arc::new(MemoryStore::new());
    block_on(async {
        for number in 0..10 {
            let kind = if number == 4 { "Broken" } else { "Placed" };
            append(&store, &format!("order-{}", number % 3), kind, number + 1).await;
        }
    });
    let place = Place::new(&address);
    block_on(run(&place.seen_through(&through), &store, 1)).unwrap();
    let requests = proxy.requests();
    assert!(requests > 20, "{requests}");
    let mut replaced = 0;
    for at in 0..requests {
        let place = Place::new(&address);
        let slow = place.seen_through(&through);
        let (late, other) = meanwhile(
            &proxy,
            at,
            || block_on(run(&slow, &store, 1)),
            || block_on(run(&place, &store, 1)),
        );
        assert!(other.is_ok(), "at {at}: {other:?}");
        replaced += well(at, late);
        for _ in 0..2 {
            assert_eq!(positions(&place), [0, 1, 2, 3, 5, 6, 8, 9], "at {at}");
            assert_eq!(block_on(parked(&place)), [4, 7], "at {at}");
            block_on(run(&place, &store, 1)).unwrap();
        }
    }
    // Or it was never replaced after its claim.
    assert!(replaced > requests / 3, "{replaced} of {requests}");
}

/// The one that was replaced has taken it up, where nobody looks any more.
#[test]
fn what_is_done_by_hand_is_not_lost_between_two_runners() {
    let Some(address) = address() else { return };
    let (proxy, through) = proxy(&address);
    let mut requests = u64::MAX;
    let mut at = 0;
    while at < requests {
        let place = Place::new(&address);
        let (mut old, mut new) = (place.seen_through(&through).open(), place.open());
        let lease = block_on(old.claim(claim(Which::Live))).unwrap();
        block_on(new.edit("events", 1, Edit::Pause)).unwrap();
        if requests == u64::MAX {
            proxy.cut(u64::MAX, Cut::Before);
            assert!(block_on(old.look(&lease)).unwrap().paused);
            requests = proxy.requests();
            assert!(requests > 3, "{requests}");
            continue;
        }
        let looked = || block_on(old.look(&lease)).map(drop);
        let (late, lease) = meanwhile(&proxy, at, looked, || {
            block_on(new.claim(claim(Which::Live))).unwrap()
        });
        well(at, late);
        let state = block_on(new.look(&lease)).unwrap();
        assert_eq!((state.paused, state.edits), (true, 1), "at {at}");
        assert_eq!(block_on(new.look(&lease)).unwrap().edits, 1, "at {at}");
        at += 1;
    }
}

#[test]
fn a_removal_that_was_cut_off_is_repeated() {
    let Some(address) = address() else { return };
    let (proxy, through) = proxy(&address);
    let mut requests = u64::MAX;
    let mut at = 0;
    while at < requests {
        for cut in [Cut::Before, Cut::After] {
            let place = Place::new(&address);
            let (mut desk, mut sink) = (place.seen_through(&through).open(), place.open());
            block_on(async {
                sink.claim(claim(Which::Live)).await.unwrap();
                let lease = sink.claim(claim(Which::New)).await.unwrap();
                if requests == u64::MAX {
                    proxy.cut(u64::MAX, cut);
                    desk.drop_generation("events", 2).await.unwrap();
                    requests = proxy.requests();
                    assert!(requests > 5, "{requests}");
                } else {
                    proxy.cut(at, cut);
                    let first = desk.drop_generation("events", 2).await;
                    proxy.cut(u64::MAX, cut);
                    let again = desk.drop_generation("events", 2).await;
                    let kind = again.map_err(|error| error.kind());
                    // It was done, or only the last answer was lost: nothing is known of it any more.
                    let over = first.is_ok() || at + 1 == requests && cut == Cut::After;
                    assert!(kind.is_ok() || over, "{cut:?} at {at}: {kind:?}");
                }
                let looked = sink.look(&lease).await.unwrap_err();
                assert_eq!(looked.kind(), Kind::Fenced, "{looked}");
                let left = desk.generations("events").await.unwrap();
                assert_eq!(left.len(), 1, "{left:?}");
                let again = desk.drop_generation("events", 2).await;
                assert_eq!(again.unwrap_err().kind(), Kind::Invalid);
                let newest = sink.claim(claim(Which::New)).await.unwrap();
                assert_eq!(newest.generation, 3);
            });
            let there = ask(&address, "", "SHOW DATABASES").to_string();
            assert!(there.contains(&format!("{}_g1\"", place.name)), "{there}");
            assert!(
                !there.contains(&format!("{}_g2\"", place.name)),
                "{cut:?} at {at}"
            );
        }
        at += 1;
    }
}

//! A runner whose requests are held up while another takes its place, and a removal that is cut off: whichever request it is.

use std::time::Duration;

use factum_http_client::Method;
use factum_http_client::kit::{Cut, Proxy};
use factum_projection::{Claim, Kind, Manage, Sink, Which, kit};
use pollster::block_on;

use super::cut::{read, run};
use super::support::{Swept, address, ask, fresh_prefix, open};

/// How long a request is waited for that must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn proxy(address: &str) -> (Proxy, String) {
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::new(port).unwrap();
    let through = format!("http://127.0.0.1:{}", proxy.port());
    (proxy, through)
}

#[test]
fn a_runner_that_is_replaced_in_the_middle_of_anything_changes_nothing() {
    let Some(address) = address() else { return };
    let (proxy, through) = proxy(&address);
    let fresh = || Swept {
        address: &address,
        prefix: fresh_prefix(),
    };
    let swept = fresh();
    block_on(run(&through, &swept.prefix, 1)).unwrap();
    let expected = block_on(read(&address, &swept.prefix));
    let requests = proxy.requests();
    assert!(requests > 20, "{requests}");
    drop(swept);
    let mut fenced = 0;
    for at in 0..requests {
        let swept = fresh();
        proxy.hold(at);
        let late = std::thread::scope(|scope| {
            let late = scope.spawn(|| block_on(run(&through, &swept.prefix, 1)));
            assert!(proxy.wait_held(PATIENCE), "request {at} does not come");
            let other = block_on(run(&address, &swept.prefix, 1));
            // Before anything that may fail, or the other thread would be waited for.
            proxy.let_go();
            assert!(other.is_ok(), "at {at}: {other:?}");
            late.join().unwrap()
        });
        match late {
            Ok(()) => (),
            Err(error) if error.kind() == Kind::Fenced => fenced += 1,
            // What is parked was replaced while it was read: it would begin again.
            Err(error) if error.kind() == Kind::Unavailable => fenced += 1,
            Err(error) => panic!("at {at}: {error}"),
        }
        let found = block_on(read(&address, &swept.prefix));
        assert_eq!(found, expected, "at {at}");
        // What it left is taken back by the next one, and no reader sees it.
        block_on(run(&address, &swept.prefix, 1)).unwrap();
        let path = format!("/{}kit_orders/_refresh", swept.prefix);
        assert_eq!(ask(&address, Method::Post, &path, None).status, 200);
        let path = format!("/{}kit_orders/_count", swept.prefix);
        let seen = ask(&address, Method::Get, &path, None).json().unwrap();
        assert_eq!(seen["count"], expected.0.len(), "at {at}: {seen}");
    }
    // Or it was never replaced after its claim.
    assert!(fenced > requests / 3, "{fenced} of {requests}");
}

#[test]
fn a_removal_that_was_cut_off_is_repeated() {
    let Some(address) = address() else { return };
    let (proxy, through) = proxy(&address);
    let tables = kit::orders_tables();
    let claim = |which| Claim {
        projection: "kit_orders",
        which,
        version: "1",
        bulk: false,
    };
    let mut requests = u64::MAX;
    let mut at = 0;
    while at < requests {
        for cut in [Cut::Before, Cut::After] {
            let swept = Swept {
                address: &address,
                prefix: fresh_prefix(),
            };
            let mut sink = open(&address, &swept.prefix, &tables);
            let mut desk = open(&through, &swept.prefix, &tables);
            block_on(async {
                sink.claim(claim(Which::Live)).await.unwrap();
                let lease = sink.claim(claim(Which::New)).await.unwrap();
                if requests == u64::MAX {
                    proxy.cut(u64::MAX, cut);
                    desk.drop_generation("kit_orders", 2).await.unwrap();
                    requests = proxy.requests();
                    assert!(requests > 5, "{requests}");
                } else {
                    proxy.cut(at, cut);
                    let error = desk.drop_generation("kit_orders", 2).await.unwrap_err();
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    proxy.cut(u64::MAX, cut);
                    let again = desk.drop_generation("kit_orders", 2).await;
                    // Only the last answer was lost: nothing is known of it any more.
                    let over = at + 1 == requests && cut == Cut::After;
                    let kind = again.map_err(|error| error.kind());
                    assert!(kind.is_ok() || over, "{cut:?} at {at}: {kind:?}");
                }
                let looked = sink.look(&lease).await.unwrap_err();
                assert_eq!(looked.kind(), Kind::Fenced, "{looked}");
                let left = desk.generations("kit_orders").await.unwrap();
                assert_eq!(left.len(), 1, "{left:?}");
                let again = desk.drop_generation("kit_orders", 2).await;
                assert_eq!(again.unwrap_err().kind(), Kind::Invalid);
                let newest = sink.claim(claim(Which::New)).await.unwrap();
                assert_eq!(newest.generation, 3);
            });
            for name in [
                "kit_orders-g2",
                "kit_counts-g2",
                "factum-meta/_doc/generation:kit_orders:2",
            ] {
                let path = format!("/{}{name}", swept.prefix);
                let answer = ask(&address, Method::Head, &path, None);
                assert_eq!(answer.status, 404, "{cut:?} at {at}: {name}");
            }
        }
        at += 1;
    }
}

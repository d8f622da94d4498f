//! Every request of a run is cut once, before it reaches the server or after: the points come out the same.

use std::sync::Arc;
use std::time::Duration;

use factum_framework::Retry;
use factum_http_client::kit::{Cut, Proxy};
use factum_projection::{Error, Manage, Runner};
use factum_store::MemoryStore;
use pollster::block_on;

use super::points::{Events, append, positions};
use super::support::{Place, address};

pub(super) async fn run(
    through: &Place,
    store: &Arc<MemoryStore>,
    attempts: u32,
) -> Result<(), Error> {
    let mut patience = Retry::jittered(attempts);
    patience.delay_first = Duration::from_millis(1);
    patience.delay_max = Duration::from_millis(5);
    let store = Arc::clone(store);
    let mut runner = Runner::new(store, through.open(), Events::default()).batch_events(3);
    runner = runner.backoff(patience);
    runner.run_until_caught_up().await.map(drop)
}

pub(super) async fn parked(place: &Place) -> Vec<u64> {
    let parked = place.open().parked("events", 1, 100).await.unwrap();
    parked.iter().map(|it| it.position.raw()).collect()
}

#[test]
fn whichever_request_is_cut_the_points_are_the_same() {
    let Some(address) = address() else { return };
    let (before, port) = address.rsplit_once(':').unwrap();
    let proxy = Proxy::new(port.parse().unwrap()).unwrap();
    let through = format!("{before}:{}", proxy.port());
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        for number in 0..10 {
            let kind = if number == 4 { "Broken" } else { "Placed" };
            append(&store, &format!("order-{}", number % 3), kind, number + 1).await;
        }
        let mut requests = u64::MAX;
        let mut at = 0;
        while at < requests {
            for (cut, killed) in [
                (Cut::Before, true),
                (Cut::Before, false),
                (Cut::After, true),
                (Cut::After, false),
            ] {
                let place = Place::new(&address);
                let cut_off = place.seen_through(&through);
                if requests == u64::MAX {
                    proxy.cut(u64::MAX, cut);
                    run(&cut_off, &store, 1).await.unwrap();
                    requests = proxy.requests();
                    assert!(requests > 20, "{requests}");
                } else {
                    proxy.cut(at, cut);
                    let attempts = if killed { 1 } else { u32::MAX };
                    let done = run(&cut_off, &store, attempts).await.is_ok();
                    assert!(done || killed, "{cut:?} at {at}");
                    if !done {
                        run(&place, &store, 1).await.unwrap();
                    }
                }
                let what = format!("{cut:?} at {at}, killed: {killed}");
                assert_eq!(positions(&place), [0, 1, 2, 3, 5, 6, 8, 9], "{what}");
                assert_eq!(parked(&place).await, [4, 7], "{what}");
            }
            at += 1;
        }
    });
}

//! Every request of a run is cut once, before it reaches the server or after: the documents come out the same.

use std::time::Duration;

use factum_framework::Retry;
use factum_http_client::kit::{Cut, Proxy};
use factum_projection::{Error, Manage, Row, Runner, kit};
use pollster::block_on;

use super::support::{Swept, address, fresh_prefix, open};

/// What is there, and what waits.
pub(super) type Read = (Vec<Row>, Vec<Row>, Vec<(u64, u32)>);

pub(super) async fn run(address: &str, prefix: &str, attempts: u32) -> Result<(), Error> {
    let mut patience = Retry::jittered(attempts);
    patience.delay_first = Duration::from_millis(1);
    patience.delay_max = Duration::from_millis(5);
    let sink = open(address, prefix, &kit::orders_tables());
    let mut runner = Runner::new(kit::log().await, sink, kit::Orders::default()).batch_events(6);
    runner = runner.backoff(patience);
    runner.run_until_caught_up().await.map(drop)
}

pub(super) async fn read(address: &str, prefix: &str) -> Read {
    let mut sink = open(address, prefix, &kit::orders_tables());
    let orders = kit::all(&mut sink, "kit_orders", 1, "kit_orders").await;
    let counts = kit::all(&mut sink, "kit_orders", 1, "kit_counts").await;
    let parked = sink.parked("kit_orders", 1, 100).await.unwrap();
    let parked = parked
        .iter()
        .map(|it| (it.position.raw(), it.attempts))
        .collect();
    (orders, counts, parked)
}

#[test]
fn whichever_request_is_cut_the_documents_are_the_same() {
    let Some(address) = address() else { return };
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::new(port).unwrap();
    let through = format!("http://127.0.0.1:{}", proxy.port());
    block_on(async {
        let swept = Swept {
            address: &address,
            prefix: fresh_prefix(),
        };
        proxy.cut(u64::MAX, Cut::Before);
        run(&through, &swept.prefix, 1).await.unwrap();
        let expected = read(&address, &swept.prefix).await;
        assert_eq!(expected.2.len(), 2, "{expected:?}");
        let requests = proxy.requests();
        assert!(requests > 20, "{requests}");
        drop(swept);
        for at in 0..requests {
            // The runner ends with it and another begins, or it waits and goes on.
            for (cut, killed) in [(Cut::After, at % 2 == 0), (Cut::Before, at % 2 == 1)] {
                let swept = Swept {
                    address: &address,
                    prefix: fresh_prefix(),
                };
                proxy.cut(at, cut);
                let attempts = if killed { 1 } else { u32::MAX };
                let done = run(&through, &swept.prefix, attempts).await.is_ok();
                assert!(done || killed, "{cut:?} at {at}");
                if !done {
                    run(&address, &swept.prefix, 1).await.unwrap();
                }
                assert_eq!(
                    read(&address, &swept.prefix).await,
                    expected,
                    "{cut:?} at {at}, killed: {killed}"
                );
            }
        }
    });
}

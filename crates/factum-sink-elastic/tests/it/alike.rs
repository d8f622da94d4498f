//! The rules of all sinks with tables.

use std::cell::RefCell;

use factum_projection::{Manage, Table, kit};
use factum_sink_elastic::ElasticSink;
use pollster::block_on;

use super::support::{Swept, address, fresh_prefix, open};

/// One place after another; the one before is removed, for the server has no room for a thousand.
struct Places<'a> {
    address: &'a str,
    prefix: String,
    last: RefCell<(u64, Option<Swept<'a>>)>,
}

impl<'a> Places<'a> {
    fn new(address: &'a str) -> Self {
        Self {
            address,
            prefix: fresh_prefix(),
            last: RefCell::new((u64::MAX, None)),
        }
    }

    fn open(&self, place: u64, tables: &[Table]) -> ElasticSink {
        let (address, prefix) = (self.address, format!("{}{place}-", self.prefix));
        let mut last = self.last.borrow_mut();
        if last.0 != place {
            *last = (
                place,
                Some(Swept {
                    address,
                    prefix: prefix.clone(),
                }),
            );
        }
        open(address, &prefix, tables)
    }
}

#[test]
fn it_keeps_the_rules_of_rows() {
    let Some(address) = address() else { return };
    let places = Places::new(&address);
    block_on(kit::check_rows(async |place, tables| {
        places.open(place, tables)
    }));
    for seed in 1..=3 {
        block_on(kit::check_random(
            async |place, tables| places.open(2_000 + 10 * seed + place, tables),
            seed,
        ));
    }
}

#[test]
fn it_keeps_the_rules_of_leases_and_of_what_is_done_by_hand() {
    let Some(address) = address() else { return };
    let places = Places::new(&address);
    let tables = kit::orders_tables();
    let open = |place| places.open(place, &tables);
    block_on(async {
        kit::check_fencing(open(1), open(1)).await;
        kit::check_hand(open(2), open(2)).await;
        kit::check_generations(open(3), open(3)).await;
    });
}

#[test]
fn whichever_call_fails_the_rows_are_the_same() {
    let Some(address) = address() else { return };
    let places = Places::new(&address);
    let tables = kit::orders_tables();
    block_on(async {
        let read = async |place| {
            let mut sink = places.open(place, &tables);
            let parked = sink.parked("kit_orders", 1, 1_000).await.unwrap();
            let parked: Vec<_> = parked
                .into_iter()
                .map(|it| (it.position, it.partition, it.reason, it.attempts))
                .collect();
            let orders = kit::all(&mut sink, "kit_orders", 1, "kit_orders").await;
            let counts = kit::all(&mut sink, "kit_orders", 1, "kit_counts").await;
            (parked, orders, counts)
        };
        let open = async |place| places.open(place, &tables);
        // Larger batches than `kit::check_failures` has: a place costs a second here.
        let runs =
            kit::check_exactly_once(kit::log().await, kit::Orders::default(), 16, open, read).await;
        assert!(runs > 40, "{runs}");
    });
}

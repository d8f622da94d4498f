//! The order, tested as its authors would.

use std::sync::Arc;

use factum::framework::kit;
use factum::{Event, MemoryStore, Repository, Snapshots};
use factum_example_order::order::Status;
use factum_example_order::{Item, Order, OrderCommand, OrderError, OrderEvent};

fn item() -> Item {
    Item {
        sku: "book".into(),
        price: 20,
    }
}

fn placed() -> OrderEvent {
    OrderEvent::Placed {
        customer: "ann".into(),
        items: vec![item()],
    }
}

#[test]
fn an_order_goes_its_way() {
    let confirmed = OrderEvent::Confirmed { by: "bob".into() };
    let ship = OrderCommand::Ship {
        tracking: "T1".into(),
    };
    let shipped = OrderEvent::Shipped {
        tracking: "T1".into(),
    };
    let cancel = OrderCommand::Cancel {
        reason: "late".into(),
    };
    let cancelled = OrderEvent::Cancelled {
        reason: "late".into(),
    };
    kit::given::<Order>([])
        .when(ship.clone())
        .rejects(&OrderError::Not(Status::New));
    kit::given::<Order>([placed()])
        .when(OrderCommand::AddItem(item()))
        .then([OrderEvent::ItemAdded { item: item() }]);
    kit::given::<Order>([placed(), confirmed])
        .when(ship)
        .then([shipped]);
    kit::given::<Order>([placed(), cancelled])
        .when(cancel)
        .nothing_happens();
}

#[test]
fn the_domain_is_sound() {
    kit::check::<Order>();
}

#[test]
fn it_runs_on_a_store() {
    pollster::block_on(async {
        let factum = Repository::new(Arc::new(MemoryStore::new()));
        let place = OrderCommand::Place {
            customer: "ann".into(),
            items: vec![item()],
        };
        let done = factum
            .run::<Order>("order-1", place)
            .user("ann")
            .await
            .unwrap();
        let order = factum
            .load::<Order>("order-1")
            .at_least(done.token)
            .await
            .unwrap();
        assert_eq!(
            (order.state.status, order.state.total),
            (Status::Placed, 20)
        );
        let blame = factum
            .blame::<Order>("order-1", "/status")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(blame.event.metadata.user_id.as_deref(), Some("ann"));
    });
    assert_eq!(Order::samples().len(), OrderEvent::KINDS.len());
}

#[test]
fn events_and_decider_take_less_than_eighty_lines() {
    let source = include_str!("../../src/order.rs");
    let domain = source.split("/// Which shapes are stored").next().unwrap();
    let lines = domain
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count();
    assert!(lines < 80, "{lines}");
}

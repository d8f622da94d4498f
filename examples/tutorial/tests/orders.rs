//! The rules of an order.

use factum::framework::kit::{self, given};
use orders::{Order, OrderCommand, OrderEvent};

fn placed() -> OrderEvent {
    OrderEvent::Placed {
        customer: "ann".into(),
        total: 20,
    }
}

fn ship() -> OrderCommand {
    OrderCommand::Ship {
        tracking: "T1".into(),
    }
}

#[test]
fn what_is_confirmed_may_be_shipped() {
    let confirmed = OrderEvent::Confirmed { by: "bob".into() };
    given::<Order>([placed(), confirmed])
        .when(ship())
        .then([OrderEvent::Shipped {
            tracking: "T1".into(),
        }]);
}

#[test]
fn what_is_only_placed_may_not() {
    given::<Order>([placed()]).when(ship()).rejects(&"not now");
}

#[test]
fn cancelling_twice_is_cancelling_once() {
    let (reason, cancelled) = (
        "late",
        OrderEvent::Cancelled {
            reason: "late".into(),
        },
    );
    let cancel = OrderCommand::Cancel {
        reason: reason.into(),
    };
    given::<Order>([placed(), cancelled])
        .when(cancel)
        .nothing_happens();
}

#[test]
fn the_domain_is_sound() {
    kit::check::<Order>();
}

#[test]
fn any_commands_are_borne() {
    let tally = kit::commands::<Order>(|chance| match chance.below(5) {
        0 => OrderCommand::Place {
            customer: chance.word(),
            total: chance.below(100),
        },
        1 => OrderCommand::Confirm { by: chance.word() },
        2 => OrderCommand::AddItem {
            sku: chance.word(),
            price: chance.below(9),
        },
        3 => ship(),
        _ => OrderCommand::Cancel {
            reason: chance.word(),
        },
    })
    .check();
    assert!(tally.never_happened().is_empty(), "{tally:?}");
}

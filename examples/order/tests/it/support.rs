//! Commands to an order, by chance.

use factum::framework::kit::Chance;
use factum_example_order::{Item, OrderCommand};

fn item(chance: &mut Chance) -> Item {
    Item {
        sku: chance.word(),
        price: chance.below(100),
    }
}

/// Any command, the sensible ones more often.
pub(crate) fn command(chance: &mut Chance) -> OrderCommand {
    match chance.below(8) {
        0 | 1 => {
            let items = (0..chance.below(3)).map(|_| item(chance)).collect();
            let customer = chance.word();
            OrderCommand::Place { customer, items }
        }
        2..=4 => OrderCommand::AddItem(item(chance)),
        5 => OrderCommand::Confirm { by: chance.word() },
        6 => OrderCommand::Ship {
            tracking: chance.word(),
        },
        _ => OrderCommand::Cancel {
            reason: chance.word(),
        },
    }
}

//! Places an order, and ships it.

use std::error::Error;
use std::sync::Arc;

use factum::{Engine, Options, Repository};
use orders::{Order, OrderCommand};

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::open(Options::new("orders-data"), factum::io::Env::real())?;
    let engine = Arc::new(engine);
    let factum = Repository::new(engine.clone());
    pollster::block_on(sell(&factum))?;
    engine.close()?;
    Ok(())
}

async fn sell(factum: &Repository) -> Result<(), Box<dyn Error>> {
    let place = OrderCommand::Place {
        customer: "ann".into(),
        total: 20,
    };
    let add = OrderCommand::AddItem {
        sku: "pen".into(),
        price: 3,
    };
    let confirm = OrderCommand::Confirm { by: "bob".into() };
    let ship = OrderCommand::Ship {
        tracking: "T1".into(),
    };
    for (number, command) in [place, add, confirm, ship].into_iter().enumerate() {
        let done = factum
            .run::<Order>("order-1", command)
            .user("ann")
            .idempotency(format!("request {number}"))
            .await?;
        println!("{:?}, done before: {}", done.events, done.replayed);
    }

    let cancel = OrderCommand::Cancel {
        reason: "too late".into(),
    };
    if let Err(refused) = factum.run::<Order>("order-1", cancel).await {
        println!("{refused}");
    }

    let order = factum.load::<Order>("order-1").await?;
    println!("version {}: {:?}", order.version, order.state);
    Ok(())
}

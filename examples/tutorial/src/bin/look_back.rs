//! Looks at the past of an order.

use std::error::Error;
use std::sync::Arc;

use factum::{Engine, Options, Repository};
use orders::Order;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::open(Options::new("orders-data"), factum::io::Env::real())?;
    let engine = Arc::new(engine);
    let factum = Repository::new(engine.clone());
    pollster::block_on(look(&factum))?;
    engine.close()?;
    Ok(())
}

async fn look(factum: &Repository) -> Result<(), Box<dyn Error>> {
    let then = factum.load::<Order>("order-1").as_of(2).await?;
    println!("after two events: {:?}", then.state);

    for change in factum.diff::<Order>("order-1", 2, 4).await? {
        println!(
            "{} was {:?}, became {:?}",
            change.pointer, change.before, change.after
        );
    }

    if let Some(blame) = factum.blame::<Order>("order-1", "/total").await? {
        let (event, user) = (&blame.event, &blame.event.metadata.user_id);
        println!("the total is that of {} by {user:?}", event.event_type);
    }
    Ok(())
}

//! Keeps snapshots.

use std::error::Error;
use std::sync::Arc;

use factum::{Engine, Options, Policy, Repository};
use orders::Order;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::open(Options::new("orders-data"), factum::io::Env::real())?;
    let engine = Arc::new(engine);
    let factum = Repository::new(engine.clone())
        .with_snapshot_store(engine.clone())
        .with_snapshots::<Order>(Policy::every(100).or(Policy::on("OrderShipped")))?;
    pollster::block_on(async {
        let version = factum.snapshot::<Order>("order-1").await?;
        println!("a snapshot of version {version:?}");

        // Without what is in memory, as after a restart.
        let cold = factum.clone().with_cache(0);
        let order = cold.load::<Order>("order-1").await?;
        println!(
            "from {:?}, and {} events after it",
            order.origin, order.folded
        );
        Ok::<(), Box<dyn Error>>(())
    })?;
    engine.close()?;
    Ok(())
}

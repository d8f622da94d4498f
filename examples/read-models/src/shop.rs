//! The shop: places orders, and does with them what a shop does, until it is told to stop.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use factum::framework::{Stop, World};
use factum::{Engine, Repository};
use factum_example_order::{Item, Order, OrderCommand};

/// Who buys.
const CUSTOMERS: [&str; 5] = ["ann", "bob", "cem", "dora", "eve"];
/// What there is.
const GOODS: [(&str, u64); 4] = [("pen", 3), ("book", 20), ("lamp", 45), ("desk", 190)];

/// A shop over a store.
#[derive(Debug)]
pub(crate) struct Shop {
    factum: Repository,
    world: World,
    next: AtomicU64,
}

impl Shop {
    /// A shop that has sold nothing yet.
    #[must_use]
    pub(crate) fn new(store: Arc<Engine>) -> Self {
        Self {
            factum: Repository::new(store),
            world: World::real(),
            next: AtomicU64::new(1),
        }
    }

    /// Sells this much at once.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn sell(&self, orders: u64) -> Result<(), Box<dyn Error + Send + Sync>> {
        for _ in 0..orders {
            self.sell_one().await?;
        }
        Ok(())
    }

    /// Goes on selling, with a pause after each order.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn keep_selling(
        &self,
        stop: &Stop,
        pause: Duration,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        while !stop.is_asked() {
            self.sell_one().await?;
            stop.wait(&self.world, pause).await;
        }
        Ok(())
    }

    /// Order n is always the same, so that a run can be understood.
    async fn sell_one(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        let place = OrderCommand::Place {
            customer: pick(&CUSTOMERS, n).to_string(),
            items: vec![item(n), item(n / 4)],
        };
        let mut commands = vec![place];
        if n.is_multiple_of(3) {
            commands.push(OrderCommand::AddItem(item(n / 3)));
        }
        if n.is_multiple_of(10) {
            let reason = "changed their mind".to_owned();
            commands.push(OrderCommand::Cancel { reason });
        } else if !n.is_multiple_of(4) {
            let by = "clerk".to_owned();
            commands.push(OrderCommand::Confirm { by });
            if !n.is_multiple_of(5) {
                let tracking = format!("T{n}");
                commands.push(OrderCommand::Ship { tracking });
            }
        }
        for command in commands {
            self.factum
                .run::<Order>(&format!("order-{n}"), command)
                .await?;
        }
        Ok(())
    }
}

fn pick<T>(from: &[T], n: u64) -> &T {
    let index = usize::try_from(n % from.len() as u64).unwrap_or_default();
    &from[index]
}

fn item(n: u64) -> Item {
    let (sku, price) = *pick(&GOODS, n);
    let sku = sku.to_owned();
    Item { sku, price }
}

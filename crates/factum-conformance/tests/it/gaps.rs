//! A store that writes records of its own, before the first and between all others, keeps every promise.

use std::sync::Arc;

use factum_conformance::{BoxFuture, Factory, run_all};
use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, MemoryStore, Receipt, StoreError,
};

use crate::support::{Bend, Bending};

struct Gaps;

impl Bend for Gaps {
    fn append<'a>(
        &'a self,
        store: &'a MemoryStore,
        batch: AppendBatch,
    ) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(async move {
            for name in ["gap one", "gap two"] {
                store
                    .save_checkpoint(name.to_owned(), Checkpoint::default())
                    .await?;
            }
            store.append(batch).await
        })
    }
}

#[test]
fn positions_may_have_gaps() {
    let factory: Arc<dyn Factory> = Arc::new(Bending(Arc::new(Gaps)));
    let report = run_all(&factory, 2);
    assert!(report.is_success(), "{report}");
    // Nobody can move the clock of this one, and the report must say what that cost.
    let skipped: Vec<_> = report.skipped.iter().map(|(name, _)| *name).collect();
    assert_eq!(skipped, ["settings::age_and_count", "settings::max_age"]);
}

//! Each broken promise is found, and by the cases that are about it: a suite that cannot fail promises nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use factum_conformance::{BoxFuture, Factory, Knobs, TestStore, run_named};
use factum_store::{
    AppendBatch, Change, EventStore, EventStream, MemoryStore, ReadRequest, Receipt, Source,
    StoreError, SubscribeFrom, SubscribeRequest, Subscription,
};
use factum_types::Bytes;

use crate::support::{Bend, Bending, Bent};

/// That the suite's cases of these areas, run on a store bent like this, fail at least at the ones named.
fn check(bend: impl Bend, area: &str, expected: &[&str]) {
    let factory: Arc<dyn Factory> = Arc::new(Impatient(Bending(Arc::new(bend))));
    let report = run_named(&factory, area, 4);
    for name in expected {
        let found = report.failed.iter().any(|(failed, _)| failed == name);
        assert!(found, "{name} did not fail:\n{report}");
    }
}

/// Gives up soon: these stores do hang.
struct Impatient<F>(F);

impl<F: Factory> Factory for Impatient<F> {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        self.0.make()
    }

    fn knobs(&self) -> Knobs {
        Knobs {
            patience: Duration::from_millis(300),
            writers: 16,
            events: 5,
            ..self.0.knobs()
        }
    }
}

type Appending<'a> = BoxFuture<'a, Result<Receipt, StoreError>>;

/// Changes the batch before it is appended.
struct Altered(fn(&mut AppendBatch));

impl Bend for Altered {
    fn append<'a>(&'a self, store: &'a MemoryStore, mut batch: AppendBatch) -> Appending<'a> {
        (self.0)(&mut batch);
        store.append(batch)
    }
}

#[test]
fn ignoring_conditions_is_found() {
    let broken = || Altered(|batch| batch.conditions.clear());
    check(
        broken(),
        "condition::",
        &[
            "condition::types_tags_after_table",
            "condition::capacity_is_never_exceeded",
        ],
    );
    check(broken(), "model::", &["model::seed_1", "model::seed_5"]);
}

#[test]
fn losing_a_part_of_an_event_is_found() {
    let lose = |batch: &mut AppendBatch| {
        for write in &mut batch.writes {
            if let Change::Events(events) = &mut write.change {
                for event in events {
                    event.personal = Bytes::new();
                }
            }
        }
    };
    check(
        Altered(lose),
        "payload::",
        &["payload::bytes_are_exact", "payload::all_fields"],
    );
}

/// Writes each write of a batch by itself.
struct Piecewise;

impl Bend for Piecewise {
    fn append<'a>(&'a self, store: &'a MemoryStore, batch: AppendBatch) -> Appending<'a> {
        Box::pin(async move {
            let mut whole: Option<Receipt> = None;
            for write in batch.writes {
                let conditions = batch.conditions.clone();
                let part = store
                    .append(AppendBatch {
                        writes: vec![write],
                        conditions,
                    })
                    .await?;
                match &mut whole {
                    Some(whole) => {
                        whole.last = part.last;
                        whole.writes.extend(part.writes);
                    }
                    None => whole = Some(part),
                }
            }
            whole.ok_or_else(|| StoreError::invalid("the append has nothing to write"))
        })
    }
}

#[test]
fn writing_by_halves_is_found() {
    check(
        Piecewise,
        "append::",
        &[
            "append::kth_conflict_writes_nothing",
            "append::kth_tombstone_writes_nothing",
        ],
    );
    // Not `race::batches_are_seen_whole`: whether a race is lost in front of a reader is chance.
    check(Piecewise, "model::", &["model::seed_1"]);
}

/// Gives one event less than asked in every seventh read; seven, because the tables of reads repeat every ten.
struct Forgetful(AtomicUsize);

impl Bend for Forgetful {
    fn read(&self, store: &MemoryStore, mut request: ReadRequest) -> EventStream {
        if self.0.fetch_add(1, Ordering::Relaxed) % 7 == 6 {
            request.limit = request.limit.map(|limit| limit.saturating_sub(1));
        }
        store.read(request)
    }
}

#[test]
fn a_lost_event_is_found() {
    let broken = || Forgetful(AtomicUsize::new(0));
    check(
        broken(),
        "read::",
        &["read::all_table", "read::stream_table", "read::query_table"],
    );
    check(broken(), "model::", &["model::seed_2"]);
}

/// Begins one event late, or early, or never gets to the live part.
enum Subscribing {
    SkipsFirst,
    Repeats,
    NeverLive,
}

impl Bend for Subscribing {
    fn subscribe(&self, store: &MemoryStore, mut request: SubscribeRequest) -> Subscription {
        match (self, request.from, &request.source) {
            (Self::SkipsFirst, SubscribeFrom::After(position), _) => {
                request.from = position
                    .next()
                    .map_or(SubscribeFrom::End, SubscribeFrom::After);
            }
            (Self::Repeats, SubscribeFrom::After(position), _) => {
                request.from = position
                    .previous()
                    .map_or(SubscribeFrom::Start, SubscribeFrom::After);
            }
            (Self::NeverLive, _, Source::Query(_)) => {
                // A store of its own, to which nothing is ever appended.
                return MemoryStore::new().subscribe(request);
            }
            _ => {}
        }
        store.subscribe(request)
    }
}

#[test]
fn gaps_repeats_and_hanging_of_subscriptions_are_found() {
    let expected = ["subscribe::after_every_position"];
    check(Subscribing::SkipsFirst, "subscribe::after", &expected);
    check(Subscribing::Repeats, "subscribe::after", &expected);
    check(
        Subscribing::SkipsFirst,
        "race::late",
        &["race::late_subscribers_agree"],
    );
    let expected = [
        "subscribe::query_source",
        "subscribe::checkpoints_for_filtered",
    ];
    check(Subscribing::NeverLive, "subscribe::", &expected);
    check(
        Subscribing::NeverLive,
        "race::filtered",
        &["race::filtered_subscribers_miss_nothing"],
    );
}

/// Blocks inside a poll, for ever.
struct Blocking;

impl Bend for Blocking {
    fn append<'a>(&'a self, _: &'a MemoryStore, _: AppendBatch) -> Appending<'a> {
        Box::pin(async {
            loop {
                std::thread::park();
            }
        })
    }
}

#[test]
fn a_store_that_blocks_is_found() {
    check(Blocking, "streams::paged", &["streams::paged"]);
}

/// Panics.
struct Panicking;

impl Bend for Panicking {
    fn read(&self, _: &MemoryStore, _: ReadRequest) -> EventStream {
        panic!("on purpose")
    }
}

#[test]
fn a_store_that_panics_is_found() {
    check(Panicking, "read::empty_store", &["read::empty_store"]);
}

/// Is not empty at first.
struct Used;

impl Factory for Used {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        Box::pin(async {
            let store = MemoryStore::new();
            let name = factum_types::StreamName::new("left-over").expect("a valid name");
            let settings = Change::Settings(factum_types::StreamSettings::default());
            let batch = AppendBatch::change(name, factum_types::ExpectedRevision::Any, settings);
            store
                .append(batch)
                .await
                .expect("the memory store takes it");
            Arc::new(Bent(store, Arc::new(Altered(|_| {})))) as Arc<dyn TestStore>
        })
    }
}

#[test]
fn a_used_store_is_found() {
    let factory: Arc<dyn Factory> = Arc::new(Used);
    let report = run_named(&factory, "streams::sorted", 1);
    assert!(!report.is_success(), "{report}");
}

#[test]
fn trying_nothing_is_no_success() {
    let factory: Arc<dyn Factory> = Arc::new(Bending(Arc::new(Piecewise)));
    assert!(!run_named(&factory, "no such case", 1).is_success());
}

//! Rebuilds over the memory sink: filled, verified, switched, interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_framework::Stop;
use factum_projection::kit::{self, Orders};
use factum_projection::{
    Edit, Error, Kind, Manage, MemorySink, Phase, Projector, Rebuild, Rows, Runner, Verify,
};
use factum_store::{EventStore, MemoryStore, Source};
use factum_types::RecordedEvent;
use pollster::block_on;

use super::support::append;

/// As the orders of the kit, in another version, and with something that should not be.
#[derive(Clone)]
struct Changed {
    version: &'static str,
    /// Added to every count from elsewhere: no two folds are the same.
    clock: Option<Arc<AtomicU64>>,
    /// Stopped by so many events.
    stop: Option<(Stop, Arc<AtomicU64>)>,
}

fn changed(version: &'static str) -> Changed {
    Changed {
        version,
        clock: None,
        stop: None,
    }
}

impl<W: Rows> Projector<W> for Changed {
    fn name(&self) -> &'static str {
        "kit_orders"
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn source(&self) -> Source {
        Projector::<W>::source(&Orders::default())
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        if let Some((stop, left)) = &self.stop
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            stop.stop();
        }
        if let Some(clock) = &self.clock {
            let kind = [("type", "Tick".into())];
            let ticks = clock.fetch_add(1, Ordering::SeqCst).cast_signed();
            to.increment("kit_counts", &kind, "events", ticks)?;
        }
        Orders::default().project(event, to)
    }
}

fn sink() -> MemorySink {
    MemorySink::new(kit::orders_tables()).unwrap()
}

fn live(store: &Arc<MemoryStore>, sink: &MemorySink) -> Runner<MemorySink, Orders> {
    let mut runner = Runner::new(Arc::clone(store) as _, sink.clone(), Orders::default());
    block_on(runner.run_until_caught_up()).unwrap();
    runner
}

fn rebuild(
    store: &Arc<MemoryStore>,
    sink: &MemorySink,
    projector: Changed,
) -> Rebuild<MemorySink, Changed> {
    Rebuild::new(Arc::clone(store) as _, sink.clone(), projector)
}

#[test]
fn a_rebuild_is_verified_and_switched_to() {
    let (store, mut sink) = (block_on(kit::log()), sink());
    let mut old = live(&store, &sink);
    let mut new = rebuild(&store, &sink, changed("2"));
    let watch = new.watch();
    assert_eq!(watch.now().phase, Phase::Beginning);
    let rebuilt = block_on(new.run(&Stop::new())).unwrap().unwrap();
    assert_eq!((rebuilt.generation, rebuilt.before), (2, Some(1)));
    let verified = rebuilt.verified.unwrap();
    assert_eq!((verified.rows, verified.one_in), (7, 1));
    assert_eq!(rebuilt.parked, 2);
    let progress = watch.now();
    assert_eq!(progress.phase, Phase::Done);
    assert_eq!((progress.records, progress.total), (16, 16));
    assert_eq!((progress.applied, progress.parked), (12, 2));

    // Both go on, and each can be shown.
    append(&store, "order-7", &["Placed"]);
    block_on(old.run_until_caught_up()).unwrap();
    let mut kept = new.into_runner();
    assert_eq!(block_on(kept.run_until_caught_up()).unwrap().applied, 1);
    assert_eq!(sink.rows("kit_orders").len(), 5);
    assert_eq!(block_on(sink.switch_back("kit_orders")).unwrap(), 1);
    assert_eq!(sink.rows("kit_orders").len(), 5);
}

#[test]
fn a_difference_is_found_and_nothing_switched() {
    for (verify, finds) in [
        (Verify::Fitting, true),
        (Verify::Everything, true),
        (Verify::Nothing, false),
    ] {
        let (store, mut sink) = (block_on(kit::log()), sink());
        live(&store, &sink);
        let mut projector = changed("2");
        projector.clock = Some(Arc::default());
        let mut new = rebuild(&store, &sink, projector).verify(verify);
        let done = block_on(new.run(&Stop::new()));
        let live = block_on(sink.live("kit_orders")).unwrap().unwrap();
        if finds {
            let error = done.unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            let said = error.to_string();
            assert!(
                said.contains("generation 2 of kit_orders differs"),
                "{said}"
            );
            assert!(said.contains("table kit_counts has the row"), "{said}");
            assert_eq!((live.number, new.watch().now().phase), (1, Phase::Ended));
            // Fixed, in a new one: the old one is not gone on with.
            let mut fixed = rebuild(&store, &sink, changed("2")).afresh();
            let rebuilt = block_on(fixed.run(&Stop::new())).unwrap().unwrap();
            assert_eq!(rebuilt.generation, 3);
        } else {
            assert_eq!((live.number, done.unwrap().unwrap().verified), (2, None));
        }
    }
}

/// Every row is in one sample in so many, and a sample finds what is wrong in it.
#[test]
fn samples_are_compared() {
    let (store, sink) = (block_on(kit::log()), sink());
    for order in 100..400 {
        append(&store, &format!("order-{order}"), &["Placed"]);
    }
    live(&store, &sink);
    let mut new = rebuild(&store, &sink, changed("2")).verify(Verify::OneIn(4));
    let verified = block_on(new.run(&Stop::new())).unwrap().unwrap().verified;
    let verified = verified.unwrap();
    assert!((40..130).contains(&verified.rows), "{verified:?}");
    assert_eq!(verified.events, 316 - 4);
}

/// Stopped after any event, and gone on with by another: the same generation, the same rows.
#[test]
fn what_was_stopped_is_gone_on_with() {
    for after in 1..12 {
        let (store, mut sink) = (block_on(kit::log()), sink());
        live(&store, &sink);
        let stop = Stop::new();
        let mut projector = changed("2");
        projector.stop = Some((stop.clone(), Arc::new(AtomicU64::new(after))));
        let mut first = rebuild(&store, &sink, projector).configure(|it| it.batch_events(1));
        assert_eq!(block_on(first.run(&stop)).unwrap(), None, "{after}");
        let left = block_on(sink.generations("kit_orders")).unwrap();
        assert!(left[0].live && left[1].bulk, "{left:?}");
        let done = left[1].checkpoint;
        assert!(done.is_some(), "{left:?}");

        let mut second = rebuild(&store, &sink, changed("2"));
        let rebuilt = block_on(second.run(&Stop::new())).unwrap().unwrap();
        assert_eq!(rebuilt.generation, 2);
        assert!(second.watch().now().applied < 12);
        let fenced = block_on(first.run(&Stop::new())).unwrap();
        // It is a rebuild more now, of a generation of its own.
        assert_eq!(fenced.unwrap().generation, 3);
    }
}

/// It waits while its generation is paused, and is not in the way of who edits it.
#[test]
fn it_can_be_paused() {
    let (store, mut sink) = (block_on(kit::log()), sink());
    live(&store, &sink);
    let stop = Stop::new();
    let mut projector = changed("2");
    projector.stop = Some((stop.clone(), Arc::new(AtomicU64::new(3))));
    let mut new = rebuild(&store, &sink, projector).configure(|it| it.batch_events(1));
    assert_eq!(block_on(new.run(&stop)).unwrap(), None);
    block_on(sink.edit("kit_orders", 2, Edit::Pause)).unwrap();
    let (stop, watch) = (Stop::new(), new.watch());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| block_on(rebuild(&store, &sink, changed("2")).run(&stop)));
        while block_on(sink.clone().generations("kit_orders")).unwrap()[1].epoch < 2 {
            std::thread::yield_now();
        }
        block_on(sink.clone().edit("kit_orders", 2, Edit::Resume)).unwrap();
        assert_eq!(running.join().unwrap().unwrap().unwrap().generation, 2);
    });
    assert_eq!(watch.now().phase, Phase::Ended);
}

#[test]
fn it_follows_a_live_one_that_does_not_stop() {
    let (store, mut sink) = (block_on(kit::log()), sink());
    let mut old = live(&store, &sink);
    let stop = Stop::new();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| block_on(old.run(&stop)));
        let writing = scope.spawn(|| {
            let mut order = 1_000;
            while !stop.is_asked() {
                append(&store, &format!("order-{order}"), &["Placed"]);
                order += 1;
            }
        });
        let rebuilt = block_on(rebuild(&store, &sink, changed("2")).run(&Stop::new()));
        stop.stop();
        writing.join().unwrap();
        running.join().unwrap().unwrap();
        assert_eq!(rebuilt.unwrap().unwrap().generation, 2);
    });
    assert!(block_on(store.head()).unwrap().is_some());
    assert_eq!(
        block_on(sink.live("kit_orders")).unwrap().unwrap().number,
        2
    );
}

//! Checkpoints of subscriptions, while what nobody is shown is written beside what everybody is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use factum_engine::Engine;
use factum_io::Env;
use factum_store::{
    Checkpoint, CheckpointStore, EventStore, ReadRequest, Source, SubscribeRequest,
    SubscriptionItem,
};
use factum_types::{ExpectedRevision, Position};

use crate::support::{TempDir, append, event, open, read, stream};

const EVENTS: u64 = 3_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// The position of the last event but one, once it is known.
#[derive(Debug, Clone, Default)]
struct Last(Arc<AtomicU64>);

impl Last {
    fn is_known(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// Whether this is behind it.
    fn is_passed(&self, at: Position) -> bool {
        self.is_known() && at.raw() > self.0.load(Ordering::SeqCst)
    }
}

/// Every position up to which a subscription that wants nothing of it says it has come.
fn told(store: &Engine, last: &Last) -> Vec<Position> {
    let request = SubscribeRequest::new(Source::Stream(stream("wanted")));
    let mut following = store.subscribe(request);
    let mut told = Vec::new();
    while !told.last().is_some_and(|at| last.is_passed(*at)) {
        let item = pollster::block_on(following.next()).unwrap().unwrap();
        if let SubscriptionItem::Checkpoint(at) | SubscriptionItem::CaughtUp(Some(at)) = item {
            told.push(at);
        }
    }
    told
}

fn save_until(store: &Engine, last: &Last) {
    while !last.is_known() {
        let positions = vec![Position::from_raw(0)];
        let saving = store.save_checkpoint("consumer".to_owned(), Checkpoint { positions });
        pollster::block_on(saving).unwrap();
    }
}

/// Saving a checkpoint is shown to nobody, so that it is no reason for another one: who saves each that it is told would never come to rest.
#[test]
fn a_checkpoint_passes_something_that_is_shown() {
    let dir = TempDir::new();
    let store = open(dir.path());
    let last = Last::default();
    let add = |number| {
        let events = vec![event(number)];
        append(&store, "other", ExpectedRevision::Any, events).unwrap()
    };
    let (answer, answered) = channel();
    let (follower, followed) = (store.clone(), last.clone());
    let follow = move || drop(answer.send(told(&follower, &followed)));
    let threads = Env::real().spawner;
    threads.spawn("follower", Box::new(follow)).unwrap();
    let (saver, saved) = (store.clone(), last.clone());
    let save = move || save_until(&saver, &saved);
    let saving = threads.spawn("saver", Box::new(save)).unwrap();
    (1..EVENTS).for_each(|number| drop(add(number)));
    let receipt = add(EVENTS);
    last.0.store(receipt.last.raw(), Ordering::SeqCst);
    saving.join().unwrap();
    add(EVENTS + 1);
    let told = answered.recv_timeout(PATIENCE).unwrap();
    let shown = read(&store, ReadRequest::all().with_control());
    for pair in told.windows(2) {
        let between = |at: Position| at > pair[0] && at <= pair[1];
        let passed = shown.iter().any(|event| between(event.position));
        assert!(passed, "{pair:?}: nothing to see there");
    }
    store.close().unwrap();
}

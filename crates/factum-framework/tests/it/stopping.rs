//! A runner that waits is stopped at once, whatever it waits for.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use factum_framework::world::Timer;
use factum_framework::{Repository, Runner, Stop, World};
use factum_store::MemoryStore;
use futures_core::future::BoxFuture;

use crate::account::world;
use crate::again::Door;
use crate::hooked::Hooked;

/// Waits that never end, and how many there were.
#[derive(Default)]
struct ForEver(AtomicUsize);

impl Timer for ForEver {
    fn wait(&self, _: Duration) -> BoxFuture<'static, ()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_runner_that_waits_for_a_busy_store_is_stopped_at_once() {
    let hooked = Hooked::new(MemoryStore::new(), |_| None);
    hooked.busy.store(true, Ordering::SeqCst);
    let (timer, woken) = (Arc::new(ForEver::default()), Arc::new(Woken::default()));
    let world = World {
        timer: Arc::clone(&timer) as Arc<dyn Timer>,
        ..world()
    };
    let repository = Repository::new(hooked).with_world(world);
    let mut runner = Runner::new(&repository).receiver::<Door>();
    let stop = Stop::new();
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut run = pin!(runner.run(&stop));
    assert!(run.as_mut().poll(&mut context).is_pending());
    assert_eq!(timer.0.load(Ordering::SeqCst), 1, "it waits for the store");
    let before = woken.0.load(Ordering::SeqCst);
    stop.stop();
    assert!(woken.0.load(Ordering::SeqCst) > before, "it is told");
    match run.as_mut().poll(&mut context) {
        Poll::Ready(ended) => ended.unwrap(),
        Poll::Pending => panic!("it goes on waiting"),
    }
}

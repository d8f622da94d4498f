//! What goes into one message, and how it ends.

use std::future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use factum_proto::v1;
use factum_store::{Damage, Kind, StoreError, SubscriptionItem};
use factum_types::Position;
use futures_core::Stream;
use futures_util::stream;
use prost::Message;
use tokio::sync::oneshot;

use super::{BYTES_MAX, Coalesced, ITEMS_MAX, Stop};

type Item = Result<SubscriptionItem, StoreError>;
type Under<S> = Coalesced<S, v1::SubscriptionItem>;

fn at(number: u64) -> Item {
    Ok(SubscriptionItem::Checkpoint(Position::from_raw(number)))
}

fn error(kind: Kind) -> StoreError {
    StoreError::new(kind, "it is over")
}

/// Gives these, `None` for not yet, and then ends.
fn script(steps: Vec<Option<Item>>) -> impl Stream<Item = Item> + Unpin + Send {
    let mut steps = steps.into_iter();
    stream::poll_fn(move |_| match steps.next() {
        Some(Some(item)) => Poll::Ready(Some(item)),
        Some(None) => Poll::Pending,
        None => Poll::Ready(None),
    })
}

/// Always has one more.
fn endless() -> impl Stream<Item = Item> + Unpin + Send {
    stream::repeat_with(|| at(1))
}

/// What one look gives: how many items, or why it ends.
#[derive(Debug, PartialEq)]
enum Seen {
    Items(usize),
    NotYet,
    Failed(Kind),
    End,
}

fn look<S: Stream<Item = Item> + Unpin + Send>(under: &mut Under<S>) -> Seen {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(under).poll_next(&mut context) {
        Poll::Ready(Some(Ok(items))) => Seen::Items(items.len()),
        Poll::Ready(Some(Err(error))) => Seen::Failed(error.kind()),
        Poll::Ready(None) => Seen::End,
        Poll::Pending => Seen::NotYet,
    }
}

#[track_caller]
fn check(steps: Vec<Option<Item>>, expected: &[Seen]) {
    let mut under = Under::new(script(steps), None);
    let seen: Vec<Seen> = expected.iter().map(|_| look(&mut under)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn what_is_ready_goes_together_and_waits_for_nothing() {
    check(vec![], &[Seen::End, Seen::End]);
    check(
        vec![Some(at(1)), Some(at(2)), None, None, Some(at(3))],
        &[
            Seen::Items(2),
            Seen::NotYet,
            Seen::Items(1),
            Seen::End,
            Seen::End,
        ],
    );
}

#[test]
fn an_error_comes_after_what_was_before_it_and_ends_it() {
    check(
        vec![Some(at(1)), Some(Err(error(Kind::NotFound))), Some(at(2))],
        &[Seen::Items(1), Seen::Failed(Kind::NotFound), Seen::End],
    );
    check(
        vec![Some(Err(error(Kind::Unavailable)))],
        &[Seen::Failed(Kind::Unavailable), Seen::End],
    );
}

#[test]
fn damage_is_an_item_and_ends_nothing() {
    let position = Position::from_raw(7);
    let damage = Damage {
        file: "segments/0000000001.seg".to_owned(),
        offset: 7,
        length: 11,
        first: position,
        last: position,
    };
    let damaged = Err(StoreError::corrupt("an event cannot be read", damage));
    check(
        vec![Some(at(1)), Some(damaged), Some(at(2))],
        &[Seen::Items(3), Seen::End],
    );
}

#[test]
fn a_message_has_no_more_items_than_it_may() {
    let mut under = Under::new(endless(), None);
    for _ in 0..3 {
        assert_eq!(look(&mut under), Seen::Items(ITEMS_MAX));
    }
}

#[test]
fn a_message_takes_nothing_more_once_it_has_its_bytes() {
    let large = || {
        let position = Position::from_raw(7);
        let damage = Damage {
            file: "f".repeat(BYTES_MAX / 4),
            offset: 7,
            length: 11,
            first: position,
            last: position,
        };
        Err(StoreError::corrupt("an event cannot be read", damage))
    };
    let bytes = v1::SubscriptionItem::try_from(large())
        .unwrap()
        .encoded_len();
    let expected = BYTES_MAX.div_ceil(bytes);
    assert!((2..10).contains(&expected), "{bytes}");
    let mut under = Under::new(stream::repeat_with(large), None);
    for _ in 0..3 {
        assert_eq!(look(&mut under), Seen::Items(expected));
    }
}

#[test]
fn a_stop_comes_before_items_that_never_cease() {
    let (stop, stopped) = oneshot::channel::<()>();
    let stopping: Stop = Box::pin(async move {
        stopped.await.unwrap();
        error(Kind::Unavailable)
    });
    let mut under = Under::new(endless(), Some(stopping));
    assert_eq!(look(&mut under), Seen::Items(ITEMS_MAX));
    stop.send(()).unwrap();
    assert_eq!(look(&mut under), Seen::Failed(Kind::Unavailable));
    assert_eq!(look(&mut under), Seen::End);
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_stop_wakes_what_waits_for_items() {
    let (stop, stopped) = oneshot::channel::<()>();
    let stopping: Stop = Box::pin(async move {
        stopped.await.unwrap();
        error(Kind::Unavailable)
    });
    let mut under = Under::new(stream::pending(), Some(stopping));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let looked = Pin::new(&mut under).poll_next(&mut Context::from_waker(&waker));
    assert!(looked.is_pending());
    stop.send(()).unwrap();
    assert!(woken.0.load(Ordering::SeqCst), "nobody would look again");
    assert_eq!(look(&mut under), Seen::Failed(Kind::Unavailable));
}

#[test]
fn what_has_ended_by_itself_is_not_stopped() {
    let stopping: Stop = Box::pin(future::ready(error(Kind::Unavailable)));
    let mut under = Under::new(script(vec![]), None);
    assert_eq!(look(&mut under), Seen::End);
    under.stop = Some(stopping);
    assert_eq!(look(&mut under), Seen::End);
}

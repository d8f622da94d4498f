//! How much is read of the store: nothing is counted twice that need not be. Judged by the events asked for, not by time.

use std::sync::Arc;

use factum_store::Direction;
use futures_util::future::{FutureExt, join_all};

use super::support::{TIGHT, Watched, append, collect, event, reader};
use crate::links::{Links, LinksFrom};

const MANY: u64 = 300_000;

async fn filled(batches: u64, stream_of: impl Fn(u64) -> String) -> Watched {
    let store = Watched::default();
    for batch in 0..batches {
        let events = (0..MANY / 30).map(|_| event("A")).collect();
        append(&store, &stream_of(batch), events).await;
    }
    store
}

#[tokio::test]
async fn a_number_near_the_end_is_found_without_counting_from_the_start_again() {
    let store = filled(30, |batch| format!("order-{}", batch % 7)).await;
    let links = Links::new(Arc::new(store.clone()));
    let reader = reader(&links, "$ce-order");
    let near_end = LinksFrom::Number(MANY - 10);
    let first = collect(reader.read(near_end, Direction::Forward, None)).await;
    assert_eq!((first.len(), first[0].number), (10, MANY - 10));
    assert!(store.given() >= MANY);
    // A stride to the number at most, and the links themselves.
    for number in [MANY - 10, MANY / 2, 12_345, 299_999] {
        let from = LinksFrom::Number(number);
        let again = collect(reader.read(from, Direction::Forward, Some(1))).await;
        assert_eq!(again[0].number, number);
        assert!(store.given() <= 257, "{number}");
        let back = collect(reader.read(from, Direction::Backward, Some(20))).await;
        assert_eq!(back[0].number, number);
        assert!(store.given() <= 256 + 20, "{number}");
    }
    let back = collect(reader.read(LinksFrom::End, Direction::Backward, Some(20))).await;
    assert_eq!(back[19].number, MANY - 20);
    assert!(store.given() <= 20);
    append(&store, "order-1", vec![event("A")]).await;
    assert_eq!(reader.last_number().await.unwrap(), Some(MANY));
    assert_eq!(store.given(), 1);
    assert_eq!(reader.last_number().await.unwrap(), Some(MANY));
    assert_eq!(store.given(), 0);
}

#[tokio::test]
async fn readers_at_once_count_once() {
    let store = filled(3, |_| "order-1".to_owned()).await;
    let links = Links::new(Arc::new(store.clone()));
    let ends = (0..8).map(|_| async { reader(&links, "$ce-order").last_number().await.unwrap() });
    let ends = join_all(ends).await;
    assert!(
        ends.iter().all(|end| *end == Some(MANY / 10 - 1)),
        "{ends:?}"
    );
    assert_eq!(store.given(), MANY / 10);
}

#[tokio::test]
async fn a_reader_of_the_start_does_not_wait_for_the_end_to_be_counted() {
    let store = filled(3, |_| "order-1".to_owned()).await;
    let links = Links::new(Arc::new(store.clone()));
    let mut end = Box::pin(async { reader(&links, "$ce-order").last_number().await.unwrap() });
    // One slice is counted, then the turn is given up.
    assert!(end.as_mut().now_or_never().is_none());
    let near =
        reader(&links, "$ce-order").read(LinksFrom::Number(5_000), Direction::Forward, Some(1));
    assert_eq!(collect(near).await[0].number, 5_000);
    assert!(store.given() < 10_000);
    assert_eq!(end.await, Some(MANY / 10 - 1));
}

#[tokio::test]
async fn counting_that_is_given_up_is_not_lost() {
    let store = filled(3, |_| "order-1".to_owned()).await;
    let links = Links::new(Arc::new(store.clone()));
    let reader = reader(&links, "$ce-order");
    let mut end = Box::pin(reader.last_number());
    assert!(end.as_mut().now_or_never().is_none());
    drop(end);
    let counted = store.given();
    assert!(counted > 1_000);
    assert_eq!(reader.last_number().await.unwrap(), Some(MANY / 10 - 1));
    assert_eq!(store.given(), MANY / 10 - counted);
}

#[tokio::test]
async fn runs_without_a_link_are_leapt_over() {
    let store = filled(9, |batch| format!("order-{}", batch % 3)).await;
    append(&store, "late-1", vec![event("A")]).await;
    let links = Links::new(Arc::new(store.clone()));
    let reader = reader(&links, "$streams");
    assert_eq!(reader.last_number().await.unwrap(), Some(3));
    assert!(store.given() > 90_000);
    for direction in [Direction::Forward, Direction::Backward] {
        let from = match direction {
            Direction::Forward => LinksFrom::Start,
            Direction::Backward => LinksFrom::End,
        };
        let all = collect(reader.read(from, direction, None)).await;
        assert_eq!(all.len(), 4);
        // Some slices about each link instead of ninety thousand events.
        let given = store.given();
        assert!(given < 40_000, "{given}");
    }
}

#[tokio::test]
async fn a_stream_forgotten_by_the_cache_is_counted_again() {
    let store = Watched::default();
    for name in ["a-1", "b-1", "c-1", "d-1"] {
        append(&store, name, (0..50).map(|_| event("A")).collect()).await;
    }
    let links = Links::with(Arc::new(store.clone()), TIGHT);
    for name in ["$ce-a", "$ce-b", "$ce-c", "$ce-d", "$ce-a"] {
        assert_eq!(reader(&links, name).last_number().await.unwrap(), Some(49));
        assert_eq!(store.given(), 50, "{name}");
    }
    assert_eq!(
        reader(&links, "$ce-d").last_number().await.unwrap(),
        Some(49)
    );
    assert_eq!(store.given(), 0);
}

//! Subscriptions have every link once, with its number, while others append and read.

use std::sync::Arc;
use std::time::Duration;

use factum_store::{Direction, EventStore, MemoryStore};
use tokio::time::timeout;

use super::support::{
    Random, TIGHT, TempEngine, VIRTUAL, append, collect, event, fill, fold, links_to, reader,
};
use crate::links::{Link, LinkItem, LinkReader, LinkSubscription, Links, LinksAfter, LinksFrom};

const WRITERS: u64 = 4;
const APPENDS: u64 = 60;
/// Far longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Links up to the one with this number.
async fn links_until(mut following: LinkSubscription, last: u64) -> Vec<Link> {
    let mut links = Vec::new();
    while links.last().is_none_or(|link: &Link| link.number < last) {
        let item = timeout(PATIENCE, following.next())
            .await
            .expect("not all links came");
        if let LinkItem::Link(link) = item.unwrap().unwrap() {
            links.push(*link);
        }
    }
    links
}

async fn write(store: Arc<dyn EventStore>, writer: u64) {
    let mut random = Random(writer);
    for number in 0..APPENDS {
        let mut events = vec![event("A")];
        events.extend((0..random.below(3)).map(|_| event("Other")));
        append(&*store, &format!("order-{writer}-{number}"), events).await;
        append(
            &*store,
            &format!("cart-{}", random.below(5)),
            vec![event("B")],
        )
        .await;
        tokio::task::yield_now().await;
    }
}

/// Reads while others append: numbers are consecutive, and what was last is not lost.
async fn read_along(reader: LinkReader) {
    let mut least = 0;
    for _ in 0..30 {
        let back = collect(reader.read(LinksFrom::End, Direction::Backward, Some(9))).await;
        let is_consecutive = back
            .windows(2)
            .all(|two| two[0].number == two[1].number + 1);
        assert!(is_consecutive, "{back:?}");
        let end = back.first().map_or(0, |link| link.number + 1);
        assert!(end >= least, "{end} after {least}");
        least = end;
        tokio::task::yield_now().await;
    }
}

async fn check_concurrent(store: Arc<dyn EventStore>) {
    fill(&*store, &mut Random(9), 20).await;
    let links = Links::with(Arc::clone(&store), TIGHT);
    let names = ["$et-A", "$streams"];
    let mut before = Vec::new();
    for name in names {
        before.push(fold(&*store, name).await.len() as u64);
    }
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        writers.push(tokio::spawn(write(Arc::clone(&store), writer)));
    }
    let mut followers = Vec::new();
    let mut readers = Vec::new();
    for (name, before) in names.into_iter().zip(before) {
        // The links that writers add for sure; streams of the log before may have had carts already.
        let last = before + WRITERS * APPENDS - 1;
        let afters = [
            LinksAfter::Start,
            LinksAfter::End,
            LinksAfter::Number(0),
            LinksAfter::Number(before / 2),
            LinksAfter::Number(last / 2),
            LinksAfter::Number(last - 1),
        ];
        for after in afters {
            // Some with what others counted, some alone.
            let reader = match followers.len() % 2 {
                0 => reader(&links, name),
                _ => reader(&Links::new(Arc::clone(&store)), name),
            };
            readers.push(tokio::spawn(read_along(reader.clone())));
            let following = tokio::spawn(async move {
                let following = reader.subscribe(after).await.unwrap();
                links_until(following, last).await
            });
            followers.push((name, after, following));
        }
    }
    for task in writers.into_iter().chain(readers) {
        task.await.unwrap();
    }
    // Whoever began at the end after all of that has this one to wait for.
    append(&*store, "order-last", vec![event("A")]).await;
    for (name, after, following) in followers {
        let found = following.await.unwrap();
        let all = links_to(name, &fold(&*store, name).await);
        let first = usize::try_from(found[0].number).unwrap();
        let until = first + found.len();
        assert_eq!(found, all[first..until], "{name} {after:?}");
        match after {
            LinksAfter::Start => assert_eq!(first, 0),
            LinksAfter::Number(number) => assert_eq!(first as u64, number + 1),
            LinksAfter::End => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_of_a_store_in_use_miss_nothing() {
    for _ in 0..5 {
        check_concurrent(Arc::new(MemoryStore::new())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_of_an_engine_in_use_miss_nothing() {
    let temporary = TempEngine::new();
    check_concurrent(temporary.store()).await;
}

#[tokio::test]
async fn following_random_logs_agrees_with_a_fold() {
    for seed in 0..40 {
        let store = MemoryStore::new();
        let mut random = Random(seed);
        fill(&store, &mut random, 80).await;
        let links = Links::with(Arc::new(store.clone()), TIGHT);
        for name in VIRTUAL {
            let all = links_to(name, &fold(&store, name).await);
            let end = all.len() as u64;
            let (after, first) = match random.below(4) {
                0 => (LinksAfter::Start, 0),
                1 => (LinksAfter::End, end),
                _ => {
                    let number = random.below(end + 4);
                    (LinksAfter::Number(number), number + 1)
                }
            };
            let mut following = reader(&links, name).subscribe(after).await.unwrap();
            let mut found = Vec::new();
            let last = loop {
                match following.next().await.unwrap().unwrap() {
                    LinkItem::Link(link) => found.push(*link),
                    LinkItem::CaughtUp(last) => break last,
                    LinkItem::Checkpoint(position) => panic!("{position} before the end"),
                }
            };
            let what = format!("seed {seed}: {name} {after:?}");
            let skipped = usize::try_from(first.min(end)).unwrap();
            assert_eq!(found, all[skipped..], "{what}");
            assert_eq!(last, end.checked_sub(1), "{what}");
        }
    }
}

#[tokio::test]
async fn what_comes_later_than_asked_is_delivered_from_there() {
    let store = MemoryStore::new();
    append(&store, "order-1", vec![event("A")]).await;
    let links = Links::new(Arc::new(store.clone()));
    let mut following = reader(&links, "$ce-order")
        .subscribe(LinksAfter::Number(2))
        .await
        .unwrap();
    let caught_up = following.next().await.unwrap().unwrap();
    assert_eq!(caught_up, LinkItem::CaughtUp(Some(0)));
    append(&store, "order-2", (0..4).map(|_| event("A")).collect()).await;
    let links = links_until(following, 4).await;
    let numbers: Vec<u64> = links.iter().map(|link| link.number).collect();
    assert_eq!(numbers, [3, 4]);
}

#[tokio::test]
async fn checkpoints_come_when_only_other_events_did() {
    let store = MemoryStore::new();
    let links = Links::new(Arc::new(store.clone()));
    let mut following = reader(&links, "$ce-order")
        .subscribe(LinksAfter::Start)
        .await
        .unwrap();
    let caught_up = following.next().await.unwrap().unwrap();
    assert_eq!(caught_up, LinkItem::CaughtUp(None));
    append(&store, "cart-1", vec![event("A")]).await;
    let head = store.head().await.unwrap().unwrap();
    let item = following.next().await.unwrap().unwrap();
    assert_eq!(item, LinkItem::Checkpoint(head));
}

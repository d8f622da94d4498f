//! Reading gives what a fold over everything gives, whatever was read before.

use std::collections::BTreeSet;
use std::sync::Arc;

use factum_store::{Checkpoint, CheckpointStore, Direction, EventStore, MemoryStore};

use super::support::{
    Random, TIGHT, TempEngine, VIRTUAL, append, collect, event, fill, fold, links_to, reader,
};
use crate::links::counts::Limits;
use crate::links::{Link, Links, LinksFrom};

/// What a read gives, by definition.
fn expected(all: &[Link], from: LinksFrom, direction: Direction, limit: Option<u64>) -> Vec<Link> {
    let first = match from {
        LinksFrom::Start => 0,
        LinksFrom::End => u64::MAX,
        LinksFrom::Number(number) => number,
    };
    let mut links: Vec<Link> = match direction {
        Direction::Forward => all.iter().filter(|l| l.number >= first).cloned().collect(),
        Direction::Backward if from == LinksFrom::Start => Vec::new(),
        Direction::Backward => all
            .iter()
            .rev()
            .filter(|l| l.number <= first)
            .cloned()
            .collect(),
    };
    links.truncate(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()));
    links
}

/// One read at random, of what is there now.
async fn check_one(store: &dyn EventStore, links: &Links, random: &mut Random, seed: u64) {
    let name = random.of(&VIRTUAL);
    let all = links_to(name, &fold(store, name).await);
    let end = all.len() as u64;
    let from = match random.below(6) {
        0 => LinksFrom::Start,
        1 => LinksFrom::End,
        _ => LinksFrom::Number(random.below(end + 3)),
    };
    let direction = match random.below(2) {
        0 => Direction::Forward,
        _ => Direction::Backward,
    };
    let limit = match random.below(3) {
        0 => None,
        _ => Some(random.below(end + 3)),
    };
    let reader = reader(links, name);
    let found = collect(reader.read(from, direction, limit)).await;
    let what = format!("seed {seed}: {name} {from:?} {direction:?} {limit:?}");
    assert_eq!(found, expected(&all, from, direction, limit), "{what}");
    if random.below(3) == 0 {
        let last = reader.last_number().await.unwrap();
        assert_eq!(last, end.checked_sub(1), "{what}");
    }
}

async fn check(store: Arc<dyn EventStore>, seed: u64, rounds: u64) {
    let mut random = Random(seed);
    let tight = Links::with(Arc::clone(&store), TIGHT);
    let roomy = Links::new(Arc::clone(&store));
    for _ in 0..rounds {
        let batches = random.below(60);
        fill(&*store, &mut random, batches).await;
        for _ in 0..random.below(40) {
            check_one(&*store, &tight, &mut random, seed).await;
            check_one(&*store, &roomy, &mut random, seed).await;
        }
    }
}

#[tokio::test]
async fn reads_of_random_logs_agree_with_a_fold() {
    for seed in 0..30 {
        check(Arc::new(MemoryStore::new()), seed, 6).await;
    }
}

#[tokio::test]
async fn reads_of_random_logs_in_the_engine_agree_with_a_fold() {
    for seed in 0..4 {
        let temporary = TempEngine::new();
        check(temporary.store(), seed, 5).await;
    }
}

#[tokio::test]
async fn every_kind_of_virtual_stream_is_filled_by_a_random_log() {
    let store = MemoryStore::new();
    fill(&store, &mut Random(1), 300).await;
    for name in VIRTUAL {
        let is_empty = fold(&store, name).await.is_empty();
        let may_be = [
            "$ce-none",
            "$ce-$order",
            "$ce-$$order",
            "$et-$>",
            "$et-None",
            "$category-none",
        ];
        assert_eq!(is_empty, may_be.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn records_that_nobody_sees_take_no_number() {
    let store = MemoryStore::new();
    for _ in 0..20 {
        append(&store, "order-1", vec![event("A")]).await;
        let checkpoint = Checkpoint {
            positions: Vec::new(),
        };
        store
            .save_checkpoint("someone".to_owned(), checkpoint)
            .await
            .unwrap();
    }
    let links = Links::with(Arc::new(store.clone()), TIGHT);
    let all = links_to("$ce-order", &fold(&store, "$ce-order").await);
    for number in 0..20 {
        let reader = reader(&links, "$ce-order");
        let one = reader.read(LinksFrom::Number(number), Direction::Forward, Some(1));
        let index = usize::try_from(number).unwrap();
        assert_eq!(collect(one).await, all[index..=index]);
    }
}

#[tokio::test]
async fn a_link_is_made_of_its_target() {
    let store = MemoryStore::new();
    append(&store, "order-1", vec![event("A"), event("B")]).await;
    append(&store, "order-2", vec![event("A")]).await;
    let links = Links::new(Arc::new(store.clone()));
    assert_eq!(
        reader(&links, "$streams").stream().name().as_str(),
        "$streams"
    );
    let mut ids = BTreeSet::new();
    for name in ["$ce-order", "$et-A", "$streams", "$category-order"] {
        let all = reader(&links, name).read(LinksFrom::Start, Direction::Forward, None);
        for link in collect(all).await {
            let (event, target) = (link.as_event(), &link.target);
            assert_eq!(event.data, format!("{}@{}", target.revision, target.stream));
            assert_eq!((event.position, event.time), (target.position, target.time));
            assert_eq!(link.id().to_string().as_bytes()[14], b'8');
            assert!(ids.insert(link.id()), "{link:?}");
        }
    }
    assert_eq!(ids.len(), 9);
    // What clients may have kept must stay what it is.
    let first = reader(&links, "$ce-order").read(LinksFrom::Start, Direction::Forward, Some(1));
    let id = collect(first).await[0].id();
    assert_eq!(id.to_string(), "11518f82-8669-8ad7-943f-11070c546d89");
}

#[tokio::test]
async fn long_reads_need_several_slices() {
    let store = MemoryStore::new();
    for _ in 0..10 {
        append(&store, "order-1", (0..1_000).map(|_| event("A")).collect()).await;
        append(&store, "cart-1", vec![event("A")]).await;
    }
    let links = Links::with(Arc::new(store.clone()), Limits::SERVER);
    for name in ["$ce-order", "$streams"] {
        let all = links_to(name, &fold(&store, name).await);
        for direction in [Direction::Forward, Direction::Backward, Direction::Backward] {
            for from in [LinksFrom::Start, LinksFrom::Number(8_000), LinksFrom::End] {
                let found = collect(reader(&links, name).read(from, direction, None)).await;
                assert_eq!(
                    found,
                    expected(&all, from, direction, None),
                    "{name} {from:?}"
                );
            }
        }
    }
}

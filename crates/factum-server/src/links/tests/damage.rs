//! A damaged event keeps its number; `$streams` leaves it out.

use std::sync::Arc;

use factum_store::{Direction, EventStore, Kind, StoreError};
use futures_util::StreamExt;

use super::support::{Random, TIGHT, Watched, append, event, fill, fold, links_to, reader};
use crate::links::{Link, LinkItem, LinkStream, Links, LinksAfter, LinksFrom};

/// The numbers and positions of what was given: damage has a position, but no number.
async fn shown(links: LinkStream) -> Vec<(Option<u64>, u64)> {
    links.map(|item| show(&item)).collect().await
}

fn show(item: &Result<Link, StoreError>) -> (Option<u64>, u64) {
    match item {
        Ok(link) => (Some(link.number), link.target.position.raw()),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
            (None, error.as_damage().unwrap().first.raw())
        }
    }
}

#[tokio::test]
async fn damage_moves_no_number() {
    for seed in 0..20 {
        let store = Watched::default();
        let mut random = Random(seed);
        fill(&store, &mut random, 60).await;
        let head = store.head().await.unwrap().unwrap().raw();
        let bad: Vec<u64> = (0..head / 5).map(|_| random.below(head + 1)).collect();
        store.damage(bad.clone());
        let links = Links::with(Arc::new(store.clone()), TIGHT);
        for name in ["$ce-order", "$et-A", "$bc-one"] {
            let whole = links_to(name, &fold(&store.store, name).await);
            let mut expected: Vec<(Option<u64>, u64)> = whole
                .iter()
                .map(|link| {
                    let position = link.target.position.raw();
                    (
                        Some(link.number).filter(|_| !bad.contains(&position)),
                        position,
                    )
                })
                .collect();
            let reader = reader(&links, name);
            let what = format!("seed {seed}: {name}");
            let last = reader.last_number().await.unwrap();
            assert_eq!(last, (expected.len() as u64).checked_sub(1), "{what}");
            for first in 0..expected.len() {
                let from = LinksFrom::Number(first as u64);
                let found = shown(reader.read(from, Direction::Forward, Some(6))).await;
                let until = expected.len().min(first + 6);
                assert_eq!(found, expected[first..until], "{what} from {first}");
            }
            expected.reverse();
            let found = shown(reader.read(LinksFrom::End, Direction::Backward, None)).await;
            assert_eq!(found, expected, "{what}");
        }
    }
}

#[tokio::test]
async fn a_list_of_streams_leaves_damage_out() {
    let store = Watched::default();
    for name in ["order-1", "order-2", "order-3"] {
        append(&store, name, vec![event("A"), event("A")]).await;
    }
    // The second event of the first stream, and the first of the second.
    store.damage([1, 2]);
    let links = Links::new(Arc::new(store.clone()));
    for name in ["$streams", "$category-order"] {
        let reader = reader(&links, name);
        let found = shown(reader.read(LinksFrom::Start, Direction::Forward, None)).await;
        assert_eq!(found, [(Some(0), 0), (Some(1), 4)], "{name}");
        let found = shown(reader.read(LinksFrom::End, Direction::Backward, None)).await;
        assert_eq!(found, [(Some(1), 4), (Some(0), 0)], "{name}");
    }
}

#[tokio::test]
async fn a_subscription_goes_on_behind_damage() {
    let store = Watched::default();
    append(&store, "order-1", (0..5).map(|_| event("A")).collect()).await;
    store.damage([0, 3]);
    let links = Links::new(Arc::new(store.clone()));
    let check = async |after: LinksAfter, expected: &[(Option<u64>, u64)]| {
        let mut following = reader(&links, "$ce-order").subscribe(after).await.unwrap();
        let mut found = Vec::new();
        loop {
            match following.next().await.unwrap() {
                Ok(LinkItem::Link(link)) => found.push(show(&Ok(*link))),
                Ok(LinkItem::CaughtUp(last)) => {
                    assert_eq!(last, Some(4));
                    break;
                }
                Ok(LinkItem::Checkpoint(position)) => panic!("{position}"),
                Err(error) => found.push(show(&Err(error))),
            }
        }
        assert_eq!(found, expected, "{after:?}");
    };
    let all = [
        (None, 0),
        (Some(1), 1),
        (Some(2), 2),
        (None, 3),
        (Some(4), 4),
    ];
    check(LinksAfter::Start, &all).await;
    check(LinksAfter::Number(1), &all[2..]).await;
    check(LinksAfter::Number(3), &all[4..]).await;
}

//! What links point to is shown as long as its stream shows it.

use std::sync::Arc;
use std::time::Duration;

use factum_store::{AppendBatch, Change, EventStore, MemoryStore, ReadRequest};
use factum_types::{ExpectedRevision, RecordedEvent, Revision, StreamSettings};

use super::support::{Random, TIGHT, Watched, append, event, fill, stream};
use crate::links::Links;

async fn change(store: &dyn EventStore, name: &str, change: Change) {
    let batch = AppendBatch::change(stream(name), ExpectedRevision::Any, change);
    store.append(batch).await.unwrap();
}

/// Every event there is, whether its stream shows it or not.
async fn all(store: &dyn EventStore) -> Vec<RecordedEvent> {
    store.read(ReadRequest::all()).collect().await.unwrap()
}

/// What a read of the stream says.
async fn is_shown(store: &dyn EventStore, event: &RecordedEvent) -> bool {
    let read = store.read(ReadRequest::stream(event.stream.clone()));
    // A stream that was deleted cannot be read.
    let shown = read.collect().await.unwrap_or_default();
    shown.iter().any(|one| one.revision == event.revision)
}

#[tokio::test]
async fn an_event_is_gone_when_its_stream_does_not_show_it() {
    let mut gone = 0;
    for seed in 0..20 {
        let store = MemoryStore::new();
        fill(&store, &mut Random(seed), 60).await;
        for (name, settings) in [
            (
                "cart-1",
                StreamSettings {
                    max_count: Some(2),
                    ..StreamSettings::default()
                },
            ),
            (
                "cart-2",
                StreamSettings {
                    max_age: Some(Duration::ZERO),
                    ..StreamSettings::default()
                },
            ),
        ] {
            append(&store, name, vec![event("A"), event("A"), event("A")]).await;
            change(&store, name, Change::Settings(settings)).await;
        }
        let links = Links::with(Arc::new(store.clone()), TIGHT);
        for event in all(&store).await {
            let is_gone = links.is_gone(&event).await.unwrap();
            let what = format!("seed {seed}: {}@{}", event.revision, event.stream);
            assert_eq!(is_gone, !is_shown(&store, &event).await, "{what}");
            gone += u64::from(is_gone);
        }
    }
    assert!(gone > 100, "{gone}");
}

#[tokio::test]
async fn metadata_go_with_their_stream() {
    let store = MemoryStore::new();
    for name in ["order-1", "$$order-1", "$$order-2"] {
        append(&store, name, vec![event("A")]).await;
    }
    change(&store, "order-1", Change::Tombstone).await;
    let links = Links::new(Arc::new(store.clone()));
    let mut gone = Vec::new();
    for event in all(&store).await {
        let found = links.event(event.stream.clone(), event.revision).await;
        let is_gone = links.is_gone(&event).await.unwrap();
        assert_eq!(found.unwrap().is_none(), is_gone, "{}", event.stream);
        gone.push(is_gone);
    }
    assert_eq!(gone, [true, true, false]);
}

/// What is left of a stream whose end is damaged goes on being shown.
#[tokio::test]
async fn damage_hides_nothing_else() {
    let store = Watched::default();
    append(&store, "order-1", vec![event("A"), event("A"), event("A")]).await;
    let first = all(&store).await.remove(0);
    store.damage([2]);
    store.stream_info(stream("order-1")).await.unwrap_err();
    let links = Links::new(Arc::new(store.clone()));
    assert!(!links.is_gone(&first).await.unwrap());
    // Hidden, but by what is damaged too: it is not known.
    let settings = StreamSettings {
        truncate_before: Some(Revision::new(1)),
        ..StreamSettings::default()
    };
    change(&store, "order-1", Change::Settings(settings)).await;
    assert!(!links.is_gone(&first).await.unwrap());
}

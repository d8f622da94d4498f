//! A store that refuses for a while: nothing is lost, nothing stands still, and it is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use factum_proto::kurrent::persistent_subscriptions::read_req::nack::Action;
use factum_store::{
    AppendBatch, EventStore, EventStream, Kind, MemoryStore, ReadRequest, Receipt, StoreError,
    StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{Position, StreamName};
use futures_core::future::BoxFuture;

use super::support::{Served, settings};

const SHORT: Duration = Duration::from_millis(500);

/// Refuses appends to the streams of subscriptions while it is told to.
#[derive(Default)]
struct Refusing {
    store: MemoryStore,
    refuses: AtomicBool,
}

impl EventStore for Refusing {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        let is_own = |write: &factum_store::StreamWrite| write.stream.as_str().starts_with('$');
        if self.refuses.load(Ordering::Relaxed) && batch.writes.iter().any(is_own) {
            let refused = StoreError::new(Kind::Unavailable, "not now");
            return Box::pin(std::future::ready(Err(refused)));
        }
        self.store.append(batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.store.read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.store.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.store.head()
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        self.store.stream_info(stream)
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        self.store.streams(request)
    }
}

#[tokio::test(start_paused = true)]
async fn parking_is_tried_until_it_is_done_while_others_go_on() {
    let store = Arc::new(Refusing::default());
    let served = Served::over(Arc::clone(&store) as Arc<dyn EventStore>).await;
    let mut settings = settings();
    settings.min_checkpoint_count = 1;
    served.create("s", settings).await;
    let mut consumer = served.join("s", 10).await;
    let ids = served.append("s", 2).await;
    consumer.ids_within(SHORT).await;
    store.refuses.store(true, Ordering::Relaxed);
    consumer.nack(ids[0], Action::Park).await;
    consumer.ack(&ids[1..]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let info = served.info("s").await;
    assert_eq!(info.status, "Live, StoreRefuses");
    assert_eq!(
        (info.parked_message_count, info.outstanding_messages_count),
        (0, 1)
    );
    assert_eq!(info.last_checkpointed_event_position, "");
    let more = served.append("s", 1).await;
    assert_eq!(consumer.next_id().await, (more[0], 0));

    store.refuses.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let info = served.info("s").await;
    assert_eq!(info.status, "Live");
    assert_eq!(
        (info.parked_message_count, info.outstanding_messages_count),
        (1, 1)
    );
    assert_eq!(info.last_checkpointed_event_position, "1");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_cannot_note_where_it_is_still_ends() {
    let store = Arc::new(Refusing::default());
    let served = Served::over(Arc::clone(&store) as Arc<dyn EventStore>).await;
    served.create("s", settings()).await;
    let ids = served.append("s", 1).await;
    let mut consumer = served.join("s", 10).await;
    consumer.next().await;
    consumer.ack(&ids).await;
    assert!(consumer.within(SHORT).await.is_none());
    store.refuses.store(true, Ordering::Relaxed);
    let served = served.restarted().await;
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));
}

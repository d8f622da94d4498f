//! The same over the engine, with real files and in real time.

use std::sync::Arc;
use std::time::Duration;

use factum_engine::{Engine, Options};
use factum_io::Env;
use factum_proto::kurrent::persistent_subscriptions::create_req;
use factum_proto::kurrent::persistent_subscriptions::create_req::settings::MessageTimeout;
use factum_proto::kurrent::persistent_subscriptions::read_req::nack::Action;

use super::support::{Served, id, retries, settings};

/// Waits until something is so.
async fn in_time(is_so: impl AsyncFn() -> bool) {
    for _ in 0..6_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is not so after a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_outlives_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = Options::new(dir.path()).segment_bytes(1 << 20);
        Arc::new(Engine::open(options, Env::real()).unwrap())
    };
    let served = Served::over(open()).await;
    let settings = create_req::Settings {
        message_timeout: Some(MessageTimeout::MessageTimeoutMs(1_000)),
        max_retry_count: 1,
        ..settings()
    };
    served.create("s", settings).await;
    let ids = served.append("s", 30).await;
    let mut consumer = served.join("s", 100).await;
    for expected in &ids {
        assert_eq!(consumer.next_id().await.0, *expected);
    }
    consumer.nack(ids[0], Action::Park).await;
    consumer.ack(&ids[1..29]).await;
    // The last one is not answered for, is given once more, and parked.
    let again = consumer.next().await;
    assert_eq!((id(&again), retries(&again)), (ids[29], 1));
    in_time(async || served.info("s").await.parked_message_count == 2).await;
    served.subscriptions.shutdown().await;
    drop(consumer);
    drop(served);

    let served = Served::over(open()).await;
    let info = served.info("s").await;
    assert_eq!(
        (
            info.parked_message_count,
            info.last_checkpointed_event_position.as_str()
        ),
        (2, "29")
    );
    let mut consumer = served.join("s", 100).await;
    served.replay("s", None).await;
    for _ in 0..2 {
        let event = consumer.next().await;
        consumer.ack(&[id(&event)]).await;
    }
    let parked = "$persistentsubscription-s::group-parked";
    in_time(async || served.read(parked).await.is_empty()).await;
    served.subscriptions.shutdown().await;
}

//! What each answer does, and what no answer does.

use std::time::Duration;

use factum_proto::kurrent::persistent_subscriptions::create_req::settings::MessageTimeout;
use factum_proto::kurrent::persistent_subscriptions::read_req::nack::Action;
use tonic::Code;

use factum_server::persistent::{GroupKey, Identity, SourceName};

use super::support::{Served, check_refused, name, settings};

const SHORT: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_is_not_given_to_the_next_consumer() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 3).await;
    let mut first = served.join("s", 10).await;
    for id in &ids {
        assert_eq!(first.next_id().await, (*id, 0));
    }
    first.ack(&ids[..2]).await;
    drop(first);
    let mut second = served.join("s", 10).await;
    assert_eq!(second.next_id().await, (ids[2], 1));
    assert!(second.within(SHORT).await.is_none());
    let more = served.append("s", 1).await;
    assert_eq!(second.next_id().await, (more[0], 0));
}

#[tokio::test(start_paused = true)]
async fn each_refusal_does_what_it_says() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 4).await;
    let mut consumer = served.join("s", 10).await;
    for _ in &ids {
        consumer.next().await;
    }
    consumer.nack(ids[0], Action::Unknown).await;
    assert_eq!(consumer.next_id().await, (ids[0], 1));
    consumer.nack(ids[1], Action::Retry).await;
    assert_eq!(consumer.next_id().await, (ids[1], 1));
    consumer.nack(ids[2], Action::Skip).await;
    consumer.nack(ids[3], Action::Park).await;
    assert!(consumer.within(SHORT).await.is_none());
    consumer.ack(&ids[..2]).await;
    assert!(consumer.within(SHORT).await.is_none());
    let info = served.info("s").await;
    assert_eq!(
        (info.outstanding_messages_count, info.parked_message_count),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_be_stopped_is_given_nothing_more() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 2).await;
    let mut consumer = served.join("s", 10).await;
    consumer.next().await;
    consumer.next().await;
    consumer.nack(ids[0], Action::Stop).await;
    assert!(consumer.within(SHORT).await.is_none());
    served.append("s", 1).await;
    assert!(consumer.within(SHORT).await.is_none());
    consumer.ack(&ids[1..]).await;
    let ended = consumer.end().await.unwrap();
    check_refused(
        &ended,
        Code::Cancelled,
        "persistent-subscription-dropped",
        "s",
    );
    let mut other = served.join("s", 10).await;
    assert_eq!(other.next_id().await, (ids[0], 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_answers_for_is_given_again_and_parked_in_the_end() {
    let served = Served::memory().await;
    let mut settings = settings();
    settings.max_retry_count = 2;
    settings.message_timeout = Some(MessageTimeout::MessageTimeoutTicks(10_000_000));
    served.create("s", settings).await;
    let ids = served.append("s", 2).await;
    let mut consumer = served.join("s", 1).await;
    for retry in 0..3 {
        assert_eq!(consumer.next_id().await, (ids[0], retry));
    }
    assert_eq!(consumer.next_id().await, (ids[1], 0));
    consumer.ack(&ids[1..]).await;
    assert!(consumer.within(SHORT).await.is_none());
    assert_eq!(served.info("s").await.parked_message_count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_never_answers_does_not_stop_others() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let mut silent = served.join("s", 5).await;
    let mut busy = served.join("s", 5).await;
    let ids = served.append("s", 1_000).await;
    let mut done = 0;
    while let Some(event) = busy.within(SHORT).await {
        busy.ack(&[super::support::id(&event)]).await;
        done += 1;
    }
    assert_eq!((done, silent.ids_within(SHORT).await.len()), (995, 5));
    assert_eq!(ids.len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_never_reads_holds_no_more_than_it_asked_for() {
    let served = Served::memory().await;
    let mut settings = settings();
    settings.live_buffer_size = 50;
    settings.history_buffer_size = 50;
    served.create("s", settings).await;
    let idle = served.join("s", 5).await;
    served.append("s", 1_000).await;
    // What it never read waits for others after its deadline, and is not put into its queue again.
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(31)).await;
        let info = served.info("s").await;
        assert!(info.outstanding_messages_count <= 55, "{info:?}");
        assert!(info.total_in_flight_messages <= 5, "{info:?}");
        let waiting = info.live_buffer_count + i64::from(info.read_buffer_count);
        assert!(waiting <= 50, "{info:?}");
    }
    drop(idle);
    let mut consumer = served.join("s", 100).await;
    let mut seen = 0;
    while let Some(event) = consumer.within(SHORT).await {
        consumer.ack(&[super::support::id(&event)]).await;
        seen += 1;
    }
    assert_eq!(seen, 1_000);
}

/// A queue that is full of what nobody answered for in time has room as soon as something is taken from it, and is filled again at once.
#[tokio::test(start_paused = true)]
async fn whoever_reads_again_after_a_pause_is_given_all_at_once() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let key = GroupKey {
        source: SourceName::Stream(name("s")),
        group: "group".to_owned(),
    };
    let connected = served.subscriptions.connect(&key, Identity::default(), 5);
    let (mut events, _answers) = connected.await.unwrap();
    served.append("s", 20).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    for taken in 0..10 {
        let next = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
        assert!(next.is_ok_and(|next| next.is_ok()), "{taken} came");
        // The group is given its turn.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_not_given_to_who_reads_later() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let mut consumer = served.join("s", 10).await;
    let ids = served.append("s", 4).await;
    tokio::time::sleep(SHORT).await;
    // It knows them from elsewhere.
    consumer.ack(&ids[..2]).await;
    consumer.nack(ids[2], Action::Park).await;
    tokio::time::sleep(SHORT).await;
    assert_eq!(consumer.ids_within(SHORT).await, ids[3..]);
}

/// Whether it is heard first that one left or that another comes is up to chance.
#[tokio::test(start_paused = true)]
async fn who_has_left_keeps_nobody_out() {
    let served = Served::memory().await;
    let mut settings = settings();
    settings.max_subscriber_count = 1;
    served.create("s", settings).await;
    let ids = served.append("s", 200).await;
    for id in ids {
        let mut consumer = served.join("s", 1).await;
        // What it said before it left is heard.
        assert_eq!(consumer.next_id().await, (id, 0));
        consumer.ack(&[id]).await;
    }
}

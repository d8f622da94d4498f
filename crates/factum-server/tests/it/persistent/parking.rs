//! What is parked stays until it is done.

use std::time::Duration;

use factum_proto::kurrent::persistent_subscriptions::read_req::nack::Action;

use super::support::{Consumer, Served, id, settings};

const PARKED: &str = "$persistentsubscription-s::group-parked";
const SHORT: Duration = Duration::from_millis(500);

async fn park(served: &Served, count: usize) -> (Consumer, Vec<u128>) {
    served.create("s", settings()).await;
    let ids = served.append("s", count).await;
    let mut consumer = served.join("s", 100).await;
    for id in &ids {
        consumer.next().await;
        consumer.nack(*id, Action::Park).await;
    }
    assert!(consumer.within(SHORT).await.is_none());
    (consumer, ids)
}

#[tokio::test(start_paused = true)]
async fn a_parked_event_says_what_when_and_why() {
    let served = Served::memory().await;
    park(&served, 2).await;
    let parked = served.read(PARKED).await;
    assert_eq!(parked.len(), 2);
    assert_eq!(
        (parked[1].event_type.as_str(), &*parked[1].data),
        ("$>", b"1@s".as_slice())
    );
    let metadata: serde_json::Value = serde_json::from_slice(&parked[1].metadata.custom).unwrap();
    assert_eq!(metadata["subscriptionEventNumber"], 1);
    assert_eq!(
        metadata["reason"],
        "Client explicitly NAK'ed message.\nbecause"
    );
    assert!(metadata["added"].as_u64().unwrap() >= 1_700_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn replayed_events_stay_parked_until_they_are_done() {
    let served = Served::memory().await;
    let (mut consumer, ids) = park(&served, 3).await;
    served.replay("s", None).await;
    let mut links = Vec::new();
    for expected in &ids {
        let event = consumer.next().await;
        let target = event.event.as_ref().unwrap().id.clone().unwrap();
        let text = factum_types::EventId::from_bytes(expected.to_be_bytes()).to_string();
        assert_eq!(
            target.value,
            Some(factum_proto::kurrent::uuid::Value::String(text))
        );
        links.push(id(&event));
    }
    assert_eq!(served.info("s").await.parked_message_count, 0);
    assert_eq!(
        served.info("s").await.status,
        "Live, ReplayingParkedMessages"
    );
    assert_eq!(served.read(PARKED).await.len(), 3);
    // A server that ends now has lost none of them.
    consumer.ack(&links[..1]).await;
    assert!(consumer.within(SHORT).await.is_none());
    let served = served.restarted().await;
    assert_eq!(served.info("s").await.parked_message_count, 2);
    let mut consumer = served.join("s", 10).await;
    served.replay("s", None).await;
    for _ in 0..2 {
        let event = consumer.next().await;
        consumer.ack(&[id(&event)]).await;
    }
    assert!(consumer.within(SHORT).await.is_none());
    assert_eq!(served.read(PARKED).await.len(), 0);
    assert_eq!(served.info("s").await.status, "Live");
}

#[tokio::test(start_paused = true)]
async fn a_replay_stops_where_it_should() {
    let served = Served::memory().await;
    let (mut consumer, _) = park(&served, 5).await;
    served.replay("s", Some(2)).await;
    assert_eq!(consumer.ids_within(SHORT).await.len(), 2);
    assert_eq!(served.info("s").await.parked_message_count, 3);
    served.replay("s", None).await;
    assert_eq!(consumer.ids_within(SHORT).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_are_replayed_in_pages() {
    let served = Served::memory().await;
    let (mut consumer, ids) = park(&served, 90).await;
    drop(consumer);
    served.replay("s", None).await;
    tokio::time::sleep(SHORT).await;
    assert!(served.info("s").await.outstanding_messages_count <= 20);
    consumer = served.join("s", 7).await;
    for _ in &ids {
        let event = consumer.next().await;
        consumer.ack(&[id(&event)]).await;
    }
    assert!(consumer.within(SHORT).await.is_none());
    assert_eq!(served.read(PARKED).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_event_is_parked_again_as_what_it_was() {
    let served = Served::memory().await;
    let (mut consumer, _) = park(&served, 1).await;
    served.replay("s", None).await;
    let event = consumer.next().await;
    consumer.nack(id(&event), Action::Park).await;
    assert!(consumer.within(SHORT).await.is_none());
    let parked = served.read(PARKED).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(
        (parked[0].revision.number(), &*parked[0].data),
        (1, b"0@s".as_slice())
    );
    assert_eq!(served.info("s").await.parked_message_count, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_is_not_replayed_and_hinders_nothing() {
    let served = Served::memory().await;
    let (mut consumer, _) = park(&served, 2).await;
    let delete = factum_store::AppendBatch::change(
        super::support::name("s"),
        factum_types::ExpectedRevision::Any,
        factum_store::Change::Delete,
    );
    served.store.append(delete).await.unwrap();
    served.replay("s", None).await;
    assert!(consumer.within(SHORT).await.is_none());
    assert_eq!(served.info("s").await.parked_message_count, 0);
    assert_eq!(served.read(PARKED).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_parked_is_given_up_on_request() {
    let served = Served::memory().await;
    let (mut consumer, _) = park(&served, 5).await;
    served.truncate("s", Some(2)).await;
    let left: Vec<_> = served.read(PARKED).await;
    assert_eq!(left.first().map(|event| event.revision.number()), Some(2));
    assert_eq!(served.info("s").await.parked_message_count, 3);
    // Nothing that was given up comes back, whatever is asked for.
    served.truncate("s", Some(1)).await;
    served.replay("s", None).await;
    let events = consumer.ids_within(SHORT).await;
    assert_eq!(events.len(), 3);
    consumer.ack(&events).await;
    assert!(consumer.within(SHORT).await.is_none());
    assert_eq!(served.read(PARKED).await.len(), 0);
    served.truncate("s", None).await;
    let served = served.restarted().await;
    assert_eq!(served.info("s").await.parked_message_count, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_consumer_holds_stays_with_it_when_it_is_given_up() {
    let served = Served::memory().await;
    let (mut consumer, _) = park(&served, 4).await;
    served.replay("s", Some(2)).await;
    let held = consumer.ids_within(SHORT).await;
    assert_eq!(held.len(), 2);
    served.truncate("s", None).await;
    assert_eq!(served.read(PARKED).await.len(), 0);
    assert_eq!(served.info("s").await.parked_message_count, 0);
    consumer.ack(&held[..1]).await;
    consumer.nack(held[1], Action::Park).await;
    assert!(consumer.within(SHORT).await.is_none());
    let parked = served.read(PARKED).await;
    assert_eq!(parked.len(), 1);
    assert_eq!(
        (parked[0].revision.number(), &*parked[0].data),
        (4, b"1@s".as_slice())
    );
    assert_eq!(served.info("s").await.status, "Live");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_consumer_is_given_up_too() {
    let served = Served::memory().await;
    let (consumer, _) = park(&served, 5).await;
    drop(consumer);
    served.replay("s", None).await;
    tokio::time::sleep(SHORT).await;
    served.truncate("s", Some(3)).await;
    assert_eq!(served.read(PARKED).await.len(), 2);
    let mut consumer = served.join("s", 10).await;
    let rest = consumer.ids_within(SHORT).await;
    assert_eq!(rest.len(), 2);
    consumer.ack(&rest).await;
    assert!(consumer.within(SHORT).await.is_none());
    assert_eq!(served.read(PARKED).await.len(), 0);
    assert_eq!(served.info("s").await.status, "Live");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_up_by_saying_nothing() {
    use factum_proto::kurrent::persistent_subscriptions::truncate_parked_req::options::StopAtOption;
    let served = Served::memory().await;
    park(&served, 1).await;
    let nothing = served.try_truncate("s", None).await.unwrap_err();
    let negative = served
        .try_truncate("s", Some(StopAtOption::StopAt(-1)))
        .await;
    let code = tonic::Code::InvalidArgument;
    assert_eq!((nothing.code(), negative.unwrap_err().code()), (code, code));
    let absent = served
        .try_truncate("t", Some(StopAtOption::StopAt(1)))
        .await;
    assert_eq!(absent.unwrap_err().code(), tonic::Code::NotFound);
    assert_eq!(served.read(PARKED).await.len(), 1);
}

//! A store that refuses for a while: nothing is lost, nothing stands still, and it is said.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once};
use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::operations::operations_client::OperationsClient;
use factum_proto::kurrent::persistent_subscriptions::persistent_subscriptions_client::PersistentSubscriptionsClient;
use factum_proto::kurrent::persistent_subscriptions::read_req::nack::Action;
use factum_proto::kurrent::persistent_subscriptions::{UpdateReq, create_req, update_req};
use factum_server::{Options, Store};
use factum_store::EventStore;
use factum_types::{EventType, NewEvent};
use tonic::Code;
use tracing::span;

use super::support::{Served, creation, deletion, id, settings};
use crate::faulty::{Appends, Faulty};
use crate::support::Running;

const SHORT: Duration = Duration::from_millis(500);
/// Longer than anything takes that is to happen.
const ENOUGH: Duration = Duration::from_secs(600);
/// The same, where time is not moved by the test.
const PATIENCE: Duration = Duration::from_secs(60);
const CONFIG: &str = "$persistentSubscriptionConfig";
const PARKED: &str = "$persistentsubscription-s::group-parked";

async fn faulty() -> (Arc<Faulty>, Served) {
    let store = Arc::new(Faulty::default());
    let served = Served::over(Arc::clone(&store) as Arc<dyn EventStore>).await;
    (store, served)
}

#[tokio::test(start_paused = true)]
async fn parking_is_tried_until_it_is_done_while_others_go_on() {
    let (store, served) = faulty().await;
    let mut settings = settings();
    settings.min_checkpoint_count = 1;
    served.create("s", settings).await;
    let mut consumer = served.join("s", 10).await;
    let ids = served.append("s", 2).await;
    consumer.ids_within(SHORT).await;
    store.appends.send_replace(Appends::Refused);
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

    store.appends.send_replace(Appends::Made);
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
    let (store, served) = faulty().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 1).await;
    let mut consumer = served.join("s", 10).await;
    consumer.next().await;
    consumer.ack(&ids).await;
    assert!(consumer.within(SHORT).await.is_none());
    store.appends.send_replace(Appends::Refused);
    let served = served.restarted().await;
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_done_to_its_end_also_when_who_asked_is_gone() {
    let (store, served) = faulty().await;
    store.appends.send_replace(Appends::Held);
    let mut client = served.client.clone();
    let create = client.create(creation("s", "group", settings()));
    assert!(tokio::time::timeout(SHORT, create).await.is_err());
    store.appends.send_replace(Appends::Made);
    let ids = served.append("s", 1).await;
    tokio::time::sleep(SHORT).await;
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));

    store.appends.send_replace(Appends::Held);
    let delete = client.delete(deletion("s"));
    assert!(tokio::time::timeout(SHORT, delete).await.is_err());
    store.appends.send_replace(Appends::Made);
    assert_eq!(consumer.end().await.unwrap().code(), Code::Cancelled);
    tokio::time::sleep(SHORT).await;
    let status = served.try_join("s", "group", 10).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_cannot_read_ends_nothing() {
    let (store, served) = faulty().await;
    served.create("s", settings()).await;
    let mut consumer = served.join("s", 10).await;
    store.refuses_reads.store(true, Ordering::Relaxed);
    let status = served.client.clone().restart_subsystem(Empty {}).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    let ids = served.append("s", 1).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));
}

#[tokio::test]
async fn a_restart_that_cannot_read_is_to_be_tried_again() {
    let store = Arc::new(Faulty::default());
    let server = Running::over(Arc::clone(&store) as Arc<dyn Store>, Options::default()).await;
    store.refuses_reads.store(true, Ordering::Relaxed);
    let mut client = OperationsClient::new(server.channel().await);
    let refused = client.restart_persistent_subscriptions(Empty {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    server.stop().await;
}

/// What can be read runs, and nothing is said not to be there that may be.
#[tokio::test(start_paused = true)]
async fn a_server_starts_although_it_cannot_read_which_groups_there_are() {
    Errors::count();
    let (store, served) = faulty().await;
    for stream in ["s", "t"] {
        served.create(stream, settings()).await;
    }
    let written = served.read(CONFIG).await.pop().unwrap();
    let ids = served.append("s", 1).await;
    store.damage(CONFIG, 1..2);
    let served = served.restarted().await;
    assert_eq!(Errors::counted(), 1);
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));
    let status = served.try_join("t", "group", 10).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable);

    store.damage(CONFIG, 0..1);
    let served = served.restarted().await;
    for stream in ["s", "t"] {
        let status = served.try_join(stream, "group", 10).await.err().unwrap();
        assert_eq!(status.code(), Code::Unavailable);
        // Nobody is to note others in their place.
        let create = creation(stream, "group", settings());
        assert!(served.client.clone().create(create).await.is_err());
    }

    // As an admin who mends it.
    let mended = NewEvent {
        data: written.data,
        event_type: written.event_type,
        ..served.event("T")
    };
    served.append_events(CONFIG, vec![mended]).await;
    served.join("s", 10).await;
    served.join("t", 10).await;
    let status = served.try_join("u", "group", 10).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn after_the_end_nothing_begins() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    served.subscriptions.shutdown().await;
    let mut client = served.client.clone();
    let refusals = [
        client
            .create(creation("t", "group", settings()))
            .await
            .err(),
        client.delete(deletion("s")).await.err(),
        client.restart_subsystem(Empty {}).await.err(),
        served.try_join("s", "group", 10).await.err(),
    ];
    for status in refusals {
        assert_eq!(status.unwrap().code(), Code::Unavailable);
    }
    // Nothing of it was noted either.
    let served = served.restarted().await;
    served.join("s", 10).await;
    let status = served.try_join("t", "group", 10).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_what_the_store_then_says() {
    let (store, served) = faulty().await;
    let mut client = served.client.clone();
    store.appends.send_replace(Appends::MadeUnknown);
    served.create("s", settings()).await;
    let ids = served.append("s", 1).await;
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));

    store.appends.send_replace(Appends::LostUnknown);
    assert!(client.delete(deletion("s")).await.is_err());
    assert_eq!(consumer.end().await.unwrap().code(), Code::Cancelled);
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));

    store.appends.send_replace(Appends::MadeUnknown);
    client.delete(deletion("s")).await.unwrap();
    let status = served.try_join("s", "group", 10).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
}

/// Neither can it be read: the group must not run and write to what may be deleted, and is there again, or gone, once that is known.
#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_asked_for_again() {
    for (outcome, is_there) in [(Appends::MadeUnknown, false), (Appends::LostUnknown, true)] {
        let (store, served) = faulty().await;
        served.create("s", settings()).await;
        store.refuses_reads.store(true, Ordering::Relaxed);
        store.appends.send_replace(outcome);
        assert!(served.client.clone().delete(deletion("s")).await.is_err());
        let status = served.try_join("s", "group", 10).await.err().unwrap();
        assert_eq!(status.code(), Code::Unavailable);
        store.refuses_reads.store(false, Ordering::Relaxed);
        store.appends.send_replace(Appends::Made);
        let joined = served.try_join("s", "group", 10).await;
        assert_eq!(joined.is_ok(), is_there, "{outcome:?}");
    }
}

/// It is not known whether one group is there, and cannot be read: it does not run, and others do.
#[tokio::test(start_paused = true)]
async fn a_group_that_may_be_deleted_stops_no_other() {
    Errors::count();
    let (store, served) = faulty().await;
    served.create("s", settings()).await;
    served.create("t", settings()).await;
    let delete = async |stream| served.client.clone().delete(deletion(stream)).await;
    // Now, and what is noted from now on.
    store.damage(CONFIG, 0..10);
    store.appends.send_replace(Appends::LostUnknown);
    assert!(delete("s").await.is_err());
    store.appends.send_replace(Appends::Refused);
    assert!(delete("s").await.is_err());
    assert!(delete("t").await.is_err());
    served.join("t", 10).await;
    let status = served.try_join("s", "group", 10).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(Errors::counted(), 1);

    // A change that is made says that none was made before it.
    store.appends.send_replace(Appends::Made);
    delete("t").await.unwrap();
    let ids = served.append("s", 1).await;
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));
    let status = served.try_join("t", "group", 10).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(Errors::counted(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_counts_where_the_end_is_holds_up_nobody() {
    let (store, served) = faulty().await;
    served.create("s", settings()).await;
    let mut request = creation("$all", "group", settings());
    let all = create_req::AllOptions {
        all_option: Some(create_req::all_options::AllOption::End(Empty {})),
        filter_option: None,
    };
    let options = request.options.as_mut().unwrap();
    options.stream_option = Some(create_req::options::StreamOption::All(all));
    store.tells_end.send_replace(false);
    let mut client = served.client.clone();
    let creating = tokio::spawn(async move { client.create(request).await });
    tokio::time::sleep(SHORT).await;
    let info = tokio::time::timeout(SHORT, served.info("s")).await;
    assert_eq!(info.expect("it waits for the other").status, "Live");
    // What is refused is refused before anything is counted.
    let end = update_req::all_options::AllOption::End(Empty {});
    let all = update_req::AllOptions {
        all_option: Some(end),
    };
    let options = update_req::Options {
        stream_option: Some(update_req::options::StreamOption::All(all)),
        group_name: "another".to_owned(),
        settings: Some(update_req::Settings::default()),
        ..update_req::Options::default()
    };
    let request = UpdateReq {
        options: Some(options),
    };
    let mut changing = served.client.clone();
    let refused = tokio::time::timeout(SHORT, changing.update(request)).await;
    let refused = refused.expect("it counts first").unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    store.tells_end.send_replace(true);
    let created = tokio::time::timeout(ENOUGH, creating).await;
    created.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn damage_ends_no_replay() {
    let (store, served) = faulty().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 60).await;
    let mut consumer = served.join("s", 100).await;
    for id in &ids {
        consumer.next().await;
        consumer.nack(*id, Action::Park).await;
    }
    assert!(consumer.within(SHORT).await.is_none());
    // More than a page of links, one in the midst of a page, the last one, and what two point to.
    store.damage(PARKED, 0..25);
    store.damage(PARKED, 30..31);
    store.damage(PARKED, 59..60);
    store.damage("s", 40..42);
    served.replay("s", None).await;
    let mut seen = Vec::new();
    while let Some(event) = consumer.within(SHORT).await {
        consumer.ack(&[id(&event)]).await;
        seen.push(event.event.unwrap().stream_revision);
    }
    let gone = |revision: &u64| matches!(revision, 0..25 | 30 | 40 | 41 | 59);
    let left: Vec<u64> = (0..60).filter(|revision| !gone(revision)).collect();
    assert_eq!(seen, left);
    let info = served.info("s").await;
    assert_eq!(
        (info.status.as_str(), info.parked_message_count),
        ("Live", 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_replay_takes_no_more_memory_than_it_may() {
    let served = Served::memory().await;
    let big = |_| NewEvent {
        data: vec![b'1'; 1 << 20].into(),
        ..served.event("T")
    };
    for _ in 0..20 {
        served.append_events("big", (0..5).map(big).collect()).await;
    }
    let link = |number: usize| NewEvent {
        data: format!("{number}@big").into(),
        event_type: EventType::new("$>").unwrap(),
        ..served.event("T")
    };
    let mut settings = settings();
    settings.read_batch_size = 500;
    served.create("s", settings).await;
    served
        .append_events(PARKED, (0..100).map(link).collect())
        .await;
    let served = served.restarted().await;
    served.replay("s", None).await;
    tokio::time::sleep(SHORT).await;
    let info = served.info("s").await;
    assert!((60..75).contains(&info.retry_buffer_count), "{info:?}");
    let mut consumer = served.join("s", 10).await;
    let mut seen = 0;
    while let Some(event) = consumer.within(SHORT).await {
        consumer.ack(&[id(&event)]).await;
        seen += 1;
    }
    assert_eq!(seen, 100);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_ends_is_said_and_followed_again() {
    let (store, served) = faulty().await;
    store.ends_subscriptions.store(true, Ordering::Relaxed);
    served.create("s", settings()).await;
    let ids = served.append("s", 1).await;
    let mut consumer = served.join("s", 10).await;
    assert!(consumer.within(Duration::from_secs(20)).await.is_none());
    assert_eq!(served.info("s").await.status, "Behind, StoreRefuses");
    store.ends_subscriptions.store(false, Ordering::Relaxed);
    assert_eq!(consumer.next_id().await, (ids[0], 0));
    assert!(consumer.within(SHORT).await.is_none());
    assert_eq!(served.info("s").await.status, "Live");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_not_wanted_is_not_followed() {
    use create_req::all_options::filter_options::{Expression, Filter, Window};
    use create_req::all_options::{AllOption, FilterOption, FilterOptions};
    let (store, served) = faulty().await;
    served.append("target", 1).await;
    let link = |data: &'static str| NewEvent {
        data: data.into(),
        event_type: EventType::new("$>").unwrap(),
        ..served.event("T")
    };
    for stream in ["unwanted", "wanted"] {
        served.append_events(stream, vec![link("0@target")]).await;
    }
    let prefixes = Expression {
        regex: String::new(),
        prefix: vec!["wanted".to_owned()],
    };
    let filter = FilterOptions {
        filter: Some(Filter::StreamIdentifier(prefixes)),
        window: Some(Window::Max(32)),
        checkpoint_interval_multiplier: 1,
    };
    let all = create_req::AllOptions {
        all_option: Some(AllOption::Start(Empty {})),
        filter_option: Some(FilterOption::Filter(filter)),
    };
    let resolving = create_req::Settings {
        resolve_links: true,
        ..settings()
    };
    let mut request = creation("$all", "group", resolving);
    let options = request.options.as_mut().unwrap();
    options.stream_option = Some(create_req::options::StreamOption::All(all));
    served.client.clone().create(request).await.unwrap();
    let mut consumer = served.join("$all", 10).await;
    let event = consumer.next().await;
    assert!(event.link.is_some() && event.event.is_some(), "{event:?}");
    assert!(consumer.within(SHORT).await.is_none());
    assert_eq!(store.reads("target"), 1);
}

/// A store that does not answer: the change that waits for it is not done, and holds nothing up.
#[tokio::test]
async fn a_server_stops_although_a_change_waits_for_the_store() {
    let store = Arc::new(Faulty::default());
    let mut options = Options::default();
    options.limits.drain = SHORT;
    let server = Running::over(Arc::clone(&store) as Arc<dyn Store>, options).await;
    store.appends.send_replace(Appends::Held);
    let mut client = PersistentSubscriptionsClient::new(server.channel().await);
    let request = creation("s", "group", settings());
    let creating = tokio::spawn(async move { client.create(request).await });
    let waits = async {
        while store.appends.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let waits = tokio::time::timeout(PATIENCE, waits).await;
    waits.expect("the change does not come to the store");
    let stopped = tokio::time::timeout(PATIENCE, server.stop()).await;
    stopped.expect("it does not stop");
    let created = tokio::time::timeout(PATIENCE, creating).await;
    assert!(created.unwrap().unwrap().is_err());
}

/// Counts what each thread logs as an error. One for all tests: what is logged first while one for a single test comes or goes may be left out
/// for ever.
struct Errors;

thread_local! {
    static COUNTED: Cell<usize> = const { Cell::new(0) };
}

impl Errors {
    /// Counts from now on, on this thread, which is to run one test.
    fn count() {
        static BEGUN: Once = Once::new();
        BEGUN.call_once(|| tracing::subscriber::set_global_default(Self).unwrap());
        COUNTED.set(0);
    }

    fn counted() -> usize {
        COUNTED.get()
    }
}

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        COUNTED.set(COUNTED.get() + 1);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn trouble_is_logged_once_and_not_each_time() {
    Errors::count();
    let (store, served) = faulty().await;
    let mut settings = settings();
    settings.min_checkpoint_count = 1;
    served.create("s", settings).await;
    let ids = served.append("s", 2).await;
    let mut consumer = served.join("s", 10).await;
    consumer.ids_within(SHORT).await;
    assert_eq!(Errors::counted(), 0);
    store.appends.send_replace(Appends::Refused);
    consumer.nack(ids[1], Action::Park).await;
    consumer.ack(&ids[..1]).await;
    tokio::time::sleep(ENOUGH).await;
    // Parking, and noting where it is.
    assert_eq!(Errors::counted(), 2);

    // A thousand damaged events are not a thousand lines.
    store.appends.send_replace(Appends::Made);
    served.append("t", 1_000).await;
    store.damage("t", 0..1_000);
    let links = (0..1_000).map(|number| NewEvent {
        data: format!("{number}@t").into(),
        event_type: EventType::new("$>").unwrap(),
        ..served.event("T")
    });
    served.append_events("links", links.collect()).await;
    let resolving = create_req::Settings {
        resolve_links: true,
        ..self::settings()
    };
    served.create("links", resolving).await;
    let mut consumer = served.join("links", 1_000).await;
    assert_eq!(consumer.ids_within(SHORT).await.len(), 1_000);
    let logged = Errors::counted() - 2;
    assert!((1..=10).contains(&logged), "{logged}");
}

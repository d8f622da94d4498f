//! How events are divided, which there are, and what is said about it.

use std::time::Duration;

use factum_proto::kurrent::persistent_subscriptions::create_req::all_options::filter_options::{
    Expression, Filter, Window,
};
use factum_proto::kurrent::persistent_subscriptions::create_req::all_options::{
    AllOption, FilterOption, FilterOptions,
};
use factum_proto::kurrent::persistent_subscriptions::create_req::options::StreamOption;
use factum_proto::kurrent::persistent_subscriptions::create_req::{self, AllOptions};
use factum_proto::kurrent::{Empty, uuid};
use factum_types::{EventType, Metadata, NewEvent, Tag};

use factum_proto::kurrent::persistent_subscriptions::read_req::nack::Action;

use super::support::{Served, creation, id, identifier, settings, text};

const SHORT: Duration = Duration::from_millis(500);

fn with_strategy(name: &str) -> create_req::Settings {
    create_req::Settings {
        consumer_strategy: name.to_owned(),
        ..settings()
    }
}

#[tokio::test(start_paused = true)]
async fn round_robin_gives_in_turn() {
    let served = Served::memory().await;
    served.create("s", with_strategy("RoundRobin")).await;
    let (mut one, mut two) = (served.join("s", 10).await, served.join("s", 10).await);
    let ids = served.append("s", 4).await;
    assert_eq!(one.ids_within(SHORT).await, [ids[0], ids[2]]);
    assert_eq!(two.ids_within(SHORT).await, [ids[1], ids[3]]);
}

#[tokio::test(start_paused = true)]
async fn dispatch_to_single_gives_to_one_until_it_is_full() {
    let served = Served::memory().await;
    served.create("s", with_strategy("DispatchToSingle")).await;
    let (mut one, mut two) = (served.join("s", 3).await, served.join("s", 10).await);
    let ids = served.append("s", 5).await;
    assert_eq!(one.ids_within(SHORT).await, ids[..3]);
    assert_eq!(two.ids_within(SHORT).await, ids[3..]);
}

#[tokio::test(start_paused = true)]
async fn the_old_number_of_a_strategy_counts_when_no_name_is_given() {
    let served = Served::memory().await;
    let mut settings = with_strategy("");
    settings.named_consumer_strategy = create_req::ConsumerStrategy::Pinned.into();
    served.create("s", settings).await;
    assert_eq!(served.info("s").await.named_consumer_strategy, "Pinned");
}

/// Both consumers are given some of the streams, each all of its own and in order.
#[tokio::test(start_paused = true)]
async fn pinned_gives_each_stream_to_one() {
    let served = Served::memory().await;
    let request = creation("$all", "group", with_strategy("Pinned"));
    served.client.clone().create(request).await.unwrap();
    let (mut one, mut two) = (
        served.join("$all", 500).await,
        served.join("$all", 500).await,
    );
    for _ in 0..3 {
        for stream in 0..20 {
            served.append(&format!("order-{stream}"), 1).await;
        }
    }
    let mut seen = [Vec::new(), Vec::new()];
    for (consumer, seen) in [&mut one, &mut two].into_iter().zip(&mut seen) {
        while let Some(event) = consumer.within(SHORT).await {
            let event = event.event.unwrap();
            let stream = event.stream_identifier.unwrap().stream_name;
            if stream.starts_with(b"order-") {
                seen.push((stream, event.stream_revision));
            }
        }
        seen.sort();
        assert!(!seen.is_empty());
    }
    assert_eq!(seen[0].len() + seen[1].len(), 60);
    assert!(
        seen[0]
            .iter()
            .all(|(stream, _)| seen[1].iter().all(|(other, _)| other != stream))
    );
}

#[tokio::test(start_paused = true)]
async fn pinned_by_correlation_gives_each_conversation_to_one() {
    let served = Served::memory().await;
    served
        .create("s", with_strategy("PinnedByCorrelation"))
        .await;
    let (mut one, mut two) = (served.join("s", 500).await, served.join("s", 500).await);
    let said = |n: usize| Metadata {
        custom: format!(r#"{{"$correlationId":"c{}"}}"#, n % 10).into(),
        ..Metadata::default()
    };
    let events = (0..50).map(|n| served.event("T").with_metadata(said(n)));
    served.append_events("s", events.collect()).await;
    let mut seen = [Vec::new(), Vec::new()];
    for (consumer, seen) in [&mut one, &mut two].into_iter().zip(&mut seen) {
        while let Some(event) = consumer.within(SHORT).await {
            seen.push(event.event.unwrap().custom_metadata);
        }
        assert!(!seen.is_empty());
    }
    assert_eq!(seen[0].len() + seen[1].len(), 50);
    assert!(seen[0].iter().all(|one| !seen[1].contains(one)));
}

#[tokio::test(start_paused = true)]
async fn a_group_over_all_is_filtered_and_does_not_follow_itself() {
    let served = Served::memory().await;
    let filter = FilterOptions {
        filter: Some(Filter::EventType(Expression {
            regex: "^(?!(Unwanted|\\$.+)$).*$".to_owned(),
            prefix: vec![],
        })),
        window: Some(Window::Max(32)),
        checkpoint_interval_multiplier: 1,
    };
    let mut settings = settings();
    settings.min_checkpoint_count = 1;
    let mut request = creation("$all", "group", settings);
    let options = request.options.as_mut().unwrap();
    options.stream_option = Some(StreamOption::All(AllOptions {
        all_option: Some(AllOption::End(Empty {})),
        filter_option: Some(FilterOption::Filter(filter)),
    }));
    served.append("before", 5).await;
    served.client.clone().create(request).await.unwrap();
    let mut consumer = served.join("$all", 10).await;
    served
        .append_events("s", vec![served.event("Unwanted"), served.event("Wanted")])
        .await;
    let event = consumer.next().await;
    let metadata = &event.event.as_ref().unwrap().metadata;
    assert_eq!(metadata.get("type").map(String::as_str), Some("Wanted"));
    assert_eq!(
        metadata.get("content-type").map(String::as_str),
        Some("application/json")
    );
    consumer.ack(&[id(&event)]).await;
    assert!(consumer.within(SHORT).await.is_none());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let head = served.store.head().await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(
        served.store.head().await.unwrap(),
        head,
        "noting where it is gave it something to note"
    );
    let info = served.info("$all").await;
    assert_eq!(info.start_from, "C:-1/P:-1");
    assert!(
        info.last_checkpointed_event_position.starts_with("C:"),
        "{info:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_position_is_included() {
    let served = Served::memory().await;
    let ids = served.append("s", 3).await;
    let mut request = creation("$all", "group", settings());
    let position = create_req::Position {
        commit_position: 2,
        prepare_position: 2,
    };
    request.options.as_mut().unwrap().stream_option = Some(StreamOption::All(AllOptions {
        all_option: Some(AllOption::Position(position)),
        filter_option: None,
    }));
    served.client.clone().create(request).await.unwrap();
    let mut consumer = served.join("$all", 10).await;
    let event = consumer.next().await;
    assert_eq!(id(&event), ids[1]);
    assert_eq!(event.event.unwrap().commit_position, 2);
    assert_eq!(served.info("$all").await.start_from, "C:2/P:2");
}

#[tokio::test(start_paused = true)]
async fn links_are_resolved_when_asked_for() {
    let served = Served::memory().await;
    let ids = served.append("target", 1).await;
    let link = |data: &'static str| NewEvent {
        data: data.into(),
        event_type: EventType::new("$>").unwrap(),
        ..served.event("T")
    };
    let links = vec![link("0@target"), link("7@target"), link("0@nothing")];
    served.append_events("links", links).await;
    let resolving = create_req::Settings {
        resolve_links: true,
        ..settings()
    };
    served.create("links", resolving).await;
    let mut consumer = served.join("links", 10).await;
    let first = consumer.next().await;
    let target = first.event.unwrap().id.unwrap().value;
    let expected = factum_types::EventId::from_bytes(ids[0].to_be_bytes()).to_string();
    assert_eq!(target, Some(uuid::Value::String(expected)));
    assert_eq!(
        first.link.unwrap().stream_identifier,
        Some(identifier("links"))
    );
    for _ in 0..2 {
        let broken = consumer.next().await;
        assert!(broken.event.is_none() && broken.link.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_about_a_group() {
    let served = Served::memory().await;
    let mut settings = settings();
    settings.extra_statistics = true;
    settings.max_subscriber_count = 7;
    settings.min_checkpoint_count = 2;
    served.create("s", settings).await;
    let mut consumer = served.join("s", 10).await;
    let ids = served.append("s", 5).await;
    for _ in 0..5 {
        consumer.next().await;
    }
    consumer.ack(&ids[..3]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let info = served.info("s").await;
    assert_eq!(
        (info.event_source.as_str(), info.group_name.as_str()),
        ("s", "group")
    );
    assert_eq!(
        (info.status.as_str(), info.start_from.as_str()),
        ("Live", "0")
    );
    assert_eq!(info.last_checkpointed_event_position, "2");
    assert_eq!(info.last_known_event_position, "4");
    assert_eq!(
        (info.total_items, info.count_since_last_measurement),
        (5, 5)
    );
    assert_eq!(
        (
            info.outstanding_messages_count,
            info.total_in_flight_messages
        ),
        (2, 2)
    );
    assert_eq!(
        (
            info.message_timeout_milliseconds,
            info.check_point_after_milliseconds
        ),
        (30_000, 2_000)
    );
    assert_eq!(
        (
            info.max_subscriber_count,
            info.buffer_size,
            info.read_batch_size
        ),
        (7, 500, 20)
    );
    let connection = &info.connections[0];
    assert_eq!(
        (connection.available_slots, connection.in_flight_messages),
        (8, 2)
    );
    assert!(
        connection
            .observed_measurements
            .iter()
            .any(|one| one.key == "Median")
    );
    assert_eq!(served.info("s").await.count_since_last_measurement, 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_over_a_virtual_stream_goes_on_and_replays() {
    let served = Served::memory().await;
    let mut ids = served.append("order-1", 1).await;
    served.append("other-1", 1).await;
    let resolving = create_req::Settings {
        resolve_links: true,
        ..settings()
    };
    served.create("$ce-order", resolving).await;
    let mut consumer = served.join("$ce-order", 10).await;
    ids.extend(served.append("order-2", 2).await);
    for number in 0..2 {
        let event = consumer.next().await;
        let link = event.link.as_ref().unwrap();
        assert_eq!(
            (link.stream_revision, &link.stream_identifier),
            (number, &Some(identifier("$ce-order")))
        );
        assert_eq!(
            event.event.as_ref().unwrap().id,
            Some(text(ids[usize::try_from(number).unwrap()]))
        );
        if number == 0 {
            consumer.nack(id(&event), Action::Park).await;
        } else {
            consumer.ack(&[id(&event)]).await;
        }
    }
    assert_eq!(consumer.ids_within(SHORT).await.len(), 1);
    let served = served.restarted().await;
    assert_eq!(
        served
            .info("$ce-order")
            .await
            .last_checkpointed_event_position,
        "1"
    );
    let mut consumer = served.join("$ce-order", 10).await;
    let event = consumer.next().await;
    assert_eq!(event.event.as_ref().unwrap().id, Some(text(ids[2])));
    served.replay("$ce-order", None).await;
    let event = consumer.next().await;
    assert_eq!(event.event.as_ref().unwrap().id, Some(text(ids[0])));
}

/// Every user may read it, and a group has no single reader.
#[tokio::test(start_paused = true)]
async fn a_virtual_stream_shows_a_group_nothing_of_the_system() {
    let served = Served::memory().await;
    for stream in ["$scratch-1", "order-1"] {
        let event = NewEvent {
            tags: vec![Tag::new("$correlationId:c").unwrap()],
            ..served.event("Happened")
        };
        served.append_events(stream, vec![event]).await;
    }
    let resolving = create_req::Settings {
        resolve_links: true,
        ..settings()
    };
    served.create("$bc-c", resolving).await;
    let mut consumer = served.join("$bc-c", 10).await;
    for is_shown in [false, true] {
        let event = consumer.next().await;
        assert!(event.link.is_some());
        assert_eq!(event.event.is_some(), is_shown);
    }
}

/// Who notes where it is because of a note of where it is has something to note for ever.
#[tokio::test(start_paused = true)]
async fn a_group_over_an_index_does_not_follow_itself() {
    const CHECKPOINTS: &str = "$et-$SubscriptionCheckpoint";
    let served = Served::memory().await;
    let noting = || create_req::Settings {
        min_checkpoint_count: 1,
        ..settings()
    };
    served.create(CHECKPOINTS, noting()).await;
    served.create("s", noting()).await;
    let ids = served.append("s", 1).await;
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[0], 0));
    consumer.ack(&ids).await;
    let mut watching = served.join(CHECKPOINTS, 10).await;
    assert!(watching.within(Duration::from_secs(60)).await.is_none());
    let noted = served.read("$persistentsubscription-s::group-checkpoint");
    assert_eq!(noted.await.len(), 1, "there is one to be given");
}

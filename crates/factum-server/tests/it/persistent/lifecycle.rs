//! Groups are created, changed, deleted, and outlive the server.

use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::persistent_subscriptions::create_req::settings::MessageTimeout;
use factum_proto::kurrent::persistent_subscriptions::list_req::{self, options::ListOption};
use factum_proto::kurrent::persistent_subscriptions::read_req::Content;
use factum_proto::kurrent::persistent_subscriptions::{
    ListReq, UpdateReq, create_req, read_req, update_req,
};
use factum_server::persistent::{
    GroupConfig, GroupKey, Settings, SourceName, StartFrom, SubscriptionError,
};
use factum_types::{EventType, NewEvent};
use tonic::{Code, Status};

use super::support::{Served, check_refused, creation, deletion, identifier, name, settings};

const SHORT: Duration = Duration::from_millis(500);
const CHECKPOINTS: &str = "$persistentsubscription-s::group-checkpoint";
const PARKED: &str = "$persistentsubscription-s::group-parked";

fn change(stream: &str, history: i32) -> UpdateReq {
    use update_req::stream_options::RevisionOption;
    let settings = update_req::Settings {
        max_retry_count: 3,
        live_buffer_size: 10,
        read_batch_size: 10,
        history_buffer_size: history,
        named_consumer_strategy: 2,
        ..update_req::Settings::default()
    };
    UpdateReq {
        options: Some(update_req::Options {
            stream_option: Some(update_req::options::StreamOption::Stream(
                update_req::StreamOptions {
                    stream_identifier: Some(identifier(stream)),
                    revision_option: Some(RevisionOption::End(Empty {})),
                },
            )),
            group_name: "group".to_owned(),
            settings: Some(settings),
            ..update_req::Options::default()
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_from_the_end_is_given_what_came_after_it_was_created() {
    let served = Served::memory().await;
    served.append("s", 3).await;
    let mut request = creation("s", "group", settings());
    let options = request.options.as_mut().unwrap();
    options.stream_option = Some(create_req::options::StreamOption::Stream(
        create_req::StreamOptions {
            stream_identifier: Some(identifier("s")),
            revision_option: Some(create_req::stream_options::RevisionOption::End(Empty {})),
        },
    ));
    served.client.clone().create(request).await.unwrap();
    let ids = served.append("s", 2).await;
    assert_eq!(served.info("s").await.start_from, "-1");
    // The end is where it was then, also for a server that begins later.
    let served = served.restarted().await;
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.ids_within(SHORT).await, ids);
}

/// The greatest signed number is how some clients write the end.
#[tokio::test(start_paused = true)]
async fn the_greatest_revision_is_the_end() {
    let served = Served::memory().await;
    served.append("s", 3).await;
    for revision in [u64::MAX, u64::MAX >> 1] {
        use create_req::stream_options::RevisionOption;
        let group = format!("from-{revision}");
        let mut request = creation("s", &group, settings());
        let options = request.options.as_mut().unwrap();
        options.stream_option = Some(create_req::options::StreamOption::Stream(
            create_req::StreamOptions {
                stream_identifier: Some(identifier("s")),
                revision_option: Some(RevisionOption::Revision(revision)),
            },
        ));
        served.client.clone().create(request).await.unwrap();
        let ids = served.append("s", 1).await;
        let mut consumer = served.try_join("s", &group, 10).await.unwrap();
        assert_eq!(consumer.next_id().await, (ids[0], 0), "{revision}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_listed_while_one_is_changed() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let mut client = served.client.clone();
    let changing = tokio::spawn(async move {
        for _ in 0..200 {
            client.update(change("s", 10)).await.unwrap();
        }
    });
    let list = ListReq {
        options: Some(list_req::Options {
            list_option: Some(ListOption::ListAllSubscriptions(Empty {})),
        }),
    };
    let listing = async {
        while !changing.is_finished() {
            let mut asking = served.client.clone();
            let listed = asking.list(list.clone());
            let listed = tokio::time::timeout(Duration::from_secs(30), listed).await;
            let listed = listed.expect("it is not answered").unwrap().into_inner();
            assert_eq!(listed.subscriptions.len(), 1);
        }
    };
    let listing = tokio::time::timeout(Duration::from_secs(300), listing).await;
    listing.expect("the changes do not end");
    changing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_server_goes_on_where_this_one_was() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 6).await;
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.ids_within(SHORT).await, ids);
    consumer.ack(&[ids[0], ids[1], ids[4]]).await;
    assert!(consumer.within(SHORT).await.is_none());
    let served = served.restarted().await;
    let ended = consumer.end().await.unwrap();
    assert_eq!(ended.code(), Code::Unavailable);
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.ids_within(SHORT).await, ids[2..]);
    assert_eq!(
        served
            .read("$persistentsubscription-s::group-checkpoint")
            .await[0]
            .data,
        r#""1""#
    );
}

#[tokio::test(start_paused = true)]
async fn checkpoints_do_not_pile_up() {
    let served = Served::memory().await;
    let mut settings = settings();
    settings.max_checkpoint_count = 1;
    served.create("s", settings).await;
    let mut consumer = served.join("s", 10).await;
    for _ in 0..20 {
        let ids = served.append("s", 1).await;
        consumer.next().await;
        consumer.ack(&ids).await;
        tokio::time::sleep(SHORT).await;
    }
    let checkpoints = served
        .read("$persistentsubscription-s::group-checkpoint")
        .await;
    assert_eq!(checkpoints.len(), 2);
    assert_eq!(
        (checkpoints[1].event_type.as_str(), &*checkpoints[1].data),
        ("$SubscriptionCheckpoint", br#""19""#.as_slice())
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_group_drops_its_consumers_and_leaves_nothing() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 20).await;
    let mut consumer = served.join("s", 100).await;
    consumer.ids_within(SHORT).await;
    consumer.ack(&ids).await;
    assert!(consumer.within(SHORT).await.is_none());
    served.client.clone().delete(deletion("s")).await.unwrap();
    let ended = consumer.end().await.unwrap();
    check_refused(
        &ended,
        Code::Cancelled,
        "persistent-subscription-dropped",
        "s",
    );
    assert!(
        served
            .read("$persistentsubscription-s::group-checkpoint")
            .await
            .is_empty()
    );
    let again = served
        .client
        .clone()
        .delete(deletion("s"))
        .await
        .unwrap_err();
    check_refused(
        &again,
        Code::NotFound,
        "persistent-subscription-does-not-exist",
        "s",
    );
    served.create("s", settings()).await;
    let mut consumer = served.join("s", 100).await;
    assert_eq!(consumer.ids_within(SHORT).await, ids);
}

#[tokio::test(start_paused = true)]
async fn a_changed_group_drops_its_consumers_and_goes_on() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 4).await;
    let mut consumer = served.join("s", 10).await;
    consumer.ids_within(SHORT).await;
    consumer.ack(&ids[..3]).await;
    assert!(consumer.within(SHORT).await.is_none());
    served.client.clone().update(change("s", 10)).await.unwrap();
    let ended = consumer.end().await.unwrap();
    check_refused(
        &ended,
        Code::Cancelled,
        "persistent-subscription-dropped",
        "s",
    );
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[3], 0));
    let info = served.info("s").await;
    assert_eq!((info.start_from.as_str(), info.max_retry_count), ("-1", 3));
    assert_eq!(info.named_consumer_strategy, "Pinned");
    assert_eq!(info.last_checkpointed_event_position, "2");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_the_ones_that_clients_know() {
    let served = Served::memory().await;
    let client = || served.client.clone();
    let missing = "persistent-subscription-does-not-exist";
    let status = client().update(change("s", 10)).await.unwrap_err();
    check_refused(&status, Code::NotFound, missing, "s");
    let status = served.try_join("s", "group", 10).await.err().unwrap();
    check_refused(&status, Code::NotFound, missing, "s");

    served
        .create(
            "s",
            create_req::Settings {
                max_subscriber_count: 1,
                ..settings()
            },
        )
        .await;
    let status = client()
        .create(creation("s", "group", settings()))
        .await
        .unwrap_err();
    check_refused(
        &status,
        Code::AlreadyExists,
        "persistent-subscription-exists",
        "s",
    );
    let one = served.join("s", 10).await;
    let status = served.try_join("s", "group", 10).await.err().unwrap();
    check_refused(
        &status,
        Code::FailedPrecondition,
        "maximum-subscribers-reached",
        "s",
    );
    assert!(
        status
            .message()
            .starts_with("Maximum subscriptions reached for subscription group")
    );
    drop(one);

    let failed = "persistent-subscription-failed";
    let status = client().update(change("s", 9)).await.unwrap_err();
    check_refused(&status, Code::Internal, failed, "s");
    for settings in [
        create_req::Settings {
            history_buffer_size: 19,
            ..settings()
        },
        create_req::Settings {
            consumer_strategy: "InvalidStrategy".to_owned(),
            ..settings()
        },
    ] {
        let status = client()
            .create(creation("t", "group", settings))
            .await
            .unwrap_err();
        check_refused(&status, Code::Internal, failed, "t");
        assert!(status.metadata().get("reason").is_some());
    }
    let status = client()
        .create(creation("t", &"g".repeat(600), settings()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn groups_are_listed_by_source() {
    let served = Served::memory().await;
    for (stream, group) in [("s", "a"), ("s", "b"), ("$all", "c")] {
        let request = creation(stream, group, settings());
        served.client.clone().create(request).await.unwrap();
    }
    let list = async |option: ListOption| {
        let options = list_req::Options {
            list_option: Some(option),
        };
        let request = ListReq {
            options: Some(options),
        };
        let listed = served.client.clone().list(request).await?.into_inner();
        let names = listed.subscriptions.into_iter().map(|one| one.group_name);
        Ok::<Vec<String>, Status>(names.collect())
    };
    let of = |stream: &str| {
        use list_req::stream_option::StreamOption;
        ListOption::ListForStream(list_req::StreamOption {
            stream_option: Some(match stream {
                "$all" => StreamOption::All(Empty {}),
                stream => StreamOption::Stream(identifier(stream)),
            }),
        })
    };
    assert_eq!(
        list(ListOption::ListAllSubscriptions(Empty {}))
            .await
            .unwrap(),
        ["c", "a", "b"]
    );
    assert_eq!(list(of("s")).await.unwrap(), ["a", "b"]);
    assert_eq!(list(of("$all")).await.unwrap(), ["c"]);
    assert_eq!(list(of("other")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_subsystem_drops_consumers_and_keeps_groups() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 2).await;
    let mut consumer = served.join("s", 10).await;
    consumer.next().await;
    consumer.ack(&ids[..1]).await;
    assert_eq!(consumer.ids_within(SHORT).await, ids[1..]);
    served
        .client
        .clone()
        .restart_subsystem(Empty {})
        .await
        .unwrap();
    assert_eq!(consumer.end().await.unwrap().code(), Code::Cancelled);
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.next_id().await, (ids[1], 0));
}

#[tokio::test(start_paused = true)]
async fn nonsense_ends_the_call_and_says_why() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let mut consumer = served.join("s", 10).await;
    consumer
        .say(Content::Options(read_req::Options::default()))
        .await;
    assert_eq!(consumer.end().await.unwrap().code(), Code::InvalidArgument);
    tokio::time::sleep(SHORT).await;
    assert!(served.info("s").await.connections.is_empty());
}

/// Of source and name together the names of the streams that a group keeps are made.
#[tokio::test(start_paused = true)]
async fn no_group_keeps_the_streams_of_another() {
    let served = Served::memory().await;
    let create = async |stream, group| {
        let request = creation(stream, group, settings());
        served.client.clone().create(request).await
    };
    create("orders", "eu::billing").await.unwrap();
    let status = create("orders::eu", "billing").await.unwrap_err();
    check_refused_group(&status, "orders::eu", "billing");
    assert!(
        status
            .message()
            .contains("group eu::billing on stream orders")
    );
    create("orders::eu", "eu::billing").await.unwrap();
    let all = GroupKey {
        source: SourceName::Stream(name("$all")),
        group: "billing".to_owned(),
    };
    let config = GroupConfig::new(Settings::default(), StartFrom::Start);
    let refused = served.subscriptions.create(all, config, "").await;
    assert!(matches!(refused, Err(SubscriptionError::Failed { .. })));
}

fn check_refused_group(status: &Status, stream: &str, group: &str) {
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    let trailer = |key: &str| status.metadata().get(key).and_then(|v| v.to_str().ok());
    assert_eq!(trailer("exception"), Some("persistent-subscription-failed"));
    assert_eq!(trailer("stream-name"), Some(stream));
    assert_eq!(trailer("group-name"), Some(group));
}

/// What a deleted group noted late, or put aside late, is nothing to a new one of its name.
#[tokio::test(start_paused = true)]
async fn a_new_group_begins_anew() {
    let served = Served::memory().await;
    served.create("s", settings()).await;
    let ids = served.append("s", 3).await;
    served.client.clone().delete(deletion("s")).await.unwrap();
    let note = |event_type: &str, data: &'static str| NewEvent {
        data: data.into(),
        event_type: EventType::new(event_type).unwrap(),
        ..served.event("T")
    };
    let checkpoint = note("$SubscriptionCheckpoint", "\"1\"");
    served.append_events(CHECKPOINTS, vec![checkpoint]).await;
    served.append_events(PARKED, vec![note("$>", "0@s")]).await;
    served.create("s", settings()).await;
    assert_eq!(served.info("s").await.parked_message_count, 0);
    let mut consumer = served.join("s", 10).await;
    assert_eq!(consumer.ids_within(SHORT).await, ids);
}

#[tokio::test(start_paused = true)]
async fn a_short_timeout_is_the_same_after_a_restart() {
    let served = Served::memory().await;
    let mut settings = settings();
    settings.message_timeout = Some(MessageTimeout::MessageTimeoutTicks(5_000));
    served.create("s", settings).await;
    assert_eq!(served.info("s").await.message_timeout_milliseconds, 1);
    let served = served.restarted().await;
    assert_eq!(served.info("s").await.message_timeout_milliseconds, 1);
}

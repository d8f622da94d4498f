//! A service over a store, consumers that speak its messages, and a clock that the runtime moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use factum_io::{Clock, Random};
use factum_proto::kurrent::persistent_subscriptions::persistent_subscriptions_client::PersistentSubscriptionsClient;
use factum_proto::kurrent::persistent_subscriptions::persistent_subscriptions_server::PersistentSubscriptionsServer;
use factum_proto::kurrent::persistent_subscriptions::read_req::nack::Action;
use factum_proto::kurrent::persistent_subscriptions::read_req::options::{
    StreamOption, UuidOption, uuid_option,
};
use factum_proto::kurrent::persistent_subscriptions::read_req::{self, Ack, Content, Nack};
use factum_proto::kurrent::persistent_subscriptions::read_resp::read_event::Count;
use factum_proto::kurrent::persistent_subscriptions::read_resp::{self, ReadEvent};
use factum_proto::kurrent::persistent_subscriptions::{
    CreateReq, DeleteReq, GetInfoReq, ReadReq, ReadResp, ReplayParkedReq, SubscriptionInfo,
    TruncateParkedReq, create_req, delete_req, get_info_req, replay_parked_req,
    truncate_parked_req,
};
use factum_proto::kurrent::{Empty, StreamIdentifier, Uuid, uuid};
use factum_server::persistent::{Open, PersistentService, StoreFeed, Subscriptions, World};
use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest};
use factum_types::{
    EventId, EventType, ExpectedRevision, Metadata, NewEvent, RecordedEvent, StreamName,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

pub(super) type Client =
    PersistentSubscriptionsClient<PersistentSubscriptionsServer<PersistentService>>;

/// Longer than anything takes that is to happen.
const ENOUGH: Duration = Duration::from_secs(600);

/// The runtime's clock, which tests may stop and which then moves as soon as everything waits.
#[derive(Debug)]
struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    fn now_us(&self) -> i64 {
        1_700_000_000_000_000 + i64::try_from(self.0.elapsed().as_micros()).unwrap()
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap()
    }

    fn sleep(&self, _: Duration) {}
}

#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buf: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (to, from) in buf.iter_mut().rev().zip(next.iter().rev()) {
            *to = *from;
        }
    }
}

pub(super) struct Served {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) subscriptions: Subscriptions,
    pub(super) client: Client,
    world: World,
    next: AtomicU64,
}

impl Served {
    pub(super) async fn memory() -> Self {
        Self::over(Arc::new(MemoryStore::new())).await
    }

    pub(super) async fn over(store: Arc<dyn EventStore>) -> Self {
        let world = World {
            clock: Arc::new(RuntimeClock(Instant::now())),
            random: Arc::new(Counting::default()),
        };
        let (subscriptions, client) = open(&store, &world).await;
        Self {
            store,
            subscriptions,
            client,
            world,
            next: AtomicU64::new(1),
        }
    }

    /// The server ends and another begins over the same store.
    pub(super) async fn restarted(mut self) -> Self {
        self.subscriptions.shutdown().await;
        let (subscriptions, client) = open(&self.store, &self.world).await;
        self.subscriptions = subscriptions;
        self.client = client;
        self
    }

    /// Events of type `T` for a stream; gives their ids.
    pub(super) async fn append(&self, stream: &str, count: usize) -> Vec<u128> {
        let events: Vec<NewEvent> = (0..count).map(|_| self.event("T")).collect();
        let ids = events.iter().map(|event| event.id.as_u128()).collect();
        self.append_events(stream, events).await;
        ids
    }

    pub(super) fn event(&self, event_type: &str) -> NewEvent {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = EventId::from_bytes((u128::from(number) | 1 << 100).to_be_bytes());
        NewEvent::json(id, EventType::new(event_type).unwrap(), "{}").with_metadata(Metadata {
            custom: r#"{"a":1}"#.into(),
            ..Metadata::default()
        })
    }

    pub(super) async fn append_events(&self, stream: &str, events: Vec<NewEvent>) {
        let batch = AppendBatch::events(name(stream), ExpectedRevision::Any, events);
        self.store.append(batch).await.unwrap();
    }

    pub(super) async fn read(&self, stream: &str) -> Vec<RecordedEvent> {
        let events = self.store.read(ReadRequest::stream(name(stream)));
        events.collect().await.unwrap_or_default()
    }

    pub(super) async fn create(&self, stream: &str, settings: create_req::Settings) {
        let request = creation(stream, "group", settings);
        self.client.clone().create(request).await.unwrap();
    }

    pub(super) async fn join(&self, stream: &str, buffer: i32) -> Consumer {
        self.try_join(stream, "group", buffer).await.unwrap()
    }

    pub(super) async fn try_join(
        &self,
        stream: &str,
        group: &str,
        buffer: i32,
    ) -> Result<Consumer, Status> {
        let (sender, receiver) = mpsc::channel(1_000);
        let options = read_req::Options {
            stream_option: Some(match stream {
                "$all" => StreamOption::All(Empty {}),
                stream => StreamOption::StreamIdentifier(identifier(stream)),
            }),
            group_name: group.to_owned(),
            buffer_size: buffer,
            uuid_option: Some(UuidOption {
                content: Some(uuid_option::Content::String(Empty {})),
            }),
        };
        say(&sender, Content::Options(options)).await;
        let requests = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|request| (request, receiver))
        });
        let mut events = self.client.clone().read(requests).await?.into_inner();
        let first = events.message().await?.and_then(|first| first.content);
        assert!(
            matches!(first, Some(read_resp::Content::SubscriptionConfirmation(_))),
            "{first:?}"
        );
        Ok(Consumer { sender, events })
    }

    pub(super) async fn info(&self, stream: &str) -> SubscriptionInfo {
        use get_info_req::options::StreamOption;
        let options = get_info_req::Options {
            stream_option: Some(match stream {
                "$all" => StreamOption::All(Empty {}),
                stream => StreamOption::StreamIdentifier(identifier(stream)),
            }),
            group_name: "group".to_owned(),
        };
        let request = GetInfoReq {
            options: Some(options),
        };
        let response = self.client.clone().get_info(request).await.unwrap();
        response.into_inner().subscription_info.unwrap()
    }

    pub(super) async fn replay(&self, stream: &str, stop_at: Option<i64>) {
        use replay_parked_req::options::{StopAtOption, StreamOption};
        let options = replay_parked_req::Options {
            group_name: "group".to_owned(),
            stream_option: Some(StreamOption::StreamIdentifier(identifier(stream))),
            stop_at_option: Some(
                stop_at.map_or(StopAtOption::NoLimit(Empty {}), StopAtOption::StopAt),
            ),
        };
        let request = ReplayParkedReq {
            options: Some(options),
        };
        self.client.clone().replay_parked(request).await.unwrap();
    }

    pub(super) async fn truncate(&self, stream: &str, stop_at: Option<i64>) {
        use truncate_parked_req::options::StopAtOption;
        let stop_at = stop_at.map_or(StopAtOption::NoLimit(Empty {}), StopAtOption::StopAt);
        self.try_truncate(stream, Some(stop_at)).await.unwrap();
    }

    pub(super) async fn try_truncate(
        &self,
        stream: &str,
        stop_at_option: Option<truncate_parked_req::options::StopAtOption>,
    ) -> Result<(), Status> {
        use truncate_parked_req::options::StreamOption;
        let options = truncate_parked_req::Options {
            group_name: "group".to_owned(),
            stream_option: Some(StreamOption::StreamIdentifier(identifier(stream))),
            stop_at_option,
        };
        let request = TruncateParkedReq {
            options: Some(options),
        };
        let answer = self.client.clone().truncate_parked(request).await;
        answer.map(|_nothing| ())
    }
}

async fn open(store: &Arc<dyn EventStore>, world: &World) -> (Subscriptions, Client) {
    let feed = Arc::new(StoreFeed::new(Arc::clone(store)));
    let subscriptions = Subscriptions::open(Arc::clone(store), feed, world.clone()).await;
    let subscriptions = subscriptions.unwrap();
    let service = PersistentService::new(subscriptions.clone(), Arc::new(Open));
    let server = PersistentSubscriptionsServer::new(service);
    (subscriptions, Client::new(server))
}

pub(super) fn name(stream: &str) -> StreamName {
    StreamName::new(stream).unwrap()
}

pub(super) fn identifier(stream: &str) -> StreamIdentifier {
    StreamIdentifier {
        stream_name: stream.to_owned().into(),
    }
}

/// Settings like those that clients send when nothing is said.
pub(crate) fn settings() -> create_req::Settings {
    create_req::Settings {
        max_retry_count: 10,
        min_checkpoint_count: 10,
        max_checkpoint_count: 1_000,
        live_buffer_size: 500,
        read_batch_size: 20,
        history_buffer_size: 500,
        message_timeout: Some(create_req::settings::MessageTimeout::MessageTimeoutMs(
            30_000,
        )),
        checkpoint_after: Some(create_req::settings::CheckpointAfter::CheckpointAfterMs(
            2_000,
        )),
        consumer_strategy: "RoundRobin".to_owned(),
        ..create_req::Settings::default()
    }
}

/// A group from the start of a stream or of all.
pub(crate) fn creation(stream: &str, group: &str, settings: create_req::Settings) -> CreateReq {
    use create_req::all_options::AllOption;
    use create_req::options::StreamOption;
    use create_req::stream_options::RevisionOption;
    let stream_option = match stream {
        "$all" => StreamOption::All(create_req::AllOptions {
            all_option: Some(AllOption::Start(Empty {})),
            filter_option: None,
        }),
        stream => StreamOption::Stream(create_req::StreamOptions {
            stream_identifier: Some(identifier(stream)),
            revision_option: Some(RevisionOption::Start(Empty {})),
        }),
    };
    CreateReq {
        options: Some(create_req::Options {
            stream_option: Some(stream_option),
            group_name: group.to_owned(),
            settings: Some(settings),
            ..create_req::Options::default()
        }),
    }
}

pub(super) fn deletion(stream: &str) -> DeleteReq {
    use delete_req::options::StreamOption;
    DeleteReq {
        options: Some(delete_req::Options {
            stream_option: Some(StreamOption::StreamIdentifier(identifier(stream))),
            group_name: "group".to_owned(),
        }),
    }
}

async fn say(sender: &mpsc::Sender<ReadReq>, content: Content) {
    let request = ReadReq {
        content: Some(content),
    };
    sender.send(request).await.unwrap();
}

pub(super) struct Consumer {
    sender: mpsc::Sender<ReadReq>,
    events: Streaming<ReadResp>,
}

impl Consumer {
    /// The next event, however long it takes.
    pub(super) async fn next(&mut self) -> ReadEvent {
        self.within(ENOUGH).await.expect("no event came")
    }

    /// The id of the next event, and how often it was given before.
    pub(super) async fn next_id(&mut self) -> (u128, i32) {
        let event = self.next().await;
        (id(&event), retries(&event))
    }

    /// The ids of what comes within the time.
    pub(super) async fn ids_within(&mut self, time: Duration) -> Vec<u128> {
        let mut ids = Vec::new();
        while let Some(event) = self.within(time).await {
            ids.push(id(&event));
        }
        ids
    }

    /// The next event, when one comes within the time.
    pub(super) async fn within(&mut self, time: Duration) -> Option<ReadEvent> {
        let message = tokio::time::timeout(time, self.events.message())
            .await
            .ok()?;
        let message = message.expect("the call failed").expect("the call ended");
        match message.content {
            Some(read_resp::Content::Event(event)) => Some(event),
            other => panic!("{other:?}"),
        }
    }

    /// Why the call ends, after what is still given; `None` for no fault.
    pub(super) async fn end(&mut self) -> Option<Status> {
        loop {
            match tokio::time::timeout(ENOUGH, self.events.message()).await {
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => return None,
                Ok(Err(status)) => return Some(status),
                Err(_) => panic!("the call does not end"),
            }
        }
    }

    pub(super) async fn ack(&self, ids: &[u128]) {
        let ack = Ack {
            ids: ids.iter().map(|id| text(*id)).collect(),
            ..Ack::default()
        };
        say(&self.sender, Content::Ack(ack)).await;
    }

    pub(super) async fn nack(&self, id: u128, action: Action) {
        let nack = Nack {
            ids: vec![text(id)],
            action: action.into(),
            reason: "because".to_owned(),
            ..Nack::default()
        };
        say(&self.sender, Content::Nack(nack)).await;
    }

    pub(super) async fn say(&self, content: Content) {
        say(&self.sender, content).await;
    }
}

/// An id as consumers send and receive it here.
pub(super) fn text(id: u128) -> Uuid {
    let text = EventId::from_bytes(id.to_be_bytes()).to_string();
    Uuid {
        value: Some(uuid::Value::String(text)),
    }
}

/// By which id an event is answered: that of the link where there is one.
pub(super) fn id(event: &ReadEvent) -> u128 {
    let original = event.link.as_ref().or(event.event.as_ref()).unwrap();
    match original.id.as_ref().and_then(|id| id.value.as_ref()) {
        Some(uuid::Value::String(text)) => text.parse::<EventId>().unwrap().as_u128(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn retries(event: &ReadEvent) -> i32 {
    match event.count {
        Some(Count::RetryCount(count)) => count,
        ref other => panic!("{other:?}"),
    }
}

/// That a status is this refusal, about this stream and the group `group`.
pub(super) fn check_refused(status: &Status, code: Code, exception: &str, stream: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let trailer = |key: &str| status.metadata().get(key).and_then(|v| v.to_str().ok());
    assert_eq!(trailer("exception"), Some(exception), "{status:?}");
    assert_eq!(trailer("stream-name"), Some(stream), "{status:?}");
    assert_eq!(trailer("group-name"), Some("group"), "{status:?}");
    assert_eq!(trailer("grpc-status-details-bin"), None);
}

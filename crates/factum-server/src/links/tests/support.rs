//! Random logs, what their virtual streams hold, and stores that count or are damaged.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_engine::{Engine, Options};
use factum_store::{
    AppendBatch, Change, Damage, EventStore, EventStream, MemoryStore, ReadRequest, Receipt,
    StoreError, StreamInfo, StreamsRequest, SubscribeRequest, Subscription, SubscriptionItem,
};
use factum_types::{
    EventId, EventType, ExpectedRevision, NewEvent, Position, RecordedEvent, Revision, StreamName,
    StreamSettings, name::category_of,
};
use futures_core::future::BoxFuture;
use futures_util::StreamExt;

use crate::links::counts::Limits;
use crate::links::{Link, LinkReader, LinkStream, Links};
use crate::wire::event::correlation_tag;

/// So small that everything has ends in a small log.
pub(super) const TIGHT: Limits = Limits {
    streams: 3,
    points: 5,
    stride_links: 4,
    slice_events: 7,
};

/// Every virtual stream that a random log fills, and some that stay empty.
pub(super) const VIRTUAL: [&str; 16] = [
    "$ce-order",
    "$ce-cart",
    "$ce-none",
    "$ce-$order",
    "$ce-$$order",
    "$et-A",
    "$et-B",
    "$et-$metadata",
    "$et-$>",
    "$et-None",
    "$bc-one",
    "$bc-two",
    "$streams",
    "$category-order",
    "$category-cart",
    "$category-none",
];

const STREAMS: [&str; 12] = [
    "order-1",
    "order-2",
    "order-2-3",
    "order-4",
    "cart-1",
    "cart-2",
    "order",
    "-x",
    "plain",
    "$order-1",
    "$$order-1",
    "$$cart-2",
];

/// A small generator of numbers (splitmix64); the same seed gives the same.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    pub(super) fn event(&mut self) -> NewEvent {
        let event = event(self.of(&["A", "A", "A", "B", "$metadata", "$>"]));
        match self.below(4) {
            0 => event.with_tags(correlation_tag("one")),
            1 => event.with_tags(correlation_tag("two")),
            _ => event,
        }
    }
}

pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// An event with an id of its own.
pub(super) fn event(event_type: &str) -> NewEvent {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    NewEvent::json(
        EventId::from_bytes(id.to_be_bytes()),
        EventType::new(event_type).unwrap(),
        "{}",
    )
}

pub(super) async fn append(store: &dyn EventStore, name: &str, events: Vec<NewEvent>) {
    let batch = AppendBatch::events(stream(name), ExpectedRevision::Any, events);
    store.append(batch).await.unwrap();
}

/// Appends so many batches: mostly events, sometimes what changes a stream.
pub(super) async fn fill(store: &dyn EventStore, random: &mut Random, batches: u64) {
    for _ in 0..batches {
        let name = random.of(&STREAMS);
        let change = match random.below(30) {
            0 => Change::Delete,
            1 => Change::Settings(StreamSettings {
                truncate_before: Some(Revision::new(random.below(5))),
                ..StreamSettings::default()
            }),
            // Only where others of the category remain.
            2 if name == "order-4" => Change::Tombstone,
            _ => Change::Events((0..=random.below(6)).map(|_| random.event()).collect()),
        };
        let batch = AppendBatch::change(stream(name), ExpectedRevision::Any, change);
        // A stream that is gone cannot be deleted, nor one with a tombstone written.
        drop(store.append(batch).await);
    }
}

/// What the virtual streams of a log hold, by definition.
pub(super) async fn fold(store: &dyn EventStore, name: &str) -> Vec<RecordedEvent> {
    let all = store.read(ReadRequest::all()).collect().await.unwrap();
    let is_of = |event: &RecordedEvent| {
        let target = event.stream.as_str();
        let is_user = !target.starts_with('$');
        let is_first = event.revision.number() == 0;
        let is_in = |category: &str| is_user && category_of(target) == Some(category);
        let (prefix, rest) = name.split_once('-').unwrap_or((name, ""));
        match prefix {
            "$streams" => is_user && is_first,
            "$ce" => is_in(rest),
            "$category" => is_in(rest) && is_first,
            "$et" => event.event_type.as_str() == rest && rest != "$>",
            "$bc" => event
                .tags
                .iter()
                .any(|tag| tag.as_str() == format!("$correlationId:{rest}")),
            _ => panic!("{name} is not a virtual stream"),
        }
    };
    all.into_iter().filter(is_of).collect()
}

/// The links to these events.
pub(super) fn links_to(name: &str, targets: &[RecordedEvent]) -> Vec<Link> {
    let link = |(number, target): (usize, &RecordedEvent)| Link {
        stream: stream(name),
        number: number as u64,
        target: target.clone(),
    };
    targets.iter().enumerate().map(link).collect()
}

pub(super) async fn collect(links: LinkStream) -> Vec<Link> {
    links.map(Result::unwrap).collect().await
}

pub(super) fn reader(links: &Links, name: &str) -> LinkReader {
    links.named(&stream(name)).unwrap()
}

/// An engine in a directory that is removed when it is dropped.
pub(super) struct TempEngine {
    engine: Arc<Engine>,
    directory: PathBuf,
}

impl TempEngine {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("factum-links-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let options = Options::new(directory.join("data")).segment_bytes(256 << 10);
        let engine = Engine::open(options, factum_io::Env::real()).unwrap();
        Self {
            engine: Arc::new(engine),
            directory,
        }
    }

    pub(super) fn store(&self) -> Arc<dyn EventStore> {
        self.engine.clone()
    }
}

impl Drop for TempEngine {
    fn drop(&mut self) {
        drop(self.engine.close());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// A memory store that counts the events it was asked for, and damages some.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    pub(super) store: MemoryStore,
    given: Arc<AtomicU64>,
    /// Positions whose events cannot be read.
    pub(super) damaged: Arc<std::sync::Mutex<Vec<u64>>>,
}

impl Watched {
    /// How many events reads gave since the last call.
    pub(super) fn given(&self) -> u64 {
        self.given.swap(0, Ordering::Relaxed)
    }

    pub(super) fn damage(&self, positions: impl IntoIterator<Item = u64>) {
        self.damaged.lock().unwrap().extend(positions);
    }

    fn seen(&self) -> impl Fn(RecordedEvent) -> Result<RecordedEvent, StoreError> + use<> {
        let damaged = self.damaged.lock().unwrap().clone();
        move |event| {
            if damaged.contains(&event.position.raw()) {
                return Err(damage(event.position));
            }
            Ok(event)
        }
    }
}

fn damage(position: Position) -> StoreError {
    let damage = Damage {
        file: "somewhere".to_owned(),
        offset: 0,
        length: 1,
        first: position,
        last: position,
    };
    StoreError::corrupt("damaged for a test", damage)
}

impl EventStore for Watched {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        self.store.append(batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (given, seen) = (Arc::clone(&self.given), self.seen());
        EventStream::new(self.store.read(request).map(move |item| {
            given.fetch_add(1, Ordering::Relaxed);
            item.and_then(&seen)
        }))
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        let seen = self.seen();
        Subscription::new(self.store.subscribe(request).map(move |item| match item? {
            SubscriptionItem::Event(event) => {
                seen(*event).map(|event| SubscriptionItem::Event(Box::new(event)))
            }
            other => Ok(other),
        }))
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.store.head()
    }

    /// As the engine: what a stream's last event says is not known when that is damaged.
    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        let damaged = self.damaged.lock().unwrap().clone();
        Box::pin(async move {
            let info = self.store.stream_info(stream).await?;
            let last = info.last_position.filter(|at| damaged.contains(&at.raw()));
            last.map_or(Ok(info), |at| Err(damage(at)))
        })
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        self.store.streams(request)
    }
}

//! What all requests share: the store, the settings, and where time and chance come from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use factum_io::Env;
use factum_store::{AppendBatch, CheckpointStore, EventStore, Kind, SnapshotStore, StoreError};
use factum_types::{EventId, StreamName, Timestamp};
use futures_core::future::BoxFuture;
use tokio::sync::watch;
use uuid::Uuid;

use crate::StartError;
use crate::auth::Auth;
use crate::flight::Outcome;
use crate::links::Links;
use crate::metrics::{self, Metrics};
use crate::options::{Limits, Options};
use crate::overdue::{Late, Overdue, first_look};
use crate::persistent::{StoreFeed, Subscriptions};
use crate::room::Room;
use crate::task::to_the_end;
use crate::world::{World, event_id};

/// All that a server asks of what it serves.
pub trait Store: EventStore + SnapshotStore + CheckpointStore {}

impl<S: EventStore + SnapshotStore + CheckpointStore> Store for S {}

/// One server, as its handlers see it. Cloned by reference.
pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) auth: Auth,
    pub(crate) links: Links,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) options: Options,
    pub(crate) env: Env,
    /// Which server this is, anew each time it starts.
    pub(crate) instance: Uuid,
    pub(crate) metrics: Metrics,
    /// Where appends wait for the store.
    overdue: Overdue,
    /// For what requests bring.
    pub(crate) room: Arc<Room>,
    started_ns: u64,
    priority: AtomicI32,
    stopping: watch::Sender<bool>,
}

impl Node {
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        options: Options,
        env: Env,
    ) -> Result<Arc<Self>, StartError> {
        let auth = Auth::start(
            Arc::clone(&store) as Arc<dyn EventStore>,
            Arc::clone(&env.clock),
            Arc::clone(&env.random),
            &options.auth,
        )
        .await?;
        let mut random = [0; 16];
        env.random.fill(&mut random);
        // Version 4: an older client takes no newer one.
        let instance = uuid::Builder::from_random_bytes(random).into_uuid();
        let started_ns = env.clock.monotonic_ns();
        let events = Arc::clone(&store) as Arc<dyn EventStore>;
        let links = Links::new(Arc::clone(&events));
        let feed = Arc::new(StoreFeed::with(Arc::clone(&events), links.clone()));
        let subscriptions = Subscriptions::open(events, feed, World::from(&env)).await?;
        Ok(Arc::new(Self {
            store,
            auth,
            links,
            subscriptions,
            room: room(&options.limits),
            options,
            env,
            instance,
            metrics: Metrics::new(),
            overdue: Overdue::start(),
            started_ns,
            priority: AtomicI32::new(0),
            stopping: watch::Sender::new(false),
        }))
    }

    /// An id that no event has.
    pub(crate) fn new_id(&self) -> EventId {
        event_id(&*self.env.clock, &*self.env.random)
    }

    /// Appends `count` events to these streams within a time, and counts it. The append is handed to the store with the first look at
    /// this future; after the time its outcome is not known.
    pub(crate) async fn append_within<T: Send + 'static>(
        self: &Arc<Self>,
        streams: Vec<StreamName>,
        count: usize,
        time: Duration,
        mut append: BoxFuture<'static, Result<T, StoreError>>,
    ) -> Result<Result<T, StoreError>, Late> {
        let began = self.env.clock.monotonic_ns();
        // The time is not that of what is carried out: what lands afterwards is to be forgotten afterwards.
        let answered = if streams.iter().any(is_remembered) {
            let at_once = first_look(&mut append).await;
            let carried = async move {
                match at_once {
                    Some(answer) => answer,
                    None => append.await,
                }
            };
            let carried: BoxFuture<'_, _> = Box::pin(self.carry_out(streams, carried));
            self.overdue.within(time, carried).await
        } else {
            self.overdue.within(time, append).await
        };
        self.metrics
            .appended(result(&answered), count, self.since(began));
        answered
    }

    /// Appends each of these within a time, and counts them. They are handed to the store with the first look at this future; after the
    /// time the outcome of all of them is not known. None of them is to a stream of which something is remembered.
    pub(crate) async fn append_each_within(
        &self,
        batches: Vec<AppendBatch>,
        time: Duration,
    ) -> Vec<Outcome> {
        let began = self.env.clock.monotonic_ns();
        let counts: Vec<usize> = batches.iter().map(AppendBatch::event_count).collect();
        debug_assert!(
            !batches.iter().any(remembers),
            "what is remembered is forgotten by those who append to it"
        );
        let answered = self
            .overdue
            .within(time, self.store.append_each(batches))
            .await;
        let took = self.since(began);
        let outcomes: Vec<Outcome> = match answered {
            // Whatever a store does, each is answered.
            Ok(answers) => answers
                .into_iter()
                .chain(std::iter::repeat_with(|| Err(not_answered())))
                .take(counts.len())
                .map(Ok)
                .collect(),
            Err(Late) => counts.iter().map(|_| Err(Late)).collect(),
        };
        for (outcome, count) in outcomes.iter().zip(counts) {
            self.metrics.appended(result(outcome), count, took);
        }
        outcomes
    }

    /// Carries an append to these streams out, and forgets afterwards what is remembered of them.
    ///
    /// Where something is remembered (of `$…` streams), it is carried out although the caller may go.
    pub(crate) async fn carry_out<T: Send + 'static>(
        self: &Arc<Self>,
        streams: Vec<StreamName>,
        append: impl Future<Output = T> + Send + 'static,
    ) -> T {
        if !streams.iter().any(is_remembered) {
            return append.await;
        }
        let node = Arc::clone(self);
        to_the_end(async move {
            let answer = append.await;
            for stream in &streams {
                node.auth.written(stream);
            }
            answer
        })
        .await
    }

    /// How long it has been there.
    pub(crate) fn uptime(&self) -> Duration {
        self.since(self.started_ns)
    }

    /// How long ago a moment of the monotonic clock was.
    pub(crate) fn since(&self, ns: u64) -> Duration {
        Duration::from_nanos(self.env.clock.monotonic_ns().saturating_sub(ns))
    }

    /// How willing it is to lead; it always does.
    pub(crate) fn priority(&self) -> i32 {
        self.priority.load(Ordering::Relaxed)
    }

    pub(crate) fn set_priority(&self, priority: i32) {
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// Ends what would never end by itself.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Ready once the server stops.
    pub(crate) async fn stopping(&self) {
        // The sender is this node's own, so it is there as long as anybody waits.
        let mut stopping = self.stopping.subscribe();
        let _stopped = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Now, by the wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.env.clock.now_us())
    }
}

fn not_answered() -> StoreError {
    StoreError::new(Kind::Unknown, "the store did not answer this append")
}

fn result<T>(answered: &Result<Result<T, StoreError>, Late>) -> metrics::Result {
    match answered {
        Ok(answer) => metrics::Result::of(answer),
        Err(Late) => metrics::Result::Refused,
    }
}

/// Whether a batch writes to a stream of which something is remembered.
pub(crate) fn remembers(batch: &AppendBatch) -> bool {
    batch
        .writes
        .iter()
        .any(|write| is_remembered(&write.stream))
}

/// Whether something is remembered of a stream, which an append to it changes.
fn is_remembered(stream: &StreamName) -> bool {
    stream.as_str().starts_with('$')
}

/// Room for as many bytes as the limits say, and for a few of the largest messages at least: as they come, and as what is made of them.
fn room(limits: &Limits) -> Arc<Room> {
    const AT_LEAST: usize = 4;
    let least = limits.message_bytes.saturating_mul(AT_LEAST);
    Arc::new(Room::new(limits.request_bytes_in_flight.max(least)))
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

//! KurrentDB's second protocol: records for many streams at once, all of them or none.
//!
//! What lives here: the two calls, one file each; `record` is what they append, `check` what must hold, `errors` how they refuse.
//! Relies on: `log` for what a stream is. Never: uses the errors of the first protocol.

mod check;
mod errors;
mod record;
mod records;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use factum_proto::kurrent::v2::streams::streams_service_server::StreamsService;
use factum_proto::kurrent::v2::streams::{
    AppendRecordsRequest, AppendRecordsResponse, AppendRequest, AppendSessionResponse,
};
use factum_store::{AppendBatch, Receipt, StoreError, StreamReceipt, StreamWrite};
use factum_types::{ExpectedRevision, NewEvent, StreamName};
use tonic::{Request, Response, Status, Streaming};

use crate::guard::{brought, caller};
use crate::links::VirtualStream;
use crate::log::append::not_written;
use crate::log::metadata;
use crate::node::Node;
use crate::wire::expected::{EXISTS, NO_STREAM};
use crate::wire::position;

/// The service over one node.
#[derive(Debug, Clone)]
pub(crate) struct SecondStreamsService {
    node: Arc<Node>,
}

impl SecondStreamsService {
    pub(crate) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl StreamsService for SecondStreamsService {
    async fn append_session(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<AppendSessionResponse>, Status> {
        let caller = caller(&request);
        session::append(&self.node, &caller, brought(request))
            .await
            .map(Response::new)
    }

    async fn append_records(
        &self,
        request: Request<AppendRecordsRequest>,
    ) -> Result<Response<AppendRecordsResponse>, Status> {
        let caller = caller(&request);
        records::append(&self.node, &caller, brought(request))
            .await
            .map(Response::new)
    }
}

/// A revision or state as the protocol numbers it.
fn expectation(number: i64) -> Option<ExpectedRevision> {
    match number {
        NO_STREAM => Some(ExpectedRevision::NoStream),
        EXISTS => Some(ExpectedRevision::StreamExists),
        number => {
            let revision = u64::try_from(number).ok()?;
            Some(ExpectedRevision::Exactly(factum_types::Revision::new(
                revision,
            )))
        }
    }
}

/// A stream's name, as text.
fn stream_name(text: &str) -> Result<StreamName, Status> {
    if text == "$$" {
        return Err(Status::invalid_argument("$$ names no stream"));
    }
    StreamName::new(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// A position as the protocol has it here, signed.
fn signed_position(at: factum_types::Position) -> i64 {
    i64::try_from(position::to_wire(at)).unwrap_or(i64::MAX)
}

/// Adds events for a stream to a batch, and what puts metadata in force.
async fn write(
    node: &Node,
    batch: &mut AppendBatch,
    stream: StreamName,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    if VirtualStream::parse(&stream).is_some() {
        return Err(not_written(&stream));
    }
    let besides = match metadata::subject(&stream) {
        Some(subject) => metadata::besides(&*node.store, subject, &events).await?,
        None => Vec::new(),
    };
    batch
        .writes
        .push(StreamWrite::events(stream, expected, events));
    batch.writes.extend(besides);
    Ok(())
}

/// Appends, within the time that an append may take, and counts it.
async fn append(
    node: &Arc<Node>,
    batch: AppendBatch,
) -> Result<Result<Receipt, StoreError>, Status> {
    let streams = batch.writes.iter().map(|write| write.stream.clone());
    let (streams, count, store) = (
        streams.collect(),
        batch.event_count(),
        Arc::clone(&node.store),
    );
    let append = Box::pin(async move { store.append(batch).await });
    let time = node.options.limits.append;
    let answered = node.append_within(streams, count, time, append).await;
    answered.map_err(|late| Status::aborted(format!("Operation timed out: {late}")))
}

/// Streams, each once, in the order in which they were first named.
#[derive(Debug, Default)]
struct Named {
    order: Vec<StreamName>,
    seen: BTreeSet<StreamName>,
}

impl Named {
    /// Adds one; says whether it is new.
    fn add(&mut self, stream: &StreamName) -> bool {
        let new = self.seen.insert(stream.clone());
        if new {
            self.order.push(stream.clone());
        }
        new
    }

    /// Where each of them is after an append.
    fn landed<'a>(&'a self, receipt: &'a Receipt) -> impl Iterator<Item = &'a StreamReceipt> {
        let last: BTreeMap<_, _> = receipt
            .writes
            .iter()
            .map(|write| (&write.stream, write))
            .collect();
        self.order
            .iter()
            .filter_map(move |stream| last.get(stream).copied())
    }
}

//! Factum's own protocol, `factum.v1`: the contract of the store, call by call (decision 0032).
//!
//! What lives here: the service; `append` is the call with many appends in flight, `coalesced` puts several items into a message, `errors`
//! says how a call ends, `may` who may make it. Relies on: `factum_proto::contract` for what messages mean, the store for everything else.
//! Never: adds to what the store answers.

mod append;
mod coalesced;
mod errors;
mod may;

use std::pin::Pin;
use std::sync::Arc;

use factum_proto::v1;
use factum_proto::v1::store_server::Store;
use factum_store::{
    Kind, ReadRequest, Snapshot, StoreError, StreamsRequest, SubscribeRequest, SubscriptionItem,
};
use factum_types::StreamName;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use crate::auth::Operation;
use crate::guard::{brought, caller};
use crate::metrics::Counted;
use crate::node::Node;
use coalesced::Coalesced;
use errors::{named, status, stopping};

pub(crate) use append::answers as append_answers;

/// Streams in one page, at most; a client asks for the next.
const STREAMS_MAX: u32 = 1_024;
/// Snapshots in one message, at most; they come without their states.
const SNAPSHOTS_MAX: usize = 64;

/// What a call that answers with many messages gives.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// What a call that answers with one message gives.
type Answer<T> = Result<Response<T>, Status>;

/// The service over one node.
#[derive(Debug, Clone)]
pub(crate) struct StoreService {
    node: Arc<Node>,
}

impl StoreService {
    pub(crate) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// What the store answers to a question, within the time for it.
    async fn asked<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Status> {
        self.within(Kind::Unavailable, answer).await
    }

    /// What the store answers to a write. When time is up, nobody knows whether it was done.
    async fn told<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Status> {
        self.within(Kind::Unknown, answer).await
    }

    async fn within<T>(
        &self,
        late: Kind,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Status> {
        let time = self.node.options.limits.answer;
        match tokio::time::timeout(time, answer).await {
            Ok(answer) => answer.map_err(|error| status(&error)),
            Err(_) => {
                let text = format!("the store has not answered within {time:?}");
                Err(status(&StoreError::new(late, text)))
            }
        }
    }
}

fn stream_name(text: &str) -> Result<StreamName, Status> {
    StreamName::new(text).map_err(|error| status(&named(error)))
}

#[tonic::async_trait]
impl Store for StoreService {
    type AppendStream = Answers<v1::AppendResponse>;
    type ReadStream = Answers<v1::ReadResponse>;
    type SubscribeStream = Answers<v1::SubscribeResponse>;
    type ListSnapshotsStream = Answers<v1::ListSnapshotsResponse>;

    async fn append(
        &self,
        requests: Request<Streaming<v1::AppendRequest>>,
    ) -> Answer<Self::AppendStream> {
        let caller = caller(&requests);
        let (requests, brought) = brought(requests);
        let answers = append::answers(Arc::clone(&self.node), caller, requests, brought);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn append_one(&self, request: Request<v1::AppendRequest>) -> Answer<v1::AppendResponse> {
        let caller = caller(&request);
        let answer = append::once(&self.node, &caller, brought(request)).await;
        Ok(Response::new(answer))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Answer<Self::ReadStream> {
        let caller = caller(&request);
        let request = ReadRequest::try_from(request.into_inner()).map_err(|e| status(&e))?;
        may::read(&self.node, &caller, &request.source).await?;
        let node = Arc::clone(&self.node);
        let events = self.node.store.read(request).inspect(move |event| {
            if event.is_ok() {
                node.metrics.read_events.inc();
            }
        });
        let events = Coalesced::new(events, None);
        let answers = events.into_messages(|items| v1::ReadResponse { items });
        Ok(Response::new(Box::pin(answers)))
    }

    /// The subscription is made before this returns: whoever has seen the answer's headers misses nothing that is appended afterwards.
    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Answer<Self::SubscribeStream> {
        let caller = caller(&request);
        let request = SubscribeRequest::try_from(request.into_inner()).map_err(|e| status(&e))?;
        may::follow(&self.node, &caller, &request.source).await?;
        let node = Arc::clone(&self.node);
        let stop = async move {
            node.stopping().await;
            stopping()
        };
        let node = Arc::clone(&self.node);
        let open = Counted::new(&node.metrics.subscriptions);
        let items = self.node.store.subscribe(request).inspect(move |item| {
            // As long as it is followed it is open, and so it is this that holds it.
            let _open = &open;
            if let Ok(SubscriptionItem::Event(_)) = item {
                node.metrics.read_events.inc();
            }
        });
        let items = Coalesced::new(items, Some(Box::pin(stop)));
        let answers = items.into_messages(|items| v1::SubscribeResponse { items });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn head(&self, _: Request<v1::HeadRequest>) -> Answer<v1::HeadResponse> {
        let head = self.asked(self.node.store.head()).await?;
        let position = head.map(factum_types::Position::raw);
        Ok(Response::new(v1::HeadResponse { position }))
    }

    async fn stream_info(
        &self,
        request: Request<v1::StreamInfoRequest>,
    ) -> Answer<v1::StreamInfoResponse> {
        let caller = caller(&request);
        let stream = stream_name(&request.into_inner().stream)?;
        may::on(&self.node, &caller, Operation::ReadStream, &stream).await?;
        let info = self.asked(self.node.store.stream_info(stream)).await?;
        let info = Some(info.into());
        Ok(Response::new(v1::StreamInfoResponse { info }))
    }

    async fn streams(&self, request: Request<v1::StreamsRequest>) -> Answer<v1::StreamsResponse> {
        may::anything(&self.node, &caller(&request), Operation::ReadAll).await?;
        let mut request = request.into_inner();
        request.limit = request.limit.min(STREAMS_MAX);
        let request = StreamsRequest::try_from(request).map_err(|e| status(&e))?;
        let found = self.asked(self.node.store.streams(request)).await?;
        let streams = found.into_iter().map(v1::StreamInfo::from).collect();
        Ok(Response::new(v1::StreamsResponse { streams }))
    }

    async fn save_snapshot(
        &self,
        request: Request<v1::SaveSnapshotRequest>,
    ) -> Answer<v1::SaveSnapshotResponse> {
        let caller = caller(&request);
        let missing = || StoreError::invalid("the message has no snapshot");
        let message = request.into_inner().snapshot.ok_or_else(missing);
        let snapshot = message.and_then(Snapshot::try_from);
        let snapshot = snapshot.map_err(|error| status(&error))?;
        may::write(&self.node, &caller, &snapshot.stream).await?;
        self.told(self.node.store.save_snapshot(snapshot)).await?;
        Ok(Response::new(v1::SaveSnapshotResponse {}))
    }

    async fn load_snapshot(
        &self,
        request: Request<v1::LoadSnapshotRequest>,
    ) -> Answer<v1::LoadSnapshotResponse> {
        let caller = caller(&request);
        let v1::LoadSnapshotRequest {
            stream,
            key,
            at_most,
        } = request.into_inner();
        let stream = stream_name(&stream)?;
        may::on(&self.node, &caller, Operation::ReadStream, &stream).await?;
        let loading = self.node.store.load_snapshot(stream, key, at_most);
        let snapshot = self.asked(loading).await?.map(v1::Snapshot::from);
        Ok(Response::new(v1::LoadSnapshotResponse { snapshot }))
    }

    async fn list_snapshots(
        &self,
        request: Request<v1::ListSnapshotsRequest>,
    ) -> Answer<Self::ListSnapshotsStream> {
        let caller = caller(&request);
        let stream = stream_name(&request.into_inner().stream)?;
        may::on(&self.node, &caller, Operation::ReadStream, &stream).await?;
        let found = self.asked(self.node.store.list_snapshots(stream)).await?;
        let pages: Vec<_> = found
            .chunks(SNAPSHOTS_MAX)
            .map(|page| v1::ListSnapshotsResponse {
                snapshots: page.iter().cloned().map(v1::Snapshot::from).collect(),
            })
            .collect();
        let answers = stream::iter(pages.into_iter().map(Ok));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn drop_snapshots(
        &self,
        request: Request<v1::DropSnapshotsRequest>,
    ) -> Answer<v1::DropSnapshotsResponse> {
        let caller = caller(&request);
        let v1::DropSnapshotsRequest { stream, key } = request.into_inner();
        let stream = stream_name(&stream)?;
        may::write(&self.node, &caller, &stream).await?;
        self.told(self.node.store.drop_snapshots(stream, key))
            .await?;
        Ok(Response::new(v1::DropSnapshotsResponse {}))
    }

    async fn save_checkpoint(
        &self,
        request: Request<v1::SaveCheckpointRequest>,
    ) -> Answer<v1::SaveCheckpointResponse> {
        may::anything(&self.node, &caller(&request), Operation::KeepCheckpoint).await?;
        let v1::SaveCheckpointRequest {
            consumer,
            checkpoint,
        } = request.into_inner();
        let missing = || status(&StoreError::invalid("the message has no checkpoint"));
        let checkpoint = checkpoint.ok_or_else(missing)?.into();
        self.told(self.node.store.save_checkpoint(consumer, checkpoint))
            .await?;
        Ok(Response::new(v1::SaveCheckpointResponse {}))
    }

    async fn load_checkpoint(
        &self,
        request: Request<v1::LoadCheckpointRequest>,
    ) -> Answer<v1::LoadCheckpointResponse> {
        may::anything(&self.node, &caller(&request), Operation::KeepCheckpoint).await?;
        let consumer = request.into_inner().consumer;
        let loading = self.node.store.load_checkpoint(consumer);
        let checkpoint = self.asked(loading).await?.map(v1::Checkpoint::from);
        Ok(Response::new(v1::LoadCheckpointResponse { checkpoint }))
    }
}

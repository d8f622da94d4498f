//! The service that every client uses: read, append, delete, and follow streams and `$all`.
//!
//! What lives here: one file per call. Relies on: `log` for what a stream is, `wire` for words. Never: looks at a connection.

mod append;
mod batch;
mod delete;
mod links;
mod read;
mod request;
mod subscribe;

use std::pin::Pin;
use std::sync::Arc;

use factum_proto::kurrent::streams::streams_server::Streams;
use factum_proto::kurrent::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq,
    ReadResp, TombstoneReq, TombstoneResp,
};
use futures_core::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::auth::{Operation, Target};
use crate::guard::{brought, caller};
use crate::node::Node;
pub(crate) use append::counted;
pub(crate) use batch::answers as batch_answers;
use request::Wanted;
pub(crate) use subscribe::{Item, Items};

/// What a call that answers with many messages gives.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service over one node.
#[derive(Debug, Clone)]
pub(crate) struct StreamsService {
    node: Arc<Node>,
}

impl StreamsService {
    pub(crate) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Streams for StreamsService {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        let node = Arc::clone(&self.node);
        let caller = caller(&request);
        let wanted = Wanted::parse(request.into_inner())?;
        let follows = wanted.count.is_none();
        match &wanted.target {
            request::Target::Stream(stream) => {
                let operation = if follows {
                    Operation::Subscribe
                } else {
                    Operation::ReadStream
                };
                node.allow_on(&caller, operation, stream).await?;
            }
            request::Target::All(_) => {
                let operation = if follows {
                    Operation::SubscribeAll
                } else {
                    Operation::ReadAll
                };
                node.allow(&caller, operation, Target::Server).await?;
            }
        }
        let answers = match wanted.count {
            Some(count) => read::read(node, caller, wanted, count).await?,
            None => subscribe::subscribe(node, caller, wanted).await?,
        };
        Ok(Response::new(answers))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendReq>>,
    ) -> Result<Response<AppendResp>, Status> {
        let caller = caller(&request);
        append::append(&self.node, &caller, brought(request))
            .await
            .map(Response::new)
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        let caller = caller(&request);
        delete::delete(&self.node, &caller, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn tombstone(
        &self,
        request: Request<TombstoneReq>,
    ) -> Result<Response<TombstoneResp>, Status> {
        let caller = caller(&request);
        delete::tombstone(&self.node, &caller, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        let caller = caller(&request);
        let (requests, brought) = brought(request);
        let answers = batch::answers(Arc::clone(&self.node), caller, requests, brought);
        Ok(Response::new(Box::pin(answers)))
    }
}

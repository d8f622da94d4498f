//! Looking after a node over the wire.
//!
//! Most of what these calls ask of KurrentDB is not needed here: there is one node, and its indexes need no merging. What hides events
//! hides them at once; that a scavenge gives their space back too is not something that the store's contract has yet, and it is recorded
//! as having saved nothing.

use std::sync::Arc;
use std::sync::Mutex;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::operations::operations_server::Operations;
use factum_proto::kurrent::operations::scavenge_resp::ScavengeResult;
use factum_proto::kurrent::operations::{
    ScavengeResp, SetNodePriorityReq, StartScavengeReq, StopScavengeReq,
};
use factum_store::AppendBatch;
use factum_types::{EventType, ExpectedRevision, NewEvent, StreamName};
use serde_json::json;
use tonic::{Code, Request, Response, Status};

use crate::auth::{Operation, Target};
use crate::guard::caller;
use crate::node::Node;
use crate::wire::errors;

/// The stream that says which scavenges there were.
const SCAVENGES: &str = "$scavenges";

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct OperationsService {
    node: Arc<Node>,
    /// The scavenge that was begun last.
    last: Arc<Mutex<Option<String>>>,
}

impl OperationsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            last: Arc::default(),
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Says in the store that a scavenge began and ended.
    async fn record(&self, id: &str) -> Result<(), Status> {
        let wrong = |error: factum_types::NameError| Status::internal(error.to_string());
        let endpoint = self.node.options.address.to_string();
        let data = json!({ "scavengeId": id, "nodeEndpoint": endpoint, "spaceSaved": 0 });
        let event = |kind| {
            let event_type = EventType::new(kind).map_err(wrong)?;
            let id = self.node.new_id();
            Ok::<_, Status>(NewEvent::json(id, event_type, data.to_string()))
        };
        let events = vec![event("$scavengeStarted")?, event("$scavengeCompleted")?];
        let stream = StreamName::new(SCAVENGES).map_err(wrong)?;
        let batch = AppendBatch::events(stream.clone(), ExpectedRevision::Any, events);
        match self.node.store.append(batch).await {
            Ok(_) => Ok(()),
            Err(error) => Err(errors::store(&error, Some(&stream))),
        }
    }
}

#[tonic::async_trait]
impl Operations for OperationsService {
    async fn start_scavenge(
        &self,
        request: Request<StartScavengeReq>,
    ) -> Result<Response<ScavengeResp>, Status> {
        self.node
            .allow(&caller(&request), Operation::StartScavenge, Target::Server)
            .await?;
        let options = request.into_inner().options.unwrap_or_default();
        if options.thread_count < 1 || options.start_from_chunk < 0 {
            let text = "a scavenge needs at least one thread, and begins at chunk 0 or later";
            return Err(Status::invalid_argument(text));
        }
        let id = self.node.new_id().to_string();
        self.record(&id).await?;
        *self.last() = Some(id.clone());
        Ok(Response::new(answer(id, ScavengeResult::Started)))
    }

    async fn stop_scavenge(
        &self,
        request: Request<StopScavengeReq>,
    ) -> Result<Response<ScavengeResp>, Status> {
        self.node
            .allow(&caller(&request), Operation::StopScavenge, Target::Server)
            .await?;
        let id = request.into_inner().options.unwrap_or_default().scavenge_id;
        if self.last().as_ref() == Some(&id) {
            return Ok(Response::new(answer(id, ScavengeResult::Stopped)));
        }
        Err(errors::with(
            Code::NotFound,
            "Scavenge id was invalid.",
            &[("exception", "scavenge-not-found"), ("scavenge-id", &id)],
        ))
    }

    async fn shutdown(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.node
            .allow(&caller(&request), Operation::Shutdown, Target::Server)
            .await?;
        tracing::info!("a client asked the server to stop");
        self.node.stop();
        Ok(Response::new(Empty {}))
    }

    async fn merge_indexes(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.node
            .allow(&caller(&request), Operation::MergeIndexes, Target::Server)
            .await?;
        Ok(Response::new(Empty {}))
    }

    async fn resign_node(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.node
            .allow(&caller(&request), Operation::ResignNode, Target::Server)
            .await?;
        Ok(Response::new(Empty {}))
    }

    async fn set_node_priority(
        &self,
        request: Request<SetNodePriorityReq>,
    ) -> Result<Response<Empty>, Status> {
        self.node
            .allow(
                &caller(&request),
                Operation::SetNodePriority,
                Target::Server,
            )
            .await?;
        self.node.set_priority(request.into_inner().priority);
        Ok(Response::new(Empty {}))
    }

    async fn restart_persistent_subscriptions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Empty>, Status> {
        self.node
            .allow(&caller(&request), Operation::RestartGroups, Target::Server)
            .await?;
        self.node.subscriptions.restart().await?;
        Ok(Response::new(Empty {}))
    }
}

fn answer(id: String, result: ScavengeResult) -> ScavengeResp {
    ScavengeResp {
        scavenge_id: id,
        scavenge_result: result.into(),
    }
}

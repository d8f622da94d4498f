//! The server's numbers, again and again, for clients that watch it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use factum_proto::kurrent::monitoring::monitoring_server::Monitoring;
use factum_proto::kurrent::monitoring::{StatsReq, StatsResp};
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use tonic::{Request, Response, Status};

use crate::auth::{Operation, Target};
use crate::guard::caller;
use crate::node::Node;
use crate::wire::errors;

/// The shortest time between two answers, and what is taken when a client does not say.
const REFRESH_MIN: Duration = Duration::from_millis(100);
const REFRESH_DEFAULT: Duration = Duration::from_secs(1);

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct MonitoringService {
    node: Arc<Node>,
}

impl MonitoringService {
    pub(crate) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Monitoring for MonitoringService {
    type StatsStream = Pin<Box<dyn Stream<Item = Result<StatsResp, Status>> + Send>>;

    async fn stats(
        &self,
        request: Request<StatsReq>,
    ) -> Result<Response<Self::StatsStream>, Status> {
        self.node
            .allow(&caller(&request), Operation::Statistics, Target::Server)
            .await?;
        let asked = Duration::from_millis(request.into_inner().refresh_time_period_in_ms);
        let refresh = if asked.is_zero() {
            REFRESH_DEFAULT
        } else {
            asked.max(REFRESH_MIN)
        };
        let node = Arc::clone(&self.node);
        let mut ticks = tokio::time::interval(refresh);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let answers = stream::unfold((node, ticks), async |(node, mut ticks)| {
            ticks.tick().await;
            let stats = numbers(&node).await;
            Some((Ok(StatsResp { stats }), (node, ticks)))
        });
        let node = Arc::clone(&self.node);
        let stopping = async move { node.stopping().await };
        let goodbye = stream::iter([Err(errors::stopping())]);
        Ok(Response::new(Box::pin(
            answers.take_until(Box::pin(stopping)).chain(goodbye),
        )))
    }
}

/// The numbers by name, as the protocol names them.
pub(crate) async fn numbers(node: &Node) -> BTreeMap<String, String> {
    let metrics = &node.metrics;
    let head = match node.store.head().await {
        Ok(head) => {
            let head = head.map_or(0, crate::wire::position::to_wire);
            metrics.head.set(head);
            head
        }
        Err(_) => metrics.head.get(),
    };
    [
        ("es-checksum", head.to_string()),
        ("es-writer-position", head.to_string()),
        ("proc-upTimeSeconds", node.uptime().as_secs().to_string()),
        (
            "proc-tcp-connections",
            metrics.connections.get().to_string(),
        ),
        ("es-subscriptions", metrics.subscriptions.get().to_string()),
        (
            "es-appendedEvents",
            metrics.appended_events.get().to_string(),
        ),
        ("es-readEvents", metrics.read_events.get().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

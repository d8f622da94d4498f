//! A cluster of one: this server, which leads.

use std::sync::Arc;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::gossip::gossip_server::Gossip;
use factum_proto::kurrent::gossip::member_info::VNodeState;
use factum_proto::kurrent::gossip::{ClusterInfo, EndPoint, MemberInfo};
use factum_types::EventId;
use http::uri::Authority;
use tonic::{Request, Response, Status};

use crate::node::Node;
use crate::wire::id::{self, IdKind};

/// The host that a request was sent to, put beside it before it is handled.
#[derive(Debug, Clone)]
pub(crate) struct SentTo(pub(crate) Authority);

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct GossipService {
    node: Arc<Node>,
}

impl GossipService {
    pub(crate) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Gossip for GossipService {
    async fn read(&self, request: Request<Empty>) -> Result<Response<ClusterInfo>, Status> {
        let sent_to = request.extensions().get::<SentTo>().map(|sent| &sent.0);
        let (address, port) = end_point(&self.node, sent_to);
        let member = MemberInfo {
            instance_id: Some(id::write(
                EventId::from_bytes(self.node.instance.into_bytes()),
                IdKind::Structured,
            )),
            time_stamp: self.node.now().as_micros().saturating_mul(10),
            state: VNodeState::Leader.into(),
            is_alive: true,
            http_end_point: Some(EndPoint {
                address,
                port: port.into(),
            }),
        };
        Ok(Response::new(ClusterInfo {
            members: vec![member],
        }))
    }
}

/// Where clients reach this server: as it was told, else as this client did, else where it listens.
pub(crate) fn end_point(node: &Node, sent_to: Option<&Authority>) -> (String, u16) {
    if let Some(advertised) = &node.options.advertise {
        return advertised.clone();
    }
    let address = node.options.address;
    match sent_to {
        Some(authority) => {
            let host = authority.host().trim_matches(['[', ']']).to_owned();
            (host, authority.port_u16().unwrap_or(address.port()))
        }
        None => (address.ip().to_string(), address.port()),
    }
}

//! Which request goes to which service.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use factum_proto::kurrent::gossip::gossip_server::GossipServer;
use factum_proto::kurrent::server_features::server_features_server::ServerFeaturesServer;
use factum_proto::kurrent::streams::streams_server::StreamsServer;
use factum_proto::v1::store_server::StoreServer;
use http::uri::Authority;
use tonic::service::Routes;

use crate::features::FeaturesService;
use crate::gossip::{GossipService, SentTo};
use crate::node::Node;
use crate::own::StoreService;
use crate::streams::StreamsService;

/// All services and routes of a node.
pub(crate) fn routes(node: &Arc<Node>) -> Router {
    let limit = node.options.limits.message_bytes;
    let streams = StreamsServer::new(StreamsService::new(Arc::clone(node)))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let own = StoreServer::new(StoreService::new(Arc::clone(node)))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    Routes::new(streams)
        .add_service(own)
        .add_service(ServerFeaturesServer::new(FeaturesService))
        .add_service(GossipServer::new(GossipService::new(Arc::clone(node))))
        .into_axum_router()
        .merge(crate::http::routes(Arc::clone(node)))
        .layer(middleware::from_fn(note_where_to))
}

/// Notes which host a request was sent to: some answers name it.
async fn note_where_to(mut request: Request, next: Next) -> Response {
    let host = request.headers().get(http::header::HOST);
    let authority = request.uri().authority().cloned().or_else(|| {
        let host = host?.to_str().ok()?;
        host.parse::<Authority>().ok()
    });
    if let Some(authority) = authority {
        request.extensions_mut().insert(SentTo(authority));
    }
    next.run(request).await
}

//! Which request goes to which service.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Request as HttpRequest, Response as HttpResponse, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use factum_proto::kurrent::gossip::gossip_server::GossipServer;
use factum_proto::kurrent::monitoring::monitoring_server::MonitoringServer;
use factum_proto::kurrent::operations::operations_server::OperationsServer;
use factum_proto::kurrent::persistent_subscriptions::persistent_subscriptions_server::PersistentSubscriptionsServer;
use factum_proto::kurrent::server_features::server_features_server::ServerFeaturesServer;
use factum_proto::kurrent::streams::streams_server::StreamsServer;
use factum_proto::kurrent::users::users_server::UsersServer;
use factum_proto::kurrent::v2::streams::streams_service_server::StreamsServiceServer;
use factum_proto::v1::store_server::StoreServer;
use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use http::uri::Authority;
use tonic::Status;
use tonic::codegen::{Service, StdError};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::service::Routes;

use crate::call;
use crate::features::FeaturesService;
use crate::gossip::{GossipService, SentTo};
use crate::guard;
use crate::http::problem::Problem;
use crate::metrics::Requested;
use crate::monitoring::MonitoringService;
use crate::node::Node;
use crate::operations::OperationsService;
use crate::own::{self, StoreService};
use crate::persistent::{Gate, PersistentService};
use crate::room::{NoRoom, Room};
use crate::streams::{StreamsService, batch_answers};
use crate::users::UsersService;
use crate::v2::SecondStreamsService;

/// Bytes of a message of the services whose messages are small: one that is announced is kept until it is whole.
const SMALL_BYTES: usize = 64 << 10;
/// The same of those that need no login, and whose messages are empty.
const OPEN_BYTES: usize = 1 << 10;
/// The same of persistent subscriptions: the largest has the ids of events that are done.
const GROUP_BYTES: usize = 1 << 20;

/// All services and routes of a node.
///
/// Calls of the services of which a server has many a second are handed to them at once. Everything else is found among the routes, which takes memory
/// several times over for each request.
#[derive(Clone)]
pub(crate) struct Entrance {
    node: Arc<Node>,
    streams: StreamsServer<StreamsService>,
    own: StoreServer<StoreService>,
    groups: PersistentService,
    others: Router,
}

/// An answer to come.
pub(crate) type Answering = BoxFuture<'static, Response>;

impl Entrance {
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        let limit = node.options.limits.message_bytes;
        let streams = StreamsServer::new(StreamsService::new(Arc::clone(node)))
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit);
        let own = StoreServer::new(StoreService::new(Arc::clone(node)))
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit);
        let gate = Arc::clone(node) as Arc<dyn Gate>;
        let groups = PersistentService::new(node.subscriptions.clone(), gate);
        Self {
            others: others(node, streams.clone(), own.clone(), groups.clone()),
            groups,
            node: Arc::clone(node),
            streams,
            own,
        }
    }

    /// For what requests bring.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.node.room
    }

    /// The answer to a request whose head alone is too much.
    pub(crate) fn refuse<B>(request: &HttpRequest<B>, full: NoRoom) -> Answering {
        let refused = if guard::is_grpc(request) {
            Status::from(full).into_http()
        } else {
            Problem::unavailable(full.to_string()).into_response()
        };
        Box::pin(std::future::ready(refused))
    }

    /// Answers a request.
    pub(crate) fn answer<B>(&self, request: HttpRequest<B>) -> Answering
    where
        B: HttpBody<Data = Bytes, Error = StdError> + Send + 'static,
    {
        let (node, limit) = (
            Arc::clone(&self.node),
            self.node.options.limits.message_bytes,
        );
        if request.method() == Method::POST {
            match request.uri().path() {
                BATCH_APPEND => {
                    return self.enter(request, move |request| {
                        let (requests, caller, brought) = call::take_apart(request, limit);
                        let answers = batch_answers(node, caller, requests, brought);
                        std::future::ready(call::response(answers, limit))
                    });
                }
                OWN_APPEND => {
                    return self.enter(request, move |request| {
                        let (requests, caller, brought) = call::take_apart(request, limit);
                        let answers = own::append_answers(node, caller, requests, brought);
                        std::future::ready(call::response(answers, limit))
                    });
                }
                GROUP_READ => {
                    let groups = self.groups.clone();
                    return self.enter(request, move |request| async move {
                        let (headers, extensions) =
                            (request.headers().clone(), request.extensions().clone());
                        let (requests, _, brought) = call::take_apart(request, GROUP_BYTES);
                        brought.flows();
                        let headers = MetadataMap::from_headers(headers);
                        match groups.join(&headers, &extensions, requests).await {
                            Ok(answers) => call::response(answers, limit),
                            Err(refused) => refused.into_http(),
                        }
                    });
                }
                _ => {}
            }
        }
        match service_of(&request) {
            StreamsServer::<StreamsService>::NAME => {
                let mut service = self.streams.clone();
                self.enter(request, move |request| served(service.call(request)))
            }
            StoreServer::<StoreService>::NAME => {
                let mut service = self.own.clone();
                self.enter(request, move |request| served(service.call(request)))
            }
            _ => {
                // It is ready at any time.
                let answer = self.others.clone().call(request);
                Box::pin(answer.map(|answer| match answer {
                    Ok(answer) => answer,
                }))
            }
        }
    }

    fn enter<B, F>(
        &self,
        mut request: HttpRequest<B>,
        serve: impl FnOnce(HttpRequest<B>) -> F + Send + 'static,
    ) -> Answering
    where
        B: Send + 'static,
        F: Future<Output = HttpResponse<tonic::body::Body>> + Send,
    {
        let node = Arc::clone(&self.node);
        Box::pin(async move {
            note_where_to(&mut request);
            if let Some(refused) = guard::refuse(&node, &mut request, true).await {
                return refused;
            }
            let route = request.uri().path().to_owned();
            let answer = serve(request).await.map(Body::new);
            count(&node, route, &answer);
            answer
        })
    }
}

/// The calls that go on for long: their messages are read without keeping what they were read into.
const BATCH_APPEND: &str = "/event_store.client.streams.Streams/BatchAppend";
const OWN_APPEND: &str = "/factum.v1.Store/Append";
const GROUP_READ: &str =
    "/event_store.client.persistent_subscriptions.PersistentSubscriptions/Read";

async fn served<A>(answer: impl Future<Output = Result<A, Infallible>>) -> A {
    match answer.await {
        Ok(answer) => answer,
    }
}

/// The service whose method a request calls; empty if that is none for sure.
fn service_of<B>(request: &HttpRequest<B>) -> &str {
    let path = request.uri().path();
    match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
        Some((service, method)) if request.method() == Method::POST && !method.is_empty() => {
            service
        }
        _ => "",
    }
}

/// All services and routes, to find among them the one that a request is for.
fn others(
    node: &Arc<Node>,
    streams: StreamsServer<StreamsService>,
    own: StoreServer<StoreService>,
    groups: PersistentService,
) -> Router {
    let limit = node.options.limits.message_bytes;
    let second = StreamsServiceServer::new(SecondStreamsService::new(Arc::clone(node)))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let groups = PersistentSubscriptionsServer::new(groups)
        .max_decoding_message_size(GROUP_BYTES)
        .max_encoding_message_size(limit);
    let users = UsersServer::new(UsersService::new(Arc::clone(node)));
    let operations = OperationsServer::new(OperationsService::new(Arc::clone(node)));
    let monitoring = MonitoringServer::new(MonitoringService::new(Arc::clone(node)));
    let features = ServerFeaturesServer::new(FeaturesService);
    let gossip = GossipServer::new(GossipService::new(Arc::clone(node)));
    Routes::new(streams)
        .add_service(own)
        .add_service(second)
        .add_service(groups)
        .add_service(users.max_decoding_message_size(SMALL_BYTES))
        .add_service(operations.max_decoding_message_size(SMALL_BYTES))
        .add_service(monitoring.max_decoding_message_size(SMALL_BYTES))
        .add_service(features.max_decoding_message_size(OPEN_BYTES))
        .add_service(gossip.max_decoding_message_size(OPEN_BYTES))
        .into_axum_router()
        .merge(crate::http::routes(Arc::clone(node)))
        .fallback(nobody)
        .layer(middleware::from_fn_with_state(Arc::clone(node), enter))
}

/// What is done with every request. It is one layer, because each one takes memory anew for each request.
async fn enter(
    State(node): State<Arc<Node>>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    note_where_to(&mut request);
    let is_service = matched.as_ref().is_some_and(is_of_service);
    if let Some(refused) = guard::refuse(&node, &mut request, is_service).await {
        // What is refused was matched by nobody, and would be counted under a name of the client's choice.
        return refused;
    }
    let route = match matched {
        // gRPC services are matched whole; their methods are few.
        Some(_) if is_service => request.uri().path().to_owned(),
        Some(matched) => matched.as_str().to_owned(),
        None => OTHER.to_owned(),
    };
    let response = next.run(request).await;
    count(&node, route, &response);
    response
}

/// Whether what matched is a gRPC service, whatever its method.
fn is_of_service(matched: &MatchedPath) -> bool {
    matched.as_str().contains('*')
}

/// What is counted for what nobody serves.
const OTHER: &str = "other";

/// Notes which host a request was sent to: some answers name it.
fn note_where_to<B>(request: &mut HttpRequest<B>) {
    let host = request.headers().get(header::HOST);
    let authority = request.uri().authority().cloned().or_else(|| {
        let host = host?.to_str().ok()?;
        host.parse::<Authority>().ok()
    });
    if let Some(authority) = authority {
        request.extensions_mut().insert(SentTo(authority));
    }
}

/// Counts a request under what it asked for; what nobody serves is counted together, so that clients cannot choose labels.
fn count(node: &Node, route: String, response: &Response) {
    // A service is matched whatever the method is called.
    let unknown = response
        .headers()
        .get("grpc-status")
        .is_some_and(|code| code == "12");
    let requested = Requested {
        route: if unknown { OTHER.to_owned() } else { route },
        code: known(response.status()),
    };
    node.metrics.requests.get_or_create(&requested).inc();
}

/// What is asked for is not there; who speaks gRPC is told in its words.
async fn nobody(request: Request) -> Response {
    if guard::is_grpc(&request) {
        return Status::unimplemented("this server has no such method").into_http();
    }
    let detail = format!("there is nothing at {}", request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "not-found", detail).into_response()
}

/// A status as a label: those that a server of this kind answers, and 0 for what a client made it answer.
fn known(status: StatusCode) -> u16 {
    match status.as_u16() {
        code @ (200
        | 201
        | 204
        | 400
        | 401
        | 403..=406
        | 408..=410
        | 412
        | 413
        | 415
        | 429
        | 431
        | 500
        | 503
        | 504
        | 507) => code,
        _ => 0,
    }
}

//! Persistent subscriptions on the wire of KurrentDB's clients.
//!
//! Relies on: whoever serves it for authentication, behind [`Gate`]. Never: decides what happens to an event.

mod answer;
mod gate;
mod request;
mod status;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::persistent_subscriptions::persistent_subscriptions_server::PersistentSubscriptions;
use factum_proto::kurrent::persistent_subscriptions::{
    CreateReq, CreateResp, DeleteReq, DeleteResp, GetInfoReq, GetInfoResp, ListReq, ListResp,
    ReadReq, ReadResp, ReplayParkedReq, ReplayParkedResp, TruncateParkedReq, TruncateParkedResp,
    UpdateReq, UpdateResp, read_req,
};
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use http::Extensions;
use tokio::sync::oneshot;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

pub use gate::{Asking, Gate, GroupAction, Open};

use super::connection::{Answers, End, Outbox};
use super::error::SubscriptionError;
use super::group::Identity;
use super::settings::{GroupKey, SourceName};
use super::subscriptions::{Selection, Subscriptions};
use crate::room::Brought;
use crate::wire::id::IdKind;

/// How long a consumer may take to say which group it wants to join.
const JOIN_WITHIN: Duration = Duration::from_secs(10);
/// How long answers are still heard after a consumer takes no more events.
const LAST_WORDS: Duration = Duration::from_secs(1);
const CONNECTION_NAME: &str = "connection-name";

/// The service `PersistentSubscriptions`. Cloning shares it.
#[derive(Debug, Clone)]
pub struct PersistentService {
    subscriptions: Subscriptions,
    gate: Arc<dyn Gate>,
}

impl PersistentService {
    /// The service over these subscriptions.
    #[must_use]
    pub const fn new(subscriptions: Subscriptions, gate: Arc<dyn Gate>) -> Self {
        Self {
            subscriptions,
            gate,
        }
    }

    async fn admit(
        &self,
        headers: &MetadataMap,
        extensions: &Extensions,
        action: GroupAction,
        source: Option<&SourceName>,
    ) -> Result<Asking, Status> {
        self.gate.admit(headers, extensions, action, source).await
    }

    /// Joins a group with what `inbound` says: first which, then what became of events.
    pub(crate) async fn join<S>(
        &self,
        headers: &MetadataMap,
        extensions: &Extensions,
        mut inbound: S,
    ) -> Result<BoxStream<'static, Result<ReadResp, Status>>, Status>
    where
        S: Stream<Item = Result<ReadReq, Status>> + Send + Unpin + 'static,
    {
        let first = tokio::time::timeout(JOIN_WITHIN, inbound.next())
            .await
            .map_err(|_elapsed| Status::deadline_exceeded("no group was named in time"))?;
        let content = first.transpose()?.and_then(|first| first.content);
        let Some(read_req::Content::Options(options)) = content else {
            return Err(Status::invalid_argument("the first message names no group"));
        };
        let (key, credit, ids) = request::join(options)?;
        let action = self.joining(&key).await;
        let asking = self
            .admit(headers, extensions, action, Some(&key.source))
            .await?;
        let identity = identity(asking, headers);
        let (outbox, answers) = self.subscriptions.connect(&key, identity, credit).await?;
        // A group that is changed after this drops its consumers.
        if self.joining(&key).await != action {
            return Err(SubscriptionError::Dropped(key).into());
        }
        Ok(outbound(key, ids, outbox, answers, inbound))
    }

    /// What it is to join a group. One that is not known is joined by nobody.
    async fn joining(&self, key: &GroupKey) -> GroupAction {
        match self.subscriptions.resolves_links(key).await {
            Ok(true) => GroupAction::ReadTargets,
            Ok(false) | Err(_) => GroupAction::Read,
        }
    }
}

fn identity(asking: Asking, headers: &MetadataMap) -> Identity {
    let name = headers.get(CONNECTION_NAME);
    let connection = name.and_then(|name| name.to_str().ok()).unwrap_or_default();
    Identity {
        from: asking.from,
        user: asking.user,
        connection: connection.to_owned(),
    }
}

/// What a consumer is told; its answers are heard beside that.
fn outbound<S>(
    key: GroupKey,
    ids: IdKind,
    outbox: Outbox,
    answers: Answers,
    inbound: S,
) -> BoxStream<'static, Result<ReadResp, Status>>
where
    S: Stream<Item = Result<ReadReq, Status>> + Send + Unpin + 'static,
{
    let (open, closed) = oneshot::channel();
    let heard = Arc::new(OnceLock::new());
    tokio::spawn(hear(inbound, answers, closed, Arc::clone(&heard)));
    let confirmation = Ok(answer::confirmation(&key));
    let telling = Telling {
        key,
        ids,
        outbox,
        heard,
        _open: open,
    };
    let events = stream::unfold(Some(telling), Telling::next);
    stream::once(std::future::ready(confirmation))
        .chain(events)
        .boxed()
}

/// One end of a call: what is told.
struct Telling {
    key: GroupKey,
    ids: IdKind,
    outbox: Outbox,
    /// How hearing ended: what was wrong with what the consumer said, if anything.
    heard: Arc<OnceLock<Option<Status>>>,
    /// Dropped with this, so that the other end knows.
    _open: oneshot::Sender<()>,
}

impl Telling {
    async fn next(told: Option<Self>) -> Option<(Result<ReadResp, Status>, Option<Self>)> {
        let mut telling = told?;
        match telling.outbox.next().await {
            Ok(outgoing) => {
                let response = answer::event(&outgoing, telling.ids);
                Some((Ok(response), Some(telling)))
            }
            Err(end) => telling.ended(end).map(|status| (Err(status), None)),
        }
    }

    fn ended(self, end: End) -> Option<Status> {
        match end {
            End::Dropped => Some(SubscriptionError::Dropped(self.key).into()),
            End::Shutdown => Some(SubscriptionError::NotReady.into()),
            // A consumer that did not leave was left: some clients take an end without a status for a bug of theirs.
            End::Left => {
                let heard = self.heard.get().cloned();
                heard.unwrap_or_else(|| Some(SubscriptionError::NotReady.into()))
            }
        }
    }
}

/// The other end: hears answers until there are none, or nobody takes events any more. What was sent before is heard first.
async fn hear<S>(
    mut inbound: S,
    answers: Answers,
    closed: oneshot::Receiver<()>,
    ending: Arc<OnceLock<Option<Status>>>,
) where
    S: Stream<Item = Result<ReadReq, Status>> + Send + Unpin,
{
    let listen = async {
        while let Some(message) = inbound.next().await {
            // One that is broken is said. When the consumer is gone nobody hears it.
            take(&answers, message?).await?;
        }
        Ok::<(), Status>(())
    };
    let last_words = async {
        // It never sends anything: it ends when it is dropped.
        let _ended = closed.await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let heard = tokio::select! {
        heard = listen => heard,
        () = last_words => Ok(()),
    };
    ending.get_or_init(|| heard.err());
}

async fn take(answers: &Answers, message: ReadReq) -> Result<(), Status> {
    match message.content {
        Some(read_req::Content::Ack(ack)) => answers.ack(request::ids(ack.ids)?).await,
        Some(read_req::Content::Nack(nack)) => {
            let ids = request::ids(nack.ids)?;
            let action = request::action(nack.action);
            answers.nack(ids, action, nack.reason).await;
        }
        Some(read_req::Content::Options(_)) => {
            return Err(Status::invalid_argument("a group was joined already"));
        }
        None => return Err(Status::invalid_argument("a message says nothing")),
    }
    Ok(())
}

fn options<T>(options: Option<T>) -> Result<T, Status> {
    options.ok_or_else(|| Status::invalid_argument("the request has no options"))
}

#[tonic::async_trait]
impl PersistentSubscriptions for PersistentService {
    async fn create(&self, request: Request<CreateReq>) -> Result<Response<CreateResp>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let (key, config) = request::create(options(message.options)?)?;
        let source = Some(&key.source);
        let asking = self
            .admit(&headers, &extensions, GroupAction::Create, source)
            .await?;
        self.subscriptions.create(key, config, &asking.user).await?;
        Ok(Response::new(CreateResp {}))
    }

    async fn update(&self, request: Request<UpdateReq>) -> Result<Response<UpdateResp>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let (key, config) = request::update(options(message.options)?)?;
        let source = Some(&key.source);
        let asking = self
            .admit(&headers, &extensions, GroupAction::Update, source)
            .await?;
        self.subscriptions.update(key, config, &asking.user).await?;
        Ok(Response::new(UpdateResp {}))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let key = request::delete(options(message.options)?)?;
        let source = Some(&key.source);
        let asking = self
            .admit(&headers, &extensions, GroupAction::Delete, source)
            .await?;
        self.subscriptions.delete(key, &asking.user).await?;
        Ok(Response::new(DeleteResp {}))
    }

    type ReadStream = BoxStream<'static, Result<ReadResp, Status>>;

    async fn read(
        &self,
        request: Request<tonic::Streaming<ReadReq>>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let (headers, extensions, inbound) = request.into_parts();
        Brought::of(&extensions).flows();
        let joined = self.join(&headers, &extensions, inbound).await?;
        Ok(Response::new(joined))
    }

    async fn get_info(
        &self,
        request: Request<GetInfoReq>,
    ) -> Result<Response<GetInfoResp>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let key = request::info(options(message.options)?)?;
        self.admit(&headers, &extensions, GroupAction::Info, Some(&key.source))
            .await?;
        let info = self.subscriptions.info(&key).await?;
        Ok(Response::new(GetInfoResp {
            subscription_info: Some(answer::info(info)),
        }))
    }

    async fn replay_parked(
        &self,
        request: Request<ReplayParkedReq>,
    ) -> Result<Response<ReplayParkedResp>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let (key, stop_at) = request::replay(options(message.options)?)?;
        self.admit(
            &headers,
            &extensions,
            GroupAction::Replay,
            Some(&key.source),
        )
        .await?;
        self.subscriptions.replay_parked(&key, stop_at).await?;
        Ok(Response::new(ReplayParkedResp {}))
    }

    async fn truncate_parked(
        &self,
        request: Request<TruncateParkedReq>,
    ) -> Result<Response<TruncateParkedResp>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let (key, stop_at) = request::truncate(options(message.options)?)?;
        self.admit(
            &headers,
            &extensions,
            GroupAction::Truncate,
            Some(&key.source),
        )
        .await?;
        self.subscriptions.truncate_parked(&key, stop_at).await?;
        Ok(Response::new(TruncateParkedResp {}))
    }

    async fn list(&self, request: Request<ListReq>) -> Result<Response<ListResp>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let selection = request::list(options(message.options)?)?;
        let source = match &selection {
            Selection::Every => None,
            Selection::Of(source) => Some(source.clone()),
        };
        self.admit(&headers, &extensions, GroupAction::List, source.as_ref())
            .await?;
        let infos = self.subscriptions.list(&selection).await?;
        if let (true, Some(source)) = (infos.is_empty(), source) {
            let group = String::new();
            return Err(SubscriptionError::NotFound(GroupKey { source, group }).into());
        }
        Ok(Response::new(ListResp {
            subscriptions: infos.into_iter().map(answer::info).collect(),
        }))
    }

    async fn restart_subsystem(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        let (headers, extensions, _) = request.into_parts();
        self.admit(&headers, &extensions, GroupAction::Restart, None)
            .await?;
        self.subscriptions.restart().await?;
        Ok(Response::new(Empty {}))
    }
}

#[cfg(test)]
mod tests {
    use factum_io::sim::SimEnv;
    use factum_proto::kurrent::StreamIdentifier;
    use factum_proto::kurrent::persistent_subscriptions::read_req::options::{
        StreamOption, UuidOption, uuid_option,
    };
    use factum_store::MemoryStore;
    use factum_types::StreamName;
    use futures_core::future::BoxFuture;
    use tonic::Code;

    use super::{
        Arc, Asking, Empty, Extensions, Gate, GroupAction, GroupKey, MetadataMap, Open,
        PersistentService, ReadReq, SourceName, Status, StreamExt, Subscriptions, read_req, stream,
    };
    use crate::persistent::{GroupConfig, Settings, StartFrom, StoreFeed, World};

    fn key() -> GroupKey {
        GroupKey {
            source: SourceName::Stream(StreamName::new("s").unwrap()),
            group: "group".to_owned(),
        }
    }

    async fn subscriptions() -> Subscriptions {
        let store = Arc::new(MemoryStore::new());
        let feed = Arc::new(StoreFeed::new(Arc::clone(&store) as Arc<_>));
        let world = World::from(&SimEnv::new(1).env());
        let subscriptions = Subscriptions::open(store, feed, world).await.unwrap();
        let config = GroupConfig::new(Settings::default(), StartFrom::Start);
        subscriptions.create(key(), config, "").await.unwrap();
        subscriptions
    }

    fn joining() -> ReadReq {
        let options = read_req::Options {
            stream_option: Some(StreamOption::StreamIdentifier(StreamIdentifier {
                stream_name: b"s".to_vec(),
            })),
            group_name: "group".to_owned(),
            buffer_size: 10,
            uuid_option: Some(UuidOption {
                content: Some(uuid_option::Content::String(Empty {})),
            }),
        };
        ReadReq {
            content: Some(read_req::Content::Options(options)),
        }
    }

    /// Changes the group when it is asked who may join it.
    #[derive(Debug)]
    struct Changing(Subscriptions);

    impl Gate for Changing {
        fn admit<'a>(
            &'a self,
            _: &'a MetadataMap,
            _: &'a Extensions,
            action: GroupAction,
            _: Option<&'a SourceName>,
        ) -> BoxFuture<'a, Result<Asking, Status>> {
            Box::pin(async move {
                assert_eq!(action, GroupAction::Read);
                let settings = Settings {
                    resolve_links: true,
                    ..Settings::default()
                };
                let config = GroupConfig::new(settings, StartFrom::Start);
                self.0.update(key(), config, "").await.unwrap();
                Ok(Asking::default())
            })
        }
    }

    #[tokio::test]
    async fn who_may_join_what_a_group_was_does_not_join_what_it_is() {
        let subscriptions = subscriptions().await;
        let gate = Arc::new(Changing(subscriptions.clone()));
        let service = PersistentService::new(subscriptions, gate);
        let said = stream::iter([Ok(joining())]);
        let (headers, extensions) = (MetadataMap::new(), Extensions::new());
        let joined = service.join(&headers, &extensions, said).await;
        assert_eq!(joined.err().unwrap().code(), Code::Cancelled);
    }

    #[tokio::test]
    async fn a_message_that_is_broken_ends_the_call_and_is_said() {
        let broken = Status::out_of_range("too much");
        let said = stream::iter([Ok(joining()), Err(broken)]);
        let (headers, extensions) = (MetadataMap::new(), Extensions::new());
        let service = PersistentService::new(subscriptions().await, Arc::new(Open));
        let joined = service.join(&headers, &extensions, said).await;
        let told: Vec<_> = joined.unwrap().collect().await;
        assert!(told[0].is_ok());
        assert_eq!(told[1].as_ref().unwrap_err().code(), Code::OutOfRange);
        assert_eq!(told.len(), 2);
    }
}

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
        let asking = self
            .admit(headers, extensions, GroupAction::Read, Some(&key.source))
            .await?;
        let name = headers.get(CONNECTION_NAME);
        let identity = Identity {
            from: asking.from,
            user: asking.user,
            connection: name
                .and_then(|name| name.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
        };
        let (outbox, answers) = self.subscriptions.connect(&key, identity, credit).await?;
        Ok(outbound(key, ids, outbox, answers, inbound))
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
            match message {
                Ok(message) => take(&answers, message).await?,
                // The consumer is gone.
                Err(_) => break,
            }
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

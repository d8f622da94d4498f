//! The client: the three contracts over one link.

use std::fmt;
use std::sync::Arc;

use factum_io::Env;
use factum_proto::v1;
use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, ReadRequest, Receipt,
    Snapshot, SnapshotStore, StoreError, StreamInfo, StreamsRequest, SubscribeFrom,
    SubscribeRequest, Subscription,
};
use factum_types::{Position, StreamName};
use tonic::{Response, Status};

use crate::append::Appends;
use crate::errors::{Effect, nonsense};
use crate::link::{Link, Stub};
use crate::options::ClientOptions;
use crate::read::Reading;
use crate::subscribe::Following;

type Answer<'a, T> = futures_core::future::BoxFuture<'a, Result<T, StoreError>>;

/// A store on a server. Cloning one is cheap: clones share the connection.
///
/// Its futures, reads and subscriptions may be polled by any executor: what needs a runtime runs on a thread of the client's own, which ends
/// with the last of them. There is one connection, made anew when it broke: by the next request, and by a subscription by itself, which
/// then goes on after the last position that it delivered. (What the settings of a stream hide by then is left out.)
///
/// Appends go over one call, many at once, and reach the store in the order in which their futures were first polled. A subscription from
/// [`SubscribeFrom::End`] begins after what was last when the server was first asked, and before all that this client is asked to append later.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    appends: Appends,
    /// Last, so that the thread is there while the rest is dropped.
    link: Arc<Link>,
}

impl Client {
    /// Connects to the server at an address, `http://host:port` or `https://host:port`, and asks it where its store is, to know that it is one.
    ///
    /// # Errors
    /// - [`Kind::Invalid`](factum_store::Kind::Invalid): the address, the authorities or the credentials are not right, the certificate is
    ///   not trusted, or what is there does not speak `factum.v1`.
    /// - [`Kind::Unavailable`](factum_store::Kind::Unavailable): nobody answers there.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn connect(url: &str, options: ClientOptions) -> Result<Self, StoreError> {
        let client = Self::lazy(url, options)?;
        client.head().await?;
        Ok(client)
    }

    /// The same without asking: the first request connects.
    ///
    /// ```
    /// use factum_client::{Client, ClientOptions};
    ///
    /// let client = Client::lazy("http://127.0.0.1:2113", ClientOptions::default())?;
    /// let error = Client::lazy("127.0.0.1:2113", ClientOptions::default()).unwrap_err();
    /// assert!(error.to_string().contains("no scheme"));
    /// # drop(client);
    /// # Ok::<(), factum_store::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_store::Kind::Invalid): the address or the authorities are not right.
    pub fn lazy(url: &str, options: ClientOptions) -> Result<Self, StoreError> {
        let link = Link::new(url, options, Env::real())?;
        let appends = Appends::new(&link);
        Ok(Self {
            shared: Arc::new(Shared {
                appends,
                link: Arc::new(link),
            }),
        })
    }

    /// Makes a call once it is first polled, and hands on what was made of the answer.
    fn ask<'a, A, T, F>(
        &'a self,
        effect: Effect,
        call: impl FnOnce(Stub) -> F + Send + 'a,
        read: impl FnOnce(A) -> Result<T, StoreError> + Send + 'a,
    ) -> Answer<'a, T>
    where
        A: Send + 'static,
        F: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    {
        Box::pin(async move {
            let answer = self.shared.link.call(effect, call).await??;
            read(answer)
        })
    }

    async fn page(&self, request: StreamsRequest) -> Result<Vec<StreamInfo>, StoreError> {
        let request = v1::StreamsRequest::from(request);
        let call = |mut stub: Stub| async move { stub.streams(request).await };
        let answer = self.shared.link.call(Effect::None, call).await??;
        let infos = answer.streams.into_iter().map(StreamInfo::try_from);
        infos.collect::<Result<_, _>>().map_err(nonsense)
    }
}

impl EventStore for Client {
    fn append(&self, batch: AppendBatch) -> Answer<'_, Receipt> {
        Box::pin(self.shared.appends.append(&self.shared.link, batch))
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        EventStream::new(Reading::new(Arc::clone(&self.shared.link), request))
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        let end = (request.from == SubscribeFrom::End).then(|| self.shared.appends.hold());
        let link = Arc::clone(&self.shared.link);
        Subscription::new(Following::new(link, request, end))
    }

    fn head(&self) -> Answer<'_, Option<Position>> {
        self.ask(
            Effect::None,
            |mut stub| async move { stub.head(v1::HeadRequest {}).await },
            |answer| Ok(answer.position.map(Position::from_raw)),
        )
    }

    fn stream_info(&self, stream: StreamName) -> Answer<'_, StreamInfo> {
        let stream = stream.as_str().to_owned();
        self.ask(
            Effect::None,
            |mut stub| async move { stub.stream_info(v1::StreamInfoRequest { stream }).await },
            |answer| {
                let missing = || StoreError::invalid("there is no stream in it");
                let info = answer.info.ok_or_else(missing);
                info.and_then(StreamInfo::try_from).map_err(nonsense)
            },
        )
    }

    fn streams(&self, mut request: StreamsRequest) -> Answer<'_, Vec<StreamInfo>> {
        Box::pin(async move {
            let mut found: Vec<StreamInfo> = Vec::new();
            while request.limit > 0 {
                let page = self.page(request.clone()).await?;
                let Some(last) = page.last() else { break };
                // A server that gave more than it was asked for, or the same again, would keep us for ever.
                if page.len() > request.limit || Some(&last.stream) <= request.after.as_ref() {
                    let text = "it has more streams than asked for, or not those after the last";
                    return Err(nonsense(StoreError::invalid(text)));
                }
                request.limit -= page.len();
                request.after = Some(last.stream.clone());
                found.extend(page);
            }
            Ok(found)
        })
    }
}

impl SnapshotStore for Client {
    fn save_snapshot(&self, snapshot: Snapshot) -> Answer<'_, ()> {
        Box::pin(async move {
            snapshot.validate()?;
            let request = v1::SaveSnapshotRequest {
                snapshot: Some(snapshot.into()),
            };
            let call = |mut stub: Stub| async move { stub.save_snapshot(request).await };
            self.shared.link.call(Effect::Write, call).await??;
            Ok(())
        })
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> Answer<'_, Option<Snapshot>> {
        let request = v1::LoadSnapshotRequest {
            stream: stream.as_str().to_owned(),
            key,
            at_most,
        };
        self.ask(
            Effect::None,
            |mut stub| async move { stub.load_snapshot(request).await },
            |answer| {
                let snapshot = answer.snapshot.map(Snapshot::try_from);
                snapshot.transpose().map_err(nonsense)
            },
        )
    }

    fn list_snapshots(&self, stream: StreamName) -> Answer<'_, Vec<Snapshot>> {
        let stream = stream.as_str().to_owned();
        Box::pin(async move {
            let request = v1::ListSnapshotsRequest { stream };
            // All of it is one answer, and within the time for one.
            let call = |mut stub: Stub| async move {
                let mut pages = stub.list_snapshots(request).await?.into_inner();
                let mut found = Vec::new();
                while let Some(page) = pages.message().await? {
                    found.extend(page.snapshots);
                }
                Ok(Response::new(found))
            };
            let found = self.shared.link.call(Effect::None, call).await??;
            let found = found.into_iter().map(Snapshot::try_from);
            found.collect::<Result<_, _>>().map_err(nonsense)
        })
    }

    fn drop_snapshots(&self, stream: StreamName, key: String) -> Answer<'_, ()> {
        let request = v1::DropSnapshotsRequest {
            stream: stream.as_str().to_owned(),
            key,
        };
        self.ask(
            Effect::Write,
            |mut stub| async move { stub.drop_snapshots(request).await },
            |_| Ok(()),
        )
    }
}

impl CheckpointStore for Client {
    fn save_checkpoint(&self, consumer: String, checkpoint: Checkpoint) -> Answer<'_, ()> {
        let request = v1::SaveCheckpointRequest {
            consumer,
            checkpoint: Some(checkpoint.into()),
        };
        self.ask(
            Effect::Write,
            |mut stub| async move { stub.save_checkpoint(request).await },
            |_| Ok(()),
        )
    }

    fn load_checkpoint(&self, consumer: String) -> Answer<'_, Option<Checkpoint>> {
        let request = v1::LoadCheckpointRequest { consumer };
        self.ask(
            Effect::None,
            |mut stub| async move { stub.load_checkpoint(request).await },
            |answer| Ok(answer.checkpoint.map(Checkpoint::from)),
        )
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.shared.link.options)
            .finish_non_exhaustive()
    }
}

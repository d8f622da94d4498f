//! A server in this process, and messages for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use factum_io::Env;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_req::{
    Content, Options as AppendOptions, ProposedMessage,
};
use factum_proto::kurrent::streams::read_req::Options as ReadOptions;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, StreamOption, StreamOptions, SubscriptionOptions,
    UuidOption, uuid_option,
};
use factum_proto::kurrent::streams::read_resp::{self, ReadEvent};
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use factum_proto::kurrent::streams::{AppendReq, AppendResp, ReadReq};
use factum_proto::kurrent::{Empty, StreamIdentifier, Uuid, uuid};
use factum_server::auth::Mode;
use factum_server::{Options, Server, Store};
use factum_store::MemoryStore;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// A server that stops with the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<JoinHandle<()>>,
}

impl Running {
    /// Over a store in memory, with everything as it is by default.
    pub(crate) async fn start() -> Self {
        Self::over(Arc::new(MemoryStore::new()), Options::default()).await
    }

    /// Over this store, open to everybody.
    pub(crate) async fn over(store: Arc<dyn Store>, mut options: Options) -> Self {
        options.auth.mode = Mode::Insecure;
        Self::with(store, options).await
    }

    /// Over this store, on a free port of loopback.
    pub(crate) async fn with(store: Arc<dyn Store>, mut options: Options) -> Self {
        options.address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(store, options, Env::real()).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(server.run(async {
            let _dropped = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            ended: Some(ended),
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn streams(&self) -> StreamsClient<Channel> {
        StreamsClient::new(self.channel().await)
    }

    /// Stops in order.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.ended.take().unwrap().await.unwrap();
    }
}

pub(crate) fn identifier(stream: &str) -> Option<StreamIdentifier> {
    Some(StreamIdentifier {
        stream_name: stream.as_bytes().to_vec(),
    })
}

pub(crate) fn id(number: u64) -> Option<Uuid> {
    let text = format!("00000000-0000-4000-8000-{number:012x}");
    Some(Uuid {
        value: Some(uuid::Value::String(text)),
    })
}

pub(crate) fn properties(kind: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("type".to_owned(), kind.to_owned()),
        ("content-type".to_owned(), "application/json".to_owned()),
    ])
}

pub(crate) fn proposed(number: u64, kind: &str) -> ProposedMessage {
    ProposedMessage {
        id: id(number),
        metadata: properties(kind),
        custom_metadata: Vec::new(),
        data: format!("{{\"number\":{number}}}").into(),
    }
}

/// Appends events with these numbers as their ids.
pub(crate) async fn append(
    client: &mut StreamsClient<Channel>,
    stream: &str,
    expected: ExpectedStreamRevision,
    events: Vec<ProposedMessage>,
) -> Result<AppendResp, Status> {
    let options = Content::Options(AppendOptions {
        stream_identifier: identifier(stream),
        expected_stream_revision: Some(expected),
    });
    let messages: Vec<_> = std::iter::once(options)
        .chain(events.into_iter().map(Content::ProposedMessage))
        .map(|content| AppendReq {
            content: Some(content),
        })
        .collect();
    let answered = client.append(futures_util::stream::iter(messages)).await?;
    Ok(answered.into_inner())
}

pub(crate) const ANY: ExpectedStreamRevision = ExpectedStreamRevision::Any(Empty {});

fn options(target: StreamOption, count: CountOption) -> ReadOptions {
    ReadOptions {
        stream_option: Some(target),
        count_option: Some(count),
        filter_option: Some(FilterOption::NoFilter(Empty {})),
        uuid_option: Some(UuidOption {
            content: Some(uuid_option::Content::String(Empty {})),
        }),
        ..ReadOptions::default()
    }
}

pub(crate) fn of_stream(stream: &str, from: RevisionOption, count: CountOption) -> ReadOptions {
    let target = StreamOption::Stream(StreamOptions {
        stream_identifier: identifier(stream),
        revision_option: Some(from),
    });
    options(target, count)
}

pub(crate) fn of_all(from: AllOption, count: CountOption) -> ReadOptions {
    let target = StreamOption::All(AllOptions {
        all_option: Some(from),
    });
    options(target, count)
}

pub(crate) const FOLLOW: CountOption = CountOption::Subscription(SubscriptionOptions {});

/// Everything that a read answers.
pub(crate) async fn read(
    client: &mut StreamsClient<Channel>,
    options: ReadOptions,
) -> Result<Vec<read_resp::Content>, Status> {
    let request = ReadReq {
        options: Some(options),
    };
    let mut answers = client.read(request).await?.into_inner();
    let mut contents = Vec::new();
    while let Some(answer) = answers.message().await? {
        contents.push(answer.content.unwrap());
    }
    Ok(contents)
}

/// The events among what a read answers.
pub(crate) fn events(contents: Vec<read_resp::Content>) -> Vec<ReadEvent> {
    contents
        .into_iter()
        .filter_map(|content| match content {
            read_resp::Content::Event(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// Stream, revision, type and position of an event.
pub(crate) fn shown(event: &ReadEvent) -> (String, u64, String, u64) {
    let event = event.event.as_ref().unwrap();
    let stream = event.stream_identifier.clone().unwrap().stream_name;
    (
        String::from_utf8(stream.to_vec()).unwrap(),
        event.stream_revision,
        event.metadata["type"].clone(),
        event.commit_position,
    )
}

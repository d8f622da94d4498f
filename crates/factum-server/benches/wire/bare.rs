//! The limits: a service that answers every call at once and stores nothing, and one that makes the data of appends durable before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use factum_proto::kurrent::streams::append_req::Content;
use factum_proto::kurrent::streams::append_resp::success::CurrentRevisionOption;
use factum_proto::kurrent::streams::append_resp::{Result as Outcome, Success};
use factum_proto::kurrent::streams::streams_server::{Streams, StreamsServer};
use factum_proto::kurrent::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq,
    ReadResp, TombstoneReq, TombstoneResp, batch_append_resp,
};
use factum_proto::v1::store_server::StoreServer;
use futures_core::Stream;
use futures_util::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use crate::durable::Durable;
use crate::load::{id, identifier};
use crate::{EVENT_BYTES, READ_EVENTS};

pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers every call at once, or an append when its data are durable; keeps nothing that could be found again.
#[derive(Clone)]
pub(crate) struct Bare {
    durable: Option<Durable>,
}

pub(crate) async fn begin(durable: Option<Durable>) -> SocketAddr {
    let bare = Bare { durable };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = futures_util::stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| {
            stream.set_nodelay(true).unwrap();
            stream
        });
        Some((accepted, listener))
    });
    let server = tonic::transport::Server::builder()
        .add_service(StreamsServer::new(bare.clone()))
        .add_service(StoreServer::new(bare))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    address
}

#[tonic::async_trait]
impl Streams for Bare {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, _: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        use factum_proto::kurrent::streams::read_resp::read_event::{Position, RecordedEvent};
        use factum_proto::kurrent::streams::read_resp::{Content as Found, ReadEvent};
        let event = RecordedEvent {
            id: id(),
            stream_identifier: identifier(1),
            stream_revision: 7,
            prepare_position: 1 << 20,
            commit_position: 1 << 20,
            metadata: BTreeMap::from([
                ("type".to_owned(), "Measured".to_owned()),
                (
                    "content-type".to_owned(),
                    "application/octet-stream".to_owned(),
                ),
                ("created".to_owned(), "17641152000000000".to_owned()),
            ]),
            custom_metadata: Bytes::new(),
            data: Bytes::from(vec![7; EVENT_BYTES]),
        };
        let answer = ReadResp {
            content: Some(Found::Event(ReadEvent {
                event: Some(event),
                link: None,
                position: Some(Position::CommitPosition(1 << 20)),
            })),
        };
        let answers = futures_util::stream::iter(0..READ_EVENTS).map(move |_| Ok(answer.clone()));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendReq>>,
    ) -> Result<Response<AppendResp>, Status> {
        let mut messages = request.into_inner();
        while let Some(message) = messages.message().await? {
            let (Some(durable), Some(Content::ProposedMessage(event))) =
                (&self.durable, message.content)
            else {
                continue;
            };
            durable.write(event.data.into()).await;
        }
        Ok(Response::new(AppendResp {
            result: Some(Outcome::Success(Success {
                current_revision_option: Some(CurrentRevisionOption::CurrentRevision(7)),
                position_option: None,
            })),
        }))
    }

    async fn delete(&self, _: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn tombstone(&self, _: Request<TombstoneReq>) -> Result<Response<TombstoneResp>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        let answers = request.into_inner().map(|request| {
            request.map(|request| BatchAppendResp {
                correlation_id: request.correlation_id,
                result: Some(batch_append_resp::Result::Success(
                    batch_append_resp::Success::default(),
                )),
                stream_identifier: request
                    .options
                    .and_then(|options| options.stream_identifier),
                expected_stream_position: None,
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

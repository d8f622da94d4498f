//! The same over Factum's own protocol: calls of many appends, and the service that answers them and stores nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use factum_proto::v1::append_response::Result as Outcome;
use factum_proto::v1::store_client::StoreClient;
use factum_proto::v1::store_server::Store;
use factum_proto::v1::{
    AppendRequest, AppendResponse, ContentType, DropSnapshotsRequest, DropSnapshotsResponse,
    Expected, HeadRequest, HeadResponse, ListSnapshotsRequest, ListSnapshotsResponse,
    LoadCheckpointRequest, LoadCheckpointResponse, LoadSnapshotRequest, LoadSnapshotResponse,
    NewEvent, ReadRequest, ReadResponse, Receipt, SaveCheckpointRequest, SaveCheckpointResponse,
    SaveSnapshotRequest, SaveSnapshotResponse, StreamInfoRequest, StreamInfoResponse,
    StreamReceipt, StreamWrite, StreamsRequest, StreamsResponse, SubscribeRequest,
    SubscribeResponse, expected, stream_write,
};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::bare::{Answers, Bare};
use crate::load::channels;
use crate::{CONNECTIONS, Clock, EVENT_BYTES, IN_FLIGHT, STREAMS};

fn request(call: usize, data: &Bytes) -> AppendRequest {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = 0x0190_0000_0000_7001_8000_0000_0000_0000_u128 | u128::from(number);
    let event = NewEvent {
        id: id.to_be_bytes().to_vec().into(),
        event_type: "Measured".to_owned(),
        data: data.clone(),
        content_type: ContentType::Binary.into(),
        schema_version: 1,
        ..NewEvent::default()
    };
    let events = stream_write::Events {
        events: vec![event],
    };
    AppendRequest {
        request: number,
        writes: vec![StreamWrite {
            stream: format!("measured-{call}"),
            expected: Some(Expected {
                expected: Some(expected::Expected::Any(expected::Any {})),
            }),
            change: Some(stream_write::Change::Events(events)),
        }],
        conditions: Vec::new(),
    }
}

/// Calls with many appends under way in each.
pub(crate) async fn streamed(clock: &Clock, address: SocketAddr, time: Duration) -> f64 {
    let channels = channels(address).await;
    let data = Bytes::from(vec![7; EVENT_BYTES]);
    let began = clock.now();
    let until = tokio::time::Instant::now() + time;
    let calls = (0..STREAMS).map(|call| {
        let mut client = StoreClient::new(channels[call % CONNECTIONS].clone());
        let data = data.clone();
        tokio::spawn(async move {
            let (send, requests) = mpsc::channel(IN_FLIGHT);
            for _ in 0..IN_FLIGHT {
                send.send(request(call, &data)).await.unwrap();
            }
            let answers = client.append(ReceiverStream::new(requests)).await;
            let mut answers = answers.unwrap().into_inner();
            let mut send = Some(send);
            let mut done = 0_u64;
            while let Some(answer) = answers.message().await.unwrap() {
                assert!(matches!(answer.result, Some(Outcome::Receipt(_))));
                done += 1;
                if tokio::time::Instant::now() >= until {
                    send = None;
                } else if let Some(send) = &send {
                    send.send(request(call, &data)).await.unwrap();
                }
            }
            done
        })
    });
    let calls: Vec<_> = calls.collect();
    let mut done = 0;
    for call in calls {
        done += call.await.unwrap();
    }
    done as f64 / clock.since(began)
}

fn appended(request: AppendRequest) -> AppendResponse {
    let writes = request.writes.into_iter().map(|write| StreamReceipt {
        stream: write.stream,
        last_revision: Some(7),
        position: 1 << 20,
    });
    AppendResponse {
        request: request.request,
        result: Some(Outcome::Receipt(Receipt {
            first: 1 << 20,
            last: 1 << 20,
            writes: writes.collect(),
            replayed: false,
        })),
    }
}

/// What nobody asks here.
fn not_measured<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not measured"))
}

#[tonic::async_trait]
impl Store for Bare {
    type AppendStream = Answers<AppendResponse>;
    type ReadStream = Answers<ReadResponse>;
    type SubscribeStream = Answers<SubscribeResponse>;
    type ListSnapshotsStream = Answers<ListSnapshotsResponse>;

    async fn append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let answers = request.into_inner().map(|request| request.map(appended));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn append_one(
        &self,
        _: Request<AppendRequest>,
    ) -> Result<Response<AppendResponse>, Status> {
        not_measured()
    }

    async fn read(&self, _: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        not_measured()
    }

    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        not_measured()
    }

    async fn head(&self, _: Request<HeadRequest>) -> Result<Response<HeadResponse>, Status> {
        not_measured()
    }

    async fn stream_info(
        &self,
        _: Request<StreamInfoRequest>,
    ) -> Result<Response<StreamInfoResponse>, Status> {
        not_measured()
    }

    async fn streams(
        &self,
        _: Request<StreamsRequest>,
    ) -> Result<Response<StreamsResponse>, Status> {
        not_measured()
    }

    async fn save_snapshot(
        &self,
        _: Request<SaveSnapshotRequest>,
    ) -> Result<Response<SaveSnapshotResponse>, Status> {
        not_measured()
    }

    async fn load_snapshot(
        &self,
        _: Request<LoadSnapshotRequest>,
    ) -> Result<Response<LoadSnapshotResponse>, Status> {
        not_measured()
    }

    async fn list_snapshots(
        &self,
        _: Request<ListSnapshotsRequest>,
    ) -> Result<Response<Self::ListSnapshotsStream>, Status> {
        not_measured()
    }

    async fn drop_snapshots(
        &self,
        _: Request<DropSnapshotsRequest>,
    ) -> Result<Response<DropSnapshotsResponse>, Status> {
        not_measured()
    }

    async fn save_checkpoint(
        &self,
        _: Request<SaveCheckpointRequest>,
    ) -> Result<Response<SaveCheckpointResponse>, Status> {
        not_measured()
    }

    async fn load_checkpoint(
        &self,
        _: Request<LoadCheckpointRequest>,
    ) -> Result<Response<LoadCheckpointResponse>, Status> {
        not_measured()
    }
}

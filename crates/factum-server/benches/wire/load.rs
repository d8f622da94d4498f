//! What is measured: callers that append, calls of many appends, and a reader, over KurrentDB's protocol.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_req::{
    Content, Options as AppendOptions, ProposedMessage,
};
use factum_proto::kurrent::streams::append_resp::Result as Outcome;
use factum_proto::kurrent::streams::batch_append_req::{
    Options as BatchOptions, ProposedMessage as BatchMessage,
};
use factum_proto::kurrent::streams::read_req::Options as ReadOptions;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, StreamOption, UuidOption, uuid_option,
};
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use factum_proto::kurrent::streams::{AppendReq, BatchAppendReq, ReadReq, batch_append_resp};
use factum_proto::kurrent::{Empty, StreamIdentifier, Uuid, uuid};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::{CONNECTIONS, Clock, EVENT_BYTES, IN_FLIGHT, READ_EVENTS, STREAMS};

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .tcp_nodelay(true)
}

pub(crate) async fn channels(address: SocketAddr) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(endpoint(address).connect().await.unwrap());
    }
    channels
}

pub(crate) fn id() -> Option<Uuid> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Some(Uuid {
        value: Some(uuid::Value::Structured(uuid::Structured {
            most_significant_bits: 0x0190_0000_0000_7000,
            least_significant_bits: number.cast_signed(),
        })),
    })
}

pub(crate) fn properties() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("type".to_owned(), "Measured".to_owned()),
        (
            "content-type".to_owned(),
            "application/octet-stream".to_owned(),
        ),
    ])
}

pub(crate) fn identifier(number: usize) -> Option<StreamIdentifier> {
    Some(StreamIdentifier {
        stream_name: format!("measured-{number}").into(),
    })
}

/// Appends one event, and waits for its answer.
pub(crate) async fn append_one(client: &mut StreamsClient<Channel>, stream: usize, data: &Bytes) {
    let options = Content::Options(AppendOptions {
        stream_identifier: identifier(stream),
        expected_stream_revision: Some(ExpectedStreamRevision::Any(Empty {})),
    });
    let event = Content::ProposedMessage(ProposedMessage {
        id: id(),
        metadata: properties(),
        custom_metadata: Vec::new(),
        data: data.to_vec(),
    });
    let messages = [options, event].map(|content| AppendReq {
        content: Some(content),
    });
    let answer = client
        .append(futures_util::stream::iter(messages))
        .await
        .unwrap();
    assert!(matches!(
        answer.into_inner().result,
        Some(Outcome::Success(_))
    ));
}

/// Callers that wait for each answer before they append again.
pub(crate) async fn unary(
    clock: &Clock,
    address: SocketAddr,
    callers: usize,
    time: Duration,
) -> f64 {
    let channels = channels(address).await;
    let data = Bytes::from(vec![7; EVENT_BYTES]);
    let began = clock.now();
    let until = tokio::time::Instant::now() + time;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let mut client = StreamsClient::new(channels[caller % CONNECTIONS].clone());
            let data = data.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                while tokio::time::Instant::now() < until {
                    append_one(&mut client, caller, &data).await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done as f64 / clock.since(began)
}

/// Calls with many appends under way in each.
pub(crate) async fn streamed(clock: &Clock, address: SocketAddr, time: Duration) -> f64 {
    let channels = channels(address).await;
    let data = Bytes::from(vec![7; EVENT_BYTES]);
    let began = clock.now();
    let until = tokio::time::Instant::now() + time;
    let tasks: Vec<_> = (0..STREAMS)
        .map(|call| {
            let mut client = StreamsClient::new(channels[call % CONNECTIONS].clone());
            let data = data.clone();
            tokio::spawn(async move {
                let (send, requests) = mpsc::channel(IN_FLIGHT);
                let request = move || BatchAppendReq {
                    correlation_id: id(),
                    options: Some(BatchOptions {
                        stream_identifier: identifier(call),
                        ..BatchOptions::default()
                    }),
                    proposed_messages: vec![BatchMessage {
                        id: id(),
                        metadata: properties(),
                        custom_metadata: Vec::new(),
                        data: data.to_vec(),
                    }],
                    is_final: true,
                };
                for _ in 0..IN_FLIGHT {
                    send.send(request()).await.unwrap();
                }
                let mut answers = client
                    .batch_append(ReceiverStream::new(requests))
                    .await
                    .unwrap()
                    .into_inner();
                let mut send = Some(send);
                let mut done = 0_u64;
                while let Some(answer) = answers.message().await.unwrap() {
                    assert!(matches!(
                        answer.result,
                        Some(batch_append_resp::Result::Success(_))
                    ));
                    done += 1;
                    if tokio::time::Instant::now() >= until {
                        send = None;
                    } else if let Some(send) = &send {
                        send.send(request()).await.unwrap();
                    }
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done as f64 / clock.since(began)
}

/// A read of `$all` from the start.
pub(crate) fn read_request(count: CountOption) -> ReadReq {
    let options = ReadOptions {
        stream_option: Some(StreamOption::All(AllOptions {
            all_option: Some(AllOption::Start(Empty {})),
        })),
        count_option: Some(count),
        filter_option: Some(FilterOption::NoFilter(Empty {})),
        uuid_option: Some(UuidOption {
            content: Some(uuid_option::Content::Structured(Empty {})),
        }),
        ..ReadOptions::default()
    };
    ReadReq {
        options: Some(options),
    }
}

/// One reader of `$all`, from the start.
pub(crate) async fn read_all(clock: &Clock, address: SocketAddr) -> f64 {
    let channels = channels(address).await;
    let mut client = StreamsClient::new(channels[0].clone());
    let request = read_request(CountOption::Count(READ_EVENTS));
    let began = clock.now();
    let mut answers = client.read(request).await.unwrap().into_inner();
    let mut read = 0_u64;
    while answers.message().await.unwrap().is_some() {
        read += 1;
    }
    read as f64 / clock.since(began)
}

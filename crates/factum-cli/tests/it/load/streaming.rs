//! Appenders with many appends under way in one call.
//!
//! When a call breaks, everything that was not answered is appended again in the next one, in its order.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use factum_proto::kurrent::streams::batch_append_req::options::ExpectedStreamPosition;
use factum_proto::kurrent::streams::batch_append_req::{Options, ProposedMessage};
use factum_proto::kurrent::streams::batch_append_resp::Result as Outcome;
use factum_proto::kurrent::streams::batch_append_resp::success::CurrentRevisionOption;
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use factum_proto::kurrent::streams::{BatchAppendReq, BatchAppendResp};
use factum_proto::v1::store_client::StoreClient;
use factum_proto::v1::{AppendRequest, AppendResponse, ErrorKind, append_response};
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::event::{Event, Expected, properties};
use super::notes::Notes;
use super::{Appender, IN_FLIGHT, Load, in_time};

/// Half of them append by `BatchAppend`, half over Factum's own protocol.
pub(super) fn appender(load: Arc<Load>, appender: u16) -> Appender {
    let channel = load.channel();
    if appender % 4 < 2 {
        Box::pin(run::<StreamsClient<Channel>>(
            load,
            appender,
            StreamsClient::new(channel),
        ))
    } else {
        Box::pin(run::<StoreClient<Channel>>(
            load,
            appender,
            StoreClient::new(channel),
        ))
    }
}

/// A call of many appends.
trait Wire {
    type Request: Send + 'static;
    type Answer: Send + 'static;

    fn request(event: Event) -> Self::Request;

    fn call(
        &mut self,
        requests: mpsc::Receiver<Self::Request>,
    ) -> impl Future<Output = Result<Streaming<Self::Answer>, Status>> + Send;

    /// Which event was appended, and at which revision.
    fn read(answer: Self::Answer) -> Result<(u64, u64), Status>;
}

async fn run<W: Wire + Send>(load: Arc<Load>, appender: u16, mut wire: W) -> Notes {
    let mut notes = Notes::new(appender);
    let mut unanswered = VecDeque::new();
    while !load.is_over() || !unanswered.is_empty() {
        if let Err(status) = call(&load, &mut wire, &mut notes, &mut unanswered).await {
            load.pause(&status).await;
        }
    }
    notes
}

/// Appends until the time is over or the call breaks.
async fn call<W: Wire>(
    load: &Load,
    wire: &mut W,
    notes: &mut Notes,
    unanswered: &mut VecDeque<u64>,
) -> Result<(), Status> {
    let appender = notes.appender();
    let (send, requests) = mpsc::channel(IN_FLIGHT);
    let begin = |number| W::request(Event { appender, number });
    for number in unanswered.iter() {
        send.try_send(begin(*number)).unwrap();
    }
    let mut answers = in_time(wire.call(requests)).await?;
    loop {
        while unanswered.len() < IN_FLIGHT && !load.is_over() {
            let number = notes.next() + u64::try_from(unanswered.len()).unwrap();
            unanswered.push_back(number);
            if send.send(begin(number)).await.is_err() {
                return Err(Status::unavailable("the call has ended"));
            }
        }
        if unanswered.is_empty() {
            return Ok(());
        }
        let answer = in_time(answers.message()).await?;
        let answer = answer.ok_or_else(|| Status::unavailable("the call has ended"))?;
        let (number, revision) = W::read(answer)?;
        let at = unanswered.iter().position(|of| *of == number);
        unanswered.remove(at.expect("an answer to nothing"));
        notes.acknowledge(number, revision);
        load.acknowledge();
    }
}

impl Wire for StreamsClient<Channel> {
    type Request = BatchAppendReq;
    type Answer = BatchAppendResp;

    fn request(event: Event) -> BatchAppendReq {
        let expected = match event.expected() {
            Expected::Any => ExpectedStreamPosition::Any(()),
            Expected::NoStream => ExpectedStreamPosition::NoStream(()),
            Expected::Revision(revision) => ExpectedStreamPosition::StreamPosition(revision),
        };
        BatchAppendReq {
            correlation_id: event.uuid(),
            options: Some(Options {
                stream_identifier: event.identifier(),
                expected_stream_position: Some(expected),
                ..Options::default()
            }),
            proposed_messages: vec![ProposedMessage {
                id: event.uuid(),
                metadata: properties(),
                custom_metadata: Vec::new(),
                data: event.data().into(),
            }],
            is_final: true,
        }
    }

    async fn call(
        &mut self,
        mut requests: mpsc::Receiver<BatchAppendReq>,
    ) -> Result<Streaming<BatchAppendResp>, Status> {
        let requests = poll_fn(move |context| requests.poll_recv(context));
        Ok(self.batch_append(requests).await?.into_inner())
    }

    fn read(answer: BatchAppendResp) -> Result<(u64, u64), Status> {
        let event = Event::of_uuid(answer.correlation_id).expect("an answer to nothing");
        match answer.result {
            Some(Outcome::Success(success)) => match success.current_revision_option {
                Some(CurrentRevisionOption::CurrentRevision(revision)) => {
                    Ok((event.number, revision))
                }
                other => panic!("{event:?}: the stream is said to be at {other:?}"),
            },
            Some(Outcome::Error(error)) if error.code == Code::DeadlineExceeded as i32 => {
                Err(Status::deadline_exceeded(error.message))
            }
            refused => panic!("{event:?}: {refused:?}"),
        }
    }
}

impl Wire for StoreClient<Channel> {
    type Request = AppendRequest;
    type Answer = AppendResponse;

    fn request(event: Event) -> AppendRequest {
        event.request()
    }

    async fn call(
        &mut self,
        mut requests: mpsc::Receiver<AppendRequest>,
    ) -> Result<Streaming<AppendResponse>, Status> {
        let requests = poll_fn(move |context| requests.poll_recv(context));
        Ok(self.append(requests).await?.into_inner())
    }

    fn read(answer: AppendResponse) -> Result<(u64, u64), Status> {
        Ok((answer.request, revision(answer.result)?))
    }
}

/// Where an append of one event over Factum's own protocol landed.
pub(super) fn revision(result: Option<append_response::Result>) -> Result<u64, Status> {
    match result {
        Some(append_response::Result::Receipt(receipt)) => match receipt.writes.as_slice() {
            [write] => Ok(write
                .last_revision
                .expect("a stream with events has a revision")),
            writes => panic!("one stream was written, not {writes:?}"),
        },
        Some(append_response::Result::Error(error))
            if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown) =>
        {
            Err(Status::unavailable(error.message))
        }
        refused => panic!("an append is refused: {refused:?}"),
    }
}

//! Appenders that wait for each answer.

use std::sync::Arc;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::AppendReq;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_req::{Content, Options, ProposedMessage};
use factum_proto::kurrent::streams::append_resp::Result as Outcome;
use factum_proto::kurrent::streams::append_resp::success::CurrentRevisionOption;
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use factum_proto::v1::store_client::StoreClient;
use tonic::Status;
use tonic::transport::Channel;

use super::event::{Event, Expected, properties};
use super::notes::Notes;
use super::streaming::revision;
use super::{Appender, Load, in_time};

/// Three of four append as KurrentDB's clients do, one over Factum's own protocol.
pub(super) fn appender(load: Arc<Load>, appender: u16, channel: Channel) -> Appender {
    Box::pin(async move {
        let mut notes = Notes::new(appender);
        let mut number = 0;
        while !load.is_over() {
            let event = Event { appender, number };
            let revision = loop {
                let channel = channel.clone();
                let answered = if appender % 8 < 6 {
                    in_time(kurrent(channel, event)).await
                } else {
                    in_time(own(channel, event)).await
                };
                match answered {
                    Ok(revision) => break revision,
                    Err(status) => load.pause(&status).await,
                }
            };
            notes.acknowledge(number, revision);
            load.acknowledge();
            number += 1;
        }
        notes
    })
}

async fn kurrent(channel: Channel, event: Event) -> Result<u64, Status> {
    let expected = match event.expected() {
        Expected::Any => ExpectedStreamRevision::Any(Empty {}),
        Expected::NoStream => ExpectedStreamRevision::NoStream(Empty {}),
        Expected::Revision(revision) => ExpectedStreamRevision::Revision(revision),
    };
    let options = Content::Options(Options {
        stream_identifier: event.identifier(),
        expected_stream_revision: Some(expected),
    });
    let proposed = Content::ProposedMessage(ProposedMessage {
        id: event.uuid(),
        metadata: properties(),
        custom_metadata: Vec::new(),
        data: event.data().into(),
    });
    let messages = [options, proposed].map(|content| AppendReq {
        content: Some(content),
    });
    let requests = futures_util::stream::iter(messages);
    let answer = StreamsClient::new(channel).append(requests).await?;
    match answer.into_inner().result {
        Some(Outcome::Success(success)) => match success.current_revision_option {
            Some(CurrentRevisionOption::CurrentRevision(revision)) => Ok(revision),
            other => panic!("{event:?}: the stream is said to be at {other:?}"),
        },
        refused => panic!("{event:?}: {refused:?}"),
    }
}

async fn own(channel: Channel, event: Event) -> Result<u64, Status> {
    let answer = StoreClient::new(channel)
        .append_one(event.request())
        .await?;
    revision(answer.into_inner().result)
}

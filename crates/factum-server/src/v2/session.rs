//! `AppendSession`: a request for each stream, stored together when the client is done.

use std::sync::Arc;

use factum_proto::kurrent::v2::streams::{AppendRequest, AppendResponse, AppendSessionResponse};
use factum_store::{AppendBatch, Receipt};
use factum_types::limits::{
    BATCH_BYTES_MAX, BATCH_CONDITIONS_MAX, BATCH_EVENTS_MAX, BATCH_WRITES_MAX,
};
use factum_types::{ExpectedRevision, StreamName};
use tonic::{Code, Status, Streaming};

use super::{Named, errors, expectation, record, signed_position, stream_name};
use crate::auth::{Caller, Operation};
use crate::log::append::kept_by;
use crate::node::Node;
use crate::room::{Brought, write_in_memory};
use crate::wire::expected::ANY;
use crate::wire::position::signed;

/// Appends what the requests say.
///
/// # Errors
/// As the protocol has them; nothing is stored then.
pub(super) async fn append(
    node: &Arc<Node>,
    caller: &Caller,
    (mut requests, brought): (Streaming<AppendRequest>, Arc<Brought>),
) -> Result<AppendSessionResponse, Status> {
    brought.flows();
    let collect = async {
        let (mut batch, mut streams) = (AppendBatch::default(), Named::default());
        let (mut bytes, mut memory) = (0, 0);
        while let Some(request) = requests.message().await? {
            let before = batch.writes.len();
            let stream = add(node, caller, &mut batch, &mut bytes, request).await?;
            memory += batch.writes[before..]
                .iter()
                .map(write_in_memory)
                .sum::<usize>();
            streams.add(&stream);
            brought.keeps(bytes + memory)?;
        }
        Ok::<_, Status>((batch, streams))
    };
    let upload = node.options.limits.upload;
    let collected = tokio::time::timeout(upload, collect).await;
    let (batch, streams) = collected.map_err(|elapsed| {
        Status::deadline_exceeded(format!("the session was not ended in time: {elapsed}"))
    })??;
    if streams.order.is_empty() {
        let text = "Append session started, but no append requests were sent before completing it.";
        return Err(Status::new(Code::FailedPrecondition, text));
    }
    let batch = existing(node, batch).await?;
    match super::append(node, batch).await? {
        Ok(receipt) => Ok(answer(&streams, &receipt)),
        Err(error) => {
            let tombstone = super::check::tombstone_among(node, &streams.order).await;
            Err(errors::store(&error, tombstone.as_ref()))
        }
    }
}

async fn add(
    node: &Node,
    caller: &Caller,
    batch: &mut AppendBatch,
    bytes: &mut usize,
    request: AppendRequest,
) -> Result<StreamName, Status> {
    let stream = stream_name(&request.stream)?;
    errors::allow(node, caller, Operation::WriteStream, &stream).await?;
    let expected = match request.expected_revision {
        None | Some(ANY) => ExpectedRevision::Any,
        Some(number) => expectation(number).ok_or_else(|| {
            Status::invalid_argument(format!(
                "{number} is no revision that can be expected of stream {stream}"
            ))
        })?,
    };
    if request.records.is_empty() {
        let text = format!("the request for stream {stream} has no records");
        return Err(Status::invalid_argument(text));
    }
    if batch.writes.len() >= BATCH_WRITES_MAX {
        let text = format!("a session has at most {BATCH_WRITES_MAX} requests");
        return Err(Status::invalid_argument(text));
    }
    if batch.event_count() + request.records.len() > BATCH_EVENTS_MAX {
        let text = format!("a session has at most {BATCH_EVENTS_MAX} records");
        return Err(Status::invalid_argument(text));
    }
    let mut events = Vec::with_capacity(request.records.len());
    for given in request.records {
        let event = record::event(node, &stream, given)?;
        *bytes += event.byte_len();
        if *bytes > BATCH_BYTES_MAX {
            return Err(errors::too_large(*bytes, BATCH_BYTES_MAX));
        }
        events.push(event);
    }
    super::write(node, batch, stream.clone(), expected, events)
        .await
        .map_err(|error| errors::store(&error, None))?;
    Ok(stream)
}

/// The batch, in which streams that have only metadata exist, as long as they have them.
async fn existing(node: &Node, mut batch: AppendBatch) -> Result<AppendBatch, Status> {
    let told = |error| errors::store(&error, None);
    for write in &mut batch.writes {
        if write.expected != ExpectedRevision::StreamExists {
            continue;
        }
        let info = node.store.stream_info(write.stream.clone()).await;
        let kept = kept_by(&*node.store, &info.map_err(told)?).await;
        let Some(kept) = kept.map_err(told)? else {
            continue;
        };
        write.expected = ExpectedRevision::Any;
        if batch.conditions.contains(&kept) {
            continue;
        }
        if batch.conditions.len() >= BATCH_CONDITIONS_MAX {
            let text = format!(
                "a session has at most {BATCH_CONDITIONS_MAX} streams that have only metadata and have to exist"
            );
            return Err(Status::invalid_argument(text));
        }
        batch.conditions.push(kept);
    }
    Ok(batch)
}

fn answer(streams: &Named, receipt: &Receipt) -> AppendSessionResponse {
    let output = streams.landed(receipt).map(|write| AppendResponse {
        stream: write.stream.to_string(),
        stream_revision: signed(write.last_revision),
        position: Some(signed_position(write.position)),
    });
    AppendSessionResponse {
        output: output.collect(),
        position: signed_position(receipt.last),
    }
}

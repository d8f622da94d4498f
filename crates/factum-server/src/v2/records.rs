//! `AppendRecords`: records that name their streams, kept in their order, with checks on any stream.

use std::sync::Arc;

use factum_proto::kurrent::v2::streams::{
    AppendRecord, AppendRecordsRequest, AppendRecordsResponse, StreamRevision,
};
use factum_store::{AppendBatch, Kind, Receipt};
use factum_types::limits::{BATCH_BYTES_MAX, BATCH_WRITES_MAX};
use factum_types::{ExpectedRevision, NewEvent, StreamName};
use tonic::Status;

use super::check;
use super::{Named, errors, record, signed_position, stream_name};
use crate::auth::{Caller, Operation};
use crate::node::Node;
use crate::room::{Brought, batch_bytes, batch_in_memory};
use crate::wire::position::signed;

/// How often streams may change between the look at them and the append.
const ATTEMPTS: usize = 16;

/// Appends the records if the checks hold.
///
/// # Errors
/// As the protocol has them; nothing is stored then.
pub(super) async fn append(
    node: &Arc<Node>,
    caller: &Caller,
    (request, brought): (AppendRecordsRequest, Arc<Brought>),
) -> Result<AppendRecordsResponse, Status> {
    let checks = check::parse(request.checks)?;
    for check in &checks {
        errors::allow(node, caller, Operation::ReadStream, check.stream()).await?;
    }
    let (batch, streams) = collect(node, caller, request.records).await?;
    brought.became(batch_in_memory(&batch, batch_bytes(&batch)))?;
    for _ in 0..ATTEMPTS {
        let judged = check::judge(node, &checks)
            .await
            .map_err(|error| errors::store(&error, None))?;
        let batch = AppendBatch {
            conditions: judged.conditions,
            ..batch.clone()
        };
        match super::append(node, batch).await? {
            Ok(receipt) => return Ok(answer(&streams, &receipt)),
            Err(error) if error.kind() == Kind::Conflict && !judged.violations.is_empty() => {
                return Err(errors::violated(judged.violations));
            }
            // Writes expect nothing, so it is a check that held a moment ago.
            Err(error) if error.kind() == Kind::Conflict => {}
            Err(error) => {
                let tombstone = check::tombstone_among(node, &streams.order).await;
                return Err(errors::store(&error, tombstone.as_ref()));
            }
        }
    }
    let names: Vec<_> = checks.iter().map(|check| check.stream().as_str()).collect();
    Err(Status::aborted(format!(
        "streams {} changed all the time",
        names.join(", ")
    )))
}

/// The batch without conditions, and the streams in the order in which they first come.
async fn collect(
    node: &Node,
    caller: &Caller,
    records: Vec<AppendRecord>,
) -> Result<(AppendBatch, Named), Status> {
    if records.is_empty() {
        return Err(Status::invalid_argument("the append has no records"));
    }
    let (mut runs, mut streams, mut bytes) = (
        Vec::<(StreamName, Vec<NewEvent>)>::new(),
        Named::default(),
        0,
    );
    for given in records {
        let stream = stream_name(&given.stream)?;
        let event = record::event(node, &stream, given)?;
        bytes += event.byte_len();
        if bytes > BATCH_BYTES_MAX {
            return Err(errors::too_large(bytes, BATCH_BYTES_MAX));
        }
        if streams.add(&stream) {
            errors::allow(node, caller, Operation::WriteStream, &stream).await?;
        }
        match runs.last_mut() {
            Some((last, events)) if *last == stream => events.push(event),
            _ => runs.push((stream, vec![event])),
        }
    }
    if runs.len() > BATCH_WRITES_MAX {
        let text =
            format!("the records go from stream to stream more than {BATCH_WRITES_MAX} times");
        return Err(Status::invalid_argument(text));
    }
    let mut batch = AppendBatch::default();
    for (stream, events) in runs {
        super::write(node, &mut batch, stream, ExpectedRevision::Any, events)
            .await
            .map_err(|error| errors::store(&error, None))?;
    }
    Ok((batch, streams))
}

fn answer(streams: &Named, receipt: &Receipt) -> AppendRecordsResponse {
    let revisions = streams.landed(receipt).map(|write| StreamRevision {
        stream: write.stream.to_string(),
        revision: signed(write.last_revision),
    });
    AppendRecordsResponse {
        revisions: revisions.collect(),
        position: signed_position(receipt.last),
    }
}

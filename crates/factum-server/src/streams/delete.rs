//! Deletes and tombstones.

use std::sync::Arc;

use factum_proto::kurrent::streams::delete_req::options::ExpectedStreamRevision as DeleteExpected;
use factum_proto::kurrent::streams::delete_resp::{
    Position as DeletePosition, PositionOption as DeletedAt,
};
use factum_proto::kurrent::streams::tombstone_req::options::ExpectedStreamRevision as TombstoneExpected;
use factum_proto::kurrent::streams::tombstone_resp::{
    Position as TombstonePosition, PositionOption as TombstonedAt,
};
use factum_proto::kurrent::streams::{DeleteReq, DeleteResp, TombstoneReq, TombstoneResp};
use factum_store::{Kind, StoreError, StreamState};
use factum_types::{ExpectedRevision, Position, StreamName};
use tonic::Status;

use crate::auth::{Caller, Operation};
use crate::log::{delete as log, metadata};
use crate::node::Node;
use crate::wire::expected::{actual, from_oneof, number};
use crate::wire::position::{signed, to_wire};
use crate::wire::{errors, stream_name};

/// Deletes a stream that may be written again.
///
/// # Errors
/// As the protocol has them.
pub(super) async fn delete(
    node: &Arc<Node>,
    caller: &Caller,
    request: DeleteReq,
) -> Result<DeleteResp, Status> {
    let options = request.options.unwrap_or_default();
    let stream = subject(stream_name(options.stream_identifier)?)?;
    node.allow_on(caller, Operation::DeleteStream, &stream)
        .await?;
    let expected = from_oneof!(DeleteExpected, options.expected_stream_revision, Revision);
    let (store, id, of) = (Arc::clone(&node.store), node.new_id(), stream.clone());
    let delete = async move { log::delete(&*store, of, expected, id).await };
    let deleted = node.carry_out(written(&stream)?, delete).await;
    match deleted {
        Ok(at) => Ok(deleted_at(at)),
        Err(error) => match deleted_before(node, &error, &stream, expected).await? {
            Some(at) => Ok(deleted_at(at)),
            None => Err(refused(node, "Delete", &error, &stream, expected).await),
        },
    }
}

/// Closes a stream for ever.
///
/// # Errors
/// As the protocol has them.
pub(super) async fn tombstone(
    node: &Arc<Node>,
    caller: &Caller,
    request: TombstoneReq,
) -> Result<TombstoneResp, Status> {
    let options = request.options.unwrap_or_default();
    let stream = subject(stream_name(options.stream_identifier)?)?;
    node.allow_on(caller, Operation::DeleteStream, &stream)
        .await?;
    let expected = from_oneof!(
        TombstoneExpected,
        options.expected_stream_revision,
        Revision
    );
    let (store, of) = (Arc::clone(&node.store), stream.clone());
    let tombstone = async move { log::tombstone(&*store, of, expected).await };
    let closed = node.carry_out(written(&stream)?, tombstone).await;
    match closed {
        Ok(at) => Ok(TombstoneResp {
            position_option: Some(TombstonedAt::Position(TombstonePosition {
                commit_position: to_wire(at),
                prepare_position: to_wire(at),
            })),
        }),
        Err(error) => Err(refused(node, "Tombstone", &error, &stream, expected).await),
    }
}

/// What is written when a stream is deleted: it and its metadata.
fn written(stream: &StreamName) -> Result<Vec<StreamName>, Status> {
    let about = metadata::stream_of(stream).map_err(|error| errors::store(&error, None))?;
    Ok(vec![stream.clone(), about])
}

fn subject(stream: StreamName) -> Result<StreamName, Status> {
    if metadata::subject(&stream).is_none() {
        return Ok(stream);
    }
    Err(Status::invalid_argument(format!(
        "stream {stream} holds the metadata of another and cannot be deleted"
    )))
}

fn deleted_at(at: Position) -> DeleteResp {
    DeleteResp {
        position_option: Some(DeletedAt::Position(DeletePosition {
            commit_position: to_wire(at),
            prepare_position: to_wire(at),
        })),
    }
}

/// Where the store is, if a stream that cannot be deleted is so already, as was asked: a delete that is repeated has nothing to do.
async fn deleted_before(
    node: &Node,
    error: &StoreError,
    stream: &StreamName,
    expected: ExpectedRevision,
) -> Result<Option<Position>, Status> {
    let (Kind::Conflict, Some(actual)) = (error.kind(), actual(error)) else {
        return Ok(None);
    };
    let is_met = match expected {
        ExpectedRevision::Any => true,
        ExpectedRevision::Exactly(revision) => actual == Some(revision),
        _ => false,
    };
    if !is_met || !is_deleted(node, stream).await? {
        return Ok(None);
    }
    let head = node.store.head().await;
    head.map_err(|error| errors::store(&error, Some(stream)))
}

async fn is_deleted(node: &Node, stream: &StreamName) -> Result<bool, Status> {
    match node.store.stream_info(stream.clone()).await {
        Ok(info) => Ok(info.state == StreamState::Deleted),
        Err(error) => Err(errors::store(&error, Some(stream))),
    }
}

async fn refused(
    node: &Node,
    what: &str,
    error: &StoreError,
    stream: &StreamName,
    expected: ExpectedRevision,
) -> Status {
    let (Kind::Conflict, Some(actual)) = (error.kind(), actual(error)) else {
        return errors::store(error, Some(stream));
    };
    if expected == ExpectedRevision::StreamExists {
        match is_deleted(node, stream).await {
            Ok(true) => return errors::stream_deleted(stream),
            Ok(false) => {}
            Err(status) => return status,
        }
    }
    errors::wrong_version(what, stream, number(expected), signed(actual))
}

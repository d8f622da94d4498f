//! Whether a caller may do what is asked.
//!
//! Streams that are made of the index when KurrentDB's protocol reads them are written by nobody: what stood in them would be seen here and not there.
//! One stream is asked about by its own list of rights; whatever reaches over streams (queries, categories, conditions over them, the list
//! of streams) needs the right to read everything. Checkpoints belong to no stream: whoever logged in has them.

use factum_store::{AppendBatch, Change, Condition, Kind, Source, StoreError};
use factum_types::StreamName;
use tonic::Status;

use super::errors::status;
use crate::auth::{Caller, Denied, Operation, Target};
use crate::guard::refusal;
use crate::links::VirtualStream;
use crate::log::append::not_written;
use crate::node::Node;

/// What a caller who may not is told at the end of a call.
fn told(denied: Denied) -> Status {
    match denied {
        Denied::Access { .. } => refusal(&denied),
        Denied::Store(error) => status(&error),
    }
}

/// Whether a caller may do something that is about no stream.
pub(super) async fn anything(
    node: &Node,
    caller: &Caller,
    operation: Operation,
) -> Result<(), Status> {
    let checked = node.auth.check(caller, operation, Target::Server).await;
    checked.map_err(told)
}

/// The same about a stream.
pub(super) async fn on(
    node: &Node,
    caller: &Caller,
    operation: Operation,
    stream: &StreamName,
) -> Result<(), Status> {
    let target = Target::from(stream);
    let checked = node.auth.check(caller, operation, target).await;
    checked.map_err(told)
}

/// Whether a caller may write what is remembered of a stream, as its snapshots.
pub(super) async fn write(node: &Node, caller: &Caller, stream: &StreamName) -> Result<(), Status> {
    on(node, caller, Operation::WriteStream, stream).await?;
    writable(stream).map_err(|error| status(&error))
}

/// Whether a stream is one that can be written.
fn writable(stream: &StreamName) -> Result<(), StoreError> {
    if VirtualStream::parse(stream).is_some() {
        return Err(not_written(stream));
    }
    Ok(())
}

/// Whether a caller may read a source.
pub(super) async fn read(node: &Node, caller: &Caller, source: &Source) -> Result<(), Status> {
    match source {
        Source::Stream(stream) => on(node, caller, Operation::ReadStream, stream).await,
        _ => anything(node, caller, Operation::ReadAll).await,
    }
}

/// Whether a caller may follow a source.
pub(super) async fn follow(node: &Node, caller: &Caller, source: &Source) -> Result<(), Status> {
    match source {
        Source::Stream(stream) => on(node, caller, Operation::Subscribe, stream).await,
        _ => anything(node, caller, Operation::SubscribeAll).await,
    }
}

/// Whether a caller may append a batch: all that it writes, and all that its conditions ask about.
///
/// # Errors
/// [`Kind::Invalid`], naming the stream: the caller may not, or nobody can write it; or why the rights could not be read.
pub(super) async fn append(
    node: &Node,
    caller: &Caller,
    batch: &AppendBatch,
) -> Result<(), StoreError> {
    for write in &batch.writes {
        let operation = match write.change {
            Change::Events(_) => Operation::WriteStream,
            Change::Delete | Change::Tombstone => Operation::DeleteStream,
            _ => Operation::WriteMetadata,
        };
        let target = Target::from(&write.stream);
        let checked = node.auth.check(caller, operation, target).await;
        checked.map_err(|denied| refused(denied, Some(&write.stream)))?;
        writable(&write.stream)?;
    }
    for condition in &batch.conditions {
        let (operation, stream) = match condition {
            Condition::Stream { stream, .. } => (Operation::ReadStream, Some(stream)),
            _ => (Operation::ReadAll, None),
        };
        let target = stream.map_or(Target::Server, Target::from);
        let checked = node.auth.check(caller, operation, target).await;
        checked.map_err(|denied| refused(denied, stream))?;
    }
    Ok(())
}

/// The same of a caller who may do everything, about whom nothing has to be found out; `None` of any other.
pub(super) fn append_at_once(
    caller: &Caller,
    batch: &AppendBatch,
) -> Option<Result<(), StoreError>> {
    let mut streams = batch.writes.iter().map(|write| &write.stream);
    caller.is_admin().then(|| streams.try_for_each(writable))
}

fn refused(denied: Denied, stream: Option<&StreamName>) -> StoreError {
    match (denied, stream) {
        (Denied::Store(error), _) => error,
        (Denied::Access { .. }, Some(stream)) => {
            StoreError::new(Kind::Invalid, format!("access to stream {stream} denied"))
        }
        (Denied::Access { .. }, None) => {
            StoreError::new(Kind::Invalid, "access to all streams denied")
        }
    }
}

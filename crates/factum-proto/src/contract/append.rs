//! Appends and their receipts.

use factum_store::{
    AppendBatch, Change, Condition, Receipt, StoreError, StreamReceipt, StreamWrite,
};
use factum_types::{Position, Revision};

use super::event::{expected, stream_name};
use super::{each, given, unheard_of};
use crate::v1;

impl TryFrom<AppendBatch> for v1::AppendRequest {
    type Error = StoreError;

    /// The request's number stays 0.
    fn try_from(batch: AppendBatch) -> Result<Self, StoreError> {
        Ok(Self {
            request: 0,
            writes: each(batch.writes)?,
            conditions: each(batch.conditions)?,
        })
    }
}

impl TryFrom<v1::AppendRequest> for AppendBatch {
    type Error = StoreError;

    fn try_from(request: v1::AppendRequest) -> Result<Self, StoreError> {
        Ok(Self {
            writes: each(request.writes)?,
            conditions: each(request.conditions)?,
        })
    }
}

impl TryFrom<StreamWrite> for v1::StreamWrite {
    type Error = StoreError;

    fn try_from(write: StreamWrite) -> Result<Self, StoreError> {
        use v1::stream_write::{Change as Message, Delete, Events, Tombstone};
        let change = match write.change {
            Change::Events(events) => Message::Events(Events {
                events: events.into_iter().map(v1::NewEvent::from).collect(),
            }),
            Change::Settings(settings) => Message::Settings(settings.into()),
            Change::Delete => Message::Delete(Delete {}),
            Change::Tombstone => Message::Tombstone(Tombstone {}),
            _ => return Err(unheard_of("change of a stream")),
        };
        Ok(Self {
            stream: write.stream.as_str().to_owned(),
            expected: Some(write.expected.into()),
            change: Some(change),
        })
    }
}

impl TryFrom<v1::StreamWrite> for StreamWrite {
    type Error = StoreError;

    fn try_from(write: v1::StreamWrite) -> Result<Self, StoreError> {
        use v1::stream_write::Change as Message;
        let change = match given(write.change, "change of a stream")? {
            Message::Events(events) => Change::Events(each(events.events)?),
            Message::Settings(settings) => Change::Settings(settings.try_into()?),
            Message::Delete(_) => Change::Delete,
            Message::Tombstone(_) => Change::Tombstone,
        };
        Ok(Self {
            stream: stream_name(&write.stream)?,
            expected: expected(write.expected)?,
            change,
        })
    }
}

impl TryFrom<Condition> for v1::Condition {
    type Error = StoreError;

    fn try_from(condition: Condition) -> Result<Self, StoreError> {
        use v1::condition::{Condition as Message, NoMatch, StreamCondition};
        let condition = match condition {
            Condition::Stream { stream, expected } => Message::Stream(StreamCondition {
                stream: stream.as_str().to_owned(),
                expected: Some(expected.into()),
            }),
            Condition::NoMatch { query, after } => Message::NoMatch(NoMatch {
                query: Some(query.into()),
                after: after.map(Position::raw),
            }),
            _ => return Err(unheard_of("condition of an append")),
        };
        Ok(Self {
            condition: Some(condition),
        })
    }
}

impl TryFrom<v1::Condition> for Condition {
    type Error = StoreError;

    fn try_from(condition: v1::Condition) -> Result<Self, StoreError> {
        use v1::condition::Condition as Message;
        Ok(
            match given(condition.condition, "condition of an append")? {
                Message::Stream(condition) => Self::Stream {
                    stream: stream_name(&condition.stream)?,
                    expected: expected(condition.expected)?,
                },
                Message::NoMatch(condition) => Self::NoMatch {
                    query: given(condition.query, "query of a condition")?.try_into()?,
                    after: condition.after.map(Position::from_raw),
                },
            },
        )
    }
}

impl From<Receipt> for v1::Receipt {
    fn from(receipt: Receipt) -> Self {
        let write = |write: StreamReceipt| v1::StreamReceipt {
            stream: write.stream.as_str().to_owned(),
            last_revision: write.last_revision.map(Revision::number),
            position: write.position.raw(),
        };
        Self {
            first: receipt.first.raw(),
            last: receipt.last.raw(),
            writes: receipt.writes.into_iter().map(write).collect(),
            replayed: receipt.replayed,
        }
    }
}

impl TryFrom<v1::Receipt> for Receipt {
    type Error = StoreError;

    fn try_from(receipt: v1::Receipt) -> Result<Self, StoreError> {
        Ok(Self {
            first: Position::from_raw(receipt.first),
            last: Position::from_raw(receipt.last),
            writes: each(receipt.writes)?,
            replayed: receipt.replayed,
        })
    }
}

impl TryFrom<v1::StreamReceipt> for StreamReceipt {
    type Error = StoreError;

    fn try_from(receipt: v1::StreamReceipt) -> Result<Self, StoreError> {
        Ok(Self {
            stream: stream_name(&receipt.stream)?,
            last_revision: receipt.last_revision.map(Revision::new),
            position: Position::from_raw(receipt.position),
        })
    }
}

//! The contract, on the engine.

use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, ReadRequest, Receipt,
    Snapshot, SnapshotStore, StoreError, StreamInfo, StreamState, StreamsRequest, SubscribeRequest,
    Subscription,
};
use factum_types::{Position, StreamName};
use futures_core::future::BoxFuture;

use super::Engine;
use crate::read::lookup::{last_snapshot, stream_names};
use crate::request::{Prepared, snapshot_key};
use crate::sequence::{StreamTail, TailState};

impl EventStore for Engine {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        Box::pin(async move { self.core()?.append(batch).await })
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.inner.reader.read(&request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.inner.reader.subscribe(&request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        let end = self.inner.reader.published.end();
        Box::pin(std::future::ready(Ok(end
            .checked_sub(1)
            .map(Position::from_raw))))
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        Box::pin(async move {
            let tail = self.inner.reader.proven_tail(&stream)?;
            Ok(stream_info(stream, &tail))
        })
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        Box::pin(async move {
            let reader = &self.inner.reader;
            let mut found = Vec::new();
            let mut after = request.after.map(|name| name.as_str().to_owned());
            while found.len() < request.limit {
                let wanted = request.limit - found.len();
                let view = reader.published.view();
                let names = stream_names(&view, &request.prefix, after.as_deref(), wanted)?;
                let Some(last) = names.last().cloned() else {
                    break;
                };
                for name in names {
                    let Ok(name) = StreamName::new(name) else {
                        continue;
                    };
                    let tail = reader.stream_tail(&name)?;
                    // A stream that only has snapshots was never written.
                    if tail.next_revision > 0 || tail.control.is_some() {
                        found.push(stream_info(name, &tail));
                    }
                }
                after = Some(last);
            }
            Ok(found)
        })
    }
}

fn stream_info(stream: StreamName, tail: &StreamTail) -> StreamInfo {
    let state = match tail.state {
        TailState::Tombstoned => StreamState::Tombstoned,
        TailState::Deleted => StreamState::Deleted,
        TailState::Live if tail.next_revision == 0 => StreamState::Missing,
        TailState::Live => StreamState::Live,
    };
    StreamInfo {
        stream,
        state,
        last_revision: tail.last_revision(),
        last_position: tail.after_last_event.checked_sub(1).map(Position::from_raw),
        settings: tail.settings(),
    }
}

impl SnapshotStore for Engine {
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let limit = factum_types::limits::SNAPSHOT_BYTES_MAX;
            if snapshot.data.len() > limit {
                return Err(StoreError::invalid(format!(
                    "the snapshot has {} bytes, more than the limit of {limit}",
                    snapshot.data.len()
                )));
            }
            if snapshot.key.len() > SNAPSHOT_KEY_BYTES_MAX {
                return Err(StoreError::invalid(format!(
                    "the snapshot's key has {} bytes, more than the limit of {SNAPSHOT_KEY_BYTES_MAX}",
                    snapshot.key.len()
                )));
            }
            let core = self.core()?;
            let request = Prepared::snapshot(snapshot, &self.inner.reader.keyer);
            core.append_prepared(Box::new(request)).await.map(drop)
        })
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(async move {
            let reader = &self.inner.reader;
            let hash = reader.keyer.snapshot(stream.as_str(), &key);
            // A fold of events that were deleted since is not a fold of this stream any more.
            let tail = reader.stream_tail(&stream)?;
            let deleted = tail.deleted_before();
            let gone = tail.state != TailState::Live;
            let view = reader.published.view();
            let mut wanted = |record: &factum_format::record::RecordView<'_>, base: i64| {
                let fits = snapshot_key(record) == key
                    && !gone
                    && deleted.is_none_or(|deleted| record.revision > deleted)
                    && at_most.is_none_or(|limit| record.revision <= limit);
                fits.then(|| Snapshot {
                    stream: stream.clone(),
                    key: key.clone(),
                    version: record.revision,
                    data: bytes::Bytes::copy_from_slice(record.data().unwrap_or_default()),
                    time: factum_types::Timestamp::from_micros(base + record.time_delta),
                })
            };
            last_snapshot(&view, (stream.as_str(), hash), &mut wanted)
        })
    }
}

/// The longest key of a snapshot, in bytes.
const SNAPSHOT_KEY_BYTES_MAX: usize = 256;

/// Where checkpoints are kept: as snapshots of a stream that has no events.
const CHECKPOINTS: &str = "$checkpoints";

impl CheckpointStore for Engine {
    fn save_checkpoint(
        &self,
        consumer: String,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut data = Vec::with_capacity(checkpoint.positions.len() * 8);
            for position in checkpoint.positions {
                data.extend_from_slice(&position.raw().to_le_bytes());
            }
            let stream = StreamName::new(CHECKPOINTS)
                .map_err(|error| StoreError::invalid(error.to_string()))?;
            let time = factum_types::Timestamp::default();
            let snapshot = Snapshot {
                stream,
                key: consumer,
                version: 0,
                data: data.into(),
                time,
            };
            self.save_snapshot(snapshot).await
        })
    }

    fn load_checkpoint(
        &self,
        consumer: String,
    ) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>> {
        Box::pin(async move {
            let stream = StreamName::new(CHECKPOINTS)
                .map_err(|error| StoreError::invalid(error.to_string()))?;
            let found = self.load_snapshot(stream, consumer, None).await?;
            Ok(found.map(|snapshot| {
                let chunks = snapshot.data.as_chunks::<8>().0;
                let positions = chunks
                    .iter()
                    .map(|chunk| Position::from_raw(u64::from_le_bytes(*chunk)));
                Checkpoint {
                    positions: positions.collect(),
                }
            }))
        })
    }
}

//! The contract, on the engine.

use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, ReadRequest, Receipt,
    Snapshot, SnapshotStore, StoreError, StreamInfo, StreamState, StreamsRequest, SubscribeRequest,
    Subscription,
};
use factum_types::{Position, StreamName};
use futures_core::future::BoxFuture;

use super::Engine;
use crate::read::lookup::stream_names;
use crate::read::snapshots;
use crate::request::Prepared;
use crate::sequence::{StreamTail, TailState};

impl EventStore for Engine {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        // Made ready at once, so that what waits is small: it goes from processor to processor.
        match self
            .core()
            .and_then(|core| Ok((core, core.prepare(batch)?)))
        {
            Ok((core, request)) => Box::pin(core.append_prepared(request)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn append_each(
        &self,
        batches: Vec<AppendBatch>,
    ) -> BoxFuture<'_, Vec<Result<Receipt, StoreError>>> {
        Box::pin(async move {
            match self.core() {
                Ok(core) => core.append_each(batches).await,
                Err(error) => batches.iter().map(|_| Err(error.clone())).collect(),
            }
        })
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
            snapshot.validate()?;
            let core = self.core()?;
            let request = Prepared::snapshot(snapshot, &self.inner.reader.keyer);
            core.append_prepared(request).await.map(drop)
        })
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(async move { snapshots::last(&self.inner.reader, &stream, &key, at_most) })
    }

    fn list_snapshots(
        &self,
        stream: StreamName,
    ) -> BoxFuture<'_, Result<Vec<Snapshot>, StoreError>> {
        Box::pin(async move { snapshots::list(&self.inner.reader, &stream) })
    }

    fn drop_snapshots(
        &self,
        stream: StreamName,
        key: String,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            Snapshot::new(stream.clone(), key.clone(), 0, "").validate()?;
            let core = self.core()?;
            let request = Prepared::drop_snapshots(stream, key, &self.inner.reader.keyer);
            core.append_prepared(request).await.map(drop)
        })
    }
}

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
            self.save_snapshot(Snapshot::new(stream, consumer, 0, data))
                .await
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

//! What is known about streams; snapshots and checkpoints.

use std::num::NonZeroU32;

use factum_store::{Checkpoint, Snapshot, StoreError, StreamInfo, StreamState, StreamsRequest};
use factum_types::{Position, Revision, StreamName, StreamSettings, Timestamp};

use super::event::stream_name;
use super::unfit;
use crate::v1;

impl From<StreamInfo> for v1::StreamInfo {
    fn from(info: StreamInfo) -> Self {
        let state = match info.state {
            StreamState::Missing => v1::StreamState::Missing,
            StreamState::Live => v1::StreamState::Live,
            StreamState::Deleted => v1::StreamState::Deleted,
            StreamState::Tombstoned => v1::StreamState::Tombstoned,
        };
        let settings = Some(info.settings).filter(|set| *set != StreamSettings::default());
        Self {
            stream: info.stream.as_str().to_owned(),
            state: state.into(),
            last_revision: info.last_revision.map(Revision::number),
            last_position: info.last_position.map(Position::raw),
            settings: settings.map(v1::StreamSettings::from),
        }
    }
}

impl TryFrom<v1::StreamInfo> for StreamInfo {
    type Error = StoreError;

    fn try_from(info: v1::StreamInfo) -> Result<Self, StoreError> {
        let state = match v1::StreamState::try_from(info.state).map_err(unfit)? {
            v1::StreamState::Missing => StreamState::Missing,
            v1::StreamState::Live => StreamState::Live,
            v1::StreamState::Deleted => StreamState::Deleted,
            v1::StreamState::Tombstoned => StreamState::Tombstoned,
        };
        let settings = info.settings.map(StreamSettings::try_from).transpose()?;
        Ok(Self {
            stream: stream_name(&info.stream)?,
            state,
            last_revision: info.last_revision.map(Revision::new),
            last_position: info.last_position.map(Position::from_raw),
            settings: settings.unwrap_or_default(),
        })
    }
}

impl From<StreamsRequest> for v1::StreamsRequest {
    /// A limit that is more than a message can say is the most that it can.
    fn from(request: StreamsRequest) -> Self {
        Self {
            prefix: request.prefix,
            after: request.after.map(|after| after.as_str().to_owned()),
            limit: u32::try_from(request.limit).unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<v1::StreamsRequest> for StreamsRequest {
    type Error = StoreError;

    fn try_from(request: v1::StreamsRequest) -> Result<Self, StoreError> {
        let after: Option<Result<StreamName, _>> = request.after.as_deref().map(stream_name);
        Ok(Self {
            prefix: request.prefix,
            after: after.transpose()?,
            limit: usize::try_from(request.limit).unwrap_or(usize::MAX),
        })
    }
}

impl From<Snapshot> for v1::Snapshot {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            stream: snapshot.stream.as_str().to_owned(),
            key: snapshot.key,
            version: snapshot.version,
            data: snapshot.data,
            time: snapshot.time.as_micros(),
            subjects: snapshot.subjects,
            keep: snapshot.keep.map(NonZeroU32::get),
        }
    }
}

impl TryFrom<v1::Snapshot> for Snapshot {
    type Error = StoreError;

    fn try_from(message: v1::Snapshot) -> Result<Self, StoreError> {
        let keep = |count| {
            NonZeroU32::new(count)
                .ok_or_else(|| StoreError::invalid("a snapshot says that none is to be kept"))
        };
        let stream = stream_name(&message.stream)?;
        let mut snapshot = Self::new(stream, message.key, message.version, message.data)
            .with_subjects(message.subjects)
            .with_keep(message.keep.map(keep).transpose()?);
        snapshot.time = Timestamp::from_micros(message.time);
        Ok(snapshot)
    }
}

impl From<Checkpoint> for v1::Checkpoint {
    fn from(checkpoint: Checkpoint) -> Self {
        Self {
            positions: checkpoint
                .positions
                .into_iter()
                .map(Position::raw)
                .collect(),
        }
    }
}

impl From<v1::Checkpoint> for Checkpoint {
    fn from(checkpoint: v1::Checkpoint) -> Self {
        let positions = checkpoint.positions.into_iter();
        Self {
            positions: positions.map(Position::from_raw).collect(),
        }
    }
}

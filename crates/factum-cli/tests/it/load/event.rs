//! The events of the appenders, as both protocols write them.

use std::collections::BTreeMap;

use bytes::Bytes;
use factum_proto::kurrent::{StreamIdentifier, Uuid, uuid};
use factum_proto::v1;

use super::{SHARE, UNARY};

/// Bytes of an event.
const BYTES: usize = 256;
/// What is the same in all ids: they are of version 7.
const MOST: u64 = 0x0190_0000_0000_7000;
const LEAST: u64 = 1 << 63;

/// The event that an appender appended as its so-manieth, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) appender: u16,
    pub(super) number: u64,
}

/// What must be true of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Any,
    NoStream,
    Revision(u64),
}

/// Half of all appenders, streaming ones too, have a stream of their own and say which revision they expect. Of the others, those that share
/// a connection share a stream.
const fn is_alone(appender: u16) -> bool {
    appender.is_multiple_of(2)
}

/// The stream of an appender.
pub(super) fn stream(appender: u16) -> String {
    if is_alone(appender) || appender >= UNARY {
        format!("load-{appender}")
    } else {
        format!("shared-{}", appender / SHARE)
    }
}

impl Event {
    pub(super) const fn expected(self) -> Expected {
        match (is_alone(self.appender), self.number) {
            (false, _) => Expected::Any,
            (true, 0) => Expected::NoStream,
            (true, number) => Expected::Revision(number - 1),
        }
    }

    fn halves(self) -> (u64, u64) {
        (MOST | u64::from(self.appender) << 16, LEAST | self.number)
    }

    pub(super) fn of_id(most: u64, least: u64) -> Option<Self> {
        let event = Self {
            appender: u16::try_from((most ^ MOST) >> 16 & 0xFFFF).ok()?,
            number: least ^ LEAST,
        };
        (event.halves() == (most, least)).then_some(event)
    }

    pub(super) fn uuid(self) -> Option<Uuid> {
        let (most, least) = self.halves();
        let structured = uuid::Structured {
            most_significant_bits: most.cast_signed(),
            least_significant_bits: least.cast_signed(),
        };
        Some(Uuid {
            value: Some(uuid::Value::Structured(structured)),
        })
    }

    pub(super) fn of_uuid(uuid: Option<Uuid>) -> Option<Self> {
        let uuid::Value::Structured(id) = uuid?.value? else {
            return None;
        };
        Self::of_id(
            id.most_significant_bits.cast_unsigned(),
            id.least_significant_bits.cast_unsigned(),
        )
    }

    pub(super) fn identifier(self) -> Option<StreamIdentifier> {
        Some(StreamIdentifier {
            stream_name: stream(self.appender).into(),
        })
    }

    /// Its data: what it is, and then nothing of interest.
    pub(super) fn data(self) -> Bytes {
        let mut data = format!("{} {} ", self.appender, self.number).into_bytes();
        data.resize(BYTES, b'.');
        data.into()
    }

    /// As `factum.v1` writes an append of it.
    pub(super) fn request(self) -> v1::AppendRequest {
        use v1::expected::{Any, Expected as Wire, NoStream};
        let (most, least) = self.halves();
        let id = u128::from(most) << 64 | u128::from(least);
        let event = v1::NewEvent {
            id: id.to_be_bytes().to_vec().into(),
            event_type: "Loaded".to_owned(),
            data: self.data(),
            content_type: v1::ContentType::Binary.into(),
            schema_version: 1,
            ..v1::NewEvent::default()
        };
        let expected = match self.expected() {
            Expected::Any => Wire::Any(Any {}),
            Expected::NoStream => Wire::NoStream(NoStream {}),
            Expected::Revision(revision) => Wire::Revision(revision),
        };
        let events = v1::stream_write::Events {
            events: vec![event],
        };
        v1::AppendRequest {
            request: self.number,
            writes: vec![v1::StreamWrite {
                stream: stream(self.appender),
                expected: Some(v1::Expected {
                    expected: Some(expected),
                }),
                change: Some(v1::stream_write::Change::Events(events)),
            }],
            conditions: Vec::new(),
        }
    }
}

/// What has to be said of every event to KurrentDB's protocol.
pub(super) fn properties() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("type".to_owned(), "Loaded".to_owned()),
        (
            "content-type".to_owned(),
            "application/octet-stream".to_owned(),
        ),
    ])
}

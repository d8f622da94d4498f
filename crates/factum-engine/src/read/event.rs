//! An event as it stands in a page: borrowed, verified, its names at hand.

use factum_format::metadata::StandardMetadata;
use factum_format::record::{RecordFlags, RecordKind as StoredKind, RecordView};
use factum_format::section::SectionType;
use factum_types::{
    Bytes, ContentType, EventId, EventType, Metadata, Position, RecordKind, RecordedEvent,
    Revision, StreamName, Tag, Timestamp,
};

use crate::request::{control_type, decode_control};
use crate::view::Index;

/// An event borrowed from a page of the log.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    pub(crate) record: RecordView<'a>,
    pub(crate) time: i64,
    pub(crate) names: Names<'a>,
}

/// Where the names that an event means are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Names<'a> {
    /// At hand.
    Known {
        stream: &'a StreamName,
        event_type: &'a EventType,
        tags: &'a [Tag],
    },
    /// By their ordinals in the index of a sealed segment.
    Index(&'a Index),
}

impl<'a> EventRef<'a> {
    /// Where it stands in the order of all.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position::from_raw(self.record.position)
    }

    /// Its number in its stream.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        Revision::new(self.record.revision)
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> EventId {
        if self.record.kind == StoredKind::EVENT {
            return EventId::from_bytes(self.record.id);
        }
        EventId::from_bytes(u128::from(self.record.position).to_be_bytes())
    }

    /// The stream it belongs to.
    #[must_use]
    pub fn stream(&self) -> &'a str {
        match self.names {
            Names::Known { stream, .. } => stream.as_str(),
            // Checked when the page was fetched.
            Names::Index(index) => index
                .stream_name(self.record.stream_ref)
                .unwrap_or_default(),
        }
    }

    /// What kind of thing happened.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        match self.names {
            Names::Known { event_type, .. } => event_type.as_str(),
            Names::Index(index) => index.type_name(self.record.type_ref).unwrap_or_default(),
        }
    }

    /// When it was recorded.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.time)
    }

    /// What happened, as given; empty for records that are no events.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.record.data().unwrap_or_default()
    }

    /// The user's own metadata; empty when there is none.
    #[must_use]
    pub fn custom_metadata(&self) -> &'a [u8] {
        self.record
            .section(SectionType::CUSTOM_METADATA)
            .unwrap_or_default()
    }

    /// What `data` is written in.
    #[must_use]
    pub fn content_type(&self) -> ContentType {
        if self.record.flags.contains(RecordFlags::JSON) || self.record.kind != StoredKind::EVENT {
            ContentType::Json
        } else {
            ContentType::Binary
        }
    }

    /// A fact, or a change to its stream.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self.record.kind {
            StoredKind::TOMBSTONE => RecordKind::Tombstone,
            StoredKind::DELETE => RecordKind::Delete,
            StoredKind::SETTINGS => RecordKind::Settings,
            _ => RecordKind::Event,
        }
    }

    /// Its tags, in the order given.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        match self.names {
            Names::Known { tags, .. } => tags.to_vec(),
            Names::Index(index) => self
                .record
                .tag_refs()
                .filter_map(|tag| Tag::new(index.tag_name(tag).ok()?).ok())
                .collect(),
        }
    }

    /// The stream it belongs to, as a name. `known` saves making it anew when it is the one.
    fn stream_name(&self, known: Option<&StreamName>) -> Option<StreamName> {
        match (self.names, known) {
            (Names::Known { stream, .. }, _) => Some(stream.clone()),
            (Names::Index(index), Some(known))
                if index.is_stream(self.record.stream_ref, known.as_str()) =>
            {
                Some(known.clone())
            }
            _ => StreamName::new(self.stream()).ok(),
        }
    }

    /// What kind of thing happened, as a name.
    fn event_type_name(&self) -> Option<EventType> {
        if self.record.kind != StoredKind::EVENT {
            return EventType::new(control_type(self.record.kind)).ok();
        }
        match self.names {
            Names::Known { event_type, .. } => Some(event_type.clone()),
            Names::Index(index) => index.event_type(self.record.type_ref),
        }
    }

    /// The same event, owning all it holds. `stream` saves making the name anew when it is known, and `shared` copying bytes: the record
    /// stands in it.
    pub(crate) fn to_recorded(
        self,
        stream: Option<&StreamName>,
        shared: Option<&Bytes>,
    ) -> Option<RecordedEvent> {
        let parts = Parts::of(&self.record);
        let owned = |bytes: &[u8]| match shared {
            Some(shared) => shared.slice_ref(bytes),
            None => Bytes::copy_from_slice(bytes),
        };
        let data = match self.kind() {
            RecordKind::Event => owned(parts.data),
            RecordKind::Settings => Bytes::from(settings_json(&self.record)),
            _ => Bytes::from_static(b"{}"),
        };
        Some(RecordedEvent {
            id: self.id(),
            stream: self.stream_name(stream)?,
            revision: self.revision(),
            position: self.position(),
            time: self.time(),
            event_type: self.event_type_name()?,
            data,
            content_type: self.content_type(),
            schema_version: self.record.schema_version,
            tags: self.tags(),
            metadata: parts.metadata(owned(parts.custom)),
            personal: owned(parts.personal),
            kind: self.kind(),
        })
    }
}

/// The sections of a record that an event is made of; empty when there is none.
#[derive(Debug, Default)]
struct Parts<'a> {
    data: &'a [u8],
    standard: &'a [u8],
    custom: &'a [u8],
    personal: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The first section of each kind; what follows a damaged one is not there.
    fn of(record: &RecordView<'a>) -> Self {
        let mut parts = Self::default();
        let mut seen = 0_u32;
        for (kind, bytes) in record.sections().map_while(Result::ok) {
            let (part, bit) = match SectionType(kind) {
                SectionType::DATA => (&mut parts.data, 1),
                SectionType::METADATA => (&mut parts.standard, 2),
                SectionType::CUSTOM_METADATA => (&mut parts.custom, 4),
                SectionType::PERSONAL => (&mut parts.personal, 8),
                _ => continue,
            };
            if seen & bit == 0 {
                *part = bytes;
                seen |= bit;
            }
        }
        parts
    }

    fn metadata(&self, custom: Bytes) -> Metadata {
        // Covered by the record's checksum; a field that does not decode was not written by us.
        let standard = StandardMetadata::decode(self.standard).unwrap_or_default();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Metadata {
            correlation_id: owned(standard.correlation_id),
            causation_id: owned(standard.causation_id),
            user_id: owned(standard.user_id),
            traceparent: owned(standard.traceparent),
            custom,
        }
    }
}

/// The settings that a record sets, as a JSON object with the fields that are set.
fn settings_json(record: &RecordView<'_>) -> String {
    let Ok(control) = decode_control(record) else {
        return "{}".to_owned();
    };
    let settings = control.settings;
    let fields = [
        ("maxCount", settings.max_count),
        (
            "maxAgeMicros",
            settings
                .max_age
                .map(|age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX)),
        ),
        (
            "truncateBefore",
            settings.truncate_before.map(Revision::number),
        ),
    ];
    let set: Vec<String> = fields
        .iter()
        .filter_map(|(name, value)| value.map(|value| format!("\"{name}\":{value}")))
        .collect();
    format!("{{{}}}", set.join(","))
}

//! Custom metadata as extension attributes.

use factum_types::RecordedEvent;
use serde_json::value::RawValue;

use super::tags;
use crate::text::{self as json, Member};

/// More members than this are shown in one string; nobody reads so many attributes.
const MEMBERS_MAX: usize = 64;
/// Attributes that the event itself gives; no member of the custom metadata may have such a name.
const OURS: [&str; 7] = [
    "specversion",
    "type",
    "subject",
    "data",
    "data_base64",
    "position",
    "streamrevision",
];
/// Attributes that an import keeps when they say more than the event's own fields.
const KEPT: [&str; 5] = ["id", "source", "time", "datacontenttype", "dataschema"];

/// The custom metadata of an event.
pub(super) enum Custom<'a> {
    /// There is none, or it cannot be shown member by member.
    Whole,
    /// Members that stand beside the event's own attributes.
    Members(Vec<Member<'a>>),
}

impl<'a> Custom<'a> {
    /// The custom metadata of an event.
    pub(super) fn of(event: &'a RecordedEvent) -> Self {
        if event.metadata.custom.is_empty() {
            return Self::Whole;
        }
        match json::members(&event.metadata.custom) {
            Ok(members) if may_stand(&members, event) => Self::Members(members),
            _ => Self::Whole,
        }
    }

    /// One of the attributes that an import keeps.
    pub(super) fn kept(&self, name: &str) -> Option<&'a RawValue> {
        match self {
            Self::Whole => None,
            Self::Members(members) => members
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, value)| *value),
        }
    }

    /// The members that are extension attributes.
    pub(super) fn extensions(&self) -> impl Iterator<Item = &Member<'a>> {
        let members = match self {
            Self::Whole => &[][..],
            Self::Members(members) => members,
        };
        members
            .iter()
            .filter(|(name, _)| !KEPT.contains(&name.as_ref()))
    }
}

/// Whether the members may stand beside the event's own attributes: no name twice, and either the object came with an import, or
/// every member is a valid extension attribute by itself. What stands for an attribute of an import is a string.
fn may_stand(members: &[Member<'_>], event: &RecordedEvent) -> bool {
    let imported = members
        .iter()
        .any(|(name, value)| name == "source" && json::string(value).is_some());
    members.len() <= MEMBERS_MAX
        && json::twice(members).is_none()
        && members.iter().all(|(name, value)| {
            let name = name.as_ref();
            let may_be = if !imported {
                is_attribute_name(name) && !KEPT.contains(&name) && is_scalar(value)
            } else if KEPT.contains(&name) {
                // It stands for the attribute, which is a string.
                json::string(value).is_some()
            } else {
                true
            };
            may_be && !OURS.contains(&name) && !is_taken(name, event)
        })
}

/// Whether a field of the event is written under this name.
fn is_taken(name: &str, event: &RecordedEvent) -> bool {
    match name {
        "correlationid" => event.metadata.correlation_id.is_some(),
        "causationid" => event.metadata.causation_id.is_some(),
        "userid" => event.metadata.user_id.is_some(),
        "traceparent" => event.metadata.traceparent.is_some(),
        "tags" => !tags::are_of_conversation(event),
        "schemaversion" => event.schema_version != 1,
        _ => false,
    }
}

/// CloudEvents 1.0.2, section 3.1: lower-case ASCII letters and digits.
fn is_attribute_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_scalar(value: &RawValue) -> bool {
    !matches!(
        value.get().as_bytes().first(),
        Some(b'{' | b'[' | b'n') | None
    )
}

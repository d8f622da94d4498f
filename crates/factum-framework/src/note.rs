//! What the framework itself writes: messages, timers, inputs of processes, and how far its consumers are.
//!
//! Every note is an event, in the stream that it is about, under a name that begins with `factum.`:
//!
//! | name | in which stream | tag it is found by |
//! |---|---|---|
//! | `factum.InputReceived` | a process's | |
//! | `factum.MessageSent` | the sender's | `factum-to:` and the category of the receiver |
//! | `factum.MessageRejected` | the sender's | `factum-owner:` and the category of the stream |
//! | `factum.TimerSet`, `TimerCancelled`, `TimerFired` | the owner's | `factum-owner:` and the category of the stream |
//! | `factum.ProcessEnded` | a process's | `factum-owner:` and the category of the stream |
//! | `factum.Checkpoint` | `factum.checkpoint-<consumer>` | |
//! | `factum.EventParked`, `RetryAsked`, `EventReleased`, `EventSkipped` | `factum.parked-<consumer>` | |
//! | `factum.EffectBegun`, `EffectDone`, `EffectFailed` | `factum.ledger-<reactor>` | `factum-effect:` and the effect |
//!
//! Relies on: nothing stored. Never: reaches a fold of the application; whoever reads a stream as its own events does not see notes.

use factum_types::{EventId, EventType, Metadata, NewEvent, RecordedEvent, StreamName, Tag};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec::{decode_variant, encode_variant, tag};
use crate::error::Error;
use crate::event::EventKind;

/// How the names of all notes begin; no event of an application may begin so.
pub(crate) const PREFIX: &str = "factum.";

/// The key of the tag that says to which category a message goes.
pub(crate) const TO: &str = "factum-to";
/// The key of the tag that says whose timers and rejections these are.
pub(crate) const OWNER: &str = "factum-owner";
/// The key of the tag by which the ledger is asked.
pub(crate) const EFFECT: &str = "factum-effect";

/// An event of the framework's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// A process was given this event.
    InputReceived {
        input: String,
        stream: String,
        revision: u64,
        #[serde(rename = "type")]
        event_type: String,
        version: u32,
        /// Where the event stands; notes of older versions do not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<u64>,
        /// Which of the inputs that the event was read as.
        #[serde(default, skip_serializing_if = "is_first")]
        index: usize,
        /// What the event said, unless it was long or not JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Value>,
        /// Why what it led to was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejected: Option<String>,
    },
    /// A command is to be run on another stream.
    MessageSent { to: String, command: Value },
    /// It was refused.
    MessageRejected {
        message: String,
        to: String,
        command: Value,
        reason: String,
    },
    /// Wake the owner of the stream then.
    TimerSet { timer: String, at_us: i64 },
    /// Do not.
    TimerCancelled { timer: String },
    /// It was woken.
    TimerFired {
        timer: String,
        set: String,
        /// Why what it led to was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejected: Option<String>,
    },
    /// The process is over, and with it its timers.
    ProcessEnded,
    /// A consumer is done up to here; so are the timers set up to `timers`.
    Checkpoint {
        position: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timers: Option<u64>,
    },
    /// An event waits, because it failed or because one before it did.
    EventParked(ParkedNote),
    /// Someone wants a partition to be tried again.
    RetryAsked { partition: String },
    /// A parked event succeeded.
    EventReleased { partition: String, position: u64 },
    /// Someone gave an event up.
    EventSkipped {
        partition: String,
        position: u64,
        why: String,
    },
    /// A runner is about to do an effect, and wants to be done by then.
    EffectBegun { runner: String, until_us: i64 },
    /// The effect is done.
    EffectDone {},
    /// The effect failed; others may try.
    EffectFailed { runner: String, reason: String },
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParkedNote {
    /// The partition in whose queue it waits.
    pub(crate) partition: String,
    /// The others that it is for: what comes later in these waits behind it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<String>,
    pub(crate) position: u64,
    pub(crate) event: String,
    pub(crate) stream: String,
    pub(crate) revision: u64,
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) reason: String,
    /// How often it was tried; 0 for one that waits behind another.
    pub(crate) attempts: u32,
}

const KINDS: [EventKind; 15] = [
    EventKind::new("factum.InputReceived", 1, ""),
    EventKind::new("factum.MessageSent", 1, ""),
    EventKind::new("factum.MessageRejected", 1, ""),
    EventKind::new("factum.TimerSet", 1, ""),
    EventKind::new("factum.TimerCancelled", 1, ""),
    EventKind::new("factum.TimerFired", 1, ""),
    EventKind::new("factum.ProcessEnded", 1, ""),
    EventKind::new("factum.Checkpoint", 1, ""),
    EventKind::new("factum.EventParked", 1, ""),
    EventKind::new("factum.RetryAsked", 1, ""),
    EventKind::new("factum.EventReleased", 1, ""),
    EventKind::new("factum.EventSkipped", 1, ""),
    EventKind::new("factum.EffectBegun", 1, ""),
    EventKind::new("factum.EffectDone", 1, ""),
    EventKind::new("factum.EffectFailed", 1, ""),
];

pub(crate) const MESSAGE_SENT: &str = KINDS[1].name;
pub(crate) const MESSAGE_REJECTED: &str = KINDS[2].name;
/// The notes that say which timers are pending.
pub(crate) const TIMER_NOTES: [&str; 4] =
    [KINDS[3].name, KINDS[4].name, KINDS[5].name, KINDS[6].name];

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_first(index: &usize) -> bool {
    *index == 0
}

impl ParkedNote {
    /// All partitions that it is for.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &str> {
        let also = self.also.iter().map(String::as_str);
        std::iter::once(self.partition.as_str()).chain(also)
    }
}

/// Whether an event of this name is the framework's.
pub(crate) fn is_note(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// What the streams of one kind have in common: the category, or the whole name of a stream without one.
pub(crate) fn owner_of(stream: &StreamName) -> &str {
    stream.category().unwrap_or(stream.as_str())
}

impl Note {
    pub(crate) const fn kind(&self) -> &'static EventKind {
        &KINDS[match self {
            Self::InputReceived { .. } => 0,
            Self::MessageSent { .. } => 1,
            Self::MessageRejected { .. } => 2,
            Self::TimerSet { .. } => 3,
            Self::TimerCancelled { .. } => 4,
            Self::TimerFired { .. } => 5,
            Self::ProcessEnded => 6,
            Self::Checkpoint { .. } => 7,
            Self::EventParked(_) => 8,
            Self::RetryAsked { .. } => 9,
            Self::EventReleased { .. } => 10,
            Self::EventSkipped { .. } => 11,
            Self::EffectBegun { .. } => 12,
            Self::EffectDone {} => 13,
            Self::EffectFailed { .. } => 14,
        }]
    }

    /// A timer is fired that this event set.
    pub(crate) fn fired(timer: String, set: &RecordedEvent) -> Self {
        Self::TimerFired {
            timer,
            set: set.id.to_string(),
            rejected: None,
        }
    }

    /// What it led to was refused.
    pub(crate) fn reject(&mut self, why: String) {
        if let Self::InputReceived { rejected, .. } | Self::TimerFired { rejected, .. } = self {
            *rejected = Some(why);
        }
    }

    /// What it is found by, in this stream.
    pub(crate) fn tags(&self, stream: &StreamName) -> Result<Vec<Tag>, Error> {
        let tag = match self {
            Self::MessageSent { to, .. } => tag(TO, owner_of(&StreamName::new(to)?))?,
            Self::MessageRejected { .. }
            | Self::TimerSet { .. }
            | Self::TimerCancelled { .. }
            | Self::TimerFired { .. }
            | Self::ProcessEnded => tag(OWNER, owner_of(stream))?,
            _ => return Ok(Vec::new()),
        };
        Ok(vec![tag])
    }

    /// The note as it is stored in this stream.
    pub(crate) fn seal(
        &self,
        id: EventId,
        stream: &StreamName,
        metadata: Metadata,
    ) -> Result<NewEvent, Error> {
        let kind = self.kind();
        let event = NewEvent::json(id, EventType::new(kind.name)?, self.encode()?);
        Ok(event.with_tags(self.tags(stream)?).with_metadata(metadata))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        encode_variant(self)
    }

    pub(crate) fn decode(name: &str, version: u32, data: &[u8]) -> Result<Self, Error> {
        let index = KINDS.iter().position(|kind| kind.name == name);
        let index = index.and_then(|index| u32::try_from(index).ok());
        let Some(index) = index else {
            return Err(Error::unknown_event(name, &KINDS));
        };
        if version != 1 {
            return Err(Error::unknown_version(name, version, 1));
        }
        decode_variant(index, name, version, data)
    }

    /// The note that an event is; `None` when it is the application's.
    pub(crate) fn read(event: &RecordedEvent) -> Result<Option<Self>, Error> {
        let name = event.event_type.as_str();
        if !is_note(name) {
            return Ok(None);
        }
        Self::decode(name, event.schema_version, &event.data)
            .map(Some)
            .map_err(|error| error.at(event))
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, Note, ParkedNote};

    fn check(note: &Note) {
        let kind = note.kind();
        let data = note.encode().unwrap();
        assert_eq!(Note::decode(kind.name, 1, &data).unwrap(), *note);
        let expected = format!(
            "factum.{}",
            format!("{note:?}").split([' ', '(']).next().unwrap()
        );
        assert_eq!(
            kind.name, expected,
            "the index of the variant is that of its name"
        );
    }

    fn parked() -> ParkedNote {
        let text = || String::from("x");
        ParkedNote {
            partition: text(),
            also: vec![text()],
            position: 1,
            event: text(),
            stream: text(),
            revision: 2,
            event_type: text(),
            reason: text(),
            attempts: 3,
        }
    }

    #[test]
    fn every_note_is_read_as_it_was_written() {
        let text = || String::from("x");
        let notes = [
            Note::InputReceived {
                input: text(),
                stream: text(),
                revision: 1,
                event_type: text(),
                version: 1,
                position: Some(3),
                index: 1,
                data: None,
                rejected: Some(text()),
            },
            Note::MessageSent {
                to: text(),
                command: serde_json::json!({"a": 1}),
            },
            Note::MessageRejected {
                message: text(),
                to: text(),
                command: serde_json::json!("x\":"),
                reason: text(),
            },
            Note::TimerSet {
                timer: text(),
                at_us: -1,
            },
            Note::TimerCancelled { timer: text() },
            Note::TimerFired {
                timer: text(),
                set: text(),
                rejected: None,
            },
            Note::ProcessEnded,
            Note::Checkpoint {
                position: None,
                timers: Some(3),
            },
            Note::EventParked(parked()),
            Note::RetryAsked { partition: text() },
            Note::EventReleased {
                partition: text(),
                position: 3,
            },
            Note::EventSkipped {
                partition: text(),
                position: 3,
                why: text(),
            },
            Note::EffectBegun {
                runner: text(),
                until_us: 3,
            },
            Note::EffectDone {},
            Note::EffectFailed {
                runner: text(),
                reason: text(),
            },
        ];
        assert_eq!(notes.len(), KINDS.len());
        notes.iter().for_each(check);
    }

    #[test]
    fn a_note_of_older_code_is_read() {
        let data = br#"{"input":"x","stream":"x","revision":1,"type":"x","version":1}"#;
        let note = Note::decode("factum.InputReceived", 1, data).unwrap();
        let unknown = Note::InputReceived {
            input: "x".into(),
            stream: "x".into(),
            revision: 1,
            event_type: "x".into(),
            version: 1,
            position: None,
            index: 0,
            data: None,
            rejected: None,
        };
        assert_eq!(note, unknown);
        assert_eq!(unknown.encode().unwrap(), data);
    }

    #[test]
    fn a_note_of_newer_code_is_named() {
        let error = Note::decode("factum.Unheard", 1, b"{}").unwrap_err();
        assert!(error.to_string().contains("factum.Unheard"), "{error}");
        let error = Note::decode("factum.ProcessEnded", 2, b"{}").unwrap_err();
        assert!(error.to_string().contains("newer"), "{error}");
    }
}

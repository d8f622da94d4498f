//! What the framework keeps of a stream beside the application's state: whether its process runs, and its timers.
//!
//! Relies on: notes in the stream itself. Never: is stored; it is folded like any state.

use std::collections::BTreeMap;

use factum_types::{RecordedEvent, Tag};

use crate::error::Error;
use crate::event::{Event, EventKind};
use crate::note::{Note, is_note};
use crate::versions::RawStep;

/// What is known of a stream from the notes in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    /// The timers that are pending, each with the id of the note that set it.
    timers: BTreeMap<String, String>,
    /// Whether there was an input.
    pub(crate) started: bool,
    /// Where the first input stands, and which of its event's it is; `None` when its note does not say it.
    first: Option<(u64, usize)>,
    /// Whether the process is over.
    pub(crate) ended: bool,
}

impl Book {
    pub(crate) fn take(&mut self, note: &Note, recorded: &RecordedEvent) {
        match note {
            Note::InputReceived { .. } if self.started => (),
            Note::InputReceived {
                position, index, ..
            } => {
                self.started = true;
                // In a copy of a store positions are others: what comes after the note never came before the input.
                let noted = recorded.position.raw();
                self.first = position.map(|position| (position.min(noted), *index));
            }
            Note::TimerSet { timer, .. } => {
                self.timers.insert(timer.clone(), recorded.id.to_string());
            }
            Note::TimerCancelled { timer } | Note::TimerFired { timer, .. } => {
                self.timers.remove(timer);
            }
            Note::ProcessEnded => {
                self.timers.clear();
                self.ended = true;
            }
            _ => (),
        }
    }

    /// Whether the process ran already when the input came of which this would be noted.
    pub(crate) fn began_before(&self, note: &Note) -> bool {
        match (self.first, note) {
            (
                Some(first),
                Note::InputReceived {
                    position: Some(position),
                    index,
                    ..
                },
            ) => first < (*position, *index),
            _ => self.started,
        }
    }

    /// Whether there is still a reason for what this would note: a timer that was cancelled or set anew is not fired.
    pub(crate) fn wants(&self, note: &Note) -> bool {
        match note {
            Note::TimerFired { timer, set, .. } => self.timers.get(timer) == Some(set),
            _ => true,
        }
    }

    /// The names of the timers that are pending.
    pub(crate) fn timers(&self) -> impl Iterator<Item = &str> {
        self.timers.keys().map(String::as_str)
    }
}

/// An event of the application, or a note of the framework beside it.
#[derive(Debug, Clone)]
pub(crate) enum Noted<E> {
    /// The application's.
    Event(E),
    /// The framework's.
    Note(Note),
}

impl<E: Event> Event for Noted<E> {
    const KINDS: &'static [EventKind] = E::KINDS;
    const STEPS: &'static [RawStep] = E::STEPS;
    const NOTES: bool = true;

    fn kind(&self) -> &'static EventKind {
        match self {
            Self::Event(event) => event.kind(),
            Self::Note(note) => note.kind(),
        }
    }

    fn tags(&self) -> Result<Vec<Tag>, Error> {
        match self {
            Self::Event(event) => event.tags(),
            // A note is never emitted as an event: it is sealed by itself.
            Self::Note(_) => Ok(Vec::new()),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Event(event) => event.encode(),
            Self::Note(note) => note.encode(),
        }
    }

    fn decode(name: &str, version: u32, data: &[u8]) -> Result<Self, Error> {
        if is_note(name) {
            Note::decode(name, version, data).map(Self::Note)
        } else {
            E::decode(name, version, data).map(Self::Event)
        }
    }
}

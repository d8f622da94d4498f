//! The names defined so far in the segment being written.
//!
//! A name is written once per segment and then meant by its ordinal. Relies on: definitions are applied by readers in the order of
//! frames, so ordinals agree. Never: survives its segment.

use factum_format::definition::DefinitionKind;
use factum_format::frame::FrameBuilder;
use factum_types::FixedMap;

use crate::key::KeyHash;
use crate::view::unsealed::Content;

/// The segment that records are written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentContext {
    pub(crate) number: u64,
    pub(crate) base_time: i64,
}

/// Ordinals of one kind of name.
#[derive(Debug, Default)]
struct Ordinals {
    by_key: FixedMap<KeyHash, u32>,
    next: u32,
}

/// Definitions made in one frame, so that they can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Defined(Vec<(DefinitionKind, KeyHash)>);

/// The names defined so far in a segment.
#[derive(Debug)]
pub(crate) struct SegmentNames {
    context: SegmentContext,
    streams: Ordinals,
    types: Ordinals,
    tags: Ordinals,
}

impl SegmentNames {
    pub(crate) fn new(context: SegmentContext) -> Self {
        Self {
            context,
            streams: Ordinals::default(),
            types: Ordinals::default(),
            tags: Ordinals::default(),
        }
    }

    pub(crate) const fn context(&self) -> SegmentContext {
        self.context
    }

    /// Takes up the names that a segment defines already.
    pub(crate) fn know(&mut self, content: &Content) {
        let streams = content.streams.iter().map(|posting| posting.key);
        let types = content.types.iter().map(|posting| posting.key);
        let tags = content.tags.iter().map(|posting| posting.key);
        self.streams.fill(streams);
        self.types.fill(types);
        self.tags.fill(tags);
    }

    pub(crate) fn stream(
        &mut self,
        key: KeyHash,
        name: &str,
        frame: &mut FrameBuilder,
        defined: &mut Defined,
    ) -> u32 {
        self.streams
            .get(DefinitionKind::STREAM, key, name, frame, defined)
    }

    pub(crate) fn event_type(
        &mut self,
        key: KeyHash,
        name: &str,
        frame: &mut FrameBuilder,
        defined: &mut Defined,
    ) -> u32 {
        self.types
            .get(DefinitionKind::TYPE, key, name, frame, defined)
    }

    pub(crate) fn tag(
        &mut self,
        key: KeyHash,
        name: &str,
        frame: &mut FrameBuilder,
        defined: &mut Defined,
    ) -> u32 {
        self.tags
            .get(DefinitionKind::TAG, key, name, frame, defined)
    }

    /// Takes back what a frame defined.
    pub(crate) fn undo(&mut self, defined: Defined) {
        for (kind, key) in defined.0.into_iter().rev() {
            let ordinals = match kind {
                DefinitionKind::STREAM => &mut self.streams,
                DefinitionKind::TYPE => &mut self.types,
                _ => &mut self.tags,
            };
            ordinals.by_key.remove(&key);
            ordinals.next -= 1;
        }
    }
}

impl Ordinals {
    fn fill(&mut self, keys: impl Iterator<Item = KeyHash>) {
        for key in keys {
            self.by_key.insert(key, self.next);
            self.next += 1;
        }
    }

    fn get(
        &mut self,
        kind: DefinitionKind,
        key: KeyHash,
        name: &str,
        frame: &mut FrameBuilder,
        defined: &mut Defined,
    ) -> u32 {
        if let Some(ordinal) = self.by_key.get(&key) {
            return *ordinal;
        }
        let written = frame.define(kind, self.next, name);
        assert!(
            written.is_ok(),
            "a validated name is within the format's limit: {written:?}"
        );
        let ordinal = self.next;
        self.next += 1;
        self.by_key.insert(key, ordinal);
        defined.0.push((kind, key));
        ordinal
    }
}

//! Sequencing: judges requests, numbers what they write, and puts it into a frame.
//!
//! The first of the three stages. It sees everything that was sequenced before, in flight or published, and works on memory only.
//! Relies on: one caller at a time; callers that resolve what it does not know. Never: does I/O, waits, or shows anyone anything:
//! what is decided here is told only when the frame is durable.

mod ids;
mod names;
mod recent;
mod tail;

use factum_format::frame::FrameBuilder;
use factum_format::record::{RecordFlags, RecordHead, RecordKind};
use factum_types::{FixedMap, Timestamp};
use smallvec::SmallVec;

pub(crate) use ids::IdWindow;
pub(crate) use names::SegmentContext;
use names::SegmentNames;
use recent::{Recent, Recheck};
pub(crate) use tail::{ControlState, StreamTail, TailState};

use crate::key::{KeyHash, KeyKind, Keyer};
use crate::mutant::{Mutant, on};
use crate::request::{
    Prepared, PreparedChange, PreparedCondition, PreparedEvent, PreparedType, PreparedWrite,
    control_body, control_type,
};
use crate::view::unsealed::Content;

/// Where a request landed, before names are put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Landed {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) writes: SmallVec<[WriteLanded; 1]>,
}

/// Where one write landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteLanded {
    /// The stream's next revision after the write.
    pub(crate) next_revision: u64,
    pub(crate) position: u64,
}

/// Why a request does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This write's expectation does not hold; the stream had this next revision.
    Write { index: usize, next_revision: u64 },
    /// This condition on a stream does not hold.
    StreamCondition { index: usize, next_revision: u64 },
    /// This condition on a query does not hold: the last event that matches stands here.
    Match { index: usize, position: u64 },
    /// This write's stream has a tombstone.
    Tombstoned { index: usize },
    /// This event's own time lies before the last event's or in the future.
    Time { event: usize, last: i64, now: i64 },
}

/// What the caller must do before the request can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounce {
    /// Find the tails of its streams.
    Resolve,
    /// Evaluate its queries again: too much was appended since.
    Evaluate,
    /// See whether the event at this position is one of its own: it looks like a retry.
    CheckIds(u64),
}

/// The answer of the sequencer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    Accepted(Landed),
    Refused(Refusal),
    Bounced(Bounce),
}

/// What must be undone when a frame turns out not to be the next one.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    /// Whether anything will ever be undone; if not, nothing is noted down.
    is_wanted: bool,
    streams: Vec<(KeyHash, Option<Known>)>,
    names: names::Defined,
    first_position: u64,
    last_time: i64,
}

impl Undo {
    /// The position of the frame's first record.
    pub(crate) const fn first_position(&self) -> u64 {
        self.first_position
    }

    /// The time of the last record before the frame.
    pub(crate) const fn last_time(&self) -> i64 {
        self.last_time
    }
}

/// The data of so many events further on are asked for.
const DATA_AHEAD: usize = 8;
/// So many ids are looked for in memory at a time.
const IDS_AT_ONCE: usize = 32;

/// What is known of a stream: its tail, and its ordinal in the segment where it was named last.
#[derive(Debug, Clone, Default)]
struct Known {
    tail: StreamTail,
    segment: u64,
    ordinal: u32,
}

impl Known {
    /// Named in no segment yet; there is none with number 0.
    const fn new(tail: StreamTail) -> Self {
        Self {
            tail,
            segment: 0,
            ordinal: 0,
        }
    }
}

/// Judges and numbers. See the module.
#[derive(Debug)]
pub(crate) struct Sequencer {
    keyer: Keyer,
    streams: FixedMap<KeyHash, Known>,
    streams_max: usize,
    evictions: u64,
    names: SegmentNames,
    recent: Recent,
    ids: IdWindow,
    /// Ids of the frame at hand that are not in the window yet: put in together, so that the waits for memory overlap.
    new_ids: Vec<(u64, u64)>,
    next_position: u64,
    last_time: i64,
    /// Tails of the streams that the request at hand has changed so far.
    overlay: FixedMap<KeyHash, StreamTail>,
    tag_refs: Vec<u32>,
}

impl Sequencer {
    pub(crate) fn new(
        keyer: Keyer,
        context: SegmentContext,
        next_position: u64,
        last_time: i64,
        ids: IdWindow,
        streams_max: usize,
    ) -> Self {
        Self {
            keyer,
            streams: FixedMap::default(),
            streams_max,
            evictions: 0,
            names: SegmentNames::new(context),
            recent: Recent::default(),
            ids,
            new_ids: Vec::new(),
            next_position,
            last_time,
            overlay: FixedMap::default(),
            tag_refs: Vec::new(),
        }
    }

    pub(crate) const fn next_position(&self) -> u64 {
        self.next_position
    }

    /// Takes up the names that the segment defines already.
    pub(crate) fn know_names(&mut self, content: &Content) {
        self.names.know(content);
    }

    /// The last position of an event with this fingerprint, in the window of recent ids.
    pub(crate) fn id_position(&self, fingerprint: u64) -> Option<u64> {
        self.ids.position(fingerprint)
    }

    pub(crate) const fn last_time(&self) -> i64 {
        self.last_time
    }

    pub(crate) const fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(crate) fn streams_known(&self) -> usize {
        self.streams.len()
    }

    /// Begins a frame: what happens from here on can be undone together.
    pub(crate) fn begin_frame(&self, is_wanted: bool) -> Undo {
        Undo {
            is_wanted,
            first_position: self.next_position,
            last_time: self.last_time,
            ..Undo::default()
        }
    }

    /// Begins a segment: names are defined anew.
    pub(crate) fn begin_segment(&mut self, context: SegmentContext) {
        self.names = SegmentNames::new(context);
    }

    /// Takes up the tail of a stream that was written before the store was opened.
    pub(crate) fn know_stream(&mut self, key: KeyHash, tail: StreamTail) {
        self.streams.insert(key, Known::new(tail));
    }

    /// Forgets streams whose last record stands before `sealed_end`, when too many are known. Their tails can be found again.
    pub(crate) fn evict(&mut self, sealed_end: u64) {
        if self.streams.len() <= self.streams_max {
            return;
        }
        self.streams
            .retain(|_, known| known.tail.after_last_record > sealed_end);
        self.evictions += 1;
    }

    /// Judges a request and, if it holds, writes it into the frame.
    pub(crate) fn sequence(
        &mut self,
        request: &mut Prepared,
        now: i64,
        frame: &mut FrameBuilder,
        undo: &mut Undo,
    ) -> Judgement {
        self.learn(request);
        if request
            .streams()
            .any(|(_, key)| !self.streams.contains_key(&key))
        {
            return Judgement::Bounced(Bounce::Resolve);
        }
        match self.judge(request, now) {
            Ok(None) => Judgement::Accepted(self.accept(request, now, frame, undo)),
            Ok(Some(bounce)) => Judgement::Bounced(bounce),
            Err(refusal) => Judgement::Refused(refusal),
        }
    }

    /// Takes the tails that the caller found, unless they may be out of date.
    fn learn(&mut self, request: &mut Prepared) {
        for resolved in request.resolved.drain(..) {
            if resolved.evictions == self.evictions {
                let known = Known::new(resolved.tail);
                self.streams.entry(resolved.key).or_insert(known);
            }
        }
    }

    /// Ends a frame: what was put off is done.
    pub(crate) fn end_frame(&mut self) {
        self.note_ids();
    }

    fn note_ids(&mut self) {
        for some in self.new_ids.chunks(IDS_AT_ONCE) {
            self.ids
                .look_ahead(some.iter().map(|(fingerprint, _)| *fingerprint));
            for (fingerprint, position) in some {
                self.ids.insert(*fingerprint, *position);
            }
        }
        self.new_ids.clear();
    }

    fn judge(&mut self, request: &Prepared, now: i64) -> Result<Option<Bounce>, Refusal> {
        let now = now.max(self.last_time);
        // Expectations first: they are what most requests fail on, and a retry is looked for behind them.
        let bounce = self.judge_conditions(request)?;
        if bounce.is_some() {
            return Ok(bounce);
        }
        self.judge_writes(request)?;
        // Ids before times: a repetition of an old event with its own time is a repetition all the same.
        let suspect = self.suspect_ids(request);
        if suspect.is_none() {
            self.judge_times(request, now)?;
        }
        Ok(suspect.map(Bounce::CheckIds))
    }

    fn judge_conditions(&mut self, request: &Prepared) -> Result<Option<Bounce>, Refusal> {
        for (index, condition) in request.conditions.iter().enumerate() {
            match condition {
                PreparedCondition::Stream { key, expected, .. } => {
                    let tail = self.tail(*key);
                    if !tail.meets(*expected) {
                        let next_revision = tail.next_revision;
                        return Err(Refusal::StreamCondition {
                            index,
                            next_revision,
                        });
                    }
                }
                PreparedCondition::NoMatch(query) => {
                    self.recent.enable(self.next_position);
                    match self.recent.recheck(query, self.next_position) {
                        Recheck::Clear => {}
                        Recheck::Match(_) if on(Mutant::ConditionNotRechecked) => {}
                        Recheck::Match(position) => return Err(Refusal::Match { index, position }),
                        Recheck::TooOld => return Ok(Some(Bounce::Evaluate)),
                    }
                }
            }
        }
        Ok(None)
    }

    fn judge_writes(&mut self, request: &Prepared) -> Result<(), Refusal> {
        if let [write] = request.writes.as_slice() {
            return judge_write(0, write, &self.tail_or_default(write)).map(drop);
        }
        self.overlay.clear();
        for (index, write) in request.writes.iter().enumerate() {
            let before = match self.overlay.get(&write.key) {
                Some(tail) => tail.clone(),
                None => self.tail_or_default(write),
            };
            let after = judge_write(index, write, &before)?;
            self.overlay.insert(write.key, after);
        }
        Ok(())
    }

    fn judge_times(&self, request: &Prepared, now: i64) -> Result<(), Refusal> {
        if request.events.iter().all(|event| event.time.is_none()) {
            return Ok(());
        }
        let mut last = self.last_time;
        for write in &request.writes {
            let PreparedChange::Events(range) = &write.change else {
                last = now;
                continue;
            };
            for event in range.clone() {
                let time = request.events[event].time.map_or(now, Timestamp::as_micros);
                if time < last || time > now {
                    return Err(Refusal::Time { event, last, now });
                }
                last = time;
            }
        }
        Ok(())
    }

    /// The position of an event that may be one of the request's own, recorded before.
    fn suspect_ids(&mut self, request: &Prepared) -> Option<u64> {
        if request.ids_checked || request.writes.iter().all(|write| !is_open(write)) {
            return None;
        }
        self.note_ids();
        let open = request.writes.iter().filter(|write| is_open(write));
        let ranges = open.filter_map(|write| match &write.change {
            PreparedChange::Events(range) => Some(range.clone()),
            _ => None,
        });
        ranges
            .flat_map(|range| &request.events[range])
            .find_map(|event| self.ids.position(event.fingerprint))
    }

    fn tail(&self, key: KeyHash) -> StreamTail {
        self.streams
            .get(&key)
            .map(|known| known.tail.clone())
            .unwrap_or_default()
    }

    /// Snapshots are not judged by their stream, so its tail need not be known.
    fn tail_or_default(&self, write: &PreparedWrite) -> StreamTail {
        self.tail(write.key)
    }

    fn accept(
        &mut self,
        request: &Prepared,
        now: i64,
        frame: &mut FrameBuilder,
        undo: &mut Undo,
    ) -> Landed {
        let first = self.next_position;
        let mut writes = SmallVec::with_capacity(request.writes.len());
        for write in &request.writes {
            writes.push(self.write(request, write, now, frame, undo));
        }
        Landed {
            first,
            last: self.next_position - 1,
            writes,
        }
    }

    fn write(
        &mut self,
        request: &Prepared,
        write: &PreparedWrite,
        now: i64,
        frame: &mut FrameBuilder,
        undo: &mut Undo,
    ) -> WriteLanded {
        if let PreparedChange::Snapshot {
            version,
            body,
            body_crc,
        } = &write.change
        {
            let stream = write.stream.as_str();
            let stream_ref = self.names.stream(write.key, stream, frame, &mut undo.names);
            let name = control_type(RecordKind::SNAPSHOT);
            let key = self.keyer.hash(KeyKind::EventType, name);
            let type_ref = self.names.event_type(key, name, frame, &mut undo.names);
            let body = (request.body(body), *body_crc);
            let head = Head {
                kind: RecordKind::SNAPSHOT,
                stream_ref,
                revision: *version,
                type_ref,
            };
            return self.plain_record(&head, body, now, frame);
        }
        let before = self.streams.get(&write.key);
        let mut known = before.cloned().unwrap_or_default();
        if undo.is_wanted {
            undo.streams.push((write.key, before.cloned()));
        }
        let segment = self.names.context().number;
        if known.segment != segment {
            let stream = write.stream.as_str();
            known.ordinal = self.names.stream(write.key, stream, frame, &mut undo.names);
            known.segment = segment;
        }
        let (stream_ref, tail) = (known.ordinal, &mut known.tail);
        let landed = match &write.change {
            PreparedChange::Events(range) => {
                let first = self.next_position;
                let mut last_type = None;
                for (number, event) in range.clone().zip(&request.events[range.clone()]) {
                    let type_ref = match last_type {
                        Some((index, type_ref)) if index == event.type_index => type_ref,
                        _ => self.type_ref(request, event, frame, undo),
                    };
                    last_type = Some((event.type_index, type_ref));
                    let refs = (stream_ref, type_ref);
                    request.look_ahead_at(number + DATA_AHEAD);
                    self.event(request, event, refs, tail, now, frame, undo);
                }
                let events = request.events[range.clone()].iter();
                self.new_ids
                    .extend(events.map(|event| event.fingerprint).zip(first..));
                WriteLanded {
                    next_revision: tail.next_revision,
                    position: self.next_position - 1,
                }
            }
            change => self.control(change, stream_ref, tail, now, frame, undo),
        };
        self.streams.insert(write.key, known);
        landed
    }

    fn type_ref(
        &mut self,
        request: &Prepared,
        event: &PreparedEvent,
        frame: &mut FrameBuilder,
        undo: &mut Undo,
    ) -> u32 {
        let PreparedType { name, key } = request.type_of(event);
        self.names
            .event_type(*key, name.as_str(), frame, &mut undo.names)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one record; a struct would be unpacked at once"
    )]
    fn event(
        &mut self,
        request: &Prepared,
        event: &PreparedEvent,
        (stream_ref, type_ref): (u32, u32),
        tail: &mut StreamTail,
        now: i64,
        frame: &mut FrameBuilder,
        undo: &mut Undo,
    ) {
        let names = &mut self.names;
        self.tag_refs.clear();
        for (tag, key) in &event.tags {
            self.tag_refs
                .push(names.tag(*key, tag.as_str(), frame, &mut undo.names));
        }
        let position = self.next_position;
        let time = event
            .time
            .map_or(now, Timestamp::as_micros)
            .max(if on(Mutant::TimeGoesBack) {
                0
            } else {
                self.last_time
            });
        let head = RecordHead {
            position,
            kind: RecordKind::EVENT,
            flags: event.flags,
            id: event.id,
            stream_ref,
            revision: tail.next_revision,
            type_ref,
            schema_version: event.schema_version,
            time_delta: time.saturating_sub(self.names.context().base_time),
            tag_refs: &self.tag_refs,
        };
        put(frame, &head, request.body_of(event), event.body_crc);
        if self.recent.is_enabled() {
            let tags = event.tags.iter().map(|(_, key)| *key).collect();
            self.recent.push(position, request.type_of(event).key, tags);
        }
        tail.on_event(position);
        self.advance(time);
    }

    fn control(
        &mut self,
        change: &PreparedChange,
        stream_ref: u32,
        tail: &mut StreamTail,
        now: i64,
        frame: &mut FrameBuilder,
        undo: &mut Undo,
    ) -> WriteLanded {
        let (kind, control) = match change {
            PreparedChange::Settings(settings) => {
                (RecordKind::SETTINGS, tail.with_settings(*settings))
            }
            PreparedChange::Delete => (RecordKind::DELETE, tail.deleted()),
            _ => (RecordKind::TOMBSTONE, tail.tombstoned()),
        };
        let name = control_type(kind);
        let key = self.keyer.hash(KeyKind::EventType, name);
        let type_ref = self.names.event_type(key, name, frame, &mut undo.names);
        let body = control_body(&control);
        let crc = crc32c::crc32c(&body);
        tail.on_control(self.next_position, control);
        let head = Head {
            kind,
            stream_ref,
            revision: tail.next_revision,
            type_ref,
        };
        self.plain_record(&head, (&body, crc), now, frame)
    }

    /// A record that is no event: no id, no tags.
    fn plain_record(
        &mut self,
        head: &Head,
        (body, body_crc): (&[u8], u32),
        now: i64,
        frame: &mut FrameBuilder,
    ) -> WriteLanded {
        let position = self.next_position;
        let time = now.max(self.last_time);
        let record = RecordHead {
            position,
            kind: head.kind,
            flags: RecordFlags::NONE,
            id: [0; 16],
            stream_ref: head.stream_ref,
            revision: head.revision,
            type_ref: head.type_ref,
            schema_version: 1,
            time_delta: time.saturating_sub(self.names.context().base_time),
            tag_refs: &[],
        };
        put(frame, &record, [body, &[]], body_crc);
        // A snapshot is no fact: events that bring their own time are not late because of it.
        let last = if head.kind == RecordKind::SNAPSHOT {
            self.last_time
        } else {
            time
        };
        self.advance(last);
        WriteLanded {
            next_revision: head.revision,
            position,
        }
    }

    const fn advance(&mut self, time: i64) {
        self.next_position += 1;
        self.last_time = time;
    }

    /// Takes back a frame. Frames are taken back newest first.
    pub(crate) fn undo(&mut self, undo: Undo) {
        assert!(undo.is_wanted, "what is undone was noted down");
        for (key, known) in undo.streams.into_iter().rev() {
            match known {
                Some(known) => drop(self.streams.insert(key, known)),
                None => drop(self.streams.remove(&key)),
            }
        }
        self.names.undo(undo.names);
        self.recent.reset(undo.first_position);
        self.next_position = undo.first_position;
        self.last_time = undo.last_time;
    }
}

struct Head {
    kind: RecordKind,
    stream_ref: u32,
    revision: u64,
    type_ref: u32,
}

/// Puts a record into a frame that was checked to have room for it.
fn put(frame: &mut FrameBuilder, head: &RecordHead<'_>, body: [&[u8]; 2], body_crc: u32) {
    let written = frame.record_parts(head, body, body_crc);
    assert!(
        written.is_ok(),
        "a record that was checked against the limits fits: {written:?}"
    );
}

/// Whether a write expects no exact revision, so that only its ids tell a repetition from a new event.
const fn is_open(write: &PreparedWrite) -> bool {
    use factum_types::ExpectedRevision::{Any, StreamExists};
    matches!(write.expected, Any | StreamExists)
}

/// Whether a write's expectation holds; if so, the tail it leaves behind, as far as later writes of the request can tell.
fn judge_write(
    index: usize,
    write: &PreparedWrite,
    before: &StreamTail,
) -> Result<StreamTail, Refusal> {
    let mut after = before.clone();
    if matches!(write.change, PreparedChange::Snapshot { .. }) {
        return Ok(after);
    }
    if before.state == TailState::Tombstoned {
        return Err(Refusal::Tombstoned { index });
    }
    let refused = Refusal::Write {
        index,
        next_revision: before.next_revision,
    };
    if !before.meets(write.expected) {
        return Err(refused);
    }
    match &write.change {
        PreparedChange::Events(range) => range.clone().for_each(|_| after.on_event(0)),
        PreparedChange::Settings(settings) => after.on_control(0, before.with_settings(*settings)),
        PreparedChange::Delete if !before.exists() => return Err(refused),
        PreparedChange::Delete => after.on_control(0, before.deleted()),
        PreparedChange::Tombstone => after.on_control(0, before.tombstoned()),
        PreparedChange::Snapshot { .. } => {}
    }
    Ok(after)
}

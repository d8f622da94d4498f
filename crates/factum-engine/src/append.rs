//! The caller's side of an append: make it ready, look up what the sequencer must not, wait, and make sense of the answer.
//!
//! Everything that reads is done here, on the caller's time. Never: tells anyone what is not durable.

use std::ops::ControlFlow;

use factum_format::record::RecordFlags;
use factum_store::{
    AppendBatch, Conflict, ConflictReason, Kind, ReadFrom, ReadRequest, Receipt, Source,
    StoreError, StreamReceipt,
};
use factum_types::limits::CONFLICT_EVENTS_MAX;
use factum_types::{EventId, ExpectedRevision, Position, RecordedEvent, Revision, StreamName};

use crate::core::{Core, Outcome, Pending, Reply};
use crate::errors;
use crate::mutant::{Mutant, on};
use crate::read::Page;
use crate::read::lookup::last_match;
use crate::read::plan::SourceKeys;
use crate::read::stream::tombstoned;
use crate::request::{Prepared, PreparedChange, PreparedCondition, PreparedWrite, Resolved};
use crate::sequence::{Bounce, Landed, Refusal, StreamTail};

/// What the events that made a conflict may have together, in bytes; of larger ones the reason alone is told.
const CONFLICT_BYTES: usize = 256 << 10;

/// How often a request may come back before its caller is told to try again. Each time the store has moved on; in practice it is once.
const BOUNCES_MAX: usize = 64;

/// So many requests, and about as many bytes, are handed over together; more only after those are answered, or they would fill the queue.
const TOGETHER_MAX: usize = 1_024;
const TOGETHER_BYTES: usize = 16 << 20;

/// What an append is answered.
type Answer = Result<Receipt, StoreError>;

/// A request, and the number of its answer.
type Numbered = (usize, Box<Prepared>);

/// The answers to many appends, as they come.
struct Answers(Vec<Option<Answer>>);

impl Answers {
    fn new(count: usize) -> Self {
        Self(std::iter::repeat_with(|| None).take(count).collect())
    }

    fn set(&mut self, number: usize, answer: Answer) {
        self.0[number] = Some(answer);
    }

    /// All of them. What has none came back too often.
    fn all(self) -> Vec<Answer> {
        let answers = self.0.into_iter();
        answers
            .map(|answer| answer.unwrap_or_else(|| Err(too_fast())))
            .collect()
    }
}

fn too_fast() -> StoreError {
    let message = "the store changes too fast for this append to be judged; try again";
    StoreError::new(Kind::Unavailable, message)
}

impl Core {
    /// Makes a batch ready, which needs nothing of the store.
    pub(crate) fn prepare(&self, batch: AppendBatch) -> Result<Box<Prepared>, StoreError> {
        Prepared::new(batch, &self.reader.keyer)
    }

    /// Appends each of these batches, handed over together; see the contract.
    pub(crate) async fn append_each(
        &self,
        batches: Vec<AppendBatch>,
    ) -> Vec<Result<Receipt, StoreError>> {
        let mut answers = Answers::new(batches.len());
        let mut batches = batches.into_iter().enumerate();
        while batches.len() > 0 {
            let mut left = self.prepare_some(&mut batches, &mut answers);
            for _ in 0..BOUNCES_MAX {
                if left.is_empty() {
                    break;
                }
                left = self.round(left, &mut answers).await;
            }
        }
        answers.all()
    }

    /// Makes as many batches ready as are handed over together.
    fn prepare_some(
        &self,
        batches: &mut impl Iterator<Item = (usize, AppendBatch)>,
        answers: &mut Answers,
    ) -> Vec<Numbered> {
        let (mut ready, mut bytes) = (Vec::new(), 0);
        while ready.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES {
            let Some((number, batch)) = batches.next() else {
                break;
            };
            match self.prepare(batch) {
                Ok(request) => {
                    bytes += request.bytes;
                    ready.push((number, request));
                }
                Err(error) => answers.set(number, Err(error)),
            }
        }
        ready
    }

    /// Hands requests over together; those that came back, to be handed over again.
    async fn round(&self, requests: Vec<Numbered>, answers: &mut Answers) -> Vec<Numbered> {
        let mut handed = Vec::with_capacity(requests.len());
        let mut ready = Vec::with_capacity(requests.len());
        for (number, mut request) in requests {
            match self.make_ready(&mut request) {
                ControlFlow::Continue(hinted) => {
                    handed.push((number, hinted));
                    ready.push(request);
                }
                ControlFlow::Break(answer) => answers.set(number, answer),
            }
        }
        let (replies, telling) = Reply::group(ready.len());
        let pending = ready.into_iter().zip(replies);
        self.submit(pending.map(|(request, reply)| Pending { request, reply }));
        let mut again = Vec::new();
        let outcomes = telling.await.unwrap_or_default();
        let outcomes = outcomes.into_iter().chain(std::iter::repeat_with(|| None));
        for ((number, hinted), outcome) in handed.into_iter().zip(outcomes) {
            match self.settle(outcome, hinted) {
                ControlFlow::Continue(request) => again.push((number, request)),
                ControlFlow::Break(answer) => answers.set(number, answer),
            }
        }
        again
    }

    /// Appends a request that has been made ready.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would move its arguments once more, and wait there until they have arrived in memory"
    )]
    pub(crate) fn append_prepared(
        &self,
        mut request: Box<Prepared>,
    ) -> impl Future<Output = Answer> + Send + '_ {
        async move {
            for _ in 0..BOUNCES_MAX {
                let hinted = match self.make_ready(&mut request) {
                    ControlFlow::Continue(hinted) => hinted,
                    ControlFlow::Break(answer) => return answer,
                };
                let (reply, answer) = oneshot::channel();
                let reply = Reply::One(reply);
                self.submit([Pending { request, reply }]);
                match self.settle(answer.await.ok(), hinted) {
                    ControlFlow::Continue(back) => request = back,
                    ControlFlow::Break(answer) => return answer,
                }
            }
            Err(too_fast())
        }
    }

    /// Finds out what the sequencer must not: says whether hints made it needless to look for tails, or the answer if there is one already.
    fn make_ready(&self, request: &mut Prepared) -> ControlFlow<Answer, bool> {
        let judged = self.look_up(request, false).and_then(|hinted| {
            let refusal = self.evaluate(request)?;
            Ok((hinted, refusal))
        });
        match judged {
            Ok((hinted, None)) => ControlFlow::Continue(hinted),
            Ok((_, Some(refusal))) => ControlFlow::Break(self.refuse(request, refusal)),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    }

    /// Makes sense of what came of a request: its answer, or the request, to be handed over again.
    fn settle(&self, outcome: Option<Outcome>, hinted: bool) -> ControlFlow<Answer, Box<Prepared>> {
        // A reply is dropped without an answer only when a thread of the engine panicked.
        match outcome.unwrap_or_else(|| Outcome::Failed(errors::unknown("the writer stopped"))) {
            Outcome::Landed(mut request, landed) => {
                if !hinted {
                    for (_, key) in request.streams() {
                        self.hints.written(key, self.evictions());
                    }
                }
                let receipt = receipt(&mut request, &landed);
                request.recycle();
                ControlFlow::Break(Ok(receipt))
            }
            Outcome::Failed(error) => ControlFlow::Break(Err(error)),
            Outcome::Refused(request, refusal) => {
                ControlFlow::Break(self.refuse(&request, refusal))
            }
            Outcome::Bounced(mut back, bounce) => match self.after_bounce(&mut back, &bounce) {
                Ok(None) => ControlFlow::Continue(back),
                Ok(Some(receipt)) => ControlFlow::Break(Ok(receipt)),
                Err(error) => ControlFlow::Break(Err(error)),
            },
        }
    }

    /// Finds out what the sequencer did not know; the receipt if that is the answer.
    fn after_bounce(
        &self,
        back: &mut Prepared,
        bounce: &Bounce,
    ) -> Result<Option<Receipt>, StoreError> {
        match bounce {
            Bounce::Resolve => {
                if let Err(error) = self.look_up(back, true) {
                    return self.unproven(back, error).map(Some);
                }
            }
            Bounce::Evaluate => {}
            Bounce::CheckIds(_) => {
                if let Some(receipt) = self.repetition(back)? {
                    return Ok(Some(receipt));
                }
                self.check_ids_unused(back)?;
                back.ids_checked = true;
            }
        }
        Ok(None)
    }

    /// Finds the tails of streams that the sequencer may not know: all of them if it said so, else those that were not written lately. Says
    /// whether hints made that needless.
    fn look_up(&self, request: &mut Prepared, all: bool) -> Result<bool, StoreError> {
        let evictions = self.evictions();
        let hinted = |key| !all && self.hints.is_known(key, evictions);
        if request.streams().all(|(_, key)| hinted(key)) {
            return Ok(true);
        }
        let view = self.reader.published.view();
        // The sequencer never forgets a stream that an unsealed segment has.
        let hot = |key| {
            view.unsealed
                .iter()
                .any(|segment| segment.read().has_written(key))
        };
        let wanted: Vec<(StreamName, u128)> = request
            .streams()
            .filter(|(_, key)| all || !(hinted(*key) || hot(*key)))
            .map(|(name, key)| (name.clone(), key))
            .collect();
        for (name, key) in wanted {
            // The view is taken after the count of evictions, so what was forgotten since is noticed.
            let tail = match self.reader.proven_tail(&name) {
                // The sequencer may know it all the same; if not, it says so.
                Err(error) if !all && error.kind() == Kind::Corrupt => continue,
                tail => tail?,
            };
            request.resolved.push(Resolved {
                key,
                tail,
                evictions,
            });
        }
        Ok(false)
    }

    /// A stream's tail is not known, because records were lost: what is recorded already can be answered all the same.
    fn unproven(&self, request: &Prepared, error: StoreError) -> Result<Receipt, StoreError> {
        if error.kind() != Kind::Corrupt {
            return Err(error);
        }
        self.repetition(request)?.ok_or(error)
    }

    /// Evaluates query conditions over what is published. The sequencer looks at the rest.
    fn evaluate(&self, request: &mut Prepared) -> Result<Option<Refusal>, StoreError> {
        for (index, condition) in request.conditions.iter_mut().enumerate() {
            let PreparedCondition::NoMatch(query) = condition else {
                continue;
            };
            let end = self.reader.published.end();
            if on(Mutant::ConditionNotEvaluated) {
                query.clear_to = end;
            }
            if query.clear_to >= end {
                continue;
            }
            let view = self.reader.published.view();
            let keys = SourceKeys::query(&query.query, &self.reader.keyer);
            if let Some(position) = last_match(&view, &keys, query.clear_to, end)? {
                let refusal = Refusal::Match { index, position };
                return Ok(Some(
                    self.earlier_refusal(request, index)?.unwrap_or(refusal),
                ));
            }
            query.clear_to = end;
        }
        Ok(None)
    }

    /// A condition on a stream before this one that does not hold either: the first one is what an append fails on.
    fn earlier_refusal(
        &self,
        request: &Prepared,
        before: usize,
    ) -> Result<Option<Refusal>, StoreError> {
        for (index, condition) in request.conditions.iter().enumerate().take(before) {
            let PreparedCondition::Stream {
                stream, expected, ..
            } = condition
            else {
                continue;
            };
            let tail = self.reader.proven_tail(stream)?;
            if !tail.meets(*expected) {
                let next_revision = tail.next_revision;
                return Ok(Some(Refusal::StreamCondition {
                    index,
                    next_revision,
                }));
            }
        }
        Ok(None)
    }

    /// Turns a refusal into the receipt of a repetition, or into an error with what broke it.
    fn refuse(&self, request: &Prepared, refusal: Refusal) -> Result<Receipt, StoreError> {
        match refusal {
            Refusal::Tombstoned { index } => Err(tombstoned(&request.writes[index].stream)),
            Refusal::Time { event, last, now } => Err(bad_time(request, event, last, now)),
            _ => match self.repetition(request)? {
                Some(receipt) => Ok(receipt),
                None => Err(self.conflict(request, refusal)?),
            },
        }
    }

    fn conflict(&self, request: &Prepared, refusal: Refusal) -> Result<StoreError, StoreError> {
        let (reason, read) = match refusal {
            Refusal::Write {
                index,
                next_revision,
            } => {
                let write = &request.writes[index];
                revision_conflict(&write.stream, write.expected, next_revision)
            }
            Refusal::StreamCondition {
                index,
                next_revision,
            } => match &request.conditions[index] {
                PreparedCondition::Stream {
                    stream, expected, ..
                } => revision_conflict(stream, *expected, next_revision),
                PreparedCondition::NoMatch(_) => unreachable!("a stream condition was refused"),
            },
            Refusal::Match { index, position } => match &request.conditions[index] {
                PreparedCondition::NoMatch(query) => {
                    let from = ReadFrom::Position(Position::from_raw(query.from));
                    let read = ReadRequest::forward(Source::Query(query.query.clone())).from(from);
                    let position = Some(Position::from_raw(position));
                    (
                        ConflictReason::Match {
                            condition: index,
                            position,
                        },
                        Some(read),
                    )
                }
                PreparedCondition::Stream { .. } => unreachable!("a query condition was refused"),
            },
            Refusal::Tombstoned { .. } | Refusal::Time { .. } => {
                unreachable!("these are no conflicts")
            }
        };
        let events = match read {
            Some(read) => self
                .read_some(&read, CONFLICT_EVENTS_MAX)
                .unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(StoreError::conflict(Conflict { reason, events }))
    }

    /// Reads the first events of a request that are not damaged; none if they are large.
    fn read_some(
        &self,
        request: &ReadRequest,
        count: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let mut read = self.reader.prepare(request)?;
        let mut page = Page::default();
        read.cursor
            .fill(&self.reader.published, &mut page, (count, CONFLICT_BYTES))?;
        // Many of these may be held at once, by callers who hand much over together.
        if page.byte_len() > CONFLICT_BYTES {
            return Ok(Vec::new());
        }
        let oldest = read.oldest.unwrap_or(i64::MIN);
        let good = page.recorded(read.stream()).filter_map(Result::ok);
        Ok(good
            .filter(|event| event.time.as_micros() >= oldest)
            .collect())
    }

    /// The receipt of an earlier append of the same events, if all of them are recorded.
    fn repetition(&self, request: &Prepared) -> Result<Option<Receipt>, StoreError> {
        if request.events.is_empty() {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(request.writes.len());
        for write in &request.writes {
            match &write.change {
                PreparedChange::Events(range) => {
                    match self.recorded(request, write, range.clone())? {
                        Some(events) => found.push(Some(events)),
                        None => return Ok(None),
                    }
                }
                _ => found.push(None),
            }
        }
        self.replayed(request, &found).map(Some)
    }

    /// The events of a write as they are recorded, if they all are, one after the other.
    fn recorded(
        &self,
        request: &Prepared,
        write: &PreparedWrite,
        range: std::ops::Range<usize>,
    ) -> Result<Option<Vec<RecordedEvent>>, StoreError> {
        let wanted = &request.events[range];
        let tail = self.reader.stream_tail(&write.stream)?;
        for begin in self.begins(write, wanted, &tail)? {
            let end = begin.saturating_add(wanted.len() as u64);
            let events = self.stream_events(&write.stream, begin..end)?;
            let same = events.len() == wanted.len()
                && events
                    .iter()
                    .zip(wanted)
                    .all(|(event, given)| event.id.to_bytes() == given.id);
            if !same {
                continue;
            }
            for (event, given) in events.iter().zip(wanted) {
                if !same_content(request, given, event) {
                    return Err(other_content(event));
                }
            }
            return Ok(Some(events));
        }
        Ok(None)
    }

    /// The revisions at which a repetition of the write would have begun.
    fn begins(
        &self,
        write: &PreparedWrite,
        wanted: &[crate::request::PreparedEvent],
        tail: &StreamTail,
    ) -> Result<Vec<u64>, StoreError> {
        Ok(match write.expected {
            ExpectedRevision::Exactly(revision) => vec![revision.number().saturating_add(1)],
            ExpectedRevision::NoStream => {
                let mut begins = vec![0];
                begins.extend(tail.deleted_before());
                begins
            }
            ExpectedRevision::Any | ExpectedRevision::StreamExists => {
                let Some(first) = wanted.first() else {
                    return Ok(Vec::new());
                };
                match self.id_position(first.fingerprint) {
                    Some(position) => self
                        .revision_at(&write.stream, position)?
                        .into_iter()
                        .collect(),
                    None => Vec::new(),
                }
            }
        })
    }

    /// The revision of the stream's event at a position; `None` when another stream's event stands there.
    fn revision_at(&self, stream: &StreamName, position: u64) -> Result<Option<u64>, StoreError> {
        let event = self.event_at(position)?;
        Ok(event
            .filter(|event| event.stream == *stream)
            .map(|event| event.revision.number()))
    }

    /// The event at a position.
    pub(crate) fn event_at(&self, position: u64) -> Result<Option<RecordedEvent>, StoreError> {
        let from = ReadFrom::Position(Position::from_raw(position));
        let events = self.read_some(&ReadRequest::all().from(from), 1)?;
        Ok(events
            .into_iter()
            .find(|event| event.position.raw() == position))
    }

    /// Events of a stream by revision, hidden ones included.
    fn stream_events(
        &self,
        stream: &StreamName,
        revisions: std::ops::Range<u64>,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let source = SourceKeys::new(&Source::Stream(stream.clone()), &self.reader.keyer)?;
        let mut cursor = crate::read::Cursor::new(crate::read::CursorStart {
            source,
            direction: factum_store::Direction::Forward,
            from: 0,
            revisions,
            control: false,
            control_revisions: 0..0,
        });
        let mut page = Page::default();
        cursor.fill(&self.reader.published, &mut page, (usize::MAX, usize::MAX))?;
        Ok(page.recorded(Some(stream)).filter_map(Result::ok).collect())
    }

    /// No id of a write without an exact expectation may be in its stream already.
    fn check_ids_unused(&self, request: &Prepared) -> Result<(), StoreError> {
        for write in &request.writes {
            let open = matches!(
                write.expected,
                ExpectedRevision::Any | ExpectedRevision::StreamExists
            );
            let PreparedChange::Events(range) = &write.change else {
                continue;
            };
            for event in request.events[range.clone()].iter().filter(|_| open) {
                let Some(position) = self.id_position(event.fingerprint) else {
                    continue;
                };
                let Some(found) = self.event_at(position)? else {
                    continue;
                };
                if found.stream == write.stream && found.id.to_bytes() == event.id {
                    return Err(id_in_use(&found));
                }
            }
        }
        Ok(())
    }

    fn replayed(
        &self,
        request: &Prepared,
        found: &[Option<Vec<RecordedEvent>>],
    ) -> Result<Receipt, StoreError> {
        let leading = found.iter().take_while(|events| events.is_none()).count() as u64;
        let first_event = found
            .iter()
            .flatten()
            .flatten()
            .next()
            .map_or(0, |e| e.position.raw());
        let mut next = first_event.saturating_sub(leading);
        let first = Position::from_raw(next);
        let mut writes = Vec::with_capacity(request.writes.len());
        for (number, (write, events)) in request.writes.iter().zip(found).enumerate() {
            let (last_revision, position) = match events.as_ref().and_then(|events| events.last()) {
                Some(last) => (Some(last.revision), last.position.raw()),
                None => (self.revision_beside(request, found, number)?, next),
            };
            next = position + 1;
            let (stream, position) = (write.stream.clone(), Position::from_raw(position));
            writes.push(StreamReceipt {
                stream,
                last_revision,
                position,
            });
        }
        let positions = found.iter().flatten().flatten().map(|event| event.position);
        let first = positions.clone().chain([first]).min().unwrap_or(first);
        let last = positions
            .chain(writes.iter().map(|w| w.position))
            .max()
            .unwrap_or(first);
        Ok(Receipt {
            first,
            last,
            writes,
            replayed: true,
        })
    }

    /// The last revision of the stream of a write without events, as it was when the batch was first appended.
    fn revision_beside(
        &self,
        request: &Prepared,
        found: &[Option<Vec<RecordedEvent>>],
        number: usize,
    ) -> Result<Option<Revision>, StoreError> {
        let stream = &request.writes[number].stream;
        let of_stream = |(write, events): (&PreparedWrite, &Option<Vec<RecordedEvent>>)| {
            let events = events.as_ref().filter(|_| write.stream == *stream)?;
            Some((
                events.first()?.revision.number(),
                events.last()?.revision.number() + 1,
            ))
        };
        let before = |end: u64| end.checked_sub(1).map(Revision::new);
        let pairs = || request.writes.iter().zip(found);
        if let Some((_, end)) = pairs().take(number).rev().find_map(of_stream) {
            return Ok(before(end));
        }
        match pairs().skip(number).find_map(of_stream) {
            Some((begin, _)) => Ok(before(begin)),
            None => Ok(self.reader.stream_tail(stream)?.last_revision()),
        }
    }
}

fn revision_conflict(
    stream: &StreamName,
    expected: ExpectedRevision,
    next_revision: u64,
) -> (ConflictReason, Option<ReadRequest>) {
    let actual = next_revision.checked_sub(1).map(Revision::new);
    let read = ReadRequest::stream(stream.clone());
    let read = match expected {
        ExpectedRevision::Exactly(known) => known
            .number()
            .checked_add(1)
            .map(|next| read.from(ReadFrom::Revision(Revision::new(next)))),
        ExpectedRevision::NoStream => Some(read),
        ExpectedRevision::StreamExists | ExpectedRevision::Any => None,
    };
    (
        ConflictReason::Revision {
            stream: stream.clone(),
            expected,
            actual,
        },
        read,
    )
}

/// Whether a recorded event says the same as a given one. Tags and the personal part are not compared.
fn same_content(
    request: &Prepared,
    given: &crate::request::PreparedEvent,
    recorded: &RecordedEvent,
) -> bool {
    use factum_format::section::SectionType;
    use factum_types::ContentType;
    let front = request.body(&given.front);
    let section = |wanted: SectionType| {
        let found = factum_format::section::sections(front)
            .filter_map(Result::ok)
            .find(|(kind, _)| *kind == wanted.0);
        found.map_or(&[][..], |(_, bytes)| bytes)
    };
    let metadata = factum_format::metadata::StandardMetadata {
        correlation_id: recorded.metadata.correlation_id.as_deref(),
        causation_id: recorded.metadata.causation_id.as_deref(),
        user_id: recorded.metadata.user_id.as_deref(),
        traceparent: recorded.metadata.traceparent.as_deref(),
    };
    let mut standard = Vec::new();
    metadata.encode(&mut standard);
    let json = given.flags.contains(RecordFlags::JSON);
    request.type_of(given).name == recorded.event_type
        && json == (recorded.content_type == ContentType::Json)
        && given.schema_version == recorded.schema_version
        && given.data == recorded.data
        && section(SectionType::CUSTOM_METADATA) == recorded.metadata.custom
        && section(SectionType::METADATA) == standard
}

fn other_content(event: &RecordedEvent) -> StoreError {
    let RecordedEvent {
        id,
        stream,
        revision,
        ..
    } = event;
    StoreError::invalid(format!(
        "event id {id} was used before with other content, at revision {revision} of stream {stream}"
    ))
}

fn id_in_use(event: &RecordedEvent) -> StoreError {
    let RecordedEvent {
        id,
        stream,
        revision,
        ..
    } = event;
    StoreError::invalid(format!(
        "event id {id} is already in stream {stream} at revision {revision}, and the append is not a repetition of that one"
    ))
}

fn bad_time(request: &Prepared, event: usize, last: i64, now: i64) -> StoreError {
    let event = &request.events[event];
    let id = EventId::from_bytes(event.id);
    let time = event.time.unwrap_or_default().as_micros();
    let why = if time < last {
        format!(
            "{} µs before that of the last record; times never go backwards",
            last - time
        )
    } else {
        format!("{} µs in the future", time - now)
    };
    StoreError::invalid(format!("the time of event {id} is {why}"))
}

fn receipt(request: &mut Prepared, landed: &Landed) -> Receipt {
    let writes = request
        .writes
        .drain(..)
        .zip(&landed.writes)
        .map(|(write, landed)| StreamReceipt {
            stream: write.stream,
            last_revision: landed.next_revision.checked_sub(1).map(Revision::new),
            position: Position::from_raw(landed.position),
        });
    Receipt {
        first: Position::from_raw(landed.first),
        last: Position::from_raw(landed.last),
        writes: writes.collect(),
        replayed: false,
    }
}

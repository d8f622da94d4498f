//! Races: writers, readers and subscribers at once, and what each of them may see.
//!
//! Nobody waits for time to pass: a subscriber that shall start in the middle first follows half of the events.

use std::sync::atomic::{AtomicUsize, Ordering};

use factum_store::{
    AppendBatch, Kind, ReadFrom, ReadRequest, Source, SubscribeFrom, SubscribeRequest,
};
use factum_types::{EventId, ExpectedRevision, Position, RecordedEvent, StreamName};

use crate::check::{Outcome, Stop, conflict, increasing, same, that};
use crate::trial::Trial;
use crate::words::{category, exactly, query, stream, tag, write};

use ExpectedRevision::{Any, NoStream};

const WRITERS: usize = 8;
const SUBSCRIBERS: usize = 3;
const STREAMS: usize = 4;

fn shared(number: usize) -> StreamName {
    stream(format!("shared-{}", number % STREAMS))
}

/// One writer's share: batches of two events, one of them wanted, over two streams.
fn write_share(t: &Trial, writer: usize) -> Outcome {
    for round in 0..t.knobs.events {
        let wanted = t.event("Wanted").with_tags([tag("kind:wanted")]);
        let batch = AppendBatch::events(shared(writer + round), Any, vec![wanted]).and(write(
            &shared(writer + round + 1),
            Any,
            vec![t.event("Other")],
        ));
        t.append(batch)?;
    }
    Ok(())
}

fn places(events: &[RecordedEvent]) -> Vec<(Position, EventId)> {
    events
        .iter()
        .map(|event| (event.position, event.id))
        .collect()
}

/// Writers write while subscribers, beginning at different moments, follow `source` from the start: each gets everything once.
fn misses_nothing(t: &Trial, source: &Source, count: usize) -> Outcome {
    let outcomes = t.threads(WRITERS + SUBSCRIBERS, |number| {
        let Some(subscriber) = number.checked_sub(WRITERS) else {
            return write_share(t, number).map(|()| None);
        };
        let watched = count * subscriber / SUBSCRIBERS;
        t.follow_from_start(source.clone()).events(watched)?;
        t.follow_from_start(source.clone()).events(count).map(Some)
    })?;
    let expected = places(&t.read(ReadRequest::forward(source.clone()))?);
    same("events written", expected.len(), count)?;
    for found in outcomes.into_iter().flatten() {
        increasing("what a subscriber got", &found)?;
        same("what a subscriber got", places(&found), expected.clone())?;
    }
    Ok(())
}

pub(crate) fn subscribers_miss_nothing(t: &Trial) -> Outcome {
    misses_nothing(t, &Source::All, WRITERS * t.knobs.events * 2)
}

pub(crate) fn filtered_subscribers_miss_nothing(t: &Trial) -> Outcome {
    let wanted = query(&["Wanted"], &["kind:wanted"]);
    misses_nothing(t, &Source::Query(wanted), WRITERS * t.knobs.events)
}

pub(crate) fn stream_subscribers_miss_nothing(t: &Trial) -> Outcome {
    let pairs = (0..WRITERS).flat_map(|writer| (0..t.knobs.events).map(move |r| writer + r));
    let is_first = |number: &usize| number.is_multiple_of(STREAMS);
    let count = pairs
        .flat_map(|number| [number, number + 1])
        .filter(is_first)
        .count();
    misses_nothing(t, &Source::Stream(shared(0)), count)
}

/// Who stops and goes on after the last event it saw gets the rest: no gap, no repeat.
pub(crate) fn late_subscribers_agree(t: &Trial) -> Outcome {
    let count = WRITERS * t.knobs.events * 2;
    let outcomes = t.threads(WRITERS + SUBSCRIBERS, |number| {
        let Some(subscriber) = number.checked_sub(WRITERS) else {
            return write_share(t, number).map(|()| None);
        };
        let mut found = Vec::new();
        while found.len() < count {
            let from = found
                .last()
                .map_or(SubscribeFrom::Start, |e: &RecordedEvent| {
                    SubscribeFrom::After(e.position)
                });
            let mut follow = t.follow(SubscribeRequest::new(Source::All).from(from));
            let part = (7 + subscriber * 13).min(count - found.len());
            found.extend(follow.events(part)?);
        }
        Ok(Some(found))
    })?;
    let expected = places(&t.read_all()?);
    same("events written", expected.len(), count)?;
    for found in outcomes.into_iter().flatten() {
        same("what a subscriber got", places(&found), expected.clone())?;
    }
    Ok(())
}

/// Counts a writer out when it is done, however it ends, so that readers end too.
struct Writing<'a>(&'a AtomicUsize);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs writers, and readers that call `look` again and again until the writers are done and once more.
fn while_writing(
    t: &Trial,
    writer: impl Fn(usize) -> Outcome + Sync,
    look: impl Fn(&mut Vec<EventId>) -> Outcome + Sync,
) -> Outcome {
    let writing = AtomicUsize::new(WRITERS);
    t.threads(WRITERS + 2, |number| {
        if number < WRITERS {
            let _done = Writing(&writing);
            return writer(number);
        }
        let mut seen = Vec::new();
        loop {
            let last_look = writing.load(Ordering::SeqCst) == 0;
            look(&mut seen)?;
            if last_look {
                return Ok(());
            }
        }
    })
    .map(|_| ())
}

/// Each read extends the one before it: nothing that was shown is taken back, and nothing comes in between.
pub(crate) fn readers_see_prefixes(t: &Trial) -> Outcome {
    while_writing(
        t,
        |writer| write_share(t, writer),
        |seen| {
            let events = t.read_all()?;
            increasing("a read", &events)?;
            let ids: Vec<_> = events.iter().map(|event| event.id).collect();
            that(
                "it begins with what the read before gave",
                ids.starts_with(seen),
            )?;
            *seen = ids;
            Ok(())
        },
    )
}

pub(crate) fn writers_read_their_writes(t: &Trial) -> Outcome {
    t.threads(WRITERS, |writer| {
        let (name, own) = (
            stream(format!("own-{writer}")),
            tag(format!("writer:{writer}")),
        );
        for round in 0..t.knobs.events as u64 {
            let event = t.event("Written").with_tags([own.clone()]);
            let expected = round.checked_sub(1).map_or(NoStream, exactly);
            let receipt = t.add(&name, expected, vec![event.clone()])?;
            that("the head", t.head()? >= Some(receipt.last))?;
            same(
                "its position",
                t.info(&name)?.last_position,
                Some(receipt.last),
            )?;
            let finds = |what: &str, request: ReadRequest| -> Outcome {
                let found = t.read(request)?;
                let found = found.iter().find(|found| found.id == event.id);
                let position = found.map(|event| event.position);
                same(
                    format!("writer {writer}, round {round}: {what}"),
                    position,
                    Some(receipt.last),
                )
            };
            finds("stream", ReadRequest::stream(name.clone()))?;
            finds(
                "stream, newest",
                ReadRequest::backward(Source::Stream(name.clone())).limit(1),
            )?;
            finds("tag", ReadRequest::tag(own.clone()))?;
            finds("category", ReadRequest::category(category("own")))?;
            let here = ReadFrom::Position(receipt.last);
            finds("all from there", ReadRequest::all().from(here).limit(1))?;
            finds(
                "all",
                ReadRequest::backward(Source::All).from(here).limit(1),
            )?;
        }
        Ok(())
    })
    .map(|_| ())
}

/// A batch that is refused is never seen, not even for a moment.
pub(crate) fn conflicts_leave_no_trace(t: &Trial) -> Outcome {
    t.fill(&stream("existing"), 1)?;
    while_writing(
        t,
        |writer| {
            for round in 0..t.knobs.events {
                let fresh = stream(format!("fresh-{writer}-{round}"));
                let batch = AppendBatch::events(fresh.clone(), NoStream, t.events("Refused", 1))
                    .and(write(&stream("existing"), NoStream, t.events("Refused", 1)));
                conflict("the second write", t.append(batch))?;
                t.add(&fresh, NoStream, t.events("Accepted", 1))?;
            }
            Ok(())
        },
        |_| {
            let events = t.read_all()?;
            that(
                "nothing refused is seen",
                events.iter().all(|e| e.event_type.as_str() != "Refused"),
            )
        },
    )
}

/// A reader sees all of a batch or none of it.
pub(crate) fn batches_are_seen_whole(t: &Trial) -> Outcome {
    const PARTS: usize = 5;
    while_writing(
        t,
        |writer| {
            for _ in 0..t.knobs.events {
                let batch = (0..PARTS).fold(AppendBatch::default(), |batch, part| {
                    batch.and(write(&shared(writer + part), Any, t.events("Part", 1)))
                });
                t.append(batch)?;
            }
            Ok(())
        },
        |_| {
            let count = t.read_all()?.len();
            that(
                format!("{count} events are whole batches"),
                count.is_multiple_of(PARTS),
            )
        },
    )
}

pub(crate) fn revisions_without_gaps(t: &Trial) -> Outcome {
    let name = stream("shared");
    let revisions = t.threads(t.knobs.writers, |_| {
        let mut own = Vec::new();
        for _ in 0..t.knobs.events.min(10) {
            match t.add(&name, Any, t.events("Written", 2)) {
                Ok(receipt) => own.extend(receipt.writes.iter().map(|write| write.last_revision)),
                Err(error) if error.kind() == Kind::Unavailable => {}
                Err(error) => return Err(Stop::from(error)),
            }
        }
        Ok(own)
    })?;
    let mut last: Vec<_> = revisions
        .into_iter()
        .flatten()
        .flatten()
        .map(factum_types::Revision::number)
        .collect();
    last.sort_unstable();
    let count = last.len() as u64;
    same(
        "last revisions of the writes",
        last,
        (0..count).map(|n| n * 2 + 1).collect(),
    )?;
    let stored = t.read_stream(&name)?;
    let found: Vec<_> = stored.iter().map(|event| event.revision.number()).collect();
    same("revisions", found, (0..count * 2).collect())?;
    increasing("the stream", &stored)
}

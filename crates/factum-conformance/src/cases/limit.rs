//! Limits: each is allowed, and one over it is refused with nothing written.

use factum_store::{AppendBatch, Condition, Kind, ReadRequest, Snapshot, Source, SubscribeRequest};
use factum_types::{Bytes, ExpectedRevision, Metadata, NewEvent, Query, QueryItem, limits};

use crate::check::{Outcome, Stop, refused, same};
use crate::trial::Trial;
use crate::words::{no_match, stream, tag, typed, write};

use ExpectedRevision::{Any, NoStream};

/// That a batch is taken at the limit and refused at one more.
fn at_limit(t: &Trial, limit: usize, make: impl Fn(usize) -> AppendBatch) -> Outcome {
    refused(
        format!("{} over", limit + 1),
        t.append(make(limit + 1)),
        Kind::Invalid,
    )?;
    same("nothing is written", t.read_all()?.len(), 0)?;
    t.append(make(limit))
        .map_err(|error| Stop::from(error).at(format!("at {limit}")))?;
    Ok(())
}

fn one_event(t: &Trial, change: impl Fn(&mut NewEvent)) -> AppendBatch {
    let mut event = t.event("Limited");
    change(&mut event);
    AppendBatch::events(stream("limited"), Any, vec![event])
}

pub(crate) fn data(t: &Trial) -> Outcome {
    at_limit(t, limits::EVENT_DATA_BYTES_MAX, |size| {
        one_event(t, |event| event.data = vec![7; size].into())
    })
}

pub(crate) fn personal(t: &Trial) -> Outcome {
    at_limit(t, limits::EVENT_PERSONAL_BYTES_MAX, |size| {
        one_event(t, |event| event.personal = vec![7; size].into())
    })
}

pub(crate) fn custom_metadata(t: &Trial) -> Outcome {
    at_limit(t, limits::EVENT_METADATA_BYTES_MAX, |size| {
        one_event(t, |event| event.metadata.custom = vec![7; size].into())
    })
}

pub(crate) fn metadata_fields(t: &Trial) -> Outcome {
    let fields: [fn(&mut Metadata) -> &mut Option<String>; 4] = [
        |metadata| &mut metadata.correlation_id,
        |metadata| &mut metadata.causation_id,
        |metadata| &mut metadata.user_id,
        |metadata| &mut metadata.traceparent,
    ];
    let make = |field: fn(&mut Metadata) -> &mut Option<String>, size: usize| {
        one_event(t, |event| {
            *field(&mut event.metadata) = Some("x".repeat(size));
        })
    };
    let limit = limits::METADATA_FIELD_BYTES_MAX;
    for field in fields {
        refused("one over", t.append(make(field, limit + 1)), Kind::Invalid)?;
    }
    same("nothing is written", t.read_all()?.len(), 0)?;
    for field in fields {
        t.append(make(field, limit))?;
    }
    Ok(())
}

pub(crate) fn tags(t: &Trial) -> Outcome {
    at_limit(t, limits::EVENT_TAGS_MAX, |count| {
        one_event(t, |event| {
            event.tags = (0..count).map(|n| tag(format!("t:{n}"))).collect();
        })
    })
}

pub(crate) fn batch_events(t: &Trial) -> Outcome {
    at_limit(t, limits::BATCH_EVENTS_MAX, |count| {
        let (one, two) = (count / 3, count - count / 3);
        AppendBatch::events(stream("one"), Any, t.events("Limited", one)).and(write(
            &stream("two"),
            Any,
            t.events("Limited", two),
        ))
    })?;
    same(
        "all are there",
        t.read_all()?.len(),
        limits::BATCH_EVENTS_MAX,
    )
}

/// The bytes of a batch are those of its events and of the names of its streams.
pub(crate) fn batch_bytes(t: &Trial) -> Outcome {
    at_limit(t, limits::BATCH_BYTES_MAX, |size| {
        let mut events = t.events("Limited", 3);
        let filled = vec![7; limits::EVENT_DATA_BYTES_MAX - 100];
        for event in &mut events {
            event.data = Bytes::new();
        }
        for event in events.iter_mut().take(2) {
            event.data = Bytes::from(filled.clone());
        }
        let name = stream("limited");
        let used: usize = events.iter().map(NewEvent::byte_len).sum();
        if let Some(last) = events.last_mut() {
            last.data = vec![7; size - used - name.as_str().len()].into();
        }
        AppendBatch::events(name, Any, events)
    })
}

pub(crate) fn batch_writes(t: &Trial) -> Outcome {
    at_limit(t, limits::BATCH_WRITES_MAX, |count| {
        (0..count).fold(AppendBatch::default(), |batch, number| {
            batch.and(write(
                &stream(format!("part-{number}")),
                NoStream,
                vec![t.event("Limited")],
            ))
        })
    })?;
    same(
        "all are there",
        t.read_all()?.len(),
        limits::BATCH_WRITES_MAX,
    )
}

pub(crate) fn batch_conditions(t: &Trial) -> Outcome {
    at_limit(t, limits::BATCH_CONDITIONS_MAX, |count| {
        (0..count).fold(one_event(t, |_| {}), |batch, number| {
            let stream = stream(format!("absent-{number}"));
            batch.on(Condition::Stream {
                stream,
                expected: NoStream,
            })
        })
    })
}

/// That a query is taken, or refused, by reads, by subscriptions and by conditions alike.
fn query_is(t: &Trial, query: &Query, allowed: bool) -> Outcome {
    let source = || Source::Query(query.clone());
    let read = t.read(ReadRequest::forward(source()));
    let followed = t.follow(SubscribeRequest::new(source())).next();
    let batch = AppendBatch::events(stream("decisions"), Any, t.events("Decided", 1));
    let appended = t.append(batch.on(no_match(query.clone(), None)));
    if allowed {
        read?;
        followed?;
        appended?;
        return Ok(());
    }
    refused("read", read, Kind::Invalid)?;
    refused("subscription", followed, Kind::Invalid)?;
    refused("condition", appended, Kind::Invalid).map(|_| ())
}

pub(crate) fn query_items(t: &Trial) -> Outcome {
    let of = |count: usize| Query {
        items: (0..count)
            .map(|n| QueryItem {
                types: vec![typed(format!("Never{n}"))],
                tags: vec![],
            })
            .collect(),
    };
    query_is(t, &of(limits::QUERY_ITEMS_MAX + 1), false)?;
    query_is(t, &of(limits::QUERY_ITEMS_MAX), true)
}

pub(crate) fn query_terms(t: &Trial) -> Outcome {
    let types = |count: usize| Query::of((0..count).map(|n| typed(format!("Never{n}"))), []);
    let tags = |count: usize| Query::of([], (0..count).map(|n| tag(format!("never:{n}"))));
    let limit = limits::QUERY_ITEM_TERMS_MAX;
    query_is(t, &types(limit + 1), false)?;
    query_is(t, &tags(limit + 1), false)?;
    query_is(t, &types(limit), true)?;
    query_is(t, &tags(limit), true)
}

pub(crate) fn tag_twice(t: &Trial) -> Outcome {
    let batch = one_event(t, |event| {
        event.tags = vec![tag("x:1"), tag("y:1"), tag("x:1")];
    });
    refused("a tag twice", t.append(batch), Kind::Invalid)?;
    same("nothing is written", t.read_all()?.len(), 0)
}

fn snapshot(key: String, bytes: usize) -> Snapshot {
    Snapshot::new(stream("order-1"), key, 1, vec![7; bytes])
}

pub(crate) fn snapshot_bytes(t: &Trial) -> Outcome {
    let limit = limits::SNAPSHOT_BYTES_MAX;
    refused(
        "one over",
        t.save(snapshot("k".to_owned(), limit + 1)),
        Kind::Invalid,
    )?;
    same(
        "nothing is saved",
        t.load(&stream("order-1"), "k", None)?,
        None,
    )?;
    t.save(snapshot("k".to_owned(), limit))?;
    let found = t.load(&stream("order-1"), "k", None)?;
    same("bytes", found.map(|found| found.data.len()), Some(limit))
}

pub(crate) fn snapshot_key(t: &Trial) -> Outcome {
    let long = "k".repeat(limits::SNAPSHOT_KEY_BYTES_MAX);
    refused(
        "one over",
        t.save(snapshot(format!("{long}k"), 1)),
        Kind::Invalid,
    )?;
    t.save(snapshot(long.clone(), 1))?;
    let found = t.load(&stream("order-1"), &long, None)?;
    same("key", found.map(|found| found.key), Some(long))
}

pub(crate) fn snapshot_subjects(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let with = |subjects| snapshot("k".to_owned(), 1).with_subjects(subjects);
    let many = vec!["s".to_owned(); limits::SNAPSHOT_SUBJECTS_MAX + 1];
    refused("one over", t.save(with(many)), Kind::Invalid)?;
    let long = "s".repeat(limits::SNAPSHOT_SUBJECT_BYTES_MAX + 1);
    refused("too long", t.save(with(vec![long])), Kind::Invalid)?;
    same("nothing is saved", t.load(&name, "k", None)?, None)?;
    let most = vec!["s".repeat(limits::SNAPSHOT_SUBJECT_BYTES_MAX); limits::SNAPSHOT_SUBJECTS_MAX];
    t.save(with(most.clone()))?;
    let found = t.load(&name, "k", None)?;
    same("subjects", found.map(|found| found.subjects), Some(most))
}

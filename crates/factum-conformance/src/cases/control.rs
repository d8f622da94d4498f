//! Control records: tombstones, deletions and settings, as readers see them who ask.

use factum_store::{Change, Direction, ReadFrom, ReadRequest, Source};
use factum_types::{
    Bytes, ContentType, EventId, Metadata, RecordKind, RecordedEvent, Revision, StreamName,
    StreamSettings,
};
use std::time::Duration;

use crate::check::{Outcome, Stop, increasing, same, that};
use crate::trial::Trial;
use crate::words::{category, query, stream, typed};

/// The records of these streams in `$all`, control records included. A store may have records of its own besides.
pub(super) fn all_of(t: &Trial, names: &[StreamName]) -> Result<Vec<RecordedEvent>, Stop> {
    let mut records = t.read(ReadRequest::all().with_control())?;
    records.retain(|record| names.contains(&record.stream));
    Ok(records)
}

fn kinds(records: &[RecordedEvent]) -> Vec<(RecordKind, u64)> {
    records
        .iter()
        .map(|record| (record.kind, record.revision.number()))
        .collect()
}

/// Two events, settings, an event, a deletion, an event, settings.
fn eventful(t: &Trial, name: &StreamName) -> Outcome {
    let count = |max_count| StreamSettings {
        max_count: Some(max_count),
        ..StreamSettings::default()
    };
    t.fill(name, 2)?;
    t.set(name, count(9))?;
    t.fill(name, 1)?;
    t.change(name, Change::Delete)?;
    t.fill(name, 1)?;
    t.set(
        name,
        StreamSettings {
            truncate_before: Some(Revision::new(3)),
            ..count(8)
        },
    )?;
    Ok(())
}

pub(crate) fn absent_unless_asked(t: &Trial) -> Outcome {
    let name = stream("order-1");
    eventful(t, &name)?;
    t.change(&stream("order-2"), Change::Tombstone)?;
    for request in [
        ReadRequest::all(),
        ReadRequest::category(category("order")),
        ReadRequest::stream(name),
    ] {
        let found = t.read(request)?;
        that("there are events", !found.is_empty())?;
        that(
            "only events",
            found.iter().all(|record| record.kind == RecordKind::Event),
        )?;
    }
    Ok(())
}

pub(crate) fn details(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let age = Some(Duration::from_micros(1_000));
    let full = StreamSettings {
        max_count: Some(3),
        max_age: age,
        truncate_before: Some(Revision::new(1)),
    };
    let only_age = StreamSettings {
        max_age: age,
        ..StreamSettings::default()
    };
    let table: [(Change, RecordKind, &str, &str); 5] = [
        (
            Change::Settings(full),
            RecordKind::Settings,
            "$settings",
            r#"{"maxCount":3,"maxAgeMicros":1000,"truncateBefore":1}"#,
        ),
        (
            Change::Settings(only_age),
            RecordKind::Settings,
            "$settings",
            r#"{"maxAgeMicros":1000}"#,
        ),
        (
            Change::Settings(StreamSettings::default()),
            RecordKind::Settings,
            "$settings",
            "{}",
        ),
        (Change::Delete, RecordKind::Delete, "$deleted", "{}"),
        (
            Change::Tombstone,
            RecordKind::Tombstone,
            "$tombstoned",
            "{}",
        ),
    ];
    t.fill(&name, 2)?;
    for (change, kind, event_type, data) in table {
        let receipt = t.change(&name, change)?;
        let records = all_of(t, std::slice::from_ref(&name))?;
        let Some(found) = records.last() else {
            return that("there is a record", false);
        };
        let expected = RecordedEvent {
            id: found.id,
            stream: name.clone(),
            revision: Revision::new(2),
            position: receipt.last,
            time: found.time,
            event_type: typed(event_type),
            data: Bytes::from(data),
            content_type: ContentType::Json,
            schema_version: 1,
            tags: vec![],
            metadata: Metadata::default(),
            personal: Bytes::new(),
            kind,
        };
        same(event_type, found, &expected)?;
        that(
            "times do not go backwards",
            records.is_sorted_by_key(|record| record.time),
        )?;
    }
    Ok(())
}

const EVENTFUL: [(RecordKind, u64); 7] = [
    (RecordKind::Event, 0),
    (RecordKind::Event, 1),
    (RecordKind::Settings, 2),
    (RecordKind::Event, 2),
    (RecordKind::Delete, 3),
    (RecordKind::Event, 3),
    (RecordKind::Settings, 4),
];

pub(crate) fn order_in_a_stream(t: &Trial) -> Outcome {
    let name = stream("order-1");
    eventful(t, &name)?;
    let all = all_of(t, std::slice::from_ref(&name))?;
    same("in all", kinds(&all), EVENTFUL.to_vec())?;
    increasing("in all", &all)?;
    // The stream does not give what was deleted, but still says that it was.
    let mut expected = all;
    expected.retain(|record| record.kind != RecordKind::Event || record.revision.number() >= 3);
    let own = t.read(ReadRequest::stream(name.clone()).with_control())?;
    same("in the stream", own, expected.clone())?;
    expected.reverse();
    let backward = t.read(ReadRequest::backward(Source::Stream(name)).with_control())?;
    same("backwards", backward, expected)
}

pub(crate) fn in_all_category_and_query(t: &Trial) -> Outcome {
    let names = [stream("order-1"), stream("item-1"), stream("plain")];
    for name in &names {
        t.fill(name, 1)?;
        t.set(name, StreamSettings::default())?;
        t.change(name, Change::Tombstone)?;
    }
    same("all", all_of(t, &names)?.len(), 9)?;
    let order = t.read(ReadRequest::category(category("order")).with_control())?;
    let expected = [
        (RecordKind::Event, 0),
        (RecordKind::Settings, 1),
        (RecordKind::Tombstone, 1),
    ];
    same("category", kinds(&order), expected.to_vec())?;
    that(
        "of that category only",
        order.iter().all(|record| record.stream == names[0]),
    )?;
    let everything = factum_types::Query {
        items: vec![factum_types::QueryItem::default()],
    };
    for asked in [
        everything,
        query(&["$settings", "$tombstoned", "Filled"], &[]),
    ] {
        let found = t.read(ReadRequest::forward(Source::Query(asked)).with_control())?;
        same("control records match no query", found.len(), 3)?;
    }
    Ok(())
}

/// So that every reader of a store sees the same id, without the store having to keep one.
pub(crate) fn ids_come_from_positions(t: &Trial) -> Outcome {
    let name = stream("order-1");
    eventful(t, &name)?;
    let records = all_of(t, std::slice::from_ref(&name))?;
    let control = records
        .iter()
        .filter(|record| record.kind != RecordKind::Event);
    let mut seen = 0;
    for record in control {
        let bytes = u128::from(record.position.raw()).to_be_bytes();
        same("id", record.id, EventId::from_bytes(bytes))?;
        seen += 1;
    }
    same("control records", seen, 3)
}

pub(crate) fn never_hidden_by_settings(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 2)?;
    t.set(
        &name,
        StreamSettings {
            max_count: Some(1),
            ..StreamSettings::default()
        },
    )?;
    t.fill(&name, 2)?;
    let found = t.read(ReadRequest::stream(name.clone()).with_control())?;
    let expected = [(RecordKind::Settings, 2), (RecordKind::Event, 3)];
    same(
        "settings and the newest event",
        kinds(&found),
        expected.to_vec(),
    )?;
    t.set(
        &name,
        StreamSettings {
            max_count: Some(0),
            ..StreamSettings::default()
        },
    )?;
    let found = t.read(ReadRequest::stream(name).with_control())?;
    let expected = [(RecordKind::Settings, 2), (RecordKind::Settings, 4)];
    same("both settings", kinds(&found), expected.to_vec())
}

pub(crate) fn by_revision_and_limit(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 2)?;
    t.set(&name, StreamSettings::default())?;
    t.set(&name, StreamSettings::default())?;
    t.fill(&name, 1)?;
    let records = t.read(ReadRequest::stream(name.clone()).with_control())?;
    same("records", records.len(), 5)?;
    for from in 0..5 {
        for limit in [None, Some(0), Some(1), Some(2), Some(3)] {
            for direction in [Direction::Forward, Direction::Backward] {
                let request = ReadRequest {
                    source: Source::Stream(name.clone()),
                    from: ReadFrom::Revision(Revision::new(from)),
                    direction,
                    limit,
                    control: true,
                };
                let mut expected = records.clone();
                match direction {
                    Direction::Forward => expected.retain(|r| r.revision.number() >= from),
                    Direction::Backward => {
                        expected.retain(|r| r.revision.number() <= from);
                        expected.reverse();
                    }
                }
                let limit = limit.and_then(|limit| usize::try_from(limit).ok());
                expected.truncate(limit.unwrap_or(usize::MAX));
                same(format!("{request:?}"), t.read(request)?, expected)?;
            }
        }
    }
    Ok(())
}

//! Snapshots: cached folds, by stream and key; the last one saved wins.

use std::num::NonZeroU32;

use factum_store::{
    AppendBatch, Change, ReadRequest, Snapshot, Source, StreamState, StreamsRequest,
};
use factum_types::{Bytes, ExpectedRevision, Timestamp};

use crate::check::{Outcome, same, that};
use crate::trial::Trial;
use crate::words::stream;

fn snapshot(name: &str, key: &str, version: u64, data: impl Into<Bytes>) -> Snapshot {
    let mut snapshot = Snapshot::new(stream(name), key, version, data);
    snapshot.time = Timestamp::from_micros(-77);
    snapshot
}

/// What is loaded, without the time, which is the store's.
fn load(
    t: &Trial,
    name: &str,
    key: &str,
    at_most: Option<u64>,
) -> Result<Option<(u64, Bytes)>, crate::Stop> {
    let found = t.load(&stream(name), key, at_most)?;
    if let Some(found) = &found {
        same(
            "stream and key",
            (found.stream.as_str(), found.key.as_str()),
            (name, key),
        )?;
    }
    Ok(found.map(|found| (found.version, found.data)))
}

fn some(version: u64, data: &'static str) -> Option<(u64, Bytes)> {
    Some((version, Bytes::from(data)))
}

pub(crate) fn none(t: &Trial) -> Outcome {
    t.fill(&stream("order-1"), 3)?;
    same("never saved", load(t, "order-1", "k", None)?, None)?;
    same("never saved", load(t, "order-1", "", Some(5))?, None)
}

pub(crate) fn round_trip(t: &Trial) -> Outcome {
    t.fill(&stream("order-1"), 3)?;
    let before = t
        .read_stream(&stream("order-1"))?
        .last()
        .map(|event| event.time);
    t.save(snapshot("order-1", "state/v1", 3, "{\"sum\":6}"))?;
    let found = t.load(&stream("order-1"), "state/v1", None)?;
    same(
        "found",
        load(t, "order-1", "state/v1", None)?,
        some(3, "{\"sum\":6}"),
    )?;
    // The time given is ignored: the store says when it was saved.
    that(
        "the time is the store's",
        found.map(|found| found.time) >= before,
    )?;
    t.save(snapshot("absent-1", "k", 0, "of a stream without events"))?;
    same(
        "found",
        load(t, "absent-1", "k", None)?,
        some(0, "of a stream without events"),
    )
}

pub(crate) fn last_saved_wins(t: &Trial) -> Outcome {
    for (version, data) in [(3, "a"), (5, "b"), (5, "c"), (2, "d")] {
        t.save(snapshot("order-1", "k", version, data))?;
        same(
            "the last saved",
            load(t, "order-1", "k", None)?,
            some(version, data),
        )?;
    }
    Ok(())
}

pub(crate) fn at_most(t: &Trial) -> Outcome {
    for (version, data) in [
        (10, "ten"),
        (20, "twenty"),
        (30, "thirty"),
        (20, "twenty again"),
    ] {
        t.save(snapshot("order-1", "k", version, data))?;
    }
    let check = |at_most, expected| -> Outcome {
        same(
            format!("at most {at_most:?}"),
            load(t, "order-1", "k", at_most)?,
            expected,
        )
    };
    check(Some(0), None)?;
    check(Some(9), None)?;
    check(Some(10), some(10, "ten"))?;
    check(Some(19), some(10, "ten"))?;
    check(Some(20), some(20, "twenty again"))?;
    // The last saved of those up to the version, not the greatest.
    check(Some(30), some(20, "twenty again"))?;
    check(Some(u64::MAX), some(20, "twenty again"))?;
    check(None, some(20, "twenty again"))
}

pub(crate) fn keys_and_streams_are_apart(t: &Trial) -> Outcome {
    let places = [
        ("a", "k"),
        ("a", "k2"),
        ("a", ""),
        ("ak", ""),
        ("b", "k"),
        ("a-1", "k"),
        ("a", "1-k"),
    ];
    for (version, (name, key)) in (1_u64..).zip(places) {
        t.save(snapshot(name, key, version, format!("{name}/{key}")))?;
    }
    for (version, (name, key)) in (1_u64..).zip(places) {
        let expected = Some((version, Bytes::from(format!("{name}/{key}"))));
        same(
            format!("{name:?}, {key:?}"),
            load(t, name, key, None)?,
            expected,
        )?;
    }
    same("another", load(t, "b", "k2", None)?, None)
}

pub(crate) fn invisible_to_readers(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let first = t.fill(&name, 2).map(|_| t.head())??;
    let all = t.read_all()?;
    t.save(snapshot("order-1", "k", 2, "state"))?;
    t.save(snapshot("unwritten", "k", 2, "state"))?;
    same("all", t.read_all()?, all.clone())?;
    same(
        "all, with control",
        t.read(ReadRequest::all().with_control())?.len() >= all.len(),
        true,
    )?;
    let own = t.read(ReadRequest::stream(name.clone()).with_control())?;
    same("the stream", own, all.clone())?;
    that("they take positions", t.head()? > first)?;
    same(
        "a stream without events",
        t.info(&stream("unwritten"))?.state,
        StreamState::Missing,
    )?;
    same("streams", t.streams(StreamsRequest::default())?.len(), 1)?;
    let more = t.fill(&name, 1)?;
    let (followed, _) = t.follow_from_start(Source::All).caught_up()?;
    same("followed", followed.len(), all.len() + more.len())
}

pub(crate) fn empty_and_binary(t: &Trial) -> Outcome {
    let every: Bytes = (0..=u8::MAX).collect::<Vec<_>>().into();
    for (version, data) in [(1, Bytes::new()), (2, every), (3, vec![0; 100_000].into())] {
        t.save(snapshot("order-1", "k", version, data.clone()))?;
        same(
            "exact bytes",
            load(t, "order-1", "k", None)?,
            Some((version, data)),
        )?;
    }
    Ok(())
}

pub(crate) fn not_from_before_a_delete(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 3)?;
    t.save(snapshot("order-1", "k", 3, "old"))?;
    let delete = AppendBatch::change(name.clone(), ExpectedRevision::Any, Change::Delete);
    t.append(delete)?;
    same("deleted", load(t, "order-1", "k", None)?, None)?;
    t.fill(&name, 1)?;
    same("written again", load(t, "order-1", "k", None)?, None)?;
    t.save(snapshot("order-1", "k", 4, "new"))?;
    let new = Some((4, Bytes::from_static(b"new")));
    same("folded again", load(t, "order-1", "k", None)?, new)?;
    let tombstone = AppendBatch::change(name, ExpectedRevision::Any, Change::Tombstone);
    t.append(tombstone)?;
    same("closed", load(t, "order-1", "k", None)?, None)
}

/// The versions that are listed under a key, the last saved first.
fn listed(t: &Trial, name: &str, key: &str) -> Result<Vec<u64>, crate::Stop> {
    let all = t.list(&stream(name))?;
    let of_key = all.iter().filter(|snapshot| snapshot.key == key);
    Ok(of_key.map(|snapshot| snapshot.version).collect())
}

pub(crate) fn the_last_are_kept(t: &Trial) -> Outcome {
    let save = |version: u64, keep: u32| {
        let snapshot = snapshot("order-1", "k", version, version.to_string());
        t.save(snapshot.with_keep(NonZeroU32::new(keep)))
    };
    t.save(snapshot("order-1", "other", 1, "1"))?;
    for version in 1..=4 {
        save(version, 0)?;
    }
    same("all are kept", listed(t, "order-1", "k")?, vec![4, 3, 2, 1])?;
    save(5, 3)?;
    same("three are kept", listed(t, "order-1", "k")?, vec![5, 4, 3])?;
    same(
        "one that is kept",
        load(t, "order-1", "k", Some(3))?,
        some(3, "3"),
    )?;
    same("one that is not", load(t, "order-1", "k", Some(2))?, None)?;
    // What is gone stays gone, however many are kept later.
    save(6, 0)?;
    same("four", listed(t, "order-1", "k")?, vec![6, 5, 4, 3])?;
    // The same version again takes its own place.
    save(4, 3)?;
    same(
        "in order of saving",
        listed(t, "order-1", "k")?,
        vec![4, 6, 5],
    )?;
    save(4, 1)?;
    same("one", listed(t, "order-1", "k")?, vec![4])?;
    save(7, 9)?;
    same("two", listed(t, "order-1", "k")?, vec![7, 4])?;
    // A version counts where it stood when others were done away with, also if it was saved again since.
    let again = |version: u64, keep: u32| {
        let snapshot = snapshot("order-1", "again", version, "state");
        t.save(snapshot.with_keep(NonZeroU32::new(keep)))
    };
    for (version, keep) in [(0, 0), (1, 0), (2, 0), (3, 3), (2, 0)] {
        again(version, keep)?;
    }
    same("once gone", listed(t, "order-1", "again")?, vec![2, 3, 1])?;
    same("of another key", listed(t, "order-1", "other")?, vec![1])
}

pub(crate) fn subjects_are_listed(t: &Trial) -> Outcome {
    let of = |name, key, subjects: &[&str]| {
        let subjects = subjects.iter().map(ToString::to_string).collect();
        t.save(snapshot(name, key, 3, "state").with_subjects(subjects))
    };
    of("order-1", "b", &["ann", "bob"])?;
    of("order-1", "a", &[])?;
    of("order-10", "a", &["eve"])?;
    let found = t.load(&stream("order-1"), "b", None)?;
    same(
        "loaded",
        found.map(|found| found.subjects),
        Some(vec!["ann".to_owned(), "bob".to_owned()]),
    )?;
    let all = t.list(&stream("order-1"))?;
    let listed: Vec<_> = all
        .iter()
        .map(|s| (s.key.as_str(), s.subjects.len(), s.data.len()))
        .collect();
    same(
        "listed by key, without states",
        listed,
        vec![("a", 0, 0), ("b", 2, 0)],
    )?;
    same("none", t.list(&stream("order-2"))?.len(), 0)
}

pub(crate) fn dropped(t: &Trial) -> Outcome {
    for (key, version) in [("k", 1), ("k", 2), ("other", 1)] {
        t.save(snapshot("order-1", key, version, "state"))?;
    }
    t.drop_all(&stream("order-1"), "k")?;
    same("dropped", load(t, "order-1", "k", None)?, None)?;
    same("an older one too", load(t, "order-1", "k", Some(1))?, None)?;
    same(
        "of another key",
        load(t, "order-1", "other", None)?,
        some(1, "state"),
    )?;
    same("not listed", listed(t, "order-1", "k")?, vec![])?;
    t.drop_all(&stream("order-1"), "never saved")?;
    t.save(snapshot("order-1", "k", 1, "again"))?;
    same(
        "saved again",
        load(t, "order-1", "k", None)?,
        some(1, "again"),
    )?;
    same("and alone", listed(t, "order-1", "k")?, vec![1])
}

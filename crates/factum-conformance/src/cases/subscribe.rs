//! Subscriptions: everything from the starting point on, once, in order, and then what comes.

use std::sync::atomic::{AtomicUsize, Ordering};

use factum_store::{
    Change, Checkpoint, Kind, ReadFrom, ReadRequest, Source, SubscribeFrom, SubscribeRequest,
    SubscriptionItem,
};
use factum_types::{
    ExpectedRevision, Position, RecordKind, RecordedEvent, Revision, StreamSettings,
};

use crate::check::{Outcome, Stop, fail, read_back, refused, same, that};
use crate::trial::{Follow, Trial};
use crate::wait::poll_once;
use crate::words::{category, query, stream, tag};
use crate::world::{World, varied};

use ExpectedRevision::Any;

const SUBSCRIBERS: usize = 200;

fn sources() -> [Source; 4] {
    [
        Source::All,
        Source::Stream(stream("order-1")),
        Source::Category(category("order")),
        Source::Query(query(&["Placed", "Paid"], &["customer:1"])),
    ]
}

fn filtered() -> [Source; 3] {
    let [_, stream, category, query] = sources();
    [stream, category, query]
}

/// An event that every source of `sources` means.
fn meant(t: &Trial) -> Result<RecordedEvent, Stop> {
    let event = t.event("Placed").with_tags([tag("customer:1")]);
    let position = t.add(&stream("order-1"), Any, vec![event])?.last;
    match t
        .read(ReadRequest::all().from(ReadFrom::Position(position)))?
        .pop()
    {
        Some(event) => Ok(event),
        None => fail("the event is there"),
    }
}

/// An event that only `$all` means; its position.
fn unmeant(t: &Trial) -> Result<Position, Stop> {
    Ok(t.add(&stream("noise-1"), Any, t.events("Noise", 1))?.last)
}

fn places(events: &[RecordedEvent]) -> Vec<(Position, Revision)> {
    events
        .iter()
        .map(|event| (event.position, event.revision))
        .collect()
}

/// Catches up with a world, then follows what comes, from the start of one source.
fn catches_up_and_follows(t: &Trial, source: &Source) -> Outcome {
    let world = World::make(t)?;
    let mut follow = t.follow_from_start(source.clone());
    let (events, head) = follow.caught_up()?;
    let expected = world.expected(&ReadRequest::forward(source.clone()));
    same("places when caught up", places(&events), places(&expected))?;
    same("events when caught up", events, expected)?;
    that(
        "the head is not before the last event",
        head >= world.events.last().map(|e| e.position),
    )?;
    let mut random = t.random(5);
    for number in 0..30 {
        let name = stream(["order-1", "item-1", "order-9"][number % 3]);
        t.add(
            &name,
            Any,
            vec![varied(t, &mut random), varied(t, &mut random)],
        )?;
        meant(t)?;
    }
    let mut live = t.read(ReadRequest::forward(source.clone()))?;
    live.retain(|event| Some(event.position) > head);
    let found = follow.events(live.len())?;
    same("places when live", places(&found), places(&live))?;
    same("events when live", found, live)
}

pub(crate) fn all(t: &Trial) -> Outcome {
    catches_up_and_follows(t, &sources()[0])
}

pub(crate) fn stream_source(t: &Trial) -> Outcome {
    catches_up_and_follows(t, &sources()[1])
}

pub(crate) fn category_source(t: &Trial) -> Outcome {
    catches_up_and_follows(t, &sources()[2])
}

pub(crate) fn query_source(t: &Trial) -> Outcome {
    catches_up_and_follows(t, &sources()[3])
}

pub(crate) fn from_end(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    for source in sources() {
        let what = format!("{source:?}");
        let mut follow = t.follow(SubscribeRequest::new(source).from(SubscribeFrom::End));
        let (events, head) = follow.caught_up()?;
        same(format!("{what}: before it has caught up"), events, vec![])?;
        that(
            "the head is there",
            head >= world.events.last().map(|event| event.position),
        )?;
        for _ in 0..3 {
            let event = meant(t)?;
            same(format!("{what}: live"), follow.event()?, event)?;
        }
    }
    Ok(())
}

pub(crate) fn after_every_position(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    let head = t.head()?;
    for source in sources() {
        let expected = world.expected(&ReadRequest::forward(source.clone()));
        for after in world
            .edges()
            .into_iter()
            .filter(|after| Some(*after) <= head)
        {
            let request = SubscribeRequest::new(source.clone()).from(SubscribeFrom::After(after));
            let (events, _) = t.follow(request).caught_up()?;
            let mut expected = expected.clone();
            expected.retain(|event| event.position > after);
            same(
                format!("{source:?} after {after}"),
                places(&events),
                places(&expected),
            )?;
        }
    }
    Ok(())
}

pub(crate) fn after_every_revision(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    let source = Source::Stream(stream("order-1"));
    let all = world.expected(&ReadRequest::forward(source.clone()));
    for after in (0..all.len() as u64 + 2).chain([u64::MAX]) {
        let from = SubscribeFrom::AfterRevision(Revision::new(after));
        let (events, _) = t
            .follow(SubscribeRequest::new(source.clone()).from(from))
            .caught_up()?;
        let mut expected = all.clone();
        expected.retain(|event| event.revision.number() > after);
        same(
            format!("after revision {after}"),
            places(&events),
            places(&expected),
        )?;
    }
    Ok(())
}

pub(crate) fn missing_stream_waits(t: &Trial) -> Outcome {
    for from in [SubscribeFrom::Start, SubscribeFrom::End] {
        let name = stream(format!("late-{from:?}"));
        let request = SubscribeRequest::new(Source::Stream(name.clone())).from(from);
        let mut follow = t.follow(request);
        let (events, _) = follow.caught_up()?;
        same("nothing yet", events, vec![])?;
        unmeant(t)?;
        let given = t.fill(&name, 2)?;
        read_back("its first events", &follow.events(2)?, &name, 0, &given)?;
    }
    Ok(())
}

pub(crate) fn beyond_the_end_waits(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 2)?;
    let from = SubscribeFrom::AfterRevision(Revision::new(4));
    let mut follow = t.follow(SubscribeRequest::new(Source::Stream(name.clone())).from(from));
    same("nothing yet", follow.caught_up()?.0, vec![])?;
    t.fill(&name, 2)?;
    let given = t.fill(&name, 3)?;
    read_back(
        "beyond",
        &follow.events(2)?,
        &name,
        5,
        given.get(1..).unwrap_or_default(),
    )
}

/// What the settings hide is not delivered to a subscription made afterwards; what comes later is.
pub(crate) fn respects_settings(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 5)?;
    t.set(
        &name,
        StreamSettings {
            max_count: Some(2),
            ..StreamSettings::default()
        },
    )?;
    let mut follow = t.follow_from_start(Source::Stream(name.clone()));
    let (events, _) = follow.caught_up()?;
    same("the last two", events, t.read_stream(&name)?)?;
    for revision in 5..9 {
        let given = t.fill(&name, 1)?;
        read_back("live", &follow.events(1)?, &name, revision, &given)?;
    }
    let category = Source::Category(category("order"));
    same(
        "the category gives all",
        t.follow_from_start(category).caught_up()?.0.len(),
        9,
    )
}

pub(crate) fn with_control(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let sources = || {
        [
            Source::All,
            Source::Stream(name.clone()),
            Source::Category(category("order")),
        ]
    };
    let request = |source| SubscribeRequest {
        control: true,
        ..SubscribeRequest::new(source)
    };
    t.fill(&name, 1)?;
    t.set(&name, StreamSettings::default())?;
    let mut follows: Vec<Follow<'_>> = sources()
        .into_iter()
        .map(|source| t.follow(request(source)))
        .collect();
    let kinds = |records: &[RecordedEvent]| -> Vec<RecordKind> {
        records
            .iter()
            .filter(|record| record.stream == name)
            .map(|record| record.kind)
            .collect()
    };
    for follow in &mut follows {
        let (records, _) = follow.caught_up()?;
        same(
            "caught up",
            kinds(&records),
            vec![RecordKind::Event, RecordKind::Settings],
        )?;
    }
    t.change(&name, Change::Delete)?;
    t.fill(&name, 1)?;
    for follow in &mut follows {
        let records = follow.events(2)?;
        same(
            "live",
            kinds(&records),
            vec![RecordKind::Delete, RecordKind::Event],
        )?;
    }
    Ok(())
}

pub(crate) fn caught_up_once_in_its_place(t: &Trial) -> Outcome {
    World::make(t)?;
    for source in sources() {
        let mut follow = t.follow_from_start(source.clone());
        let (before, head) = follow.caught_up()?;
        let late = before
            .iter()
            .filter(|event| Some(event.position) > head)
            .count();
        same(
            format!("{source:?}: events beyond the head before it"),
            late,
            0,
        )?;
        for _ in 0..5 {
            unmeant(t)?;
            let event = meant(t)?;
            // For `$all` the other event comes too.
            while follow.event()?.position < event.position {}
        }
    }
    let empty = t
        .follow_from_start(Source::Stream(stream("empty")))
        .caught_up()?;
    that(
        "nothing, and the head",
        empty.0.is_empty() && empty.1.is_some(),
    )
}

pub(crate) fn checkpoints_for_filtered(t: &Trial) -> Outcome {
    World::make(t)?;
    for source in filtered() {
        let mut follow = t.follow_from_start(source.clone());
        follow.caught_up()?;
        for round in 0..5 {
            let quiet = unmeant(t)?;
            follow
                .checkpoint_at(quiet)
                .map_err(|stop| stop.at(format!("{source:?}, round {round}")))?;
            let event = meant(t)?;
            same("and then the event", follow.event()?, event)?;
        }
    }
    Ok(())
}

/// Events and checkpoints together move forward only: a checkpoint says that all before it has been delivered.
pub(crate) fn checkpoints_never_lag(t: &Trial) -> Outcome {
    for source in filtered() {
        let mut random = t.random(6);
        let mut follow = t.follow_from_start(source.clone());
        let (mut found, mut last) = follow.caught_up()?;
        for _ in 0..60 {
            if random.bool() {
                meant(t)?;
            } else {
                unmeant(t)?;
            }
        }
        let end = unmeant(t)?;
        while last < Some(end) {
            match follow.next()? {
                Some(SubscriptionItem::Event(event)) => {
                    that(
                        "an event comes after what was passed",
                        last < Some(event.position),
                    )?;
                    last = Some(event.position);
                    found.push(*event);
                }
                Some(SubscriptionItem::Checkpoint(position)) => {
                    that(
                        "a checkpoint comes after what was passed",
                        last < Some(position),
                    )?;
                    last = Some(position);
                }
                Some(_) => {}
                None => return fail("the subscription ended"),
            }
        }
        let expected = t.read(ReadRequest::forward(source.clone()))?;
        same(
            format!("{source:?}: all events"),
            places(&found),
            places(&expected),
        )?;
    }
    Ok(())
}

/// Saving a checkpoint takes a position. If that alone made the next checkpoint, a consumer that saves each would never come to rest.
pub(crate) fn saving_checkpoints_comes_to_rest(t: &Trial) -> Outcome {
    for source in filtered() {
        comes_to_rest(t, &source).map_err(|stop| stop.at(format!("{source:?}")))?;
    }
    Ok(())
}

fn comes_to_rest(t: &Trial, source: &Source) -> Outcome {
    let mut follow = t.follow_from_start(source.clone());
    let mut last = follow.caught_up()?.1;
    // That an item passes something a reader could be shown; a checkpoint is saved at once.
    let mut take = |item| -> Outcome {
        let position = match item {
            SubscriptionItem::Event(event) => event.position,
            SubscriptionItem::Checkpoint(position) => {
                let records = t.read(ReadRequest::all().with_control())?;
                let mut passed = records.iter().map(|record| record.position);
                let new = passed.any(|passed| Some(passed) > last && passed <= position);
                that(
                    format!("the checkpoint at {position} passes something"),
                    new,
                )?;
                let positions = vec![position];
                let saving = t
                    .store
                    .save_checkpoint("consumer".to_owned(), Checkpoint { positions });
                t.wait("save_checkpoint", saving)??;
                position
            }
            _ => return Ok(()),
        };
        last = Some(position);
        Ok(())
    };
    for _ in 0..20 {
        let quiet = unmeant(t)?;
        take(SubscriptionItem::Checkpoint(follow.checkpoint_at(quiet)?))?;
        // Nothing happened but the saving.
        while let Some(item) = follow.next_if_ready()? {
            take(item)?;
        }
        unmeant(t)?;
        let event = meant(t)?;
        loop {
            let Some(item) = follow.next()? else {
                return fail("the subscription ended");
            };
            let is_event = matches!(item, SubscriptionItem::Event(_));
            take(item)?;
            if is_event {
                break;
            }
        }
        while let Some(item) = follow.next_if_ready()? {
            take(item)?;
        }
        that("the event is passed", t.head()? >= Some(event.position))?;
    }
    Ok(())
}

/// A subscription that waits is woken by what it waits for, and by a tombstone.
pub(crate) fn waiting_is_woken(t: &Trial) -> Outcome {
    let waits = |follow: &mut Follow<'_>| -> Outcome {
        while follow.next_if_ready()?.is_some() {}
        Ok(())
    };
    for round in 0..20 {
        for source in sources() {
            let what = format!("{source:?}, round {round}");
            let mut follow = t.follow(SubscribeRequest::new(source).from(SubscribeFrom::End));
            follow.caught_up()?;
            waits(&mut follow)?;
            let mut expected = None;
            let found = follow
                .next_while(|| expected = Some(meant(t)))
                .map_err(|error| Stop::from(error).at(&what))?;
            let expected = expected
                .transpose()?
                .map(Box::new)
                .map(SubscriptionItem::Event);
            same(&what, found, expected)?;
        }
    }
    let name = stream("closing");
    t.fill(&name, 1)?;
    let mut follow = t.follow_from_start(Source::Stream(name.clone()));
    follow.caught_up()?;
    waits(&mut follow)?;
    let mut closed = Ok(());
    let end = follow.next_while(|| closed = t.change(&name, Change::Tombstone).map(|_| ()));
    closed?;
    refused("the tombstone", end, Kind::Deleted).map(|_| ())
}

/// All who wait are woken, each by one append.
pub(crate) fn all_waiting_are_woken(t: &Trial) -> Outcome {
    let subscribed = AtomicUsize::new(0);
    t.threads(SUBSCRIBERS / 8 + 1, |number| {
        if number == 0 {
            // The first event may come before a subscriber waits; then it is caught up with.
            while subscribed.load(Ordering::SeqCst) < SUBSCRIBERS / 8 {
                std::thread::yield_now();
            }
            return meant(t).map(|_| ());
        }
        let mut follow = t.follow_from_start(Source::All);
        let caught_up = follow.caught_up();
        // Counted even when it failed, so that the writer does not wait for it.
        subscribed.fetch_add(1, Ordering::SeqCst);
        caught_up?;
        follow.event().map(|_| ())
    })
    .map(|_| ())
}

pub(crate) fn tombstone_ends(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 2)?;
    let mut follow = t.follow_from_start(Source::Stream(name.clone()));
    let mut all = t.follow_from_start(Source::All);
    same("so far", follow.caught_up()?.0.len(), 2)?;
    same("so far, in all", all.caught_up()?.0.len(), 2)?;
    let given = t.fill(&name, 3)?;
    t.change(&name, Change::Tombstone)?;
    read_back("the last events", &follow.events(3)?, &name, 2, &given)?;
    loop {
        match follow.next() {
            Ok(Some(SubscriptionItem::Event(event))) => {
                return fail(format!("{event:?} after the end"));
            }
            Ok(Some(_)) => {}
            answer => {
                refused("the end", answer, Kind::Deleted)?;
                break;
            }
        }
    }
    same("after the end", follow.next()?, None)?;
    unmeant(t)?;
    same("all goes on", all.events(4)?.len(), 4)
}

pub(crate) fn tombstoned_at_once(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let last = t.fill(&name, 2).map(|_| t.info(&name))??.last_position;
    t.change(&name, Change::Tombstone)?;
    let froms = [
        SubscribeFrom::Start,
        SubscribeFrom::End,
        SubscribeFrom::After(last.unwrap_or_default()),
        SubscribeFrom::AfterRevision(Revision::FIRST),
    ];
    for from in froms {
        let request = SubscribeRequest::new(Source::Stream(name.clone())).from(from);
        let mut follow = t.follow(request);
        refused(format!("{from:?}"), follow.next(), Kind::Deleted)?;
        same("it has ended", follow.next()?, None)?;
    }
    Ok(())
}

pub(crate) fn delete_does_not_end(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 2)?;
    let mut follow = t.follow_from_start(Source::Stream(name.clone()));
    same("so far", follow.caught_up()?.0.len(), 2)?;
    t.change(&name, Change::Delete)?;
    let given = t.fill(&name, 2)?;
    read_back(
        "what was written again",
        &follow.events(2)?,
        &name,
        2,
        &given,
    )?;
    let mut late = t.follow_from_start(Source::Stream(name.clone()));
    read_back("from the start", &late.caught_up()?.0, &name, 2, &given)?;
    t.change(&name, Change::Delete)?;
    let mut later = t.follow_from_start(Source::Stream(name.clone()));
    same("nothing left", later.caught_up()?.0, vec![])?;
    let given = t.fill(&name, 1)?;
    for follow in [&mut follow, &mut late, &mut later] {
        read_back("and again", &follow.events(1)?, &name, 4, &given)?;
    }
    Ok(())
}

pub(crate) fn dropping_is_harmless(t: &Trial) -> Outcome {
    let name = stream("order-1");
    for round in 0..20 {
        let request = || SubscribeRequest::new(Source::Stream(name.clone()));
        drop(t.store.subscribe(request()));
        let mut polled = t.store.subscribe(request());
        drop(poll_once(polled.next()));
        let mut caught_up = t.follow(request());
        same("events", caught_up.caught_up()?.0.len(), round)?;
        let mut waiting = t.store.subscribe(request().from(SubscribeFrom::End));
        for _ in 0..3 {
            drop(poll_once(waiting.next()));
        }
        drop((polled, caught_up, waiting));
        t.fill(&name, 1)?;
    }
    Ok(())
}

pub(crate) fn many_subscribers(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    let sources = sources();
    let mut follows: Vec<_> = (0..SUBSCRIBERS)
        .map(|number| &sources[number % sources.len()])
        .map(|source| (source, t.follow_from_start(source.clone())))
        .collect();
    for (source, follow) in &mut follows {
        let (events, _) = follow.caught_up()?;
        let expected = world.expected(&ReadRequest::forward(source.clone()));
        same("caught up", places(&events), places(&expected))?;
    }
    for _ in 0..3 {
        let event = meant(t)?;
        for (_, follow) in &mut follows {
            same("live", &follow.event()?, &event)?;
        }
    }
    Ok(())
}

/// Who does not read holds nobody up, and misses nothing.
pub(crate) fn slow_subscriber(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let mut slow: Vec<_> = [Source::All, Source::Stream(name.clone())]
        .into_iter()
        .map(|source| t.follow_from_start(source))
        .collect();
    for follow in &mut slow {
        follow.caught_up()?;
    }
    for _ in 0..300 {
        t.fill(&name, 10)?;
    }
    let expected = t.read_stream(&name)?;
    for follow in &mut slow {
        same(
            "everything",
            places(&follow.events(3_000)?),
            places(&expected),
        )?;
    }
    Ok(())
}

pub(crate) fn requests_are_checked(t: &Trial) -> Outcome {
    t.fill(&stream("order-1"), 1)?;
    for source in [
        Source::All,
        Source::Category(category("order")),
        Source::Query(query(&["A"], &[])),
    ] {
        let from = SubscribeFrom::AfterRevision(Revision::FIRST);
        let mut follow = t.follow(SubscribeRequest::new(source.clone()).from(from));
        refused(format!("{source:?}"), follow.next(), Kind::Invalid)?;
        same("it has ended", follow.next()?, None)?;
    }
    Ok(())
}

/// Up to where it has caught up, a subscription gives what a read gives.
pub(crate) fn agrees_with_reading(t: &Trial) -> Outcome {
    World::make(t)?;
    t.set(
        &stream("order-1"),
        StreamSettings {
            max_count: Some(3),
            ..StreamSettings::default()
        },
    )?;
    t.set(&stream("plain"), StreamSettings::default())?;
    t.change(&stream("item-1"), Change::Tombstone)?;
    let more = [
        Source::Stream(stream("plain")),
        Source::Category(category("item")),
    ];
    for source in sources().into_iter().chain(more) {
        for control in [false, true] {
            let request = SubscribeRequest {
                source: source.clone(),
                from: SubscribeFrom::Start,
                control,
            };
            let (found, _) = t.follow(request).caught_up()?;
            let expected = t.read(ReadRequest {
                control,
                ..ReadRequest::forward(source.clone())
            })?;
            same(format!("{source:?}, control {control}"), found, expected)?;
        }
    }
    Ok(())
}

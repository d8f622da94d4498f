//! The made-up applications, through and through.

use std::sync::Arc;

use factum::framework::event::read;
use factum::framework::kit::FakeWorld;
use factum::{Error, EventStore, MemoryStore, Origin, Policy, Repository};
use loan_applications::report::{Outcomes, agreement};
use loan_applications::{CATEGORY, LoanApplication, LoanCommand, LoanEvent, Status, log};

use crate::logs::{SAMPLE, all, check_bytes, check_cuts, of, stored};

const STREAMS: std::ops::RangeInclusive<u32> = 900_001..=900_007;

fn name(number: u32) -> String {
    format!("{CATEGORY}-{number}")
}

#[test]
fn the_same_log_again_adds_nothing() {
    let (store, count) = stored(SAMPLE);
    assert_eq!(all(&*store).len(), count);
    let again = pollster::block_on(log::import(SAMPLE, &*store)).unwrap();
    assert_eq!((again, all(&*store).len()), (count, count));
}

#[test]
fn a_bad_line_is_named() {
    let check = |log: &str, expected: &str| {
        let store = MemoryStore::new();
        let error = pollster::block_on(log::import(log.as_bytes(), &store)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    let good = std::str::from_utf8(SAMPLE).unwrap().lines().next().unwrap();
    check(&format!("{good}\nnonsense"), "line 2 is not an event");
    check(
        &good.replace("2014-02-01T", "yesterday"),
        "time \"yesterday",
    );
    check(&good.replace("\"id\":\"", "\"id\":\"x"), "id \"x");
    check(&good[..40], "line 1 is not an event");
}

#[test]
fn every_byte_is_kept_and_every_cut_is_sound() {
    let (store, _) = stored(SAMPLE);
    check_bytes(&all(&*store));
    for number in STREAMS {
        check_cuts(&of(&*store, &name(number)));
    }
}

#[test]
fn all_at_once_they_are_what_they_are_alone() {
    let (store, count) = stored(SAMPLE);
    let factum = Repository::new(store);
    pollster::block_on(async {
        let together = factum.load_all::<LoanApplication>(CATEGORY).await?;
        for loaded in &together {
            let alone = factum.load::<LoanApplication>(&loaded.stream).await?;
            assert_eq!(
                (&alone.state, alone.version),
                (&loaded.state, loaded.version)
            );
        }
        let outcomes = Outcomes::of(&together);
        assert_eq!(outcomes.events, count as u64);
        let counts: Vec<_> = outcomes.by_status.into_iter().collect();
        let expected = [
            (Status::PreAccepted, 1),
            (Status::Granted, 1),
            (Status::Declined, 3),
            (Status::Cancelled, 2),
        ];
        assert_eq!(counts, expected);
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn the_rules_explain_all_but_what_was_made_odd() {
    let (store, count) = stored(SAMPLE);
    let found = pollster::block_on(agreement(&*store, CATEGORY)).unwrap();
    assert_eq!((found.events, found.different), (count as u64, 0));
    assert_eq!((found.streams, found.streams_agreed()), (7, 6));
    let odd: Vec<_> = found
        .refused
        .values()
        .flat_map(|refused| &refused.streams)
        .collect();
    assert!(
        odd.iter().all(|stream| stream.as_str() == name(900_005)),
        "{odd:?}"
    );
    assert_eq!(found.agreed, found.events - 2);
}

/// An application is decided anew, command by command, under every policy: what it becomes, and every past of it, is what a replay gives.
#[test]
fn snapshots_change_nothing() {
    let (log, _) = stored(SAMPLE);
    let policies = [
        Policy::every(1),
        Policy::every(7),
        Policy::on("O_SENT"),
        Policy::every(5).or(Policy::on("A_ACTIVATED")),
        Policy::manual(),
    ];
    for policy in policies {
        for number in STREAMS.filter(|number| *number != 900_005) {
            let events = of(&*log, &name(number));
            let commands = events.iter().flat_map(|recorded| {
                let read = read::<LoanEvent>(recorded).unwrap();
                read.as_slice()
                    .iter()
                    .map(LoanCommand::from)
                    .collect::<Vec<_>>()
            });
            pollster::block_on(decide_anew(&name(number), commands.collect(), &policy)).unwrap();
        }
    }
}

async fn decide_anew(
    stream: &str,
    commands: Vec<LoanCommand>,
    policy: &Policy,
) -> Result<(), Error> {
    let fake = FakeWorld::new(1);
    let store = Arc::new(MemoryStore::new());
    let plain = Repository::new(Arc::clone(&store) as Arc<dyn EventStore>).with_cache(0);
    let kept = plain
        .clone()
        .with_world(fake.world())
        .with_snapshot_store(store)
        .with_snapshots::<LoanApplication>(policy.clone())?;
    let count = commands.len() as u64;
    for command in commands {
        kept.run::<LoanApplication>(stream, command).await.unwrap();
        fake.run_background().await;
    }
    for version in 0..=count {
        let replayed = plain.load::<LoanApplication>(stream).as_of(version).await?;
        let resumed = kept.load::<LoanApplication>(stream).as_of(version).await?;
        assert_eq!(
            (&resumed.state, resumed.version),
            (&replayed.state, version)
        );
    }
    let last = kept.load::<LoanApplication>(stream).await?;
    assert_eq!(last.version, count);
    if *policy == Policy::every(1) {
        assert_eq!(last.origin, Origin::Snapshot(count));
    }
    Ok(())
}

#[test]
fn the_past_is_there() {
    let (store, _) = stored(SAMPLE);
    let factum = Repository::new(store);
    pollster::block_on(async {
        let stream = name(900_003);
        let early = factum.load::<LoanApplication>(&stream).as_of(5).await?;
        assert_eq!(
            (early.state.status, early.state.amount),
            (Status::PreAccepted, 25_000)
        );
        let now = factum.load::<LoanApplication>(&stream).await?;
        assert!(now.state.approved && now.state.registered && now.state.activated);
        assert_eq!(
            (now.state.offers.accepted, now.state.offers.cancelled),
            (1, 1)
        );
        let before = early.time.unwrap();
        let then = factum
            .load::<LoanApplication>(&stream)
            .as_of(before)
            .await?;
        assert_eq!(then.state, early.state);
        let blame = factum
            .blame::<LoanApplication>(&stream, "/amount")
            .await?
            .unwrap();
        assert_eq!(blame.event.event_type.as_str(), "A_SUBMITTED");
        Ok::<_, Error>(())
    })
    .unwrap();
}

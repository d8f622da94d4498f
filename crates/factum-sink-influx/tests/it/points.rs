//! What is in the database is a fold of the log, whatever fails; and what is refused waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_projection::{
    Behind, Claim, Edit, Error, Kind, Manage, Points, Projector, Runner, Sink, Value, Which, kit,
};
use factum_store::{AppendBatch, EventStore as _, MemoryStore, Source};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};
use pollster::block_on;

use super::support::{Place, address};

/// A point for each event, and one that does not fit for those of the type `Broken`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    fixed: Arc<AtomicBool>,
}

impl<W: Points> Projector<W> for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let tags = [
            ("type", event.event_type.as_str()),
            ("stream", event.stream.as_str()),
        ];
        let broken = event.event_type.as_str() == "Broken" && !self.fixed.load(Ordering::SeqCst);
        let count: Value = if broken { "many".into() } else { 1_i64.into() };
        let position = event.position.raw().cast_signed();
        to.point(
            "events",
            &tags,
            &[("count", count), ("position", position.into())],
            None,
        )
    }
}

pub(crate) async fn append(store: &MemoryStore, stream: &str, kind: &str, id: u64) {
    let event = NewEvent::json(
        EventId::from_bytes(u128::from(id).to_be_bytes()),
        EventType::new(kind).unwrap(),
        "{}",
    );
    let stream = StreamName::new(stream).unwrap();
    let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
    store.append(batch).await.unwrap();
}

pub(crate) fn positions(place: &Place) -> Vec<i64> {
    let rows = place.rows(1, "SELECT count, position FROM events");
    let mut all: Vec<i64> = rows
        .iter()
        .map(|row| row["position"].as_i64().unwrap())
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn five_thousand_events_of_a_few_milliseconds_are_five_thousand_points() {
    let Some(address) = address() else { return };
    let place = Place::new(&address);
    let store = Arc::new(MemoryStore::new());
    block_on(async {
        for number in 0..5_000 {
            append(
                &store,
                &format!("order-{}", number % 7),
                "Placed",
                number + 1,
            )
            .await;
        }
        let mut runner = Runner::new(store, place.open(), Events::default());
        assert_eq!(runner.run_until_caught_up().await.unwrap().applied, 5_000);
    });
    assert_eq!(positions(&place), (0..5_000).collect::<Vec<i64>>());
    let sum = place.rows(1, "SELECT sum(count) FROM events");
    assert_eq!(sum[0]["sum"], 5_000);
}

#[test]
fn whichever_call_fails_the_points_are_the_same() {
    let Some(address) = address() else { return };
    let places = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let place = |run: u64| {
        let mut places = places.borrow_mut();
        let place = places
            .entry(run)
            .or_insert_with(|| Arc::new(Place::new(&address)));
        Arc::clone(place)
    };
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        for number in 0..12 {
            let kind = if number == 5 { "Broken" } else { "Placed" };
            append(&store, &format!("order-{}", number % 3), kind, number + 1).await;
        }
        let runs = kit::check_exactly_once(
            store,
            Events::default(),
            4,
            async |run| place(run).open(),
            async |run| {
                let place = place(run);
                let parked = place.open().parked("events", 1, 100).await.unwrap();
                let parked: Vec<_> = parked
                    .iter()
                    .map(|it| (it.position, it.reason.clone()))
                    .collect();
                (positions(&place), parked)
            },
        )
        .await;
        assert!(runs > 20, "{runs}");
    });
}

#[test]
fn what_does_not_fit_waits_in_its_partition_until_it_is_mended() {
    let Some(address) = address() else { return };
    let place = Place::new(&address);
    let events = Events::default();
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        for (number, (stream, kind)) in [
            ("order-1", "Placed"),
            ("order-2", "Placed"),
            ("order-1", "Broken"),
            ("order-2", "Shipped"),
            ("order-1", "Shipped"),
        ]
        .into_iter()
        .enumerate()
        {
            append(&store, stream, kind, number as u64 + 1).await;
        }
        let mut runner = Runner::new(store, place.open(), events.clone());
        let rest = runner.run_until_caught_up().await.unwrap();
        assert_eq!(rest.parked, 2);
        assert_eq!(positions(&place), [0, 1, 3]);
        let mut desk = place.open();
        let parked = desk.parked("events", 1, 10).await.unwrap();
        let why = "field count of \"events\" holds integer values, not string ones";
        assert_eq!(parked[0].reason, why);
        let partition = parked[0].partition.clone();
        let retry = Edit::Retry { partition };
        desk.edit("events", 1, retry.clone()).await.unwrap();
        assert_eq!(runner.run_until_caught_up().await.unwrap().parked, 2);
        assert_eq!(desk.parked("events", 1, 10).await.unwrap()[0].attempts, 2);
        events.fixed.store(true, Ordering::SeqCst);
        desk.edit("events", 1, retry).await.unwrap();
        assert_eq!(runner.run_until_caught_up().await.unwrap().parked, 0);
    });
    assert_eq!(positions(&place), [0, 1, 2, 3, 4]);
}

#[test]
fn generations_are_databases_and_leases_are_fenced() {
    let Some(address) = address() else { return };
    let place = Place::new(&address);
    block_on(async {
        let (mut first, mut second) = (place.open(), place.open());
        let claim = |which| Claim {
            projection: "events",
            which,
            version: "1",
            bulk: false,
        };
        let old = first.claim(claim(Which::Live)).await.unwrap();
        let other = Claim {
            version: "2",
            ..claim(Which::Live)
        };
        assert_eq!(
            second.claim(other).await.unwrap_err().kind(),
            Kind::Outdated
        );
        let new = second.claim(claim(Which::Live)).await.unwrap();
        assert_eq!((old.epoch, new.epoch), (1, 2));
        assert_eq!(first.look(&old).await.unwrap_err().kind(), Kind::Fenced);
        second.look(&new).await.unwrap();

        let next = second.claim(claim(Which::New)).await.unwrap();
        assert_eq!((next.generation, next.epoch), (2, 1));
        first.switch("events", 2, Behind::Refuse).await.unwrap();
        let seen = first.generations("events").await.unwrap();
        let live: Vec<_> = seen.iter().map(|it| (it.number, it.live)).collect();
        assert_eq!(live, [(1, false), (2, true)]);
        assert_eq!(first.switch_back("events").await.unwrap(), 1);
        first.drop_generation("events", 2).await.unwrap();
        assert_eq!(second.look(&next).await.unwrap_err().kind(), Kind::Fenced);
        let newest = second.claim(claim(Which::New)).await.unwrap();
        assert_eq!(newest.generation, 3);
        // A pause is seen by the runner, and undone.
        for (edit, paused) in [(Edit::Pause, true), (Edit::Resume, false)] {
            first.edit("events", 3, edit).await.unwrap();
            assert_eq!(first.generations("events").await.unwrap()[1].paused, paused);
            assert_eq!(second.look(&newest).await.unwrap().paused, paused);
        }
        assert_eq!(second.look(&newest).await.unwrap().edits, 2);
    });
}

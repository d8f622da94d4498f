//! Each rule of a group, alone.

use std::sync::Arc;
use std::time::Duration;

use super::{Action, Arrival, ConsumerId, Group, Identity, Moment, TooManyConsumers, bucket_of};
use crate::persistent::settings::{Settings, Strategy};

const A: ConsumerId = ConsumerId(1);
const B: ConsumerId = ConsumerId(2);

fn at(ms: u64) -> Moment {
    Duration::from_millis(ms)
}

fn group(strategy: Strategy) -> Group<u64> {
    let settings = Settings {
        strategy,
        max_retry_count: 2,
        message_timeout: at(100),
        min_checkpoint_count: 2,
        max_checkpoint_count: 5,
        checkpoint_after: at(1_000),
        live_buffer_size: 10,
        history_buffer_size: 20,
        read_batch_size: 10,
        ..Settings::default()
    };
    Group::new(settings, None, at(0))
}

fn event(point: u64) -> Arrival<u64> {
    Arrival {
        point,
        id: u128::from(point),
        bucket: bucket_of(&format!("stream-{}", point % 4)),
        bytes: 100,
        payload: point,
    }
}

fn fill(group: &mut Group<u64>, points: std::ops::Range<u64>) {
    for point in points {
        group.arrive(event(point));
    }
    group.check();
}

fn connect(group: &mut Group<u64>, id: ConsumerId, credit: usize) {
    group
        .connect(id, Identity::default(), credit, at(0))
        .unwrap();
}

/// What each consumer is given: consumer, point, retries.
fn give(group: &mut Group<u64>, now: u64) -> Vec<(u64, u64, u32)> {
    let given = group.dispatch(at(now), |_| usize::MAX);
    group.check();
    given
        .into_iter()
        .map(|delivery| (delivery.consumer.0, delivery.payload, delivery.retries))
        .collect()
}

#[test]
fn credit_bounds_what_is_in_flight() {
    let mut group = group(Strategy::RoundRobin);
    fill(&mut group, 0..5);
    assert_eq!(give(&mut group, 0), []);
    connect(&mut group, A, 2);
    assert_eq!(give(&mut group, 0), [(1, 0, 0), (1, 1, 0)]);
    assert_eq!(give(&mut group, 0), []);
    group.ack(A, 1, at(1));
    assert_eq!(give(&mut group, 1), [(1, 2, 0)]);
}

#[test]
fn a_window_bounds_it_further() {
    let mut group = group(Strategy::RoundRobin);
    fill(&mut group, 0..5);
    connect(&mut group, A, 4);
    assert_eq!(group.dispatch(at(0), |_| 1).len(), 1);
    assert_eq!(group.dispatch(at(0), |_| 0).len(), 0);
    assert_eq!(group.dispatch(at(0), |_| 9).len(), 3);
}

#[test]
fn round_robin_takes_turns_and_passes_over_the_full() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 2);
    connect(&mut group, B, 10);
    fill(&mut group, 0..6);
    let consumers: Vec<u64> = give(&mut group, 0).iter().map(|given| given.0).collect();
    assert_eq!(consumers, [1, 2, 1, 2, 2, 2]);
}

#[test]
fn dispatch_to_single_fills_one_first() {
    let mut group = group(Strategy::DispatchToSingle);
    connect(&mut group, A, 2);
    connect(&mut group, B, 2);
    fill(&mut group, 0..4);
    let consumers: Vec<u64> = give(&mut group, 0).iter().map(|given| given.0).collect();
    assert_eq!(consumers, [1, 1, 2, 2]);
    group.ack(B, 2, at(1));
    fill(&mut group, 4..5);
    assert_eq!(give(&mut group, 1), [(2, 4, 0)]);
}

#[test]
fn pinned_keeps_a_stream_with_one_and_its_order() {
    let mut group = group(Strategy::Pinned);
    connect(&mut group, A, 16);
    connect(&mut group, B, 16);
    fill(&mut group, 0..16);
    let given = give(&mut group, 0);
    assert_eq!(given.len(), 16);
    for stream in 0..4 {
        let of_stream: Vec<_> = given.iter().filter(|given| given.1 % 4 == stream).collect();
        assert!(
            of_stream
                .windows(2)
                .all(|two| two[0].0 == two[1].0 && two[0].1 < two[1].1)
        );
    }
}

#[test]
fn a_pinned_stream_moves_only_when_nothing_of_it_is_in_flight() {
    let mut group = group(Strategy::Pinned);
    connect(&mut group, A, 100);
    fill(&mut group, 0..8);
    assert_eq!(give(&mut group, 0).len(), 8);
    for id in 2..20 {
        connect(&mut group, ConsumerId(id), 100);
    }
    fill(&mut group, 8..16);
    // Whatever moves away from A waits; the invariant says that no bucket is with two.
    let meanwhile = give(&mut group, 1);
    assert!(meanwhile.iter().all(|given| given.0 == 1), "{meanwhile:?}");
    assert!(
        meanwhile.len() < 8,
        "of eighteen new consumers none was assigned any of four streams"
    );
    for id in 0..8 {
        group.ack(A, id, at(2));
    }
    for given in &meanwhile {
        group.ack(A, u128::from(given.1), at(2));
    }
    assert_eq!(give(&mut group, 3).len() + meanwhile.len(), 8);
}

#[test]
fn a_consumer_that_never_answers_stops_nobody_else() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 3);
    connect(&mut group, B, 3);
    let mut done = 0;
    for point in 0..50 {
        fill(&mut group, point..point + 1);
        for (consumer, point, _) in give(&mut group, point) {
            if consumer == 2 {
                group.ack(B, u128::from(point), at(point));
                done += 1;
            }
        }
        assert!(group.room() > 0);
    }
    assert_eq!(done, 47);
}

#[test]
fn a_timeout_gives_again_first_and_parks_in_the_end() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 1);
    fill(&mut group, 0..2);
    for (retry, now) in [(0, 0), (1, 100), (2, 200)] {
        group.expire(at(now));
        assert_eq!(give(&mut group, now), [(1, 0, retry)]);
        assert_eq!(group.wake_at(at(now)), Some(at(now + 100)));
        group.expire(at(now + 99));
        assert_eq!(give(&mut group, now + 99), []);
    }
    group.expire(at(300));
    assert_eq!(give(&mut group, 300), [(1, 1, 0)]);
    let parked = group.take_to_park(10);
    assert_eq!((parked.len(), parked[0].payload), (1, 0));
    assert_eq!(&*parked[0].reason, "Reached retry count of 2");
    assert_eq!(group.checkpoint(), None);
    group.parked(&parked);
    group.check();
    assert_eq!(group.checkpoint().map(|c| c.point), Some(0));
}

#[test]
fn a_reason_is_kept_once_however_many_events_it_is_for() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 10);
    fill(&mut group, 0..3);
    give(&mut group, 0);
    group.nack(A, &[0, 1, 2], Action::Park, "because", at(1));
    let parked = group.take_to_park(10);
    assert_eq!(parked.len(), 3);
    for event in &parked {
        assert!(Arc::ptr_eq(&event.reason, &parked[0].reason));
    }
}

#[test]
fn each_action_does_what_it_says() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 10);
    fill(&mut group, 0..5);
    give(&mut group, 0);
    for (id, action) in [
        (0, Action::Unknown),
        (1, Action::Retry),
        (2, Action::Skip),
        (3, Action::Park),
    ] {
        group.nack(A, &[id], action, "because", at(1));
        group.check();
    }
    assert_eq!(give(&mut group, 1), [(1, 0, 1), (1, 1, 1)]);
    let parked = group.take_to_park(10);
    assert_eq!(
        &*parked[0].reason,
        "Client explicitly NAK'ed message.\nbecause"
    );
    assert_eq!((parked.len(), parked[0].payload), (1, 3));
    assert_eq!(group.take_to_park(10).len(), 0);
    group.check();
    group.parked(&parked);
    for id in [0, 1, 4] {
        group.ack(A, id, at(2));
    }
    assert_eq!(group.statistics(at(2)).outstanding, 0);
}

#[test]
fn stop_gives_the_event_to_another_and_ends_the_consumer_when_it_has_answered() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 2);
    fill(&mut group, 0..3);
    assert_eq!(give(&mut group, 0).len(), 2);
    group.nack(A, &[0], Action::Stop, "", at(1));
    assert_eq!((give(&mut group, 1), group.stopped()), (vec![], vec![]));
    connect(&mut group, B, 10);
    assert_eq!(give(&mut group, 1), [(2, 0, 0), (2, 2, 0)]);
    group.ack(A, 1, at(2));
    assert_eq!(group.stopped(), [A]);
    group.disconnect(A);
    group.check();
    assert_eq!(group.statistics(at(2)).outstanding, 2);
}

#[test]
fn what_a_lost_consumer_had_goes_to_others_and_is_counted() {
    let mut group = group(Strategy::DispatchToSingle);
    connect(&mut group, A, 2);
    fill(&mut group, 0..3);
    give(&mut group, 0);
    group.disconnect(A);
    group.check();
    connect(&mut group, B, 5);
    assert_eq!(give(&mut group, 1), [(2, 0, 1), (2, 1, 1), (2, 2, 0)]);
}

#[test]
fn what_a_lost_consumer_had_is_not_parked_however_often_it_was_given() {
    let mut group = group(Strategy::DispatchToSingle);
    group.settings.max_retry_count = 0;
    fill(&mut group, 0..1);
    for given in 0..3 {
        connect(&mut group, A, 1);
        assert_eq!(give(&mut group, 0), [(1, 0, given)]);
        group.disconnect(A);
        group.check();
    }
    connect(&mut group, A, 1);
    give(&mut group, 0);
    group.nack(A, &[0], Action::Retry, "", at(1));
    assert_eq!(group.take_to_park(10).len(), 1);
}

#[test]
fn a_late_answer_counts_until_another_has_the_event() {
    let mut group = group(Strategy::DispatchToSingle);
    connect(&mut group, A, 2);
    fill(&mut group, 0..2);
    give(&mut group, 0);
    group.expire(at(100));
    group.ack(A, 0, at(101));
    group.check();
    assert_eq!(group.statistics(at(101)).retry, 1);
    group.disconnect(A);
    connect(&mut group, B, 1);
    assert_eq!(give(&mut group, 102), [(2, 1, 1)]);
    group.ack(A, 1, at(103));
    assert_eq!(group.statistics(at(103)).in_flight, 1);
    // A late refusal of an event that waits to be given again changes nothing.
    group.expire(at(300));
    group.nack(B, &[1], Action::Retry, "", at(301));
    group.check();
    assert_eq!(give(&mut group, 302), [(2, 1, 2)]);
}

#[test]
fn one_id_in_two_streams_is_two_events() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 5);
    for point in 0..2 {
        group.arrive(Arrival {
            id: 7,
            ..event(point)
        });
    }
    assert_eq!(give(&mut group, 0).len(), 2);
    group.ack(A, 7, at(1));
    group.check();
    assert_eq!(group.checkpoint().map(|c| c.point), Some(0));
    group.ack(A, 7, at(1));
    group.ack(A, 7, at(1));
    assert_eq!(group.checkpoint().map(|c| c.point), Some(1));
}

#[test]
fn room_is_what_the_buffers_leave() {
    let mut group = group(Strategy::RoundRobin);
    assert_eq!((group.room(), group.replay_room()), (20, 10));
    group.set_live(true);
    fill(&mut group, 0..7);
    assert_eq!((group.room(), group.replay_room()), (3, 10));
    connect(&mut group, A, 5);
    give(&mut group, 0);
    assert_eq!(group.room(), 8);
    group.disconnect(A);
    assert_eq!((group.room(), group.replay_room()), (3, 5));
    group.arrive(Arrival {
        bytes: 64 << 20,
        ..event(7)
    });
    assert_eq!((group.room(), group.replay_room()), (0, 0));
}

#[test]
fn consumers_are_limited() {
    let mut group = group(Strategy::RoundRobin);
    group.settings.max_subscriber_count = 1;
    connect(&mut group, A, 1);
    let refused = group.connect(B, Identity::default(), 1, at(0));
    assert_eq!(refused, Err(TooManyConsumers));
    group.disconnect(A);
    connect(&mut group, B, 1);
}

#[test]
fn checkpoints_are_written_by_time_or_by_count() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 100);
    fill(&mut group, 0..10);
    give(&mut group, 0);
    group.ack(A, 1, at(1));
    group.ack(A, 0, at(1));
    assert_eq!(group.checkpoint_due(at(999)), None);
    let due = group.checkpoint_due(at(1_000)).unwrap();
    assert_eq!(due.point, 1);
    group.checkpointed(due, at(1_000));
    group.ack(A, 2, at(1_001));
    assert_eq!(group.checkpoint_due(at(9_000)), None);
    for id in 3..7 {
        group.ack(A, id, at(1_002));
    }
    assert_eq!(
        group.checkpoint_due(at(1_002)).map(|due| due.point),
        Some(6)
    );
}

#[test]
fn a_checkpoint_that_is_due_is_not_waited_for() {
    let mut group = group(Strategy::RoundRobin);
    for point in 0..4 {
        group.pass(point, true);
    }
    assert_eq!(group.wake_at(at(10)), Some(at(1_000)));
    // It is being written by now, however long that takes.
    assert_eq!(group.wake_at(at(1_000)), None);
    let due = group.checkpoint_due(at(1_000)).unwrap();
    assert_eq!(group.wake_at(at(5_000)), None);
    group.checkpointed(due, at(5_000));
    group.pass(4, true);
    group.pass(5, true);
    assert_eq!(group.wake_at(at(5_000)), Some(at(6_000)));
}

#[test]
fn what_is_passed_over_counts_only_when_it_should() {
    let mut group = group(Strategy::RoundRobin);
    for point in 0..10 {
        group.pass(point, false);
    }
    assert_eq!(group.checkpoint_due(at(5_000)), None);
    for point in 10..12 {
        group.pass(point, true);
    }
    assert_eq!(
        group.checkpoint_due(at(5_000)).map(|due| due.point),
        Some(11)
    );
}

#[test]
fn replayed_events_move_no_checkpoint_but_their_own() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 100);
    group.pass_parked(3);
    for revision in 4..6 {
        group.replay(event(revision));
    }
    fill(&mut group, 50..51);
    assert_eq!(give(&mut group, 0), [(1, 4, 0), (1, 5, 0), (1, 50, 0)]);
    group.ack(A, 50, at(1));
    assert_eq!(group.checkpoint().map(|c| c.point), Some(50));
    assert_eq!(group.replayed(), Some(3));
    group.ack(A, 5, at(1));
    assert_eq!(
        (group.replayed(), group.has_replayed_all()),
        (Some(3), false)
    );
    group.ack(A, 4, at(1));
    assert_eq!(
        (group.replayed(), group.has_replayed_all()),
        (Some(5), true)
    );
}

#[test]
fn measurements_are_made_when_asked_for() {
    let mut group = group(Strategy::RoundRobin);
    group.settings.extra_statistics = true;
    connect(&mut group, A, 100);
    fill(&mut group, 0..4);
    give(&mut group, 0);
    for (id, now) in [(0, 10), (1, 20), (2, 30), (3, 40)] {
        group.ack(A, id, at(now));
    }
    let statistics = group.statistics(at(2_000));
    assert_eq!((statistics.total, statistics.per_second), (4, 2));
    let measured = &statistics.consumers[0].measurements;
    for (name, value) in [
        ("Mean", 25),
        ("Fastest", 10),
        ("Median", 30),
        ("Highest", 40),
    ] {
        assert!(measured.contains(&(name, value)), "{name}: {measured:?}");
    }
    assert_eq!(group.statistics(at(2_000)).since_last, 0);
}

#[test]
fn a_reason_is_counted_as_long_as_it_is_kept() {
    let mut group = group(Strategy::RoundRobin);
    connect(&mut group, A, 10);
    fill(&mut group, 0..2);
    give(&mut group, 0);
    let before = group.held_bytes;
    let reason = "x".repeat(1_000);
    group.nack(A, &[0], Action::Park, &reason, at(1));
    group.check();
    assert!(group.held_bytes >= before + reason.len());
    let written = group.take_to_park(10);
    group.check();
    group.parked(&written);
    group.check();
    assert_eq!(group.held_bytes, before - 100);
}

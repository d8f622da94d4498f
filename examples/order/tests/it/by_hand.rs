//! With the derive and by hand, an order is stored as the same bytes, under the same names, versions and tags, and decided the same.

use factum::framework::kit::{self, Chance};
use factum::framework::lock;
use factum::{Decider, Env, Event, EventKind, Snapshots, Timestamp};
use factum_example_order::{Order, OrderEvent, by_hand};

use crate::support::command;

/// Everything that a store gets to see of an event.
fn stored<E: Event>(event: &E) -> (EventKind, Vec<String>, String) {
    let tags = event.tags().unwrap().into_iter().map(|tag| tag.to_string());
    let data = String::from_utf8(event.encode().unwrap()).unwrap();
    (*event.kind(), tags.collect(), data)
}

#[test]
fn the_kinds_and_the_lock_are_the_same() {
    assert_eq!(by_hand::OrderEvent::KINDS, OrderEvent::KINDS);
    lock::check::<by_hand::OrderEvent>(include_str!("../../events.lock")).unwrap();
}

#[test]
fn each_form_reads_what_the_other_wrote() {
    let (derived, hand) = (Order::samples(), by_hand::Order::samples());
    assert_eq!(derived.len(), hand.len());
    for (derived, hand) in derived.iter().zip(&hand) {
        assert_eq!(stored(derived), stored(hand));
        let (kind, _, data) = stored(derived);
        let data = data.as_bytes();
        let read = by_hand::OrderEvent::decode(kind.name, kind.version, data).unwrap();
        assert_eq!(read, *hand);
        let read = OrderEvent::decode(kind.name, kind.version, data).unwrap();
        assert_eq!(read, *derived);
    }
}

#[test]
fn what_cannot_be_read_is_told_alike() {
    let check = |name: &str, version, data: &str| {
        let derived = OrderEvent::decode(name, version, data.as_bytes()).unwrap_err();
        let hand = by_hand::OrderEvent::decode(name, version, data.as_bytes()).unwrap_err();
        assert_eq!(derived.kind(), hand.kind());
        assert_eq!(derived.to_string(), hand.to_string());
    };
    check("OrderBurnt", 1, "{}");
    check("OrderShipped", 2, r#"{"tracking":"T1"}"#);
    check("OrderShipped", 1, r#"{"trackings":"T1"}"#);
}

/// The same commands at random to both: the same events, the same refusals, the same states.
#[test]
fn they_decide_the_same() {
    let seed = kit::random_seed();
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    for _ in 0..200 {
        let (mut derived, mut hand) = (Order::default(), by_hand::Order::default());
        for _ in 0..8 {
            let command = command(&mut chance);
            let mut env = Env::fixed(Timestamp::from_micros(0), "both");
            let ours = derived.decide(command.clone(), &mut env);
            let theirs = hand.decide(command, &mut env);
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => {
                    let stored_ours: Vec<_> = ours.events().iter().map(stored).collect();
                    let stored_theirs: Vec<_> = theirs.events().iter().map(stored).collect();
                    assert_eq!(stored_ours, stored_theirs);
                    for (index, recorded) in
                        kit::recorded(ours.events()).unwrap().iter().enumerate()
                    {
                        derived.evolve(&ours.events()[index], recorded);
                        hand.evolve(&theirs.events()[index], recorded);
                    }
                }
                (ours, theirs) => assert_eq!(ours.unwrap_err(), theirs.unwrap_err()),
            }
            assert_eq!((derived.status, derived.total), (hand.status, hand.total));
        }
    }
}

#[test]
fn the_domain_by_hand_is_sound() {
    kit::check::<by_hand::Order>();
}

//! Random operations against the invariant, and against what a group promises: nothing is lost, nothing waits for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Action, Arrival, ConsumerId, Group, Identity, Moment, ToPark};
use crate::persistent::settings::{Settings, Strategy};

/// A deterministic sequence (xorshift64*; Vigna 2016).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

struct Run {
    chance: Chance,
    group: Group<u64>,
    now: Moment,
    next_point: u64,
    next_consumer: u64,
    came: Vec<u64>,
    /// What each consumer was given and has not answered, late ones included.
    hands: BTreeMap<u64, Vec<u64>>,
    /// How each event ended.
    done: BTreeMap<u64, &'static str>,
    checkpoint: Option<u64>,
    parking: Option<Vec<ToPark<u64>>>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let strategy = Strategy::ALL[usize::try_from(chance.below(4)).unwrap()];
        let settings = Settings {
            strategy,
            max_retry_count: u32::try_from(chance.below(4)).unwrap(),
            message_timeout: Duration::from_millis(1 + chance.below(50)),
            min_checkpoint_count: u32::try_from(chance.below(5)).unwrap(),
            max_checkpoint_count: u32::try_from(chance.below(20)).unwrap(),
            live_buffer_size: 16,
            history_buffer_size: 32,
            read_batch_size: 8,
            ..Settings::default()
        };
        Self {
            chance,
            group: Group::new(settings, None, Duration::ZERO),
            now: Duration::ZERO,
            next_point: 0,
            next_consumer: 0,
            came: Vec::new(),
            hands: BTreeMap::new(),
            done: BTreeMap::new(),
            checkpoint: None,
            parking: None,
        }
    }

    fn step(&mut self) {
        match self.chance.below(10) {
            0 if self.hands.len() < 5 => self.connect(),
            1 if self.chance.below(4) == 0 => self.disconnect(),
            2 | 3 => self.arrive(),
            4..=6 => self.answer(),
            7 => self.park(),
            8 => self.checkpoint(),
            _ => self.pass_time(),
        }
        self.dispatch();
        self.group.check();
    }

    fn connect(&mut self) {
        let id = self.next_consumer;
        self.next_consumer += 1;
        let credit = 1 + usize::try_from(self.chance.below(6)).unwrap();
        self.group
            .connect(ConsumerId(id), Identity::default(), credit, self.now)
            .unwrap();
        self.hands.insert(id, Vec::new());
    }

    fn disconnect(&mut self) {
        if let Some(id) = self.some_consumer() {
            self.hands.remove(&id);
            self.group.disconnect(ConsumerId(id));
        }
    }

    fn some_consumer(&mut self) -> Option<u64> {
        let count = u64::try_from(self.hands.len()).unwrap();
        let index = self.chance.below(count.max(1));
        self.hands
            .keys()
            .nth(usize::try_from(index).unwrap())
            .copied()
    }

    fn arrive(&mut self) {
        let room = u64::try_from(self.group.room()).unwrap();
        for _ in 0..self.chance.below(6).min(room) {
            let point = self.next_point;
            self.next_point += 1 + self.chance.below(2);
            self.came.push(point);
            self.group.arrive(Arrival {
                point,
                id: u128::from(point),
                bucket: u16::try_from(self.chance.below(8)).unwrap(),
                bytes: 10,
                payload: point,
            });
        }
        assert!(self.group.ready.len() <= 32);
    }

    fn answer(&mut self) {
        let Some(id) = self.some_consumer() else {
            return;
        };
        let hand = self.hands.get_mut(&id).unwrap();
        if hand.is_empty() {
            return;
        }
        let count = u64::try_from(hand.len()).unwrap();
        let event = hand.swap_remove(usize::try_from(self.chance.below(count)).unwrap());
        let action = match self.chance.below(12) {
            0 => Action::Park,
            1 => Action::Retry,
            2 => Action::Skip,
            3 => Action::Unknown,
            4 => Action::Stop,
            _ => {
                self.group.ack(ConsumerId(id), u128::from(event), self.now);
                return self.note_done("answered");
            }
        };
        let (consumer, event) = (ConsumerId(id), u128::from(event));
        self.group.nack(consumer, &[event], action, "", self.now);
        self.note_done("answered");
        for ConsumerId(stopped) in self.group.stopped() {
            self.hands.remove(&stopped);
            self.group.disconnect(ConsumerId(stopped));
        }
    }

    fn park(&mut self) {
        if let Some(written) = self.parking.take() {
            self.group.parked(&written);
            self.note_done("parked");
        } else {
            self.parking = Some(self.group.take_to_park(3));
        }
    }

    /// Every event that came and is no longer held is done; none may be done twice.
    fn note_done(&mut self, how: &'static str) {
        let held: BTreeSet<u64> = self
            .group
            .entries
            .values()
            .map(|entry| entry.arrival.payload)
            .collect();
        for point in &self.came {
            if !held.contains(point) {
                self.done.entry(*point).or_insert(how);
            }
        }
    }

    fn checkpoint(&mut self) {
        if let Some(checkpoint) = self.group.checkpoint_due(self.now) {
            let first_open = self.group.entries.values().map(|e| e.arrival.point).min();
            assert!(first_open.is_none_or(|open| open > checkpoint.point));
            assert!(self.checkpoint < Some(checkpoint.point), "it went back");
            self.checkpoint = Some(checkpoint.point);
            self.group.checkpointed(checkpoint, self.now);
        }
    }

    fn pass_time(&mut self) {
        self.now += Duration::from_millis(self.chance.below(60));
        self.group.expire(self.now);
        if let Some((deadline, _)) = self.group.deadlines.first() {
            assert!(*deadline > self.now);
        }
    }

    /// Each consumer is given what was given before first, and each of the two in order.
    fn dispatch(&mut self) {
        let again: Vec<u64> = self
            .group
            .retry
            .iter()
            .map(|seq| self.group.entries[seq].arrival.payload)
            .collect();
        let mut last: BTreeMap<u64, (bool, u64)> = BTreeMap::new();
        for delivery in self.group.dispatch(self.now, |_| usize::MAX) {
            let (id, point) = (delivery.consumer.0, delivery.payload);
            assert!(!self.done.contains_key(&point), "event {point} was done");
            let turn = (!again.contains(&point), point);
            assert!(last.insert(id, turn) < Some(turn), "{turn:?} came too late");
            self.hands.get_mut(&id).unwrap().push(point);
        }
    }

    /// With one willing consumer everything ends, however the group stood.
    fn settle(&mut self) {
        let stuck: Vec<u64> = self.hands.keys().copied().collect();
        for id in stuck {
            self.hands.remove(&id);
            self.group.disconnect(ConsumerId(id));
        }
        self.connect();
        let id = ConsumerId(self.next_consumer - 1);
        if let Some(written) = self.parking.take() {
            self.group.parked(&written);
        }
        for _ in 0..1_000 {
            if self.group.entries.is_empty() {
                break;
            }
            let taken = self.group.take_to_park(100);
            self.group.parked(&taken);
            for delivery in self.group.dispatch(self.now, |_| usize::MAX) {
                self.group.ack(id, u128::from(delivery.payload), self.now);
            }
            self.group.check();
        }
        assert!(self.group.entries.is_empty(), "{:?}", self.group.entries);
        if let Some(checkpoint) = self.group.checkpoint() {
            assert_eq!(Some(checkpoint.point), self.group.source.seen());
        }
    }
}

#[test]
fn nothing_is_lost_and_nothing_waits_for_ever() {
    for seed in 0..150 {
        println!("seed {seed}");
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step();
        }
        run.settle();
    }
}

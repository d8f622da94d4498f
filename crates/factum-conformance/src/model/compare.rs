//! How the store is compared with the oracle.

use std::num::NonZeroU32;

use factum_store::{
    AppendBatch, Change, Checkpoint, CheckpointStore, Condition, Conflict, ConflictReason,
    EventStore, ReadFrom, ReadRequest, Receipt, Snapshot, SnapshotStore, StoreError,
    StreamsRequest, SubscribeRequest, SubscriptionItem,
};
use factum_types::{Bytes, Position, RecordKind, RecordedEvent};

use crate::check::{Outcome, Stop, fail, same};

use super::Model;

const CONSUMERS: [&str; 2] = ["one", "two"];
const KEYS: [&str; 2] = ["k1", "k2"];

impl Model<'_> {
    /// The store's position for one of the oracle's; the same when there is none, so that a comparison shows it.
    fn place(&self, position: Position) -> Position {
        self.places.get(&position).copied().unwrap_or(position)
    }

    /// The batch with the store's positions.
    pub(super) fn translated(&self, mut batch: AppendBatch) -> AppendBatch {
        for condition in &mut batch.conditions {
            if let Condition::NoMatch {
                after: Some(after), ..
            } = condition
            {
                *after = self.place(*after);
            }
        }
        batch
    }

    pub(super) fn compare_events(
        &self,
        what: &str,
        found: &[RecordedEvent],
        expected: &[RecordedEvent],
    ) -> Outcome {
        same(format!("{what}: how many"), found.len(), expected.len())?;
        for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
            let mut expected = expected.clone();
            expected.position = self.place(expected.position);
            expected.time = found.time;
            if expected.kind != RecordKind::Event {
                expected.id = found.id;
            }
            same(format!("{what}: number {number}"), found, &expected)?;
        }
        Ok(())
    }

    pub(super) fn compare_answers(
        &self,
        batch: &AppendBatch,
        found: Result<Receipt, StoreError>,
        expected: Result<Receipt, StoreError>,
    ) -> Outcome {
        match (found, expected) {
            (Ok(found), Ok(expected)) => self.compare_receipts(batch, &found, &expected),
            (Err(found), Err(expected)) => self.compare_errors(&found, &expected),
            (found, expected) => fail(format!(
                "answers differ:\n  found    {found:?}\n  expected {expected:?}"
            )),
        }
    }

    fn compare_receipts(
        &self,
        batch: &AppendBatch,
        found: &Receipt,
        expected: &Receipt,
    ) -> Outcome {
        same("replayed", found.replayed, expected.replayed)?;
        same("writes", found.writes.len(), expected.writes.len())?;
        let is_kept = |change: &Change| !expected.replayed || matches!(change, Change::Events(_));
        if batch.writes.iter().all(|write| is_kept(&write.change)) {
            same("first", found.first, self.place(expected.first))?;
            same("last", found.last, self.place(expected.last))?;
        }
        let pairs = found.writes.iter().zip(&expected.writes);
        for (write, (found, expected)) in batch.writes.iter().zip(pairs) {
            same("stream", &found.stream, &expected.stream)?;
            if is_kept(&write.change) {
                same("last revision", found.last_revision, expected.last_revision)?;
                same("position", found.position, self.place(expected.position))?;
            }
        }
        Ok(())
    }

    fn compare_errors(&self, found: &StoreError, expected: &StoreError) -> Outcome {
        let both = format!("found {found}, expected {expected}");
        same(format!("kind ({both})"), found.kind(), expected.kind())?;
        match (found.as_conflict(), expected.as_conflict()) {
            (Some(found), Some(expected)) => self.compare_conflicts(found, expected),
            (None, None) => Ok(()),
            _ => fail(format!("one says what it ran into: {both}")),
        }
    }

    fn compare_conflicts(&self, found: &Conflict, expected: &Conflict) -> Outcome {
        let mut reason = expected.reason.clone();
        if let ConflictReason::Match {
            position: Some(position),
            ..
        } = &mut reason
        {
            *position = self.place(*position);
        }
        same("reason", &found.reason, &reason)?;
        self.compare_events("events of the conflict", &found.events, &expected.events)
    }

    pub(super) fn compare_read(&self, request: ReadRequest) -> Outcome {
        let what = format!("{request:?}");
        let expected = self.oracle_read(request.clone())?;
        let from = match request.from {
            ReadFrom::Position(position) => ReadFrom::Position(self.place(position)),
            other => other,
        };
        match (self.t.read(ReadRequest { from, ..request }), expected) {
            (Ok(mut found), Ok(expected)) => {
                found.retain(|record| self.names.contains(&record.stream));
                self.compare_events(&what, &found, &expected)
            }
            (Err(found), Err(expected)) => same(what, found.kind(), expected.kind()),
            (found, expected) => fail(format!(
                "{what}:\n  found    {found:?}\n  expected {expected:?}"
            )),
        }
    }

    pub(super) fn compare_streams(&self) -> Outcome {
        let everything = StreamsRequest::default;
        let mut expected = self
            .t
            .wait("the oracle", self.oracle.streams(everything()))??;
        for info in &mut expected {
            info.last_position = info.last_position.map(|position| self.place(position));
        }
        let mut found = self.t.streams(everything())?;
        found.retain(|info| self.names.contains(&info.stream));
        same("streams", &found, &expected)?;
        for name in &self.names {
            let listed = expected.iter().find(|info| info.stream == *name);
            let found = self.t.info(name)?;
            same(name, Some(&found), listed.or(Some(&missing(name))))?;
        }
        Ok(())
    }

    pub(super) fn save_snapshot(&mut self) -> Outcome {
        let stream = self.names[self.random.usize(..3)].clone();
        let key = KEYS[self.random.usize(..KEYS.len())].to_owned();
        let version = self.random.u64(..20);
        let data = self.random.u64(..).to_string();
        if self.random.u8(..8) == 0 {
            let oracle = self.oracle.drop_snapshots(stream.clone(), key.clone());
            self.t.wait("the oracle", oracle)??;
            let dropped = self.t.store.drop_snapshots(stream, key);
            return Ok(self.t.wait("drop", dropped)??);
        }
        let keep = NonZeroU32::new(self.random.u32(..4));
        let snapshot = Snapshot::new(stream, key, version, Bytes::from(data)).with_keep(keep);
        self.t
            .wait("the oracle", self.oracle.save_snapshot(snapshot.clone()))??;
        Ok(self.t.save(snapshot)?)
    }

    pub(super) fn save_checkpoint(&mut self) -> Outcome {
        let consumer = CONSUMERS[self.random.usize(..CONSUMERS.len())].to_owned();
        let positions = vec![Position::from_raw(self.random.u64(..1_000))];
        let checkpoint = Checkpoint { positions };
        let oracle = self
            .oracle
            .save_checkpoint(consumer.clone(), checkpoint.clone());
        self.t.wait("the oracle", oracle)??;
        Ok(self
            .t
            .wait("save", self.t.store.save_checkpoint(consumer, checkpoint))??)
    }

    pub(super) fn compare_saved(&mut self) -> Outcome {
        let name = self.names[self.random.usize(..3)].clone();
        let key = KEYS[self.random.usize(..KEYS.len())].to_owned();
        let at_most = self.random.bool().then(|| self.random.u64(..20));
        let oracle = self
            .oracle
            .load_snapshot(name.clone(), key.clone(), at_most);
        let expected = self.t.wait("the oracle", oracle)??;
        let found = self.t.load(&name, &key, at_most)?;
        let short = |s: Snapshot| (s.stream, s.key, s.version, s.data, s.keep);
        same("snapshot", found.map(short), expected.map(short))?;
        let listed = self.oracle.list_snapshots(name.clone());
        let expected = self.t.wait("the oracle", listed)??;
        let found = self.t.list(&name)?;
        let short = |all: Vec<Snapshot>| all.into_iter().map(short).collect::<Vec<_>>();
        same("snapshots listed", short(found), short(expected))?;
        for consumer in CONSUMERS {
            let oracle = self.oracle.load_checkpoint(consumer.to_owned());
            let expected = self.t.wait("the oracle", oracle)??;
            let found = self.t.store.load_checkpoint(consumer.to_owned());
            same("checkpoint", self.t.wait("load", found)??, expected)?;
        }
        Ok(())
    }

    /// What subscriptions deliver until they have caught up, from the start of every source.
    pub(super) fn compare_subscriptions(&self) -> Outcome {
        for source in self.sources() {
            let what = format!("subscription to {source:?}");
            let request = || SubscribeRequest {
                control: true,
                ..SubscribeRequest::new(source.clone())
            };
            let mut oracle = self.oracle.subscribe(request());
            let mut expected = Vec::new();
            let end = loop {
                match self.t.wait("the oracle", oracle.next())? {
                    Some(Ok(SubscriptionItem::Event(event))) => expected.push(*event),
                    Some(Err(error)) => break Some(error.kind()),
                    _ => break None,
                }
            };
            match (self.t.follow(request()).caught_up(), end) {
                (Ok((mut found, _)), None) => {
                    found.retain(|record| self.names.contains(&record.stream));
                    self.compare_events(&what, &found, &expected)?;
                }
                (Err(Stop::Failed(why)), Some(kind)) if why.contains(&kind.to_string()) => {}
                (found, end) => return fail(format!("{what}: found {found:?}, expected {end:?}")),
            }
            self.compare_read(ReadRequest::backward(source.clone()).with_control())?;
        }
        Ok(())
    }
}

/// What is known about a stream that never was.
fn missing(name: &factum_types::StreamName) -> factum_store::StreamInfo {
    factum_store::StreamInfo {
        stream: name.clone(),
        state: factum_store::StreamState::Missing,
        last_revision: None,
        last_position: None,
        settings: factum_types::StreamSettings::default(),
    }
}

//! Checkpoints: where each consumer is; the last one saved wins.

use factum_store::{Checkpoint, ReadRequest, StoreError};
use factum_types::Position;

use crate::check::{Outcome, same, that};
use crate::trial::Trial;
use crate::words::stream;

fn at(raw: &[u64]) -> Checkpoint {
    Checkpoint {
        positions: raw.iter().copied().map(Position::from_raw).collect(),
    }
}

fn save(t: &Trial, consumer: &str, checkpoint: Checkpoint) -> Result<(), StoreError> {
    t.wait(
        "save_checkpoint",
        t.store.save_checkpoint(consumer.to_owned(), checkpoint),
    )?
}

fn load(t: &Trial, consumer: &str) -> Result<Option<Checkpoint>, StoreError> {
    t.wait(
        "load_checkpoint",
        t.store.load_checkpoint(consumer.to_owned()),
    )?
}

pub(crate) fn none(t: &Trial) -> Outcome {
    same("never saved", load(t, "consumer")?, None)?;
    save(t, "other", at(&[1]))?;
    same("never saved", load(t, "consumer")?, None)
}

pub(crate) fn round_trip(t: &Trial) -> Outcome {
    let receipt = t.fill(&stream("order-1"), 2).map(|_| t.head())??;
    let here = Checkpoint {
        positions: receipt.into_iter().collect(),
    };
    save(t, "consumer", here.clone())?;
    same("as saved", load(t, "consumer")?, Some(here))?;
    save(t, "beginner", Checkpoint::default())?;
    same(
        "nothing done yet is not the same as never said",
        load(t, "beginner")?,
        Some(at(&[])),
    )
}

pub(crate) fn last_saved_wins(t: &Trial) -> Outcome {
    for position in [5, 9, 2, 0, Position::NUMBER_MAX] {
        save(t, "consumer", at(&[position]))?;
        same(
            "the last saved",
            load(t, "consumer")?,
            Some(at(&[position])),
        )?;
    }
    Ok(())
}

pub(crate) fn consumers_are_apart(t: &Trial) -> Outcome {
    let names = ["a", "a-1", "A", "größe", "a b", "$a"];
    for (number, name) in (0_u64..).zip(names) {
        save(t, name, at(&[number]))?;
    }
    for (number, name) in (0_u64..).zip(names) {
        same(name, load(t, name)?, Some(at(&[number])))?;
    }
    Ok(())
}

pub(crate) fn many_positions(t: &Trial) -> Outcome {
    let many: Vec<_> = (0..64)
        .map(|partition| (partition << Position::NUMBER_BITS) | 7)
        .collect();
    save(t, "consumer", at(&many))?;
    same("one per partition", load(t, "consumer")?, Some(at(&many)))
}

pub(crate) fn invisible_to_readers(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let head = t.fill(&name, 2).map(|_| t.head())??;
    let all = t.read_all()?;
    save(t, "consumer", at(&[1]))?;
    same("all", t.read_all()?, all.clone())?;
    same(
        "the stream",
        t.read(ReadRequest::stream(name.clone()).with_control())?,
        all,
    )?;
    that("it takes a position", t.head()? > head)?;
    let more = t.fill(&name, 1)?;
    same(
        "the next revision",
        t.read_stream(&name)?
            .last()
            .map(|e| (e.id, e.revision.number())),
        more.first().map(|e| (e.id, 2)),
    )
}

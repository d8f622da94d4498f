//! What the sink remembers, as documents of the index `factum-meta`.
//!
//! | id                        | what                                                                   |
//! |---------------------------|------------------------------------------------------------------------|
//! | `projection:P`            | [`Projection`]: its generations, and which one readers see             |
//! | `table:T`                 | [`Owner`]: the projection that a table belongs to                      |
//! | `generation:P:N`          | [`Head`]: epoch, checkpoint, and which writes count                    |
//! | `lot:P:N:RANDOM:I`        | [`Text`]: a part of what is parked, when the head says so              |
//! | `undo:P:N:SESSION:I`      | [`Undo`]: documents as they were before the attempt that is under way  |
//!
//! P is encoded, so that no id can be taken for another. Relies on: writes under a condition. Never: is looked into by the server.

use factum_http_client::encoded;
use factum_projection::{Error, Generation, Lease};
use factum_types::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How many sessions that ended a head remembers, beside those that left something. Of an older one all counts, also what it wrote after it was
/// taken back: there is nothing that could be asked.
pub(crate) const CLOSED_MAX: usize = 64;
/// The longest name of a projection.
const NAME_BYTES_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Projection {
    pub(crate) kind: String,
    pub(crate) projection: String,
    pub(crate) live: Option<u32>,
    /// The highest number that was ever given.
    pub(crate) newest: u32,
    pub(crate) generations: Vec<u32>,
    /// Which of them readers see or saw.
    pub(crate) published: Vec<u32>,
    /// Generations that are being dropped, as long as something may be left of them.
    #[serde(default)]
    pub(crate) dropping: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) kind: String,
    pub(crate) projection: String,
}

/// The one document by whose change a commit happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) kind: String,
    pub(crate) projection: String,
    pub(crate) generation: u32,
    pub(crate) version: String,
    pub(crate) bulk: bool,
    pub(crate) epoch: u64,
    /// Who may write; raised by every claim, and by a runner that does not know what became of its last attempt.
    pub(crate) session: u32,
    /// The last attempt of the session that was committed.
    pub(crate) attempt: u32,
    pub(crate) closed: Vec<Closed>,
    pub(crate) checkpoint: Option<u64>,
    pub(crate) edits: u64,
    pub(crate) paused: bool,
    pub(crate) parked: u64,
    pub(crate) lot: Option<LotAt>,
    /// Whether it is being dropped: nobody may write any more.
    #[serde(default)]
    pub(crate) dropped: bool,
    /// The names that readers use.
    pub(crate) tables: Vec<String>,
}

/// A session that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) session: u32,
    /// Its last attempt that was committed.
    pub(crate) attempt: u32,
    /// Whether what it left was taken back.
    pub(crate) clean: bool,
}

/// Where what is parked is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LotAt {
    pub(crate) name: String,
    pub(crate) parts: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Text {
    pub(crate) text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Undo {
    pub(crate) attempt: u32,
    pub(crate) documents: Vec<Before>,
}

/// A document as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Before {
    pub(crate) index: String,
    pub(crate) id: String,
    /// `None` when it was not there.
    pub(crate) document: Option<Json>,
}

/// Which attempt wrote a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tx {
    pub(crate) session: u32,
    pub(crate) attempt: u32,
}

impl Tx {
    pub(crate) fn number(self) -> i64 {
        i64::from(self.session) << 32 | i64::from(self.attempt)
    }

    pub(crate) fn of(number: i64) -> Option<Self> {
        Some(Self {
            session: u32::try_from(number >> 32).ok()?,
            attempt: u32::try_from(number & 0xffff_ffff).ok()?,
        })
    }
}

impl Head {
    /// Whether what an attempt wrote counts; `None` when it belongs to a session that this head does not know yet.
    pub(crate) fn counts(&self, tx: Tx) -> Option<bool> {
        if tx.session > self.session {
            return None;
        }
        if tx.session == self.session {
            return Some(tx.attempt <= self.attempt);
        }
        let mut closed = self.closed.iter();
        // What is forgotten was taken back, and everything else of it counts. What a stopped machine delivers even later counts too.
        Some(
            closed
                .find(|closed| closed.session == tx.session)
                .is_none_or(|closed| tx.attempt <= closed.attempt),
        )
    }

    /// Ends the session, and begins the next; gives back the sessions that it forgets.
    pub(crate) fn next_session(&mut self) -> Vec<Closed> {
        self.closed.push(Closed {
            session: self.session,
            attempt: self.attempt,
            clean: self.session == 0,
        });
        self.session += 1;
        self.attempt = 0;
        let over = self.closed.len().saturating_sub(CLOSED_MAX);
        // What was not taken back yet must not be forgotten: it would count.
        let clean = self.closed.iter().take_while(|closed| closed.clean);
        let over = over.min(clean.count());
        self.closed.drain(..over).collect()
    }

    pub(crate) fn check_epoch(&self, lease: &Lease) -> Result<(), Error> {
        if self.epoch == lease.epoch {
            return Ok(());
        }
        Err(Error::fenced(&lease.projection, lease.epoch, self.epoch))
    }

    pub(crate) fn described(&self, projection: &Projection) -> Generation {
        Generation {
            number: self.generation,
            live: projection.live == Some(self.generation),
            published: projection.published.contains(&self.generation),
            bulk: self.bulk,
            version: self.version.clone(),
            checkpoint: self.checkpoint.map(Position::from_raw),
            epoch: self.epoch,
            paused: self.paused,
            parked: self.parked,
        }
    }
}

pub(crate) fn check_name(projection: &str) -> Result<(), Error> {
    if projection.is_empty() || encoded(projection).len() > NAME_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{projection:?} cannot name a projection here: use 1 to {NAME_BYTES_MAX} bytes, encoded as in an address"
        )));
    }
    Ok(())
}

pub(crate) fn projection_id(projection: &str) -> String {
    format!("projection:{}", encoded(projection))
}

pub(crate) fn owner_id(table: &str) -> String {
    format!("table:{table}")
}

pub(crate) fn head_id(projection: &str, generation: u32) -> String {
    format!("generation:{}:{generation}", encoded(projection))
}

pub(crate) fn lot_id(projection: &str, generation: u32, name: &str, part: u32) -> String {
    format!("lot:{}:{generation}:{name}:{part}", encoded(projection))
}

pub(crate) fn undo_id(projection: &str, generation: u32, session: u32, part: u32) -> String {
    format!("undo:{}:{generation}:{session}:{part}", encoded(projection))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let head = serde_json::json!({
            "kind": "generation", "projection": "p", "generation": 1, "version": "1", "bulk": false, "epoch": 1, "session": 0, "attempt": 0,
            "closed": [], "checkpoint": null, "edits": 0, "paused": false, "parked": 0, "lot": null, "tables": [],
        });
        serde_json::from_value(head).unwrap()
    }

    fn counts(head: &Head, session: u32, attempt: u32) -> Option<bool> {
        head.counts(Tx { session, attempt })
    }

    /// Ends sessions, each after 3 attempts that counted.
    fn end(head: &mut Head, sessions: usize) -> Vec<u32> {
        let mut forgotten = Vec::new();
        for _ in 0..sessions {
            head.attempt = 3;
            let these = head.next_session();
            forgotten.extend(these.iter().map(|it| it.session));
        }
        forgotten
    }

    #[test]
    fn an_attempt_counts_when_it_was_committed() {
        let mut head = head();
        assert_eq!(end(&mut head, 2), [0; 0]);
        head.attempt = 5;
        for session in [0, 1] {
            assert_eq!(counts(&head, session, 3), Some(true));
            assert_eq!(counts(&head, session, 4), Some(false));
        }
        assert_eq!(counts(&head, 2, 5), Some(true));
        assert_eq!(counts(&head, 2, 6), Some(false));
        // Another has begun a session since the head was read.
        assert_eq!(counts(&head, 3, 1), None);
    }

    #[test]
    fn sixty_four_sessions_are_remembered_and_what_is_forgotten_counts() {
        let mut head = head();
        assert_eq!(end(&mut head, CLOSED_MAX), [0; 0]);
        head.closed.iter_mut().for_each(|it| it.clean = true);
        assert_eq!(counts(&head, 0, 4), Some(false));
        assert_eq!(end(&mut head, 1), [0]);
        assert_eq!(head.closed.len(), CLOSED_MAX);
        assert_eq!(counts(&head, 0, 4), Some(true));
        assert_eq!(counts(&head, 1, 4), Some(false));
    }

    #[test]
    fn a_session_that_left_something_is_not_forgotten_nor_one_after_it() {
        let mut head = head();
        assert_eq!(end(&mut head, CLOSED_MAX), [0; 0]);
        let unclean = |it: &mut Closed| it.clean = it.session != 1;
        head.closed.iter_mut().for_each(unclean);
        assert_eq!(end(&mut head, 3), [0]);
        assert_eq!(head.closed.len(), CLOSED_MAX + 2);
        assert_eq!(counts(&head, 1, 4), Some(false));
        head.closed.iter_mut().for_each(|it| it.clean = true);
        assert_eq!(end(&mut head, 1), [1, 2, 3]);
        assert_eq!(head.closed.len(), CLOSED_MAX);
    }
}

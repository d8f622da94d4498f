//! Batches of a bulk: put together, and written while the runner makes the next ones.
//!
//! A row that is written ten times before it is sent is sent once, and new rows go in long COPYs. So that a batch may fail later than it was
//! answered for, a failure is said at every call until the runner has looked, which then goes on from what is stored. What was refused, or took too
//! long, is then done batch by batch, in smaller statements.
//!
//! Relies on: `Effect::then`, so that what is put together is the same as one after the other. Never: keeps more back than its limits; answers
//! anything else before what it kept back was sent.

use factum_projection::{Advance, Error, Kind, Lease};
use factum_types::Position;
use tokio::task::JoinHandle;

use crate::commit::{Care, Sending};
use crate::error::Late;
use crate::session::Session;
use crate::{PostgresRows, PostgresSink};

/// From how many new rows on they are sent as soon as nothing else is being sent.
const NEW_ROWS: usize = 16_384;
/// How many effects are kept back at most before a batch waits.
const EFFECTS_MAX: usize = 131_072;
/// After about how many bytes nothing more is kept back.
const BYTES_MAX: usize = 64 << 20;
/// How many batches are kept back at most: what is done again after a crash.
const BATCHES_MAX: u32 = 64;
/// How many rows a statement is for at most, where it is gone on with care.
const STEP_ROWS: usize = 512;
/// How often what was too late is halved.
const HALVES_MAX: u32 = 7;

/// What there is of a bulk.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    /// Whose batches are kept back; `None` when no bulk was claimed, or it was ended.
    pub(crate) lease: Option<Lease>,
    kept_back: Option<KeptBack>,
    /// What is being written; the connection is with it.
    away: Option<JoinHandle<Back>>,
    /// What became of a batch that was answered for and failed, until the sink is looked at.
    failed: Option<Error>,
    /// Up to here every batch is written by itself, in small steps, and waited for: something there was refused, or took too long.
    careful: Option<Position>,
    /// Whether something there was refused, so that every key is needed to find it.
    strict: bool,
    /// How often something took too long: limits and steps are as many times halved, until the bulk ends.
    halves: u32,
}

/// Batches that were answered for and are not sent yet.
#[derive(Debug)]
struct KeptBack {
    rows: PostgresRows,
    advance: Advance,
    batches: u32,
}

/// What comes back from a writing: the connection, up to where that was, and what became of it.
type Back = (Session, Option<Position>, Result<(), Error>);

impl Bulk {
    /// Whether a batch under this lease is kept back.
    pub(crate) fn takes(&self, lease: &Lease) -> bool {
        self.careful.is_none() && self.is_of(lease)
    }

    pub(crate) fn is_of(&self, lease: &Lease) -> bool {
        self.lease.as_ref() == Some(lease)
    }

    /// The runner knows what is stored.
    pub(crate) fn looked(&mut self) {
        self.failed = None;
    }

    /// What became of a batch up to here that was waited for.
    pub(crate) fn written(&mut self, to: Option<Position>, sent: &Result<(), Error>) {
        match sent {
            Ok(()) => {
                self.careful = self.careful.filter(|careful| to < Some(*careful));
                self.strict &= self.careful.is_some();
            }
            Err(error) => self.note_late(error),
        }
    }

    /// How a batch is written that is waited for.
    pub(crate) fn care(&self) -> Care {
        Care {
            strict: self.strict,
            rows_max: (STEP_ROWS >> self.halves).max(1),
        }
    }

    fn note_late(&mut self, error: &Error) {
        if error.cause::<Late>().is_some() {
            self.halves = (self.halves + 1).min(HALVES_MAX);
        }
    }

    fn fail(&mut self, error: Error, to: Option<Position>) {
        self.kept_back = None;
        let refused = error.kind() == Kind::Refused;
        if refused || error.cause::<Late>().is_some() {
            // It is read again and done batch by batch, so that what is refused is found, and what is too much at once is less.
            self.careful = self.careful.max(to);
            self.strict |= refused;
        }
        self.note_late(&error);
        self.failed = Some(error);
    }

    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            None => Ok(()),
            Some(error) if error.kind() == Kind::Refused => {
                let what = format!("a batch before was refused: {error}");
                Err(Error::unavailable(what).because(error.clone()))
            }
            Some(error) => Err(error.clone()),
        }
    }

    fn put(&mut self, rows: PostgresRows, lease: &Lease, advance: &Advance) -> Result<(), Error> {
        let Some(before) = &mut self.kept_back else {
            self.kept_back = Some(KeptBack {
                rows,
                advance: advance.clone(),
                batches: 1,
            });
            return Ok(());
        };
        if before.advance.to != advance.from {
            return Err(Error::moved(&lease.projection));
        }
        if before.advance.edits != advance.edits {
            return Err(Error::changed(&lease.projection));
        }
        if let Err(error) = before.rows.append(rows) {
            self.fail(error, advance.to);
            return self.check();
        }
        before.advance.to = advance.to;
        before.advance.changes.extend_from_slice(&advance.changes);
        before.batches += 1;
        Ok(())
    }

    /// Whether what is kept back is to be sent now.
    fn is_due(&self) -> bool {
        let Some(kept_back) = &self.kept_back else {
            return false;
        };
        let (effects, new, bytes) = kept_back.rows.load();
        let full = effects >= EFFECTS_MAX >> self.halves
            || bytes >= BYTES_MAX >> self.halves
            || kept_back.batches >= (BATCHES_MAX >> self.halves).max(1);
        full || (self.away.is_none() && new >= NEW_ROWS >> self.halves)
    }
}

impl PostgresSink {
    /// Takes a batch of a bulk, and sends what is kept back when there is enough of it.
    pub(crate) async fn keep_back(
        &mut self,
        lease: &Lease,
        advance: &Advance,
    ) -> Result<(), Error> {
        if self.bulk.away.as_ref().is_some_and(JoinHandle::is_finished) {
            self.land().await?;
        }
        self.bulk.check()?;
        let rows = self.rows.take();
        self.bulk.put(rows, lease, advance)?;
        if self.bulk.is_due() {
            self.send_away().await?;
        }
        Ok(())
    }

    /// Lets what is kept back be written from now on.
    async fn send_away(&mut self) -> Result<(), Error> {
        self.land().await?;
        self.bulk.check()?;
        let ready = self.session.ready().await;
        let (mut session, handle) = match ready.and_then(|()| self.session.leave()) {
            Ok(left) => left,
            Err(error) => {
                self.bulk.fail(error.clone(), None);
                return Err(error);
            }
        };
        let (Some(kept_back), Some(lease)) = (self.bulk.kept_back.take(), self.bulk.lease.clone())
        else {
            self.session = session;
            return Ok(());
        };
        self.bulk.away = Some(handle.spawn(async move {
            let KeptBack { rows, advance, .. } = kept_back;
            let sending = Sending {
                lease: &lease,
                advance: &advance,
                unsure: false,
            };
            let sent = sending.commit_bulk(&mut session, rows, Care::NONE).await;
            (session, advance.to, sent)
        }));
        Ok(())
    }

    /// Waits for what is being written; what became of it is kept.
    async fn land(&mut self) -> Result<(), Error> {
        let Some(away) = &mut self.bulk.away else {
            return Ok(());
        };
        let back = away.await;
        self.bulk.away = None;
        match back {
            Ok((session, to, sent)) => {
                self.session = session;
                if let Err(error) = sent {
                    self.bulk.fail(error, to);
                }
            }
            Err(error) => {
                let what = "the thread of the connection ended";
                self.bulk
                    .fail(Error::unavailable(what).because(error), None);
                self.session = Session::new(self.session.options().clone())?;
            }
        }
        Ok(())
    }

    /// Writes what is kept back and waits for it; says what became of it until the sink is looked at.
    pub(crate) async fn home(&mut self) -> Result<(), Error> {
        self.land().await?;
        if self.bulk.kept_back.is_some() {
            self.send_away().await?;
            self.land().await?;
        }
        self.bulk.check()
    }
}

//! A commit: note what documents are, write them, and make it count by one write to the head.
//!
//! ```text
//! read    head and documents                    the lease, the checkpoint and the edits hold
//! note    undo log, what is parked              durable before any document changes
//! write   documents, each if it still is        else: put back what was written, and begin again
//! swap    head, if it still is                  now it counts
//! ```
//!
//! Relies on: `if_seq_no` and `if_primary_term`. Never: leaves what was refused; what it could not put back, the next session does.

use std::collections::{BTreeMap, BTreeSet};

use factum_http_client::stored;
use factum_projection::{Advance, Error, Kind, Lease, State};
use factum_types::Position;
use serde_json::{Map, Value as Json};

use crate::ElasticSink;
use crate::head::{self, Before, Head, LotAt, Text, Tx, Undo};
use crate::rows::{Document, Operation, Place, applied};
use crate::server::{self, Condition, Found, Version, Write, Written};
use crate::session::{self, SWAPS, tx_of};

/// How much of the undo log, or of what is parked, stands in one document.
const PART_BYTES: usize = 4 << 20;

type Operations = BTreeMap<Place, Vec<Operation>>;

/// What an attempt came to.
#[derive(Debug)]
enum Outcome {
    Done,
    /// Something was written by others meanwhile: from the beginning.
    Again,
    /// The commit is not to be, and nothing of it is left.
    No(Error),
}

/// A document that is to be written.
#[derive(Debug)]
struct Changed {
    write: Write,
    /// As it was.
    before: Option<Json>,
    removed: bool,
}

impl ElasticSink {
    pub(crate) async fn commit_batch(
        &mut self,
        lease: &Lease,
        advance: &Advance,
    ) -> Result<(), Error> {
        let operations = self.rows.take();
        for _ in 0..SWAPS {
            self.settle(lease).await?;
            match self.attempt(lease, advance, &operations).await? {
                Outcome::Done => return Ok(()),
                Outcome::Again => (),
                Outcome::No(error) => return Err(error),
            }
        }
        Err(session::busy("the same documents"))
    }

    async fn attempt(
        &mut self,
        lease: &Lease,
        advance: &Advance,
        operations: &Operations,
    ) -> Result<Outcome, Error> {
        let (found, documents) = self.read(lease, operations).await?;
        let head = &found.value;
        if Some(head.session) != self.session.as_ref().map(|ours| ours.number) {
            // Another connection took over under the same lease, as ours may have done to it.
            self.unclean = true;
            return Ok(Outcome::Again);
        }
        check(head, lease, advance)?;
        let tx = self.next_attempt()?;
        let changed = match self.changed(head, tx, operations, documents).await {
            Err(error) if error.kind() == Kind::Refused => return Ok(Outcome::No(error)),
            other => other?,
        };
        let mut new = Head {
            attempt: tx.attempt,
            checkpoint: advance.to.map(Position::raw),
            ..head.clone()
        };
        let cleaned = self.cleaned;
        let closed = new.closed.iter_mut().filter(|it| it.session < cleaned);
        closed.for_each(|closed| closed.clean = true);
        // From here on something may be left behind.
        self.unclean = true;
        self.note(&mut new, head, tx, &changed, advance).await?;
        let refresh = self.options.refresh.query(head.bulk);
        let done = self.write(&changed, refresh).await?;
        if let Some(outcome) = verdict(&changed, &done) {
            self.undo(head, &new, &changed, &done).await?;
            return Ok(outcome);
        }
        self.make_count(lease, &found, &new, advance, &changed, &done)
            .await
    }

    /// The head and the documents that are asked about.
    async fn read(
        &self,
        lease: &Lease,
        operations: &Operations,
    ) -> Result<(Found<Head>, Vec<Option<Found<Json>>>), Error> {
        let id = head::head_id(&lease.projection, lease.generation);
        if operations.is_empty() {
            return Ok((self.head(lease).await?, Vec::new()));
        }
        let indexes = self.indexes(lease.generation);
        let mut places = vec![(self.meta.as_str(), id.as_str())];
        for (table, document) in operations.keys() {
            let index = indexes.get(*table).map_or("", String::as_str);
            places.push((index, document));
        }
        let mut found = match self.server.fetch(&places).await {
            // A generation that was dropped has no index, and no head.
            Err(error) if error.kind() == Kind::Invalid => {
                self.head(lease).await?;
                return Err(error);
            }
            found => found?,
        };
        let documents = found.split_off(1);
        let head = server::owned(&id, found.pop().flatten())?;
        Ok((session::checked(head, lease)?, documents))
    }

    fn next_attempt(&mut self) -> Result<Tx, Error> {
        let Some(session) = &mut self.session else {
            return Err(Error::unavailable("there is no session"));
        };
        session.attempt = session.attempt.saturating_add(1);
        if session.attempt == u32::MAX {
            self.unclean = true;
            return Err(Error::unavailable("the session has made all its attempts"));
        }
        Ok(Tx {
            session: session.number,
            attempt: session.attempt,
        })
    }

    /// What the documents become.
    async fn changed(
        &self,
        head: &Head,
        tx: Tx,
        operations: &Operations,
        documents: Vec<Option<Found<Json>>>,
    ) -> Result<Vec<Changed>, Error> {
        let indexes = self.indexes(head.generation);
        let mut all = Vec::with_capacity(operations.len());
        for (((number, id), operations), found) in operations.iter().zip(documents) {
            let (Some(table), Some(index)) = (self.rows.tables.get(*number), indexes.get(*number))
            else {
                continue;
            };
            let condition = found
                .as_ref()
                .map_or(Condition::Absent, |found| Condition::Still(found.version));
            let (before, counts) = self.counting(head, index, id, found).await?;
            let document = before.as_ref().and_then(columns);
            let after = applied(table, id, document.clone(), operations)?;
            if counts && document == after {
                continue;
            }
            let removed = after.is_none();
            all.push(Changed {
                write: Write {
                    index: index.clone(),
                    id: id.clone(),
                    document: Some(written(after.unwrap_or_default(), id, tx, removed)),
                    condition,
                },
                before,
                removed,
            });
        }
        Ok(all)
    }

    /// A document as of the last commit, and whether it stands like that.
    async fn counting(
        &self,
        head: &Head,
        index: &str,
        id: &str,
        found: Option<Found<Json>>,
    ) -> Result<(Option<Json>, bool), Error> {
        let Some(Found { value, .. }) = found else {
            return Ok((None, true));
        };
        let Some(tx) = tx_of(&value) else {
            return Err(Error::invalid(format!(
                "the document {id} of {index} was not written by this sink"
            )));
        };
        match head.counts(tx) {
            Some(true) => Ok((Some(value), true)),
            Some(false) => Ok((self.before(head, tx, index, id).await?, false)),
            None => Err(session::busy(&format!("the document {id} of {index}"))),
        }
    }

    /// Writes down what the documents were, and what is parked.
    async fn note(
        &mut self,
        new: &mut Head,
        old: &Head,
        tx: Tx,
        changed: &[Changed],
        advance: &Advance,
    ) -> Result<(), Error> {
        let mut writes = undo_log(&self.meta, new, tx, changed)?;
        if !advance.changes.is_empty() {
            let mut state = self.state(old).await?;
            state.take_up(advance);
            writes.extend(self.lot(new, &state)?);
        }
        self.put_own(&writes).await
    }

    async fn write(&mut self, changed: &[Changed], refresh: &str) -> Result<Vec<Written>, Error> {
        let removed = self
            .session
            .as_mut()
            .map(|it| std::mem::take(&mut it.removed));
        let mut removed = removed.unwrap_or_default();
        if !removed.is_empty() {
            let place = |it: &Write| (it.index.clone(), it.id.clone());
            let again: BTreeSet<_> = changed.iter().map(|it| place(&it.write)).collect();
            removed.retain(|it| !again.contains(&place(it)));
        }
        let writes: Vec<&Write> = changed.iter().map(|it| &it.write).chain(&removed).collect();
        self.server.bulk(&writes, refresh).await
    }

    /// Puts back what was written, and forgets what was noted to be parked.
    async fn undo(
        &mut self,
        old: &Head,
        new: &Head,
        changed: &[Changed],
        done: &[Written],
    ) -> Result<(), Error> {
        let writes: Vec<Write> = changed
            .iter()
            .zip(done)
            .filter_map(|(changed, done)| match done {
                Written::Done(version) => Some(Write {
                    index: changed.write.index.clone(),
                    id: changed.write.id.clone(),
                    document: changed.before.clone(),
                    condition: Condition::Still(*version),
                }),
                _ => None,
            })
            .collect();
        self.put_back(&writes, old.bulk).await?;
        self.drop_lot(new, old).await;
        self.unclean = !all_known(changed, done);
        Ok(())
    }

    /// Makes it count.
    async fn make_count(
        &mut self,
        lease: &Lease,
        old: &Found<Head>,
        new: &Head,
        advance: &Advance,
        changed: &[Changed],
        done: &[Written],
    ) -> Result<Outcome, Error> {
        let id = head::head_id(&lease.projection, lease.generation);
        let swapped = self.server.swap(&self.meta, &id, old.version, new).await?;
        if !swapped {
            // Ours may have been carried out twice, and refused the second time.
            let now = self.server.get::<Head>(&self.meta, &id).await?;
            let tx = Tx {
                session: new.session,
                attempt: new.attempt,
            };
            let ours = now
                .as_ref()
                .is_some_and(|now| now.value.counts(tx) == Some(true));
            if !ours {
                self.undo(&old.value, new, changed, done).await?;
                let now = session::checked(now, lease)?;
                check(&now.value, lease, advance)?;
                return Ok(Outcome::Again);
            }
        }
        self.unclean = false;
        self.drop_lot(&old.value, new).await;
        if let Some(session) = &mut self.session {
            let removed = changed.iter().zip(done).filter(|(it, _)| it.removed);
            session.removed = removed
                .filter_map(|(changed, done)| match done {
                    Written::Done(version) => Some(gone(&changed.write, *version)),
                    _ => None,
                })
                .collect();
        }
        Ok(Outcome::Done)
    }

    /// What a head says, with what is parked.
    pub(crate) async fn state(&self, head: &Head) -> Result<State, Error> {
        let mut text = String::new();
        if let Some(LotAt { name, parts }) = &head.lot {
            for part in 0..*parts {
                let id = head::lot_id(&head.projection, head.generation, name, part);
                let found = self.server.get::<Text>(&self.meta, &id).await?;
                let Some(found) = found else {
                    // It was replaced after the head was read.
                    return Err(Error::unavailable("what is parked changed meanwhile"));
                };
                text.push_str(&found.value.text);
            }
        }
        let parked = if text.is_empty() {
            Ok(Default::default())
        } else {
            stored::read(&text)
        };
        Ok(State {
            checkpoint: head.checkpoint.map(Position::from_raw),
            parked: parked?,
            paused: head.paused,
            edits: head.edits,
        })
    }

    /// The writes that store what is parked, under a new name, which the head then has.
    pub(crate) fn lot(&self, head: &mut Head, state: &State) -> Result<Vec<Write>, Error> {
        head.parked = state.parked.len() as u64;
        head.lot = None;
        if state.parked.is_empty() {
            return Ok(Vec::new());
        }
        let name = format!("{:016x}", self.random.next_u64());
        let text = stored::write(&state.parked)?;
        let (mut writes, mut rest) = (Vec::new(), text.as_str());
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
            let number = u32::try_from(writes.len()).unwrap_or(u32::MAX);
            let part = Text {
                text: part.to_owned(),
            };
            writes.push(Write {
                index: self.meta.clone(),
                id: head::lot_id(&head.projection, head.generation, &name, number),
                document: Some(server::stored(&part)?),
                condition: Condition::Always,
            });
            rest = later;
        }
        let parts = u32::try_from(writes.len()).unwrap_or(u32::MAX);
        head.lot = Some(LotAt { name, parts });
        Ok(writes)
    }

    /// Removes what was parked before, when it is written elsewhere now. What stays by mistake is in nobody's way.
    pub(crate) async fn drop_lot(&self, old: &Head, new: &Head) {
        let Some(LotAt { name, parts }) = old.lot.as_ref().filter(|_| old.lot != new.lot) else {
            return;
        };
        let writes: Vec<Write> = (0..*parts)
            .map(|part| Write {
                index: self.meta.clone(),
                id: head::lot_id(&old.projection, old.generation, name, part),
                document: None,
                condition: Condition::Always,
            })
            .collect();
        drop(self.put_own(&writes).await);
    }
}

/// Why the commit is not to be, if something was not written.
fn verdict(changed: &[Changed], done: &[Written]) -> Option<Outcome> {
    let mut conflict = done.len() < changed.len();
    let mut failed = None;
    for (written, changed) in done.iter().zip(changed) {
        let (index, id) = (&changed.write.index, &changed.write.id);
        match written {
            Written::Done(_) => (),
            Written::Conflict => conflict = true,
            Written::Refused(why) => {
                let what = format!("the document {id} of {index} is refused: {why}");
                return Some(Outcome::No(Error::refused(what)));
            }
            Written::Failed(error) => failed = Some(error.clone()),
        }
    }
    match failed {
        Some(error) => Some(Outcome::No(error)),
        None => conflict.then_some(Outcome::Again),
    }
}

/// Whether it is known of all documents what became of them. A write that failed may have been done all the same, and so may one with a conflict: the
/// conflict may be with itself, when the server tried it twice. Then the next session looks at what is there.
fn all_known(changed: &[Changed], done: &[Written]) -> bool {
    let mut done = done.iter().take(changed.len());
    done.all(|written| matches!(written, Written::Done(_) | Written::Refused(_)))
}

/// Whether a commit may be, as far as the head says.
fn check(head: &Head, lease: &Lease, advance: &Advance) -> Result<(), Error> {
    let name = &lease.projection;
    if head.checkpoint != advance.from.map(Position::raw) {
        return Err(Error::moved(name));
    }
    if head.edits != advance.edits {
        return Err(Error::changed(name));
    }
    Ok(())
}

/// The columns of a document; `None` when it stands for one that was removed.
pub(crate) fn columns(document: &Json) -> Option<Document> {
    let document = document.as_object()?;
    if document.contains_key("factum_gone") {
        return None;
    }
    let columns = document
        .iter()
        .filter(|(name, _)| !name.starts_with("factum_"));
    Some(
        columns
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

fn written(columns: Document, id: &str, tx: Tx, removed: bool) -> Json {
    let mut document: Map<String, Json> = columns;
    document.insert("factum_tx".to_owned(), tx.number().into());
    document.insert("factum_id".to_owned(), id.into());
    if removed {
        document.insert("factum_gone".to_owned(), true.into());
    }
    Json::Object(document)
}

/// The write that removes a document which only says that it was removed.
fn gone(write: &Write, version: Version) -> Write {
    Write {
        index: write.index.clone(),
        id: write.id.clone(),
        document: None,
        condition: Condition::Still(version),
    }
}

fn undo_log(meta: &str, head: &Head, tx: Tx, changed: &[Changed]) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    let mut all = changed.iter().peekable();
    while let Some(changed) = all.next() {
        let before = changed.before.as_ref().map(Json::to_string);
        bytes += before.map_or(64, |before| before.len() + 64);
        part.push(Before {
            index: changed.write.index.clone(),
            id: changed.write.id.clone(),
            document: changed.before.clone(),
        });
        if bytes >= PART_BYTES || all.peek().is_none() {
            let number = u32::try_from(writes.len()).unwrap_or(u32::MAX);
            let undo = Undo {
                attempt: tx.attempt,
                documents: std::mem::take(&mut part),
            };
            writes.push(Write {
                index: meta.to_owned(),
                id: head::undo_id(&head.projection, head.generation, tx.session, number),
                document: Some(server::stored(&undo)?),
                condition: Condition::Always,
            });
            bytes = 0;
        }
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_write_is_known_when_it_was_done_or_refused() {
        let changed = || Changed {
            write: Write {
                index: "i".to_owned(),
                id: "1".to_owned(),
                document: None,
                condition: Condition::Absent,
            },
            before: None,
            removed: false,
        };
        let check = |done: &[Written], expected: bool| {
            let changed: Vec<Changed> = (0..2).map(|_| changed()).collect();
            assert_eq!(all_known(&changed, done), expected, "{done:?}");
        };
        let done = || Written::Done(Version { seq: 1, term: 1 });
        let failed = || Written::Failed(Error::unavailable("busy"));
        check(&[done(), done()], true);
        check(&[done(), Written::Refused("no".to_owned())], true);
        // What was not sent was not written.
        check(&[done()], true);
        check(&[Written::Conflict, done()], false);
        check(&[done(), failed()], false);
        // Behind the documents come removals of what is gone already, which may fail.
        check(&[done(), done(), Written::Conflict, failed()], true);
    }
}

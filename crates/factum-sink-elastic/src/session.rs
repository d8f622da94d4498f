//! Sessions: who may write a generation, and taking back what the one before left half done.
//!
//! Relies on: the undo log, written before any document is. Never: takes back what was committed.

use factum_projection::{Error, Kind, Lease};
use serde_json::Value as Json;

use crate::ElasticSink;
use crate::head::{self, Before, Closed, Head, Tx, Undo};
use crate::server::{Condition, Found, Write, Written};

/// How often a document of ours is tried to be changed while others change it too.
pub(crate) const SWAPS: usize = 16;
/// How many documents are taken back at once.
const RESTORED: usize = 500;

/// The right to write that this connection has.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) lease: Lease,
    pub(crate) number: u32,
    /// The last attempt that was made.
    pub(crate) attempt: u32,
    /// Documents that were removed by the last commit; until now they stand there as removed.
    pub(crate) removed: Vec<Write>,
}

impl ElasticSink {
    /// The head of a generation, if the lease holds.
    pub(crate) async fn head(&self, lease: &Lease) -> Result<Found<Head>, Error> {
        let id = head::head_id(&lease.projection, lease.generation);
        let found = self.server.get::<Head>(&self.meta, &id).await?;
        checked(found, lease)
    }

    /// Begins a session, unless this connection has one and knows what became of all it did.
    pub(crate) async fn settle(&mut self, lease: &Lease) -> Result<(), Error> {
        let ours = self
            .session
            .as_ref()
            .is_some_and(|ours| ours.lease == *lease);
        if ours && !self.unclean {
            return Ok(());
        }
        for _ in 0..SWAPS {
            let Found { value, version } = self.head(lease).await?;
            let mut head = value;
            let forgotten = head.next_session();
            let id = head::head_id(&lease.projection, lease.generation);
            if self.server.swap(&self.meta, &id, version, &head).await? {
                return self.opened(lease, head, forgotten).await;
            }
        }
        Err(busy("the session"))
    }

    /// Goes on from a head that was just written with a new session in it.
    pub(crate) async fn opened(
        &mut self,
        lease: &Lease,
        head: Head,
        forgotten: Vec<Closed>,
    ) -> Result<(), Error> {
        self.session = None;
        let left: Vec<Closed> = head.closed.iter().copied().filter(|it| !it.clean).collect();
        for closed in &left {
            self.take_back(&head, *closed).await?;
        }
        if !left.is_empty() {
            self.note_clean(lease, head.session).await?;
        }
        for closed in forgotten {
            self.forget_undo(lease, closed.session).await?;
        }
        self.session = Some(Session {
            lease: lease.clone(),
            number: head.session,
            attempt: 0,
            removed: Vec::new(),
        });
        self.cleaned = head.session;
        self.unclean = false;
        Ok(())
    }

    /// Writes down that the sessions before this one left nothing. If others change the head meanwhile, a commit does it.
    async fn note_clean(&self, lease: &Lease, session: u32) -> Result<(), Error> {
        let Found { value, version } = self.head(lease).await?;
        let mut head = value;
        for closed in head.closed.iter_mut().filter(|it| it.session < session) {
            closed.clean = true;
        }
        let id = head::head_id(&lease.projection, lease.generation);
        self.server.swap(&self.meta, &id, version, &head).await?;
        Ok(())
    }

    /// Takes back what a session that ended wrote and did not commit.
    async fn take_back(&self, head: &Head, closed: Closed) -> Result<(), Error> {
        let undo = self.undo_of(head, closed).await?;
        for undo in undo {
            let tx = Tx {
                session: closed.session,
                attempt: undo.attempt,
            };
            for part in undo.documents.chunks(RESTORED) {
                self.restore(tx, part, head.bulk).await?;
            }
        }
        Ok(())
    }

    /// What a session noted before attempts that were not committed.
    async fn undo_of(&self, head: &Head, closed: Closed) -> Result<Vec<Undo>, Error> {
        let mut all = Vec::new();
        for part in 0.. {
            let id = head::undo_id(&head.projection, head.generation, closed.session, part);
            let Some(found) = self.server.get::<Undo>(&self.meta, &id).await? else {
                break;
            };
            if found.value.attempt > closed.attempt {
                all.push(found.value);
            }
        }
        Ok(all)
    }

    /// What a document was before an attempt that does not count.
    pub(crate) async fn before(
        &self,
        head: &Head,
        tx: Tx,
        index: &str,
        id: &str,
    ) -> Result<Option<Json>, Error> {
        let mut closed = head.closed.iter().copied();
        let closed = closed.find(|closed| closed.session == tx.session);
        let undo = match closed {
            Some(closed) => self.undo_of(head, closed).await?,
            None => Vec::new(),
        };
        let mut documents = undo
            .into_iter()
            .filter(|undo| undo.attempt == tx.attempt)
            .flat_map(|undo| undo.documents);
        match documents.find(|before| before.index == index && before.id == id) {
            Some(before) => Ok(before.document),
            None => Err(Error::invalid(format!(
                "the document {id} of {index} was written by an attempt that was not committed, and nothing says what it was before"
            ))),
        }
    }

    async fn restore(&self, tx: Tx, documents: &[Before], bulk: bool) -> Result<(), Error> {
        let places: Vec<(&str, &str)> = documents
            .iter()
            .map(|before| (before.index.as_str(), before.id.as_str()))
            .collect();
        let current = self.server.fetch(&places).await?;
        let theirs = current.into_iter().zip(documents);
        let writes: Vec<Write> = theirs
            .filter_map(|(found, before)| {
                let found = found.filter(|found| tx_of(&found.value) == Some(tx))?;
                Some(Write {
                    index: before.index.clone(),
                    id: before.id.clone(),
                    document: before.document.clone(),
                    condition: Condition::Still(found.version),
                })
            })
            .collect();
        self.put_back(&writes, bulk).await
    }

    /// Writes documents as they were; one that was written by somebody else meanwhile is their affair.
    pub(crate) async fn put_back(&self, writes: &[Write], bulk: bool) -> Result<(), Error> {
        let query = self.options.refresh.query(bulk);
        self.put(writes, query).await
    }

    /// Writes documents of ours.
    pub(crate) async fn put_own(&self, writes: &[Write]) -> Result<(), Error> {
        self.put(writes, "").await
    }

    async fn put(&self, writes: &[Write], query: &str) -> Result<(), Error> {
        let writes: Vec<&Write> = writes.iter().collect();
        let mut rest = writes.as_slice();
        while !rest.is_empty() {
            let done = self.server.bulk(rest, query).await?;
            for written in &done {
                match written {
                    Written::Done(_) | Written::Conflict => (),
                    Written::Failed(error) => return Err(error.clone()),
                    Written::Refused(why) => {
                        let what = format!("a document cannot be written as it was: {why}");
                        return Err(Error::invalid(what));
                    }
                }
            }
            rest = rest.get(done.len()..).unwrap_or_default();
        }
        Ok(())
    }

    pub(crate) async fn forget_undo(&self, lease: &Lease, session: u32) -> Result<(), Error> {
        let mut writes = Vec::new();
        for part in 0.. {
            let id = head::undo_id(&lease.projection, lease.generation, session, part);
            if self.server.get::<Undo>(&self.meta, &id).await?.is_none() {
                break;
            }
            writes.push(Write {
                index: self.meta.clone(),
                id,
                document: None,
                condition: Condition::Always,
            });
        }
        self.put_own(&writes).await
    }
}

/// A head under whose lease something may be done.
pub(crate) fn checked(found: Option<Found<Head>>, lease: &Lease) -> Result<Found<Head>, Error> {
    let Some(found) = found.filter(|found| !found.value.dropped) else {
        let (number, name) = (lease.generation, &lease.projection);
        let what = format!("generation {number} of {name} was dropped");
        return Err(Error::new(Kind::Fenced, what));
    };
    found.value.check_epoch(lease)?;
    Ok(found)
}

/// Which attempt wrote a document.
pub(crate) fn tx_of(document: &Json) -> Option<Tx> {
    document
        .get("factum_tx")
        .and_then(Json::as_i64)
        .and_then(Tx::of)
}

pub(crate) fn busy(what: &str) -> Error {
    Error::unavailable(format!("others change {what} again and again"))
}

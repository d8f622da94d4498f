//! The ledger of a reactor: which effects were begun, by whom, and which are done.
//!
//! Relies on: append conditions over the tag of the effect, so that of two runners one begins. Never: lets an effect that is done be begun.

use factum_store::{AppendBatch, Condition, ReadRequest};
use factum_types::{ExpectedRevision, Query, RecordedEvent, StreamName, Tag, Timestamp};

use crate::codec::tag;
use crate::env::derive_id;
use crate::error::{Error, Kind};
use crate::note::{EFFECT, Note};
use crate::orders::Orders;
use crate::retry::Retry;
use crate::runner::desk::Desk;

/// How often a claim is tried when others claim the same.
const ATTEMPTS: u32 = 16;

/// What the ledger says of one event.
pub(crate) struct Ledger<'a> {
    pub(crate) desk: &'a Desk,
    pub(crate) event: &'a RecordedEvent,
    reactor: &'a str,
    stream: StreamName,
}

/// Whether we may do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    Ours,
    Done,
    Elsewhere(Timestamp),
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(
        desk: &'a Desk,
        reactor: &'a str,
        event: &'a RecordedEvent,
    ) -> Result<Self, Error> {
        Ok(Self {
            desk,
            event,
            reactor,
            stream: StreamName::new(format!("factum.ledger-{reactor}"))?,
        })
    }

    /// A text that is this effect's own, and the same whenever it is tried.
    pub(crate) fn key(&self, effect: &str) -> String {
        let event = self.event;
        let id = event.id.to_string();
        derive_id(&["effect", self.reactor, event.stream.as_str(), &id, effect]).to_string()
    }

    fn tag(&self, effect: &str) -> Result<Tag, Error> {
        tag(EFFECT, self.key(effect))
    }

    async fn notes(&self, tag: &Tag) -> Result<Vec<Note>, Error> {
        let store = self.desk.repository.store();
        let events = store.read(ReadRequest::tag(tag.clone())).collect().await?;
        let mut notes = Vec::new();
        for event in &events {
            notes.extend(Note::read(event)?);
        }
        Ok(notes)
    }

    /// Begins, unless it is done or another runner is at it.
    pub(crate) async fn claim(&self) -> Result<Claim, Error> {
        let tag = self.tag("")?;
        let desk = self.desk;
        for _ in 0..ATTEMPTS {
            let after = desk.repository.store().head().await?;
            let notes = self.notes(&tag).await?;
            if notes.contains(&Note::EffectDone {}) {
                return Ok(Claim::Done);
            }
            if let Some(Note::EffectBegun { runner, until_us }) = notes.last() {
                let until = Timestamp::from_micros(*until_us);
                if *runner != desk.runner && until > desk.repository.world.now() {
                    return Ok(Claim::Elsewhere(until));
                }
            }
            let query = Query::tag(tag.clone());
            let batch = self
                .batch(&self.begun(), &tag)?
                .on(Condition::NoMatch { query, after });
            match desk.repository.append_surely(batch, Retry::default()).await {
                Ok(_) => return Ok(Claim::Ours),
                Err(error) if error.kind() == factum_store::Kind::Conflict => (),
                Err(error) => return Err(error.into()),
            }
        }
        let what = format!("others keep claiming an effect of {}", self.reactor);
        Err(Error::new(Kind::Conflict, what))
    }

    fn begun(&self) -> Note {
        let now = self.desk.repository.world.now().as_micros();
        let takeover = i64::try_from(self.desk.takeover.as_micros()).unwrap_or(i64::MAX);
        Note::EffectBegun {
            runner: self.desk.runner.clone(),
            until_us: now.saturating_add(takeover),
        }
    }

    fn batch(&self, note: &Note, tag: &Tag) -> Result<AppendBatch, Error> {
        let mut orders = Orders::new();
        orders.caused_by(self.event);
        let mut new = note.seal(self.desk.new_id(), &self.stream, orders.metadata)?;
        new.tags.push(tag.clone());
        let stream = self.stream.clone();
        Ok(AppendBatch::events(
            stream,
            ExpectedRevision::Any,
            vec![new],
        ))
    }

    pub(crate) async fn is_done(&self, effect: &str) -> Result<bool, Error> {
        let notes = self.notes(&self.tag(effect)?).await?;
        Ok(notes.contains(&Note::EffectDone {}))
    }

    /// It is done, and is not done again.
    pub(crate) async fn done(&self, effect: &str) -> Result<(), Error> {
        self.write(&Note::EffectDone {}, effect).await
    }

    /// It failed; whoever comes next may try.
    pub(crate) async fn failed(&self, reason: String) -> Result<(), Error> {
        let runner = self.desk.runner.clone();
        self.write(&Note::EffectFailed { runner, reason }, "").await
    }

    async fn write(&self, note: &Note, effect: &str) -> Result<(), Error> {
        let batch = self.batch(note, &self.tag(effect)?)?;
        let repository = &self.desk.repository;
        repository.append_surely(batch, Retry::default()).await?;
        Ok(())
    }
}

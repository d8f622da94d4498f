//! What all kinds of commands have in common: on whose behalf, how often, and under which key they are carried out.
//!
//! What lives here: the builder that [`Run`](crate::Run) and [`Decide`](crate::Decide) share, and what becomes of an [`Emit`] when it is
//! stored. Relies on: the store's rule that the same ids again give the first receipt. Never: decides.

use std::sync::Arc;

use factum_store::{AppendBatch, ReadRequest, Receipt, StoreError};
use factum_types::{EventId, EventType, Metadata, NewEvent, RecordedEvent, StreamName, Tag};

use crate::codec::{self, tag};
use crate::emit::{Emit, Parts};
use crate::env::{Env, derive_id};
use crate::error::Error;
use crate::event::{self, Event};
use crate::load::Token;
use crate::note::{Note, PREFIX, is_note};
use crate::repository::Repository;
use crate::retry::Retry;
use crate::run::Committed;

/// The key of the tag by which a repetition is recognised.
const KEY_TAG: &str = "factum-key";

/// The tag of what was done under a key; the key is compared with all that it is made of, its scope first.
pub(crate) fn key_tag(key: &[&str]) -> Result<Tag, Error> {
    tag(KEY_TAG, derive_id(key))
}

/// How a command is carried out: what all kinds of commands have in common.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) metadata: Metadata,
    pub(crate) key: Option<String>,
    pub(crate) retry: Retry,
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self {
            metadata: Metadata::default(),
            key: None,
            retry: Retry::default(),
        }
    }

    /// What was caused by an event is of its conversation and by its user, unless something else was said.
    pub(crate) fn caused_by(&mut self, event: &RecordedEvent) {
        let cause = &event.metadata;
        let ours = &mut self.metadata;
        ours.causation_id = Some(event.id.to_string());
        ours.correlation_id = ours
            .correlation_id
            .take()
            .or_else(|| cause.correlation_id.clone())
            .or_else(|| Some(event.id.to_string()));
        ours.user_id = ours.user_id.take().or_else(|| cause.user_id.clone());
        ours.traceparent = ours
            .traceparent
            .take()
            .or_else(|| cause.traceparent.clone());
    }
}

/// A command that knows who it is: what stays the same over all its attempts.
pub(crate) struct Prepared {
    pub(crate) scope: String,
    pub(crate) metadata: Metadata,
    pub(crate) key: Option<(String, Tag)>,
    pub(crate) retry: Retry,
}

impl Prepared {
    /// `scope` is what idempotency keys are compared within.
    pub(crate) fn new(repository: &Repository, scope: &str, orders: Orders) -> Result<Self, Error> {
        let key = match orders.key {
            Some(key) => {
                let tag = key_tag(&[scope, &key])?;
                Some((key, tag))
            }
            None => None,
        };
        let mut prepared = Self {
            scope: scope.to_owned(),
            metadata: orders.metadata,
            key,
            retry: orders.retry,
        };
        let command = match &prepared.key {
            Some((key, _)) => derive_id(&[scope, key, "command"]),
            None => prepared.env(repository).new_id(),
        };
        let metadata = &mut prepared.metadata;
        metadata
            .causation_id
            .get_or_insert_with(|| command.to_string());
        metadata
            .correlation_id
            .get_or_insert_with(|| command.to_string());
        Ok(prepared)
    }

    pub(crate) fn env(&self, repository: &Repository) -> Env {
        let world = &repository.world;
        match &self.key {
            Some((key, _)) => Env::fixed(world.now(), &format!("{} {key}", self.scope)),
            None => Env::random(world.now(), Arc::clone(&world.random)),
        }
    }

    /// What a decision gives as it is stored: what was noted, the events, the messages and the timers.
    pub(crate) fn seal<E: Event>(
        &self,
        emit: Emit<E>,
        stream: &StreamName,
        env: &mut Env,
    ) -> Result<Sealed<E>, Error> {
        let Parts {
            before,
            events,
            after,
        } = emit.into_parts()?;
        let mut sealed = Vec::with_capacity(events.len() + after.len() + 1);
        if let Some(note) = before {
            sealed.push(self.seal_note(&note, stream, sealed.len(), env)?);
        }
        for event in &events {
            sealed.push(self.seal_event(event, sealed.len(), env)?);
        }
        for note in after {
            sealed.push(self.seal_note(&note, stream, sealed.len(), env)?);
        }
        Ok(Sealed { events, sealed })
    }

    fn seal_event<E: Event>(
        &self,
        event: &E,
        index: usize,
        env: &mut Env,
    ) -> Result<NewEvent, Error> {
        let kind = event.kind();
        if is_note(kind.name) {
            return Err(Error::invalid(format!(
                "event type {}: names that begin with {PREFIX} are the framework's own",
                kind.name
            )));
        }
        let mut tags = event.tags()?;
        tags.extend(self.key.iter().map(|(_, tag)| tag.clone()));
        let data = event.encode()?;
        codec::must_be_readable(&data)?;
        let mut new = NewEvent::json(self.id(index, env), EventType::new(kind.name)?, data)
            .with_tags(tags)
            .with_metadata(self.metadata.clone());
        new.schema_version = kind.version;
        Ok(new)
    }

    fn seal_note(
        &self,
        note: &Note,
        stream: &StreamName,
        index: usize,
        env: &mut Env,
    ) -> Result<NewEvent, Error> {
        let mut new = note.seal(self.id(index, env), stream, self.metadata.clone())?;
        new.tags.extend(self.key.iter().map(|(_, tag)| tag.clone()));
        Ok(new)
    }

    fn id(&self, index: usize, env: &mut Env) -> EventId {
        match &self.key {
            Some((key, _)) => derive_id(&[&self.scope, key, "event", &index.to_string()]),
            None => env.new_id(),
        }
    }
}

/// What a decision gave, and the form in which it is stored.
pub(crate) struct Sealed<E> {
    pub(crate) events: Vec<E>,
    pub(crate) sealed: Vec<NewEvent>,
}

impl Repository {
    /// What an earlier command with the same key did.
    pub(crate) async fn done_before<E: Event>(
        &self,
        prepared: &Prepared,
        attempts: u32,
    ) -> Result<Option<Committed<E>>, Error> {
        let Some((_, tag)) = &prepared.key else {
            return Ok(None);
        };
        let stored = self
            .store
            .read(ReadRequest::tag(tag.clone()))
            .collect()
            .await?;
        let Some(last) = stored.last() else {
            return Ok(None);
        };
        let mut events = Vec::new();
        for recorded in &stored {
            events.extend_from_slice(event::read(recorded)?.as_slice());
        }
        Ok(Some(Committed {
            token: Token(Some(last.position)),
            events,
            attempts,
            replayed: true,
        }))
    }

    /// Appends; the same again, as long as it is not known whether it was written or the store is busy. What a busy store did not write in
    /// the last try may have been written in an earlier one: then it stays unknown.
    pub(crate) async fn append_surely(
        &self,
        batch: AppendBatch,
        retry: Retry,
    ) -> Result<Receipt, StoreError> {
        let mut tries = 1;
        let mut uncertain = None;
        loop {
            let error = match self.store.append(batch.clone()).await {
                Ok(mut receipt) => {
                    // What this very call wrote before its answer was lost is no repetition.
                    receipt.replayed &= uncertain.is_none();
                    return Ok(receipt);
                }
                Err(error) => error,
            };
            let kind = error.kind();
            let unknown = kind == factum_store::Kind::Unknown;
            let again = unknown || kind == factum_store::Kind::Unavailable;
            if !again || tries >= retry.attempts {
                let busy = kind == factum_store::Kind::Unavailable;
                return Err(uncertain.filter(|_| busy).unwrap_or(error));
            }
            if unknown {
                uncertain = Some(error);
            }
            self.pause(retry, tries).await;
            tries += 1;
        }
    }

    pub(crate) async fn pause(&self, retry: Retry, attempts: u32) {
        let delay = retry.delay(attempts, self.world.random.next_u64());
        if !delay.is_zero() {
            self.world.timer.wait(delay).await;
        }
    }
}

/// The methods by which a command is put together, for a type with `orders`.
macro_rules! builder {
    () => {
        /// Who, why, in which conversation. What is not said about cause and conversation becomes the id of the command.
        pub fn metadata(mut self, metadata: factum_types::Metadata) -> Self {
            self.orders.metadata = metadata;
            self
        }

        /// On behalf of this user.
        pub fn user(mut self, user: impl Into<String>) -> Self {
            self.orders.metadata.user_id = Some(user.into());
            self
        }

        /// Because of this event: it is the cause, and its conversation and user go on.
        pub fn caused_by(mut self, event: &factum_types::RecordedEvent) -> Self {
            self.orders.caused_by(event);
            self
        }

        /// The same key again for the same stream does nothing, and is answered with what was done the first time. A command that made
        /// nothing happen leaves no trace, and is decided again.
        pub fn idempotency(mut self, key: impl Into<String>) -> Self {
            self.orders.key = Some(key.into());
            self
        }

        /// How often to try, and how long to wait between.
        pub fn retry(mut self, retry: $crate::retry::Retry) -> Self {
            self.orders.retry = retry;
            self
        }
    };
}
pub(crate) use builder;

//! Changes of which groups there are: first in the store, then here.
//!
//! None of these may be cut half way, which would leave a group noted and not running; [`Subscriptions`] runs them to their end. Never: holds the lock while it counts a source.

use std::collections::BTreeMap;

use factum_store::{Change, Kind, StreamState, StreamWrite};
use factum_types::{ExpectedRevision, StreamName};
use tokio::sync::MutexGuard;

use super::Subscriptions;
use super::state::{State, own_streams};
use crate::persistent::config::{self, Config, GroupConfig};
use crate::persistent::connection::End;
use crate::persistent::error::SubscriptionError;
use crate::persistent::runner::Surroundings;
use crate::persistent::settings::{GroupKey, SourceName, StartFrom};
use crate::task::to_the_end;

/// The most groups of a server.
const GROUPS_MAX: usize = 4_096;
/// How often a change is tried again because another server changed something.
const TRIES: usize = 5;

impl Subscriptions {
    /// What is known, once that is sure; refused when the server stops.
    pub(super) async fn state(&self) -> Result<MutexGuard<'_, State>, SubscriptionError> {
        let state = self.state.lock().await;
        let state = if state.unsure && !state.stopped {
            drop(state);
            let all = self.clone();
            to_the_end(async move { all.make_sure().await }).await;
            self.state.lock().await
        } else {
            state
        };
        if state.stopped {
            return Err(SubscriptionError::NotReady);
        }
        Ok(state)
    }

    async fn make_sure(&self) {
        let mut state = self.state.lock().await;
        if state.unsure && !state.stopped {
            self.try_to_be_sure(&mut state).await;
        }
    }

    /// Begins with what can be read. What is damaged does not keep a server from starting: it is asked for again with each request.
    pub(super) async fn load(&self) -> Result<(), SubscriptionError> {
        let mut state = self.state.lock().await;
        let (config, damage) = config::load_readable(&*self.around.store).await?;
        state.config = config;
        if let Some(error) = damage {
            tracing::error!(%error, "which groups there are cannot be read; those known before run");
            state.unsure = true;
        }
        state.settle(&self.around).await
    }

    pub(super) async fn create_one(
        &self,
        key: GroupKey,
        config: GroupConfig,
        by: &str,
    ) -> Result<(), SubscriptionError> {
        check(&key, &config)?;
        let config = self.as_noted(&key, config).await?;
        let mut state = self.state().await?;
        for _ in 0..TRIES {
            if state.config.groups.contains_key(&key) {
                return Err(SubscriptionError::Exists(key));
            }
            state.check_streams_of_its_own(&key)?;
            if state.config.groups.len() >= GROUPS_MAX {
                let reason = format!("there are {GROUPS_MAX} groups, which is the limit");
                return Err(SubscriptionError::failed(&key, reason));
            }
            let mut groups = state.config.groups.clone();
            groups.insert(key.clone(), config.clone());
            // A group of this name that was deleted may have noted something late.
            let left = self.deletions(&key).await?;
            if self.save(&mut state, &key, groups, by, left).await? {
                return state.settle(&self.around).await;
            }
        }
        Err(busy(&key))
    }

    pub(super) async fn update_one(
        &self,
        key: GroupKey,
        config: GroupConfig,
        by: &str,
    ) -> Result<(), SubscriptionError> {
        // Before the end is counted, which may take long.
        self.state().await?.config_of(&key)?;
        check(&key, &config)?;
        let config = self.as_noted(&key, config).await?;
        let mut state = self.state().await?;
        for _ in 0..TRIES {
            let old = state.config_of(&key)?;
            let mut new = config.clone();
            new.filter = old.filter;
            // One that began at the end still begins where the end was then.
            if (old.start, new.start) == (StartFrom::End, StartFrom::End) {
                new.end = old.end;
            }
            let mut groups = state.config.groups.clone();
            groups.insert(key.clone(), new);
            if self.save(&mut state, &key, groups, by, Vec::new()).await? {
                // Also when nothing is different: who changes a group expects it to begin anew.
                state.stop(&key, End::Dropped).await;
                return state.settle(&self.around).await;
            }
        }
        Err(busy(&key))
    }

    pub(super) async fn delete_one(
        &self,
        key: GroupKey,
        by: &str,
    ) -> Result<(), SubscriptionError> {
        let mut state = self.state().await?;
        for _ in 0..TRIES {
            state.config_of(&key)?;
            // First it stops, or it could write to what is deleted.
            let ran = state.stop(&key, End::Dropped).await;
            let mut groups = state.config.groups.clone();
            groups.remove(&key);
            match self.delete_streams(&mut state, &key, groups, by).await {
                Ok(true) => return state.settle(&self.around).await,
                // The groups were read again, so that it runs if it is still there.
                Ok(false) => {}
                Err(error) => {
                    self.run_on(&mut state, &key, ran, &error).await?;
                    return Err(error);
                }
            }
        }
        Err(busy(&key))
    }

    /// Lets a group run on that could not be deleted. If it is not known whether it is there, be it since now or since before, it must not run: it
    /// would write to what is deleted.
    async fn run_on(
        &self,
        state: &mut State,
        key: &GroupKey,
        ran: bool,
        error: &SubscriptionError,
    ) -> Result<(), SubscriptionError> {
        if !state.unsure {
            return state.settle(&self.around).await;
        }
        let is_unknown =
            matches!(error, SubscriptionError::Store(error) if error.kind() == Kind::Unknown);
        if ran && !is_unknown && state.sender(key).is_none() {
            let config = state.config_of(key)?;
            state.start(&self.around, key.clone(), config)?;
        }
        Ok(())
    }

    async fn delete_streams(
        &self,
        state: &mut State,
        key: &GroupKey,
        groups: BTreeMap<GroupKey, GroupConfig>,
        by: &str,
    ) -> Result<bool, SubscriptionError> {
        let with = self.deletions(key).await?;
        self.save(state, key, groups, by, with).await
    }

    /// What deletes the streams that a group keeps, those of them that are there.
    async fn deletions(&self, key: &GroupKey) -> Result<Vec<StreamWrite>, SubscriptionError> {
        let streams = own_streams(key)?;
        let mut deletions = Vec::new();
        for stream in [streams.checkpoint, streams.parked] {
            let info = self.around.store.stream_info(stream.clone()).await?;
            if info.state == StreamState::Live && info.last_revision.is_some() {
                deletions.push(delete(stream));
            }
        }
        Ok(deletions)
    }

    pub(super) async fn restart_all(&self) -> Result<(), SubscriptionError> {
        let mut state = self.state().await?;
        // First what is to run is known: a store that cannot be read ends nothing.
        let config = config::load(&*self.around.store).await?;
        state.stop_all(End::Dropped).await;
        state.config = config;
        state.unsure = false;
        state.settle(&self.around).await
    }

    pub(super) async fn stop_for_good(&self) {
        let mut state = self.state.lock().await;
        state.stopped = true;
        state.stop_all(End::Shutdown).await;
    }

    /// The group as it is noted: with what the end is now, when it is to begin there.
    async fn as_noted(
        &self,
        key: &GroupKey,
        mut config: GroupConfig,
    ) -> Result<GroupConfig, SubscriptionError> {
        config.settings = config.settings.in_whole_millis();
        config.end = match config.start {
            StartFrom::End => self.around.feed.end(&key.source).await?,
            StartFrom::Start | StartFrom::At(_) => None,
        };
        Ok(config)
    }

    /// Notes the groups, of which `key` is to be another. `false` when another server had noted others; then these are known and run, and the
    /// caller decides again.
    async fn save(
        &self,
        state: &mut State,
        key: &GroupKey,
        groups: BTreeMap<GroupKey, GroupConfig>,
        by: &str,
        with: Vec<StreamWrite>,
    ) -> Result<bool, SubscriptionError> {
        let config = Config {
            groups,
            revision: state.config.revision,
        };
        let Surroundings { store, world, .. } = &self.around;
        match config::save(&**store, world, &config, by, with).await {
            Ok(revision) => {
                state.config = Config {
                    revision: Some(revision),
                    ..config
                };
                // Nobody, and no change of before, had noted others: what is known is true.
                state.unsure = false;
                Ok(true)
            }
            Err(error) if error.kind() == Kind::Conflict => {
                self.reload(state).await?;
                Ok(false)
            }
            Err(error) if error.kind() == Kind::Unknown => {
                self.try_to_be_sure(state).await;
                if !state.unsure && state.config.groups.get(key) == config.groups.get(key) {
                    return Ok(true);
                }
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is true. When that fails it is tried again with the next request.
    async fn try_to_be_sure(&self, state: &mut State) {
        let is_new = !std::mem::replace(&mut state.unsure, true);
        match self.reload(state).await {
            Err(error) if is_new => {
                tracing::error!(%error, "it is not known which groups there are");
            }
            Err(error) => {
                tracing::debug!(%error, "it is still not known which groups there are");
            }
            Ok(()) => {}
        }
    }

    /// Reads which groups there are, and lets those run and no others.
    async fn reload(&self, state: &mut State) -> Result<(), SubscriptionError> {
        state.config = config::load(&*self.around.store).await?;
        state.unsure = false;
        state.settle(&self.around).await
    }
}

fn check(key: &GroupKey, config: &GroupConfig) -> Result<(), SubscriptionError> {
    let failed = |reason| SubscriptionError::failed(key, reason);
    config.settings.validate().map_err(failed)?;
    if key.group.is_empty() {
        return Err(failed("the group has no name".to_owned()));
    }
    let is_all = key.source.as_str() == SourceName::All.as_str();
    if is_all && key.source != SourceName::All {
        return Err(failed("no stream has the name of all of them".to_owned()));
    }
    own_streams(key).map(|_| ())
}

fn delete(stream: StreamName) -> StreamWrite {
    StreamWrite {
        stream,
        expected: ExpectedRevision::Any,
        change: Change::Delete,
    }
}

fn busy(key: &GroupKey) -> SubscriptionError {
    SubscriptionError::failed(key, "other servers changed their groups at the same time")
}

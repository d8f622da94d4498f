//! Which groups are known, and the tasks that run them: what is known runs, and nothing else.

use std::collections::BTreeMap;

use factum_types::NameError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Selection;
use crate::persistent::checkpoint::checkpoint_stream;
use crate::persistent::command::Command;
use crate::persistent::config::{Config, GroupConfig};
use crate::persistent::connection::End;
use crate::persistent::error::SubscriptionError;
use crate::persistent::parked::parked_stream;
use crate::persistent::runner::{COMMANDS_MAX, OwnStreams, Runner, Surroundings};
use crate::persistent::settings::GroupKey;

#[derive(Default)]
pub(super) struct State {
    pub(super) config: Config,
    running: BTreeMap<GroupKey, Running>,
    /// A change may have been made or not: what is true is to be read from the store.
    pub(super) unsure: bool,
    /// The server stops: nothing is given out or started any more.
    pub(super) stopped: bool,
}

struct Running {
    config: GroupConfig,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl State {
    pub(super) fn config_of(&self, key: &GroupKey) -> Result<GroupConfig, SubscriptionError> {
        let config = self.config.groups.get(key).cloned();
        // One that is not known may be there, as long as it is not sure what is.
        config.ok_or_else(|| {
            if self.unsure {
                SubscriptionError::NotReady
            } else {
                SubscriptionError::NotFound(key.clone())
            }
        })
    }

    /// A group does not keep the streams of another: of source and name together they are made, and `a::b` and `c` are `a` and `b::c`.
    ///
    /// # Errors
    /// [`SubscriptionError::Failed`]: there is such another.
    pub(super) fn check_streams_of_its_own(&self, key: &GroupKey) -> Result<(), SubscriptionError> {
        let text = key.to_string();
        let other = |other: &&GroupKey| *other != key && other.to_string() == text;
        let Some(other) = self.config.groups.keys().find(other) else {
            return Ok(());
        };
        let GroupKey { source, group } = other;
        let reason = format!("it would keep the streams of group {group} on stream {source}");
        Err(SubscriptionError::failed(key, reason))
    }

    pub(super) fn keys(&self, selection: &Selection) -> Vec<GroupKey> {
        let meant = |key: &&GroupKey| match selection {
            Selection::Every => true,
            Selection::Of(source) => key.source == *source,
        };
        self.config.groups.keys().filter(meant).cloned().collect()
    }

    /// Where a group is asked: `None` when it does not run, `Some(None)` when it ended by itself.
    pub(super) fn sender(&self, key: &GroupKey) -> Option<Option<mpsc::Sender<Command>>> {
        let running = self.running.get(key)?;
        Some((!running.task.is_finished()).then(|| running.commands.clone()))
    }

    pub(super) fn start(
        &mut self,
        around: &Surroundings,
        key: GroupKey,
        config: GroupConfig,
    ) -> Result<mpsc::Sender<Command>, SubscriptionError> {
        let streams = own_streams(&key)?;
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        let run = Runner::run(
            around.clone(),
            key.clone(),
            config.clone(),
            streams,
            receiver,
            sender.downgrade(),
        );
        let running = Running {
            config,
            commands: sender.clone(),
            task: tokio::spawn(run),
        };
        self.running.insert(key, running);
        Ok(sender)
    }

    /// Ends a group, if it runs, and waits until it has. Whether it ran.
    pub(super) async fn stop(&mut self, key: &GroupKey, why: End) -> bool {
        let Some(running) = self.running.remove(key) else {
            return false;
        };
        running.stop(why).await;
        true
    }

    pub(super) async fn stop_all(&mut self, why: End) {
        let stopping = std::mem::take(&mut self.running);
        let ends = stopping.into_values().map(|one| one.stop(why));
        futures_util::future::join_all(ends).await;
    }

    /// Lets the groups run that are known, each as it was configured, and no others.
    pub(super) async fn settle(&mut self, around: &Surroundings) -> Result<(), SubscriptionError> {
        let known = &self.config.groups;
        let is_changed =
            |(key, running): &(&GroupKey, &Running)| known.get(*key) != Some(&running.config);
        let changed = self.running.iter().filter(is_changed);
        let changed: Vec<GroupKey> = changed.map(|(key, _)| key.clone()).collect();
        let stopping: Vec<Running> = changed
            .iter()
            .filter_map(|key| self.running.remove(key))
            .collect();
        let ends = stopping.into_iter().map(|one| one.stop(End::Dropped));
        futures_util::future::join_all(ends).await;
        let missing = |(key, _): &(&GroupKey, &GroupConfig)| !self.running.contains_key(*key);
        let missing = self.config.groups.iter().filter(missing);
        let missing: Vec<(GroupKey, GroupConfig)> = missing
            .map(|(key, config)| (key.clone(), config.clone()))
            .collect();
        for (key, config) in missing {
            self.start(around, key, config)?;
        }
        Ok(())
    }
}

impl Running {
    /// Ends the group and waits until it has.
    async fn stop(self, why: End) {
        if self.commands.send(Command::Stop { why }).await.is_err() {
            tracing::debug!("a group had ended already");
        }
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a group ended badly");
        }
    }
}

/// The streams that a group keeps.
///
/// # Errors
/// [`SubscriptionError::Failed`]: its names make no names of streams.
pub(super) fn own_streams(key: &GroupKey) -> Result<OwnStreams, SubscriptionError> {
    let failed = |error: NameError| SubscriptionError::failed(key, error.to_string());
    Ok(OwnStreams {
        checkpoint: checkpoint_stream(key).map_err(failed)?,
        parked: parked_stream(key).map_err(failed)?,
    })
}

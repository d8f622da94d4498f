//! How a group begins: it reads where it was, and says "not ready" while it cannot. A store that does not answer holds up nobody who asks.

use factum_store::StoreError;
use tokio::sync::mpsc;

use super::trouble::{Troubles, Work};
use super::{OwnStreams, PAUSE, Surroundings};
use crate::persistent::checkpoint;
use crate::persistent::command::{Command, answer};
use crate::persistent::config::GroupConfig;
use crate::persistent::error::SubscriptionError;
use crate::persistent::parked::{self, Extent};
use crate::persistent::settings::GroupKey;

/// Where a group was.
pub(super) struct Started {
    /// Everything up to here is done.
    pub(super) after: Option<u64>,
    /// Whether a checkpoint says so.
    pub(super) checkpointed: bool,
    pub(super) parked: Extent,
}

/// Where the group was; `None` when it was stopped before that could be read.
pub(super) async fn start(
    around: &Surroundings,
    key: &GroupKey,
    config: &GroupConfig,
    streams: &OwnStreams,
    commands: &mut mpsc::Receiver<Command>,
) -> Option<Started> {
    let mut troubles = Troubles::new(key.clone());
    let started = async {
        loop {
            match load(around, key, config, streams).await {
                Ok(started) => return started,
                Err(error) => troubles.begin(Work::Beginning, &error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        // Who asks a group that has just begun need not ask again.
        biased;
        started = started => {
            troubles.end(Work::Beginning);
            Some(started)
        }
        () = refuse(commands) => None,
    }
}

async fn load(
    around: &Surroundings,
    key: &GroupKey,
    config: &GroupConfig,
    streams: &OwnStreams,
) -> Result<Started, StoreError> {
    let store = &*around.store;
    let checkpoint = checkpoint::load(store, &streams.checkpoint, &key.source).await?;
    Ok(Started {
        after: checkpoint.or_else(|| config.after(&key.source)),
        checkpointed: checkpoint.is_some(),
        parked: parked::extent(store, &streams.parked).await?,
    })
}

/// After a while, refuses what is asked, until the group is to stop.
async fn refuse(commands: &mut mpsc::Receiver<Command>) {
    tokio::time::sleep(PAUSE).await;
    loop {
        match commands.recv().await {
            None | Some(Command::Stop { .. }) => return,
            Some(Command::Connect { reply, .. }) => {
                answer(reply, Err(SubscriptionError::NotReady));
            }
            Some(Command::Status { reply }) => answer(reply, Err(SubscriptionError::NotReady)),
            Some(Command::Replay { reply, .. } | Command::Truncate { reply, .. }) => {
                answer(reply, Err(SubscriptionError::NotReady));
            }
            Some(Command::Ack { .. } | Command::Nack { .. }) => {}
        }
    }
}

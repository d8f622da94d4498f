//! How a group begins: it reads where it was, and says "not ready" while it cannot.

use factum_store::StoreError;
use tokio::sync::mpsc;

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
    loop {
        match load(around, key, config, streams).await {
            Ok(started) => return Some(started),
            Err(error) => {
                tracing::error!(group = %key, %error, "a group cannot read where it was");
            }
        }
        if refuse_for_a_while(commands).await {
            return None;
        }
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

/// Refuses what is asked until it is time to try again. Says whether the group is to stop.
async fn refuse_for_a_while(commands: &mut mpsc::Receiver<Command>) -> bool {
    let mut pause = std::pin::pin!(tokio::time::sleep(PAUSE));
    loop {
        let command = tokio::select! {
            () = &mut pause => return false,
            command = commands.recv() => command,
        };
        match command {
            None | Some(Command::Stop { .. }) => return true,
            Some(Command::Connect { reply, .. }) => {
                answer(reply, Err(SubscriptionError::NotReady));
            }
            Some(Command::Status { reply }) => answer(reply, Err(SubscriptionError::NotReady)),
            Some(Command::Replay { reply, .. }) => answer(reply, Err(SubscriptionError::NotReady)),
            Some(Command::Ack { .. } | Command::Nack { .. }) => {}
        }
    }
}

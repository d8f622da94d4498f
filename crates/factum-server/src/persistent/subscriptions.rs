//! All persistent subscriptions of a server: which there are, and the tasks that run them.
//!
//! Relies on: a runtime of tokio. Never: changes a group before the change is in the store.

mod change;
mod state;

use std::fmt;
use std::sync::Arc;

use factum_store::EventStore;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::command::{Command, Reply, Status};
use super::config::GroupConfig;
use super::connection::{Answers, Outbox};
use super::error::SubscriptionError;
use super::feed::Feed;
use super::group::Identity;
use super::runner::Surroundings;
use super::settings::{GroupKey, SourceName};
use crate::task::to_the_end;
use crate::world::World;
use state::State;

/// All persistent subscriptions of a server. Cloning shares them; when the last is dropped the groups end with their last consumers.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_server::persistent::{
///     GroupConfig, GroupKey, Identity, Settings, SourceName, StartFrom, StoreFeed, Subscriptions, World,
/// };
/// use factum_store::MemoryStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(MemoryStore::new());
/// let feed = Arc::new(StoreFeed::new(store.clone()));
/// let world = World::from(&factum_io::Env::real());
/// let subscriptions = Subscriptions::open(store, feed, world).await?;
/// let key = GroupKey { source: SourceName::All, group: "invoices".to_owned() };
/// let config = GroupConfig::new(Settings::default(), StartFrom::Start);
/// subscriptions.create(key.clone(), config, "anna").await?;
/// let (mut events, answers) = subscriptions.connect(&key, Identity::default(), 10).await?;
/// while let Ok(next) = events.next().await {
///     answers.ack(vec![next.delivered.original().id.as_u128()]).await;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Subscriptions {
    around: Surroundings,
    state: Arc<Mutex<State>>,
}

/// What is known of a group.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub(crate) key: GroupKey,
    pub(crate) config: GroupConfig,
    /// `None` as long as the group could not read where it is.
    pub(crate) status: Option<Status>,
}

/// Which groups are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    Every,
    /// Those of one source.
    Of(SourceName),
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscriptions")
    }
}

impl Subscriptions {
    /// The groups that the store knows, each running from where it was.
    ///
    /// # Errors
    /// [`SubscriptionError::Store`] when it cannot be read which there are.
    pub async fn open(
        store: Arc<dyn EventStore>,
        feed: Arc<dyn Feed>,
        world: World,
    ) -> Result<Self, SubscriptionError> {
        let subscriptions = Self {
            around: Surroundings { store, feed, world },
            state: Arc::default(),
        };
        subscriptions.load().await?;
        Ok(subscriptions)
    }

    /// Creates a group, which follows its source from then on.
    ///
    /// # Errors
    /// [`SubscriptionError::Exists`], [`SubscriptionError::Failed`] when the settings or the names cannot be, or those of the store.
    ///
    /// # Cancel safety
    /// It is done to its end also when the future is dropped.
    pub async fn create(
        &self,
        key: GroupKey,
        config: GroupConfig,
        by: &str,
    ) -> Result<(), SubscriptionError> {
        let (all, by) = (self.clone(), by.to_owned());
        to_the_end(async move { all.create_one(key, config, &by).await }).await
    }

    /// Changes a group: it notes where it is, its consumers are dropped, and it goes on from there. Its filter stays.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], and those of [`create`](Self::create).
    ///
    /// # Cancel safety
    /// It is done to its end also when the future is dropped.
    pub async fn update(
        &self,
        key: GroupKey,
        config: GroupConfig,
        by: &str,
    ) -> Result<(), SubscriptionError> {
        let (all, by) = (self.clone(), by.to_owned());
        to_the_end(async move { all.update_one(key, config, &by).await }).await
    }

    /// Deletes a group, its checkpoint and its parked events. Its consumers are dropped.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], or those of the store; then the group runs on, unless it is not known whether it is deleted and cannot be
    /// read: then it is "not ready" until it can.
    ///
    /// # Cancel safety
    /// It is done to its end also when the future is dropped.
    pub async fn delete(&self, key: GroupKey, by: &str) -> Result<(), SubscriptionError> {
        let (all, by) = (self.clone(), by.to_owned());
        to_the_end(async move { all.delete_one(key, &by).await }).await
    }

    /// A consumer of a group that takes up to `credit` events before it answers.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], [`SubscriptionError::TooManyConsumers`], [`SubscriptionError::NotReady`].
    pub async fn connect(
        &self,
        key: &GroupKey,
        identity: Identity,
        credit: usize,
    ) -> Result<(Outbox, Answers), SubscriptionError> {
        self.ask(key, |reply| Command::Connect {
            identity,
            credit,
            reply,
        })
        .await
    }

    /// Gives parked events again, those before revision `stop_at` of the parked stream or all that are there now.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], [`SubscriptionError::NotReady`].
    pub async fn replay_parked(
        &self,
        key: &GroupKey,
        stop_at: Option<u64>,
    ) -> Result<(), SubscriptionError> {
        self.ask(key, |reply| Command::Replay { stop_at, reply })
            .await
    }

    /// Gives parked events up, those before revision `stop_at` of the parked stream or all that the group knows to stand there now; one that is just being
    /// parked is not among them. They are gone when this returns; what consumers hold of them stays with them, and is parked anew if they say so.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], [`SubscriptionError::NotReady`] (also when too many ask at once), [`SubscriptionError::Store`]; the group tries
    /// again then.
    pub async fn truncate_parked(
        &self,
        key: &GroupKey,
        stop_at: Option<u64>,
    ) -> Result<(), SubscriptionError> {
        self.ask(key, |reply| Command::Truncate { stop_at, reply })
            .await
    }

    /// Whether a group gives what links point to.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], [`SubscriptionError::NotReady`].
    pub(crate) async fn resolves_links(&self, key: &GroupKey) -> Result<bool, SubscriptionError> {
        let config = self.state().await?.config_of(key)?;
        Ok(config.settings.resolve_links)
    }

    /// What is known of a group. One that is just being changed has no status.
    pub(crate) async fn info(&self, key: &GroupKey) -> Result<Info, SubscriptionError> {
        let config = self.state().await?.config_of(key)?;
        let status = match self.ask(key, |reply| Command::Status { reply }).await {
            Ok(status) => Some(status),
            Err(SubscriptionError::NotReady | SubscriptionError::Dropped(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Info {
            key: key.clone(),
            config,
            status,
        })
    }

    /// What is known of groups, in the order of their sources and names.
    pub(crate) async fn list(&self, selection: &Selection) -> Result<Vec<Info>, SubscriptionError> {
        let keys = self.state().await?.keys(selection);
        let mut infos = Vec::with_capacity(keys.len());
        for key in keys {
            match self.info(&key).await {
                Ok(info) => infos.push(info),
                // It was deleted meanwhile.
                Err(SubscriptionError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(infos)
    }

    /// Ends all groups and begins again with what the store knows.
    ///
    /// # Errors
    /// [`SubscriptionError::Store`] when that cannot be read; then all run on.
    ///
    /// # Cancel safety
    /// It is done to its end also when the future is dropped.
    pub async fn restart(&self) -> Result<(), SubscriptionError> {
        let all = self.clone();
        to_the_end(async move { all.restart_all().await }).await
    }

    /// Ends all groups, each after noting where it is. After that none is given out, changed or started.
    ///
    /// # Cancel safety
    /// It is done to its end also when the future is dropped.
    pub async fn shutdown(&self) {
        let all = self.clone();
        to_the_end(async move { all.stop_for_good().await }).await;
    }

    async fn ask<T>(
        &self,
        key: &GroupKey,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, SubscriptionError> {
        let sender = self.sender(key).await?;
        let (reply, answer) = oneshot::channel();
        let dropped = || SubscriptionError::Dropped(key.clone());
        let sent = sender.send(command(reply)).await;
        sent.map_err(|_stopped| dropped())?;
        answer.await.map_err(|_stopped| dropped())?
    }

    /// Where a group is asked. One that ended without being told to, which is a bug, begins again.
    async fn sender(&self, key: &GroupKey) -> Result<mpsc::Sender<Command>, SubscriptionError> {
        let mut state = self.state().await?;
        let config = state.config_of(key)?;
        match state.sender(key) {
            Some(Some(sender)) => Ok(sender),
            Some(None) => {
                tracing::error!(group = %key, "a group had ended by itself and begins again");
                state.start(&self.around, key.clone(), config)
            }
            None => Err(SubscriptionError::NotReady),
        }
    }
}

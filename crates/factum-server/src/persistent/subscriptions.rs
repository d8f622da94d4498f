//! All persistent subscriptions of a server: which there are, and the tasks that run them.
//!
//! Relies on: a runtime of tokio. Never: changes a group before the change is in the store.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use factum_store::{Change, EventStore, Kind, StreamState, StreamWrite};
use factum_types::{ExpectedRevision, StreamName};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::checkpoint::checkpoint_stream;
use super::command::{Command, Reply, Status};
use super::config::{self, Config, GroupConfig};
use super::connection::{Answers, End, Outbox};
use super::error::SubscriptionError;
use super::feed::Feed;
use super::group::Identity;
use super::parked::parked_stream;
use super::runner::{COMMANDS_MAX, OwnStreams, Runner, Surroundings};
use super::settings::{GroupKey, SourceName, StartFrom};
use super::world::World;

/// The most groups of a server.
const GROUPS_MAX: usize = 4_096;
/// How often a change is tried again because another server changed something.
const TRIES: usize = 5;

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

#[derive(Default)]
struct State {
    config: Config,
    running: BTreeMap<GroupKey, Running>,
}

struct Running {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
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
        let mut state = subscriptions.state.lock().await;
        subscriptions.reload(&mut state).await?;
        drop(state);
        Ok(subscriptions)
    }

    /// Creates a group, which follows its source from then on.
    ///
    /// # Errors
    /// [`SubscriptionError::Exists`], [`SubscriptionError::Failed`] when the settings or the names cannot be, or those of the store.
    pub async fn create(
        &self,
        key: GroupKey,
        config: GroupConfig,
        by: &str,
    ) -> Result<(), SubscriptionError> {
        check(&key, &config)?;
        let mut state = self.state.lock().await;
        for _ in 0..TRIES {
            if state.config.groups.contains_key(&key) {
                return Err(SubscriptionError::Exists(key));
            }
            if state.config.groups.len() >= GROUPS_MAX {
                let reason = format!("there are {GROUPS_MAX} groups, which is the limit");
                return Err(SubscriptionError::failed(&key, reason));
            }
            let config = self.with_end(&key, config.clone()).await?;
            let mut groups = state.config.groups.clone();
            groups.insert(key.clone(), config.clone());
            if self.save(&mut state, groups, by, Vec::new()).await? {
                let running = self.start(&key, config)?;
                state.running.insert(key, running);
                return Ok(());
            }
        }
        Err(busy(&key))
    }

    /// Changes a group: it notes where it is, its consumers are dropped, and it goes on from there. Its filter stays.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], and those of [`create`](Self::create).
    pub async fn update(
        &self,
        key: GroupKey,
        config: GroupConfig,
        by: &str,
    ) -> Result<(), SubscriptionError> {
        let mut state = self.state.lock().await;
        for _ in 0..TRIES {
            let Some(old) = state.config.groups.get(&key).cloned() else {
                return Err(SubscriptionError::NotFound(key));
            };
            check(&key, &config)?;
            let mut new = config.clone();
            new.filter = old.filter;
            // One that began at the end still begins where the end was then.
            new = if (old.start, new.start) == (StartFrom::End, StartFrom::End) {
                new.end = old.end;
                new
            } else {
                self.with_end(&key, new).await?
            };
            let mut groups = state.config.groups.clone();
            groups.insert(key.clone(), new.clone());
            if self.save(&mut state, groups, by, Vec::new()).await? {
                if let Some(running) = state.running.remove(&key) {
                    running.stop(End::Dropped).await;
                }
                let running = self.start(&key, new)?;
                state.running.insert(key, running);
                return Ok(());
            }
        }
        Err(busy(&key))
    }

    /// Deletes a group, its checkpoint and its parked events. Its consumers are dropped.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], or those of the store; then the group runs on.
    pub async fn delete(&self, key: GroupKey, by: &str) -> Result<(), SubscriptionError> {
        let mut state = self.state.lock().await;
        for _ in 0..TRIES {
            let Some(config) = state.config.groups.get(&key).cloned() else {
                return Err(SubscriptionError::NotFound(key));
            };
            // First it stops, or it could write to what is deleted.
            if let Some(running) = state.running.remove(&key) {
                running.stop(End::Dropped).await;
            }
            let mut groups = state.config.groups.clone();
            groups.remove(&key);
            let deleted = self.delete_streams(&mut state, &key, groups, by).await;
            match deleted {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    let running = self.start(&key, config)?;
                    state.running.insert(key, running);
                    return Err(error);
                }
            }
        }
        Err(busy(&key))
    }

    async fn delete_streams(
        &self,
        state: &mut State,
        key: &GroupKey,
        groups: BTreeMap<GroupKey, GroupConfig>,
        by: &str,
    ) -> Result<bool, SubscriptionError> {
        let streams = own_streams(key)?;
        let mut with = Vec::new();
        for stream in [streams.checkpoint, streams.parked] {
            let info = self.around.store.stream_info(stream.clone()).await?;
            if info.state == StreamState::Live && info.last_revision.is_some() {
                with.push(delete(stream));
            }
        }
        self.save(state, groups, by, with).await
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

    /// What is known of a group.
    pub(crate) async fn info(&self, key: &GroupKey) -> Result<Info, SubscriptionError> {
        let config = self.state.lock().await.config.groups.get(key).cloned();
        let config = config.ok_or_else(|| SubscriptionError::NotFound(key.clone()))?;
        let status = match self.ask(key, |reply| Command::Status { reply }).await {
            Ok(status) => Some(status),
            Err(SubscriptionError::NotReady) => None,
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
        let keys: Vec<GroupKey> = {
            let state = self.state.lock().await;
            let meant = |key: &&GroupKey| match selection {
                Selection::Every => true,
                Selection::Of(source) => key.source == *source,
            };
            state.config.groups.keys().filter(meant).cloned().collect()
        };
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
    /// [`SubscriptionError::Store`] when that cannot be read; then none runs until it is asked again.
    pub async fn restart(&self) -> Result<(), SubscriptionError> {
        let mut state = self.state.lock().await;
        stop_all(&mut state, End::Dropped).await;
        self.reload(&mut state).await
    }

    /// Ends all groups, each after noting where it is.
    pub async fn shutdown(&self) {
        stop_all(&mut *self.state.lock().await, End::Shutdown).await;
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
        let mut state = self.state.lock().await;
        let config = state.config.groups.get(key).cloned();
        let config = config.ok_or_else(|| SubscriptionError::NotFound(key.clone()))?;
        let running = state.running.get(key).ok_or(SubscriptionError::NotReady)?;
        if !running.task.is_finished() {
            return Ok(running.commands.clone());
        }
        tracing::error!(group = %key, "a group had ended by itself and begins again");
        let running = self.start(key, config)?;
        let sender = running.commands.clone();
        state.running.insert(key.clone(), running);
        Ok(sender)
    }

    /// What the end is now, when the group is to begin there.
    async fn with_end(
        &self,
        key: &GroupKey,
        mut config: GroupConfig,
    ) -> Result<GroupConfig, SubscriptionError> {
        config.end = match config.start {
            StartFrom::End => self.around.feed.end(&key.source).await?,
            StartFrom::Start | StartFrom::At(_) => None,
        };
        Ok(config)
    }

    /// Notes the groups. `false` when another server had noted others; then these are known, and the caller decides again.
    async fn save(
        &self,
        state: &mut State,
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
                Ok(true)
            }
            Err(error) if error.kind() == Kind::Conflict => {
                self.reload(state).await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads which groups there are, and lets those run and no others.
    async fn reload(&self, state: &mut State) -> Result<(), SubscriptionError> {
        let config = config::load(&*self.around.store).await?;
        let old = std::mem::replace(&mut state.config, config);
        let changed: Vec<GroupKey> = state
            .running
            .keys()
            .filter(|key| old.groups.get(*key) != state.config.groups.get(*key))
            .cloned()
            .collect();
        for key in changed {
            if let Some(running) = state.running.remove(&key) {
                running.stop(End::Dropped).await;
            }
        }
        for (key, config) in &state.config.groups {
            if !state.running.contains_key(key) {
                let running = self.start(key, config.clone())?;
                state.running.insert(key.clone(), running);
            }
        }
        Ok(())
    }

    fn start(&self, key: &GroupKey, config: GroupConfig) -> Result<Running, SubscriptionError> {
        let streams = own_streams(key)?;
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        let run = Runner::run(
            self.around.clone(),
            key.clone(),
            config,
            streams,
            receiver,
            sender.downgrade(),
        );
        Ok(Running {
            commands: sender,
            task: tokio::spawn(run),
        })
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

async fn stop_all(state: &mut State, why: End) {
    let stopping = std::mem::take(&mut state.running);
    let ends = stopping.into_values().map(|one| one.stop(why));
    futures_util::future::join_all(ends).await;
}

fn check(key: &GroupKey, config: &GroupConfig) -> Result<(), SubscriptionError> {
    let failed = |reason| SubscriptionError::failed(key, reason);
    config.settings.validate().map_err(failed)?;
    if key.group.is_empty() {
        return Err(failed("the group has no name".to_owned()));
    }
    own_streams(key).map(|_| ())
}

fn own_streams(key: &GroupKey) -> Result<OwnStreams, SubscriptionError> {
    let failed = |error: factum_types::NameError| SubscriptionError::failed(key, error.to_string());
    Ok(OwnStreams {
        checkpoint: checkpoint_stream(key).map_err(failed)?,
        parked: parked_stream(key).map_err(failed)?,
    })
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

//! One task per group: it moves events between the feed, the group's state, consumers and the streams that the group keeps.
//!
//! The task never waits for one thing only: reading stops when there is no room, writes are jobs beside it, and a store that refuses is
//! asked again later while consumers go on. What goes wrong is said in the group's status, and logged where it is handled.

mod jobs;
mod reading;
mod replay;
mod start;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use factum_store::{EventStore, StoreError};
use factum_types::StreamName;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};

use super::command::{Command, Reply, Status, answer};
use super::config::GroupConfig;
use super::connection::{Answers, End, Inbox, Outbox, connect};
use super::damage::Damage;
use super::delivered::Delivered;
use super::error::SubscriptionError;
use super::feed::Feed;
use super::group::{ConsumerId, Group, Identity};
use super::settings::{CREDIT_MAX, GroupKey};
use crate::world::World;
use jobs::{Busy, Done};
use reading::Read;
use start::Started;
use trouble::Troubles;

/// How many requests and answers wait for a group.
pub(crate) const COMMANDS_MAX: usize = 256;
/// How long a group waits after the store refused something.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a group may take to note where it is when it ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// What all groups of a server share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) feed: Arc<dyn Feed>,
    pub(crate) world: World,
}

/// The streams that a group keeps.
#[derive(Debug, Clone)]
pub(crate) struct OwnStreams {
    pub(crate) checkpoint: StreamName,
    pub(crate) parked: StreamName,
}

type Reads = BoxStream<'static, Result<Read, StoreError>>;

pub(crate) struct Runner {
    around: Surroundings,
    key: GroupKey,
    config: GroupConfig,
    streams: OwnStreams,
    commands: mpsc::Receiver<Command>,
    /// For the consumers' ends; weak, so that a server that is dropped ends its groups.
    sender: mpsc::WeakSender<Command>,
    wake: Arc<Notify>,
    group: Group<Arc<Delivered>>,
    inboxes: BTreeMap<ConsumerId, Inbox>,
    next_consumer: u64,
    /// `None` while the feed is broken, or for ever once its stream is closed.
    feed: Option<Reads>,
    closed: bool,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    busy: Busy,
    /// The next revision of the parked stream to be replayed, and the next to be written.
    replay_next: u64,
    parked_next: u64,
    replay_until: Option<u64>,
    truncated: u64,
    /// What was parked before this was given up, and who waits until it is gone, each up to where.
    given_up: u64,
    giving_up: Vec<(u64, Reply<()>)>,
    /// It ends, and notes what is done however little it is.
    ending: bool,
    troubles: Troubles,
    damage: Arc<Damage>,
}

impl Runner {
    /// Runs a group until it is stopped or its last sender is gone.
    pub(crate) async fn run(
        around: Surroundings,
        key: GroupKey,
        config: GroupConfig,
        streams: OwnStreams,
        mut commands: mpsc::Receiver<Command>,
        sender: mpsc::WeakSender<Command>,
    ) {
        let started = start::start(&around, &key, &config, &streams, &mut commands).await;
        let Some(started) = started else {
            return;
        };
        let mut runner = Self::new(around, key, config, streams, commands, sender, &started);
        let why = loop {
            if let Some(why) = runner.turn().await {
                break why;
            }
        };
        runner.finish(why).await;
    }

    fn new(
        around: Surroundings,
        key: GroupKey,
        config: GroupConfig,
        streams: OwnStreams,
        commands: mpsc::Receiver<Command>,
        sender: mpsc::WeakSender<Command>,
        started: &Started,
    ) -> Self {
        let now = around.world.now();
        let mut group = Group::new(config.settings.clone(), started.after, now);
        if let Some(before) = started.parked.first.checked_sub(1) {
            group.pass_parked(before);
        }
        if started.checkpointed {
            group.resumed();
        }
        let troubles = Troubles::new(key.clone());
        let damage = Arc::new(Damage::new(key.clone()));
        let mut runner = Self {
            around,
            key,
            config,
            streams,
            commands,
            sender,
            wake: Arc::new(Notify::new()),
            group,
            inboxes: BTreeMap::new(),
            next_consumer: 0,
            feed: None,
            closed: false,
            jobs: FuturesUnordered::new(),
            busy: Busy::default(),
            replay_next: started.parked.first,
            parked_next: started.parked.next,
            replay_until: None,
            truncated: started.parked.first,
            given_up: started.parked.first,
            giving_up: Vec::new(),
            ending: false,
            troubles,
            damage,
        };
        runner.follow();
        runner
    }

    /// Waits for something to happen and does what follows from it.
    async fn turn(&mut self) -> Option<End> {
        let now = self.around.world.now();
        self.group.expire(now);
        self.give_out();
        self.end_stopped();
        self.begin_jobs();
        self.group.check();
        let wake_at = self.group.wake_at(now);
        let sleep = wake_at.map(|at| tokio::time::sleep(at.saturating_sub(now)));
        let has_room = self.group.room() > 0;
        let feed = self.feed.as_mut().filter(|_| has_room);
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => return self.heard_from(command),
                None => return Some(End::Shutdown),
            },
            () = self.wake.notified() => return self.sweep(Vec::new()),
            Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.done(done),
            item = next(feed) => self.take(item),
            () = rest(sleep) => {}
        }
        None
    }

    /// Gives out. A queue that was filled is looked at again: it is found full, and whoever takes from it then says so; or something was taken
    /// from it meanwhile, and there is more to give.
    fn give_out(&mut self) {
        let now = self.around.world.now();
        let inboxes = &self.inboxes;
        let window = |id| inboxes.get(&id).map_or(0, Inbox::window);
        loop {
            let deliveries = self.group.dispatch(now, window);
            if deliveries.is_empty() {
                return;
            }
            for delivery in deliveries {
                if let Some(inbox) = inboxes.get(&delivery.consumer) {
                    inbox.send(&delivery);
                }
            }
            if !self.group.starved().any(|id| window(id) > 0) {
                return;
            }
        }
    }

    fn end_stopped(&mut self) {
        for id in self.group.stopped() {
            self.group.disconnect(id);
            if let Some(inbox) = self.inboxes.remove(&id) {
                inbox.end(End::Dropped);
            }
        }
    }

    /// Carries a command out. Who comes is not refused because of one that is gone.
    fn heard_from(&mut self, command: Command) -> Option<End> {
        match command {
            Command::Connect { .. } => self.sweep(vec![command]),
            _ => self.command(command),
        }
    }

    /// Ends consumers that are gone, after the answers that they sent before, which wait with other commands. Carries these out then, as well
    /// as those that were `taken` already.
    fn sweep(&mut self, taken: Vec<Command>) -> Option<End> {
        let gone = self.inboxes.iter().filter(|(_, inbox)| inbox.is_gone());
        let gone: Vec<ConsumerId> = gone.map(|(id, _)| *id).collect();
        let waiting = if gone.is_empty() {
            taken
        } else {
            self.waiting(taken)
        };
        let (answers, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(Command::is_answer);
        for answer in answers {
            self.command(answer);
        }
        for id in gone {
            self.inboxes.remove(&id);
            self.group.disconnect(id);
        }
        others.into_iter().find_map(|other| self.command(other))
    }

    /// With what was taken what waits now, and not what comes meanwhile: that need not end.
    fn waiting(&mut self, mut taken: Vec<Command>) -> Vec<Command> {
        let now = self.commands.len();
        taken.extend((0..now).map_while(|_| self.commands.try_recv().ok()));
        taken
    }

    fn command(&mut self, command: Command) -> Option<End> {
        let now = self.around.world.now();
        match command {
            Command::Connect {
                identity,
                credit,
                reply,
            } => self.connect(identity, credit, reply),
            Command::Ack { consumer, ids } => {
                for id in ids {
                    self.group.ack(consumer, id, now);
                }
            }
            Command::Nack {
                consumer,
                ids,
                action,
                reason,
            } => {
                self.group.nack(consumer, &ids, action, &reason, now);
            }
            Command::Status { reply } => answer(reply, Ok(self.status())),
            Command::Replay { stop_at, reply } => {
                let until = stop_at.unwrap_or(u64::MAX).min(self.parked_next);
                self.replay_until = self.replay_until.max(Some(until));
                answer(reply, Ok(()));
            }
            Command::Truncate { stop_at, reply } => {
                self.give_up(stop_at.unwrap_or(u64::MAX).min(self.parked_next), reply);
            }
            Command::Stop { why } => return Some(why),
        }
        None
    }

    fn connect(&mut self, identity: Identity, credit: usize, reply: Reply<(Outbox, Answers)>) {
        let id = ConsumerId(self.next_consumer);
        self.next_consumer += 1;
        let credit = credit.clamp(1, CREDIT_MAX);
        let now = self.around.world.now();
        let Some(sender) = self.sender.upgrade() else {
            return answer(reply, Err(SubscriptionError::NotReady));
        };
        if self.group.connect(id, identity, credit, now).is_err() {
            let refused = SubscriptionError::TooManyConsumers(self.key.clone());
            return answer(reply, Err(refused));
        }
        let (inbox, outbox, answers) = connect(id, credit, sender, &self.wake);
        self.inboxes.insert(id, inbox);
        answer(reply, Ok((outbox, answers)));
    }

    fn status(&mut self) -> Status {
        let mut words = vec![];
        let statistics = self.group.statistics(self.around.world.now());
        words.push(if statistics.live { "Live" } else { "Behind" });
        if self.replay_until.is_some() || !self.group.has_replayed_all() {
            words.push("ReplayingParkedMessages");
        }
        if self.closed {
            words.push("StreamDeleted");
        }
        if self.troubles.has_any() {
            words.push("StoreRefuses");
        }
        Status {
            words: words.join(", "),
            statistics,
            parked: self.parked_next.saturating_sub(self.replay_next),
        }
    }

    /// Notes where the group is, as far as the store does it in time, and ends its consumers.
    async fn finish(mut self, why: End) {
        self.replay_until = None;
        self.ending = true;
        if tokio::time::timeout(FAREWELL, self.settle()).await.is_err() {
            tracing::warn!(group = %self.key, "a group ended without noting where it was");
        }
        for (_, inbox) in std::mem::take(&mut self.inboxes) {
            inbox.end(why);
        }
    }

    async fn settle(&mut self) {
        loop {
            self.begin_jobs();
            self.begin_last_checkpoint();
            match self.jobs.next().await {
                Some(done) => self.done(done),
                None => return,
            }
        }
    }
}

async fn next(feed: Option<&mut Reads>) -> Option<Result<Read, StoreError>> {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}

async fn rest(sleep: Option<tokio::time::Sleep>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

//! Long runs drawn from a seed: appends of every kind, background work, power cuts, kills, failing calls, full disks, and after each of
//! them a recovery that is looked at in full.
//!
//! Relies on: the workload. Never: lets a fault and a lost power be confused: after a fault the store must still be whole.

use factum_io::sim::{Fault, FaultRule, OpKind, SectorSize, SimDisk, SimEnv};
use factum_store::Kind;

use crate::compare::compare;
use crate::history::{History, Model, Request};
use crate::layer::crash;
use crate::oracle;
use crate::session::{Session, Settings};
use crate::violation::{Checked, Violation, ensure, short};
use crate::workload::{Action, Sizes, Workload};

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    seed: u64,
    workload: Workload,
    pub(crate) history: History,
    pub(crate) model: Model,
    settings: Settings,
    faults: Faults,
    states: u64,
}

/// What goes wrong besides power cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    /// Calls fail.
    Errors,
    /// The disk is full at times.
    Full,
}

/// How a life of the store ended.
enum Ending {
    /// Every action was done.
    Done,
    /// The power failed.
    Off,
    /// The log failed, so that the store must be opened again.
    Failed,
}

/// Runs one seed.
///
/// # Errors
/// The broken promise.
pub fn case(seed: u64) -> Checked<u64> {
    let mut run = Run::new(seed);
    let (disk, states) = run.lives(SimDisk::new())?;
    if seed.is_multiple_of(100) {
        oracle::check_idempotent(&disk.fork(), seed, &run.settings)?;
        let mut again = Run::new(seed);
        let (other, _) = again.lives(SimDisk::new())?;
        ensure(disk.fingerprint() == other.fingerprint(), || {
            "the same seed left other bytes".into()
        })?;
    }
    Ok(states)
}

impl Run {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x0005_EED0_F5EE_D000);
        let sizes = if random.bool() {
            Sizes::Mixed
        } else {
            Sizes::Small
        };
        let settings = Settings {
            segment_bytes: [64 << 10, 64 << 10, 96 << 10, 256 << 10][random.usize(0..4)],
            streams_in_memory: if random.u8(0..4) == 0 { 4 } else { 1 << 20 },
            accept_loss: false,
        };
        let faults = match random.u8(0..8) {
            0 | 1 => Faults::Errors,
            2 => Faults::Full,
            _ => Faults::None,
        };
        Self {
            seed,
            workload: Workload::new(seed, sizes),
            history: History::default(),
            model: Model::default(),
            settings,
            faults,
            states: 0,
        }
    }

    fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.workload.random
    }

    /// Several lives on one disk, each ending its own way; gives the disk at the end.
    fn lives(&mut self, mut disk: SimDisk) -> Checked<(SimDisk, u64)> {
        if self.random().u8(0..6) == 0 {
            disk.set_sector_size(SectorSize::Bytes4096);
        }
        let lives = self.random().usize(1..5);
        for life in 0..lives {
            let actions = self.random().usize(12..60);
            disk = self
                .life(disk, actions)
                .map_err(|v| v.at(format_args!("life {life}")))?;
        }
        let history = &mut self.history;
        let settings = Settings {
            streams_in_memory: 1 << 20,
            ..self.settings
        };
        let after = disk.fork();
        oracle::check(
            &after,
            &mut history.clone(),
            oracle::Depth::GoesOn,
            self.seed,
            &settings,
        )?;
        Ok((disk, self.states + 1))
    }

    /// One life and the recovery before it; gives the disk that it leaves, on which nothing is planned any more.
    fn life(&mut self, disk: SimDisk, actions: usize) -> Checked<SimDisk> {
        let disk = self.live(disk, actions)?;
        disk.clear_faults();
        disk.set_capacity(None);
        disk.power_off_at(u64::MAX);
        Ok(disk)
    }

    fn live(&mut self, disk: SimDisk, actions: usize) -> Checked<SimDisk> {
        let disk = self.recover_with_trouble(disk)?;
        let seed = self.random().u64(..);
        let world = SimEnv::on(disk, seed);
        let mut session = self.open(&world)?;
        self.states += 1;
        self.plan_trouble(&world.disk);
        match self.act(&mut session, actions)? {
            Ending::Done => self.end_life(session),
            Ending::Off => {
                let policy = crash::policy(self.random());
                Ok(session.world.disk.crash(policy))
            }
            Ending::Failed => self.after_failure(session),
        }
    }

    /// Sometimes opening itself is interrupted, or fails; then it is done again.
    fn recover_with_trouble(&mut self, disk: SimDisk) -> Checked<SimDisk> {
        let seed = self.random().u64(..);
        match self.random().u8(0..6) {
            0 => {
                let at = self.random().u64(1..12);
                disk.power_off_at(at);
                // Whether it got to the end or not: the power is gone afterwards.
                drop(Session::open(disk.clone(), seed, &self.settings));
                let policy = crash::policy(self.random());
                Ok(disk.crash(policy))
            }
            1 if self.faults == Faults::Errors => {
                let nth = self.random().u64(1..30);
                let fault = self.error();
                disk.fail(FaultRule::once(factum_io::sim::Calls::Any, nth, fault));
                if let Ok(session) = Session::open(disk.clone(), seed, &self.settings) {
                    let report = session.engine.report();
                    ensure(!report.degraded, || {
                        format!("a failing call is taken for damage: {}", short(report))
                    })?;
                    drop(session);
                }
                disk.clear_faults();
                Ok(disk.fork())
            }
            _ => Ok(disk),
        }
    }

    fn open(&mut self, world: &SimEnv) -> Checked<Session> {
        let session = Session::open_in(world.clone(), &self.settings)
            .map_err(|error| Violation::new(format!("opening: {error}")))?;
        self.check_opened(&session)?;
        Ok(session)
    }

    fn check_opened(&mut self, session: &Session) -> Checked {
        let report = session.engine.report();
        ensure(session.is_writable() && report.damage.is_empty(), || {
            format!("a false alarm: {}", short(report))
        })?;
        let salt = self.random().u64(..);
        oracle::check_recovered(session, &mut self.history, &mut self.model, salt)?;
        self.learn();
        Ok(())
    }

    /// Tells the workload how far the streams are.
    fn learn(&mut self) {
        let request = factum_store::StreamsRequest::default();
        use factum_store::EventStore;
        if let Ok(Ok(streams)) = crate::poll::now("streams", self.model.store.streams(request)) {
            for info in streams {
                let next = info
                    .last_revision
                    .map_or(0, |revision| revision.number() + 1);
                self.workload.learn(&info.stream, next);
            }
        }
    }

    fn error(&mut self) -> Fault {
        let length = self.random().usize(0..16) * 512;
        let faults = [
            Fault::Eio,
            Fault::EioCleanPage,
            Fault::EioRevert,
            Fault::Enospc,
            Fault::Emfile,
            Fault::ShortWrite(length),
        ];
        faults[self.random().usize(0..faults.len())]
    }

    fn plan_trouble(&mut self, disk: &SimDisk) {
        if self.random().u8(0..3) > 0 {
            let at = self.random().u64(1..60);
            disk.power_off_at(at);
        }
        let faults = self.faults;
        match faults {
            Faults::Errors if self.random().bool() => {
                let nth = self.random().u64(1..40);
                let fault = self.error();
                let kinds = [
                    OpKind::WriteDurable,
                    OpKind::Write,
                    OpKind::SyncAll,
                    OpKind::SyncDir,
                    OpKind::Create,
                    OpKind::Open,
                    OpKind::Allocate,
                    OpKind::Remove,
                    OpKind::SetLen,
                ];
                let kind = kinds[self.random().usize(0..kinds.len())];
                disk.fail(FaultRule::once(kind, nth.min(12), fault));
            }
            Faults::Full => {
                let used: u64 = files_bytes(disk);
                let room = self.random().u64(0..300 << 10);
                disk.set_capacity(Some(used + room));
            }
            Faults::Errors | Faults::None => {}
        }
    }

    fn act(&mut self, session: &mut Session, actions: usize) -> Checked<Ending> {
        for number in 0..actions {
            let action = self.workload.draw();
            self.action(session, action)
                .map_err(|v| v.at(format_args!("action {number}")))?;
            if session.is_off() {
                return Ok(Ending::Off);
            }
            if session.poisoned() {
                return Ok(Ending::Failed);
            }
            if self.faults == Faults::Full && session.refusals.contains(&Kind::Full) {
                self.free_space(session)?;
                if session.is_off() {
                    return Ok(Ending::Off);
                }
            }
        }
        Ok(Ending::Done)
    }

    /// When there is space again, appends go on without opening again.
    fn free_space(&mut self, session: &mut Session) -> Checked {
        session.world.disk.set_capacity(None);
        session.refusals.clear();
        session.drain(&mut self.history)?;
        if session.is_off() {
            return Ok(());
        }
        session.refusals.clear();
        let request = Request::Append(factum_store::AppendBatch::events(
            crate::workload::named(factum_types::StreamName::new("after-full")),
            factum_types::ExpectedRevision::Any,
            vec![self.workload.event(true)],
        ));
        let before = session.acknowledged;
        session.ask(&mut self.history, request)?;
        session.drain(&mut self.history)?;
        ensure(session.acknowledged > before || session.is_off(), || {
            format!(
                "there is space again, and appends are refused: {:?}",
                session.refusals
            )
        })
    }

    fn action(&mut self, session: &mut Session, action: Action) -> Checked {
        let history = &mut self.history;
        match action {
            Action::Ask(request) => {
                let hidden = !matches!(request, Request::Append(_));
                if !(hidden && history.hidden_is_open()) {
                    session.ask(history, request)?;
                }
            }
            Action::Build => drop(session.build(history)?),
            Action::Write(which) => drop(session.write(which)),
            Action::Complete(which) => drop(session.complete(history, which)?),
            Action::BuildCheckpoint => drop(session.build_checkpoint()),
            Action::Drain => session.drain(history)?,
            // Failing is allowed; losing anything by it is not.
            Action::Maintain => drop(session.maintain()),
            Action::MaintainAll => while session.maintain().is_ok_and(|more| more) {},
            Action::Compare => self.compare(session)?,
            Action::Peek(number) => self.peek(session, number)?,
            Action::Follow(source) => session.subscribe(source),
            Action::PollFollowers => session.poll_followers(history)?,
            Action::Reopen => self.reopen(session, false)?,
            Action::Kill => self.reopen(session, true)?,
            Action::Clock(by) => {
                let now = factum_io::Clock::now_us(&session.world.clock);
                session.world.clock.set_now_us(now.saturating_add(by));
            }
            Action::Abandon(which) => session.abandon(which),
        }
        Ok(())
    }

    fn compare(&mut self, session: &mut Session) -> Checked {
        if session.is_off() {
            return Ok(());
        }
        if let Some(Ok(bytes)) = session
            .world
            .disk
            .files()
            .iter()
            .rev()
            .map(|file| session.world.disk.read_file(file).ok_or(()))
            .next()
        {
            self.workload.forge_from(&bytes);
        }
        session.settle(&mut self.history)?;
        self.model.follow(&self.history.log)?;
        let salt = self.random().u64(..);
        compare(&session.engine, &self.model, &self.history, salt)?;
        session.check_followers(&mut self.history)?;
        self.learn();
        Ok(())
    }

    fn peek(&mut self, session: &Session, number: u64) -> Checked {
        if session.is_off() {
            return Ok(());
        }
        let from = number % (self.history.end + 1);
        for event in crate::compare::scan(&session.engine, from)? {
            self.history.show(&event)?;
        }
        Ok(())
    }

    /// Ends this process, kindly or not, and opens the store again on the same disk.
    fn reopen(&mut self, session: &mut Session, kill: bool) -> Checked {
        if !kill {
            session.drain(&mut self.history)?;
        }
        if session.is_off() || session.poisoned() {
            return Ok(());
        }
        if kill {
            session.begin_writes();
            if session.is_off() {
                return Ok(());
            }
        }
        if !kill {
            let closed = session.engine.close();
            if session.is_off() {
                return Ok(());
            }
            let fine = closed.is_ok() || self.faults == Faults::Errors;
            ensure(fine, || {
                format!("closing fails without a cause: {}", short(&closed))
            })?;
        }
        let world = session.replace_world();
        world.disk.clear_faults();
        world.disk.set_capacity(None);
        match Session::open_in(world.clone(), &self.settings) {
            Ok(opened) => {
                *session = opened;
                self.check_opened(session)
            }
            Err(error) if error.to_string().contains("power lost") => {
                session.world = world;
                session.lose_power();
                Ok(())
            }
            Err(error) => Err(Violation::new(format!("opening again: {error}"))),
        }
    }

    fn end_life(&mut self, mut session: Session) -> Checked<SimDisk> {
        if self.random().bool() {
            session.begin_writes();
            let policy = crash::policy(self.random());
            return Ok(session.world.disk.crash(policy));
        }
        session.drain(&mut self.history)?;
        if session.is_off() {
            let policy = crash::policy(self.random());
            return Ok(session.world.disk.crash(policy));
        }
        let disk = session.world.disk.clone();
        let quiet = session.refusals.is_empty();
        let closed = session.close();
        let fine = closed.is_ok() || !quiet || self.faults == Faults::Errors;
        // The disk is asked, not the engine: that may have swallowed the error.
        let off = crate::session::has_no_power(&disk);
        ensure(fine || off, || "closing fails without a cause".to_owned())?;
        disk.clear_faults();
        disk.set_capacity(None);
        if off {
            let policy = crash::policy(self.random());
            return Ok(disk.crash(policy));
        }
        Ok(disk.fork())
    }

    /// The log has failed: nothing is acknowledged any more, what was published is still read.
    fn after_failure(&mut self, mut session: Session) -> Checked<SimDisk> {
        let before = session.acknowledged;
        let request = self.workload.request();
        if matches!(request, Request::Append(_)) {
            session.ask(&mut self.history, request)?;
        }
        session.drain(&mut self.history)?;
        let disk = session.world.disk.clone();
        if !session.is_off() {
            ensure(session.acknowledged == before, || {
                "an append succeeded after the log had failed".into()
            })?;
            disk.clear_faults();
            self.peek(&session, 0)?;
        }
        let crash = session.is_off() || self.random().bool();
        let policy = crash::policy(self.random());
        if crash {
            return Ok(disk.crash(policy));
        }
        let after = disk.fork();
        after.clear_faults();
        after.set_capacity(None);
        Ok(after)
    }
}

fn files_bytes(disk: &SimDisk) -> u64 {
    disk.files()
        .iter()
        .filter_map(|file| disk.read_file(file))
        .map(|bytes| bytes.len() as u64)
        .sum()
}

//! Work in the background: preparing the next segment, sealing full ones.
//!
//! One step at a time, so that the simulator can take them too. Never: runs beside itself; holds up the commit path, except when segments
//! fill faster than they can be sealed.

use std::io;
use std::sync::Arc;

use crate::core::Core;
use crate::seal::Sealer;
use crate::supply::{PREPARE_FROM, Supply};
use crate::sync::{Condvar, Mutex, lock, wait};

/// Committers wait when more segments than this have no index yet.
const UNSEALED_MAX: usize = 8;

/// Work in the background.
#[derive(Debug)]
pub(crate) struct Maintenance {
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) supply: Arc<Supply>,
    /// Held while a step is taken.
    stepping: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
    /// A step is done.
    sealed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    stopped: bool,
    /// Why the last step failed, if it did.
    failure: Option<String>,
}

impl Maintenance {
    pub(crate) fn new(sealer: Arc<Sealer>, supply: Arc<Supply>) -> Self {
        Self {
            sealer,
            supply,
            stepping: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            sealed: Condvar::new(),
        }
    }

    /// Says that there may be work.
    pub(crate) fn want(&self) {
        lock(&self.state).wanted = true;
        self.changed.notify_one();
    }

    /// Says so if the segment being written is filling up and the next is not ready.
    pub(crate) fn want_if_filling(&self, core: &Core) {
        if self.is_filling(core) {
            self.want();
        }
    }

    fn is_filling(&self, core: &Core) -> bool {
        let left = core.log.room_max() * (100 - PREPARE_FROM) / 100;
        core.log.room() < left && !self.supply.is_ready()
    }

    /// Ends the thread after the step under way.
    pub(crate) fn stop(&self) {
        self.supply.hurry();
        lock(&self.state).stopped = true;
        self.changed.notify_all();
        self.sealed.notify_all();
    }

    /// Holds a committer back while too many segments wait to be sealed: each of them is held in memory.
    pub(crate) fn hold_back(&self, core: &Core) {
        if !Self::is_behind(core) {
            return;
        }
        let mut state = lock(&self.state);
        state.wanted = true;
        self.changed.notify_one();
        // If sealing fails, memory is what must give: appends go on until there is no room for a segment.
        while Self::is_behind(core) && !state.stopped && state.failure.is_none() {
            state = wait(&self.sealed, state);
        }
    }

    fn is_behind(core: &Core) -> bool {
        core.reader.published.view().unsealed.len() > UNSEALED_MAX
    }

    /// Does one thing, if there is one to do.
    pub(crate) fn step(&self, core: &Core) -> io::Result<bool> {
        let _alone = lock(&self.stepping);
        let behind = core.reader.published.view().unsealed.len() > 1;
        if self.is_filling(core) {
            self.supply.prepare(behind)?;
            return Ok(true);
        }
        if self.sealer.catalog.write_notes()? {
            return Ok(true);
        }
        self.sealer.seal_next(&core.reader.published)
    }

    /// Seals what is worth it, for the next opening; nothing may be appended any more. What cannot be sealed now is read then, and what is damaged
    /// is met again.
    pub(crate) fn seal_rest(&self, core: &Core) {
        let _alone = lock(&self.stepping);
        let published = &core.reader.published;
        if published.view().unsealed_is_whole() {
            while let Ok(true) = self.sealer.seal_next(published) {}
            if self.supply.is_ready() {
                drop(self.sealer.seal_last(published));
            }
        }
        core.reader.buffers.release();
    }

    /// Why the last step failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.state).failure.clone()
    }

    /// The thread: works whenever something is wanted, until stopped.
    pub(crate) fn run(&self, core: &Core) {
        let _last_will = LastWill(self);
        loop {
            let mut state = lock(&self.state);
            while !state.wanted && !state.stopped {
                state = wait(&self.changed, state);
            }
            if state.stopped {
                return;
            }
            state.wanted = false;
            drop(state);
            self.work(core);
        }
    }

    fn work(&self, core: &Core) {
        loop {
            if lock(&self.state).stopped {
                return;
            }
            let done = self.step(core);
            let mut state = lock(&self.state);
            // Appends go on while there is room; the next wish tries again. Without space they are told so.
            state.failure = done.as_ref().err().map(ToString::to_string);
            drop(state);
            self.sealed.notify_all();
            if !done.unwrap_or(false) {
                return;
            }
        }
    }
}

/// If the thread panics, committers do not wait for it any more, and whoever asks learns of it.
struct LastWill<'a>(&'a Maintenance);

impl Drop for LastWill<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = lock(&self.0.state);
            state.failure =
                Some("the thread of the background work panicked; please report this".to_owned());
            drop(state);
            self.0.sealed.notify_all();
        }
    }
}

//! Work in the background: preparing the next segment, sealing full ones.
//!
//! One step at a time, so that the simulator can take them too. Never: runs beside itself; holds up the commit path, except when segments
//! fill faster than they can be sealed.

use std::io;
use std::sync::Arc;

use crate::core::Core;
use crate::seal::Sealer;
use crate::supply::Supply;
use crate::sync::{Condvar, Mutex, lock, wait};

/// Preparing ahead begins when less than this part of the segment is left: one in so many.
const PREPARE_AT: u64 = 2;

/// Work in the background.
#[derive(Debug)]
pub(crate) struct Maintenance {
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) supply: Arc<Supply>,
    state: Mutex<State>,
    changed: Condvar,
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
        Self { sealer, supply, state: Mutex::default(), changed: Condvar::new() }
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
        core.log.room() < core.log.room_max() / PREPARE_AT && !self.supply.is_ready()
    }

    /// Ends the thread after the step under way.
    pub(crate) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }

    /// Does one thing, if there is one to do.
    pub(crate) fn step(&self, core: &Core) -> io::Result<bool> {
        if self.is_filling(core) {
            self.supply.prepare()?;
            return Ok(true);
        }
        self.sealer.seal_next(&core.reader.published)
    }

    /// Why the last step failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.state).failure.clone()
    }

    /// The thread: works whenever something is wanted, until stopped.
    pub(crate) fn run(&self, core: &Core) {
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
            match self.step(core) {
                Ok(true) => lock(&self.state).failure = None,
                Ok(false) => return,
                Err(error) => {
                    // Appends go on while there is room; the next wish tries again. Without space they are told so.
                    lock(&self.state).failure = Some(error.to_string());
                    return;
                }
            }
        }
    }
}

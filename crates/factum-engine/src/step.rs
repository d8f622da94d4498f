//! The engine one step at a time, for the simulator: the same core, without threads.
//!
//! Whoever drives this decides when a frame is built, written, torn or completed, and when background work is done.
//! Not part of the public promise.
#![doc(hidden)]

use std::io;
use std::sync::Arc;

use factum_io::Env;
use factum_io::disk::DiskFileExt;
use factum_store::StoreError;

use crate::core::{Core, Job};
use crate::engine::Engine;
use crate::log::Commit;
use crate::maintain::Maintenance;
use crate::options::Options;

/// Drives a store step by step.
#[derive(Debug)]
pub struct Steps {
    core: Option<Arc<Core>>,
    maintenance: Option<Arc<Maintenance>>,
}

/// A frame that has been built and not yet been completed.
#[derive(Debug)]
pub struct Frame(Job);

/// What came of writing a frame.
#[derive(Debug)]
pub struct Written(Commit);

impl Steps {
    /// Opens a store without threads.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open(options: &Options, env: Env) -> Result<(Engine, Self), StoreError> {
        let (engine, core, maintenance) = Engine::open_stepwise(options, env)?;
        Ok((engine, Self { core, maintenance }))
    }

    /// Whether the store can be written.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.core.is_some()
    }

    /// Builds the next frame from what waits.
    #[must_use]
    pub fn build(&self) -> Option<Frame> {
        self.core.as_ref()?.build().map(Frame)
    }

    /// Builds a frame that only says what is durable.
    #[must_use]
    pub fn build_checkpoint(&self) -> Option<Frame> {
        self.core.as_ref()?.build_checkpoint().map(Frame)
    }

    /// Writes a frame as a committer does; it is not completed yet.
    #[must_use]
    pub fn write(&self, frame: &Frame) -> Option<Written> {
        self.core
            .as_ref()
            .map(|core| Written(core.log.commit(&frame.0.placed)))
    }

    /// Completes a frame with what came of writing it: publishes and answers what can be.
    pub fn complete(&self, frame: Frame, written: Written) {
        if let Some(core) = &self.core {
            core.complete(frame.0, written.0);
        }
    }

    /// Does one thing of the background work; says whether there was one.
    ///
    /// # Errors
    /// As files fail.
    pub fn maintain(&self) -> io::Result<bool> {
        match (&self.core, &self.maintenance) {
            (Some(core), Some(maintenance)) => maintenance.step(core),
            _ => Ok(false),
        }
    }

    /// Whether nothing waits and nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.core.as_ref().is_none_or(|core| core.is_idle())
    }

    /// How many frames are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.core.as_ref().map_or(0, |core| core.under_way())
    }
}

impl Frame {
    /// Puts the frame's bytes on the disk without making them durable, as a write that was under way when the power went out: each of its
    /// sectors may survive or not.
    ///
    /// # Errors
    /// As the disk says.
    pub fn begin_write(&self) -> io::Result<()> {
        match &self.0.placed.file {
            Some(file) => {
                file.write_all_at(self.0.placed.pages.as_slice(), self.0.placed.pages_offset)
            }
            None => Ok(()),
        }
    }

    /// The frame's sequence number.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.0.placed.header.frame_seq
    }
}

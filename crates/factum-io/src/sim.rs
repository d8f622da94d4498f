//! A world in memory, in which everything that can go wrong with a disk does so on command and repeatably.
//!
//! [`SimDisk`] holds two versions of everything: what a running process sees, and what is durable. The differences are
//! *pending units*: a sector, a length, or a change of a name. [`SimDisk::crash`] ends the process and keeps those
//! units that a [`CrashPolicy`] chooses, each on its own, in any order. Besides: power lost in the middle of the nth
//! call, errors at the nth call, lying syncs, full disks, and rot.
//!
//! What is kinder than a real disk: of two pending writes to one sector only the newer can survive; a pending rename
//! inside one directory survives whole or not at all; a lock does not outlive a crash.
//!
//! Relies on: nothing but memory. Never: asks the operating system for time or randomness; panics on a wrong request.
//!
//! ```
//! use factum_io::{DiskFileExt, Open, sim};
//! use std::path::Path;
//!
//! let world = sim::SimEnv::new(7);
//! let env = world.env();
//! let file = env.disk.open(Path::new("/log"), Open::create_new())?;
//! file.write_all_at(&[1; 1024], 0)?;
//! file.sync()?;
//! env.disk.sync_dir(Path::new("/"))?;
//! file.write_all_at(&[2; 1024], 0)?; // not synced: two pending sectors
//! assert_eq!(world.disk.pending_units(), 2);
//! let after = world.disk.crash(sim::CrashPolicy::Mask(0b10)); // the second one survives
//! assert_eq!(after.read_file("/log").unwrap(), [[1; 512], [2; 512]].concat());
//! # Ok::<(), std::io::Error>(())
//! ```

mod clock;
mod crash;
mod disk;
mod env;
mod fault;
mod file;
mod image;
mod inode;
mod inspect;
mod names;
mod random;
mod rot;
mod spawn;
mod state;

pub use clock::SimClock;
pub use crash::{CrashPolicy, SectorSize};
pub use disk::SimDisk;
pub use env::SimEnv;
pub use fault::{Calls, Fault, FaultRule, OpKind, is_power_loss};
pub use random::SimRandom;
pub use spawn::SimSpawner;

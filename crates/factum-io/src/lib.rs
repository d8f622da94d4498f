//! The only door to files, clocks, randomness and threads.
//!
//! Everything Factum does to the world outside its memory goes through the four traits bundled in [`Env`]:
//! [`Disk`], [`Clock`], [`Random`] and [`Spawner`]. Module [`real`] implements them over the operating system;
//! module [`sim`] implements them in memory, where power fails at any call, writes tear, disks fill up and bits rot,
//! on command or by a seed: the same seed gives the same run.
//!
//! Relies on: Linux (through `rustix`); nothing else of Factum. Never: decides what is stored, retries a failed sync,
//! hides an error.
//!
//! ```
//! use factum_io::{DiskFileExt, Open, sim};
//! use std::path::Path;
//!
//! let world = sim::SimEnv::new(7);
//! let env = world.env(); // what an engine is given; `Env::real()` outside of tests
//! let file = env.disk.open(Path::new("/log"), Open::create_new())?;
//! file.write_all_durable_at(b"hello", 0)?;
//! let lost = world.disk.crash(sim::CrashPolicy::KeepNone);
//! assert!(lost.files().is_empty(), "the bytes were durable, the name was not");
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod buffer;
pub mod clock;
pub mod disk;
mod env;
mod error;
pub mod random;
pub mod real;
pub mod sim;
pub mod spawn;

pub use buffer::AlignedBuf;
pub use clock::Clock;
pub use disk::{Access, Advice, DirLock, Disk, DiskFile, DiskFileExt, Open, read_to_end};
pub use env::Env;
pub use error::{is_out_of_space, is_unreadable, raw_os_error};
pub use random::Random;
pub use spawn::{JoinHandle, Spawner};

//! The operating system: files by `rustix`, clocks and threads by `std`.
//!
//! Relies on: Linux. Never: buffers, caches or orders anything by itself; one call is one system call, except for
//! interruptions, which are repeated, and for the fallbacks that the methods document.

mod clock;
mod disk;
mod file;
mod random;
mod spawn;

pub use clock::RealClock;
pub use disk::RealDisk;
pub use random::RealRandom;
pub use spawn::RealSpawner;

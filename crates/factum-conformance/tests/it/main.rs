//! The memory store passes the suite, and the suite fails stores that do not keep the promise.

mod memory;

//! Loan applications of a Dutch bank, typed from a real log: 262,200 events of 13,087 applications (BPI Challenge 2012,
//! doi 10.4121/uuid:3926db30-f712-4394-aebc-75976070e91f). The log is not ours to pass on; the tests use it where it lies beside the
//! project, and a few applications made up for the purpose everywhere.
//!
//! | module | what is there |
//! |---|---|
//! | [`event`] | the 24 types of events, byte for byte as they are stored |
//! | [`command`] | what may be asked, and why it is refused |
//! | [`application`] | the state, the fold and the rules |
//! | [`work`] | the work on an application |
//! | [`log`] | bringing the log into a store |
//! | [`report`] | outcomes, durations, and whether the rules explain what happened |

pub mod application;
pub mod command;
pub mod event;
pub mod log;
pub mod report;
pub mod work;

pub use application::{LoanApplication, Status};
pub use command::{LoanCommand, Refusal};
pub use event::LoanEvent;

/// The category of the streams: `loanApplication-173688` is one.
pub const CATEGORY: &str = "loanApplication";

//! Bank accounts: money goes from one to another, and never gets lost on the way.
//!
//! An account is one stream and knows nothing of others. A transfer between two is a process: it debits the one and credits the other, each
//! with a message; it gives the money back when the other does not take it; it waits when there is not enough, and gives up after a day.

mod account;
mod letters;
mod transfer;

pub use account::{Account, AccountCommand, AccountEvent, CENTS_MAX, No};
pub use letters::{Letters, Post};
pub use transfer::{
    GIVE_UP, GIVE_UP_AFTER, Step, TRY_AGAIN, TRY_AGAIN_AFTER, Transfer, TransferEvent,
};

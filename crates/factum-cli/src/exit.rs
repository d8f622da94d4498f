//! Exit codes: what a script may branch on. The text of `factum help exit-codes` is made from the same table.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All that was asked was done.
    Ok,
    /// Something failed that no other code names.
    Error,
    /// The command line is wrong.
    Usage,
    /// What was asked for is not there.
    NotFound,
    /// An expectation about a stream does not hold.
    Conflict,
    /// A sink refuses the password.
    Denied,
    /// The store cannot be had: locked by another process, or passing trouble.
    Unreachable,
    /// Stored bytes are not what was written.
    Integrity,
    /// Some items failed, the others were done.
    Partial,
    /// Ended by Ctrl-C.
    Interrupted,
}

/// Every code with its meaning, in the order of the numbers.
pub(crate) const MEANINGS: &[(u8, &str)] = &[
    (0, "everything asked for was done"),
    (1, "it failed; the message says why"),
    (2, "the command line is wrong; nothing was touched"),
    (3, "the stream, event, file or store is not there"),
    (
        4,
        "an expectation does not hold: about a stream (nothing was written), or about a read model",
    ),
    (5, "not allowed: a sink refuses the password"),
    (
        6,
        "the store or a sink cannot be had now: another process holds it, or it is down; try again",
    ),
    (7, "stored bytes are damaged; everything else was read"),
    (8, "some items were skipped or failed; the others were done"),
    (130, "ended by Ctrl-C"),
];

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Denied => 5,
            Self::Unreachable => 6,
            Self::Integrity => 7,
            Self::Partial => 8,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::{Exit, MEANINGS};

    #[test]
    fn every_code_is_documented_once() {
        let all = [
            Exit::Ok,
            Exit::Error,
            Exit::Usage,
            Exit::NotFound,
            Exit::Conflict,
            Exit::Denied,
            Exit::Unreachable,
            Exit::Integrity,
            Exit::Partial,
            Exit::Interrupted,
        ];
        for exit in all {
            let times = MEANINGS
                .iter()
                .filter(|(code, _)| *code == exit.code())
                .count();
            assert_eq!(times, 1, "{exit:?}");
        }
        assert!(MEANINGS.is_sorted_by_key(|(code, _)| *code));
    }
}

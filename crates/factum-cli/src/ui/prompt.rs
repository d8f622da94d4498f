//! Asking before something that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use super::escape;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

/// Goes on only if the person at the terminal types `yes`.
pub(super) fn confirm(question: &str) -> Outcome {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(
            Failure::usage(format!("{question} This needs a yes.")).hint(
                "nobody can be asked here: add --yes to go ahead, or --dry-run where there is one",
            ),
        );
    }
    let failed = |error: io::Error| Failure::io("cannot ask", &error);
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{} Type yes to go on: ", escape::words(question)).map_err(failed)?;
    stderr.flush().map_err(failed)?;
    drop(stderr);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    if matches!(answer.trim(), "yes" | "y" | "YES" | "Yes") {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Error,
        "declined",
        "not confirmed, nothing was done",
    ))
}

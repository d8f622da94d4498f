//! The lock file of events: which shapes are stored, one line for each version of each event, kept with the code.
//!
//! What lives here: the check that the derive makes when the code is compiled (`#[event(lock = LOCK)]`, where `LOCK` is a constant made
//! by `include_str!("../events.lock")`), and the same for
//! events written by hand. Relies on: the text of the file. Never: writes it; a line is added by someone who means it.
//!
//! ```text
//! # lines that begin with # are for people
//! OrderPlaced v1 { customer: String, total: u64 }
//! OrderPlaced v2 { customer: String, total: Money }
//! OrderShipped v1 {}
//! ```

use crate::error::Error;
use crate::event::Event;

/// Whether the text has a line that is this one, or, unless `whole`, begins with it.
#[must_use]
pub const fn has_line(text: &str, line: &str, whole: bool) -> bool {
    let (text, line) = (text.as_bytes(), line.as_bytes());
    let mut start = 0;
    while start < text.len() {
        let mut end = start;
        while end < text.len() && text[end] != b'\n' && text[end] != b'\r' {
            end += 1;
        }
        if begins(text, start, end, line) && (!whole || end - start == line.len()) {
            return true;
        }
        start = end + 1;
    }
    false
}

const fn begins(text: &[u8], start: usize, end: usize, line: &[u8]) -> bool {
    if end - start < line.len() {
        return false;
    }
    let mut at = 0;
    while at < line.len() {
        if text[start + at] != line[at] {
            return false;
        }
        at += 1;
    }
    true
}

pub(crate) const fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && begins(a, 0, a.len(), b)
}

/// Checks a type's kinds against a lock file: for a test beside events that are written by hand.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid) says which line is missing or differs, and what to do.
///
/// ```
/// use factum_framework::{Event, lock};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone)]
/// #[event(name = "OrderShipped")]
/// struct Shipped {}
///
/// assert!(lock::check::<Shipped>("OrderShipped v1 {}\n").is_ok());
/// assert!(lock::check::<Shipped>("OrderShipped v1 { carrier: String }\n").is_err());
/// ```
pub fn check<E: Event>(text: &str) -> Result<(), Error> {
    for kind in E::KINDS {
        let (name, version, line) = (kind.name, kind.version, kind.line());
        if !has_line(text, &format!("{name} v{version} "), false) {
            return Err(Error::invalid(format!(
                "{name} version {version} is not in the lock file. If that is what will be stored from now on, add this line:\n{line}"
            )));
        }
        if !has_line(text, &line, true) {
            let next = version + 1;
            return Err(Error::invalid(format!(
                "the shape of {name} version {version} is not what the lock file has, and events of that shape may be stored already.\n\
                 Either put the shape back, or make it version {next} and say how version {version} becomes that; the line would be:\n{line}"
            )));
        }
    }
    Ok(())
}

/// The name and the version that each line begins with, as `OrderPlaced v1`.
pub(crate) fn versions(text: &str) -> impl Iterator<Item = String> {
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::has_line;

    const LOCK: &str = "# ours\nOrderPlaced v1 {}\r\nOrderPlaced v10 { a: u8 }";

    fn check(line: &str, whole: bool, expected: bool) {
        assert_eq!(has_line(LOCK, line, whole), expected, "{line}");
    }

    #[test]
    fn lines_are_found_whole_and_by_their_beginning() {
        check("OrderPlaced v1 {}", true, true);
        check("OrderPlaced v1 ", false, true);
        check("OrderPlaced v10 { a: u8 }", true, true);
        check("OrderPlaced v1", true, false);
        check("OrderPlaced v2 ", false, false);
        check("Placed v1 {}", true, false);
    }
}

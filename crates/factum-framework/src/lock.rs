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
                 Either put the shape back, or make it version {next}: keep the old shape and say how it becomes the new one.\n\n\
                 Only if old events still decode as they are, because an optional field was added or a field was marked as personal, replace the line in the lock file by:\n{line}"
            )));
        }
    }
    Ok(())
}

/// The name and the version that each line begins with, as `OrderPlaced v1`; the whole of a line that has no version.
pub(crate) fn versions(text: &str) -> impl Iterator<Item = &str> {
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| version_in(line).map_or(line, |(_, end)| line.get(..end).unwrap_or(line)))
}

/// The name that a line begins with; the whole of a line that has no version.
pub(crate) fn name(line: &str) -> &str {
    version_in(line).map_or(line, |(start, _)| line.get(..start).unwrap_or(line))
}

/// Where the version is, with the space before it: the last ` v1` before the fields, because a name may have spaces too.
fn version_in(line: &str) -> Option<(usize, usize)> {
    let fields = line.find('{').unwrap_or(line.len());
    let spaces = line.match_indices(" v").filter(|(at, _)| *at < fields);
    let versions = spaces.filter_map(|(at, space)| {
        let rest = line.get(at + space.len()..)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let ends = rest.get(digits..)?;
        let is_version = digits > 0 && (ends.is_empty() || ends.starts_with(' '));
        is_version.then_some((at, at + space.len() + digits))
    });
    versions.last()
}

#[cfg(test)]
mod tests {
    use super::{has_line, name, versions};

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

    fn check_version(line: &str, expected_name: &str, expected: &str) {
        assert_eq!(name(line), expected_name, "{line}");
        assert_eq!(versions(line).collect::<Vec<_>>(), [expected], "{line}");
    }

    #[test]
    fn a_name_may_have_spaces() {
        check_version(
            "OrderPlaced v10 { v: u8 }",
            "OrderPlaced",
            "OrderPlaced v10",
        );
        check_version(
            "Order placed v2 { a v1 b }",
            "Order placed",
            "Order placed v2",
        );
        check_version("Order v1 moved v3", "Order v1 moved", "Order v1 moved v3");
        check_version("Order vast v1 {}", "Order vast", "Order vast v1");
        check_version("nonsense", "nonsense", "nonsense");
        assert_eq!(versions("# of ours v1 {}\n\n").count(), 0);
    }
}

//! The results as a table in a document, between two marks; what stands around them is written by people.

use std::path::Path;

use super::machine::Machine;
use super::report::{two_digits, verdict};
use super::row::{Row, shown};
use crate::failure::{Failure, Outcome};

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// Puts the results into a document that has the two marks, or into a new one.
pub(super) fn write(document: &Path, rows: &[Row], machine: &Machine) -> Outcome {
    let failed = |error| Failure::io(document.display(), &error);
    let old = if document.exists() {
        std::fs::read_to_string(document).map_err(failed)?
    } else {
        format!("# Benchmarks\n\n{BEGIN}\n{END}\n")
    };
    let new = replaced(&old, &section(rows, machine)).ok_or_else(|| {
        let message = format!(
            "{} does not have the lines {BEGIN} and {END}",
            document.display()
        );
        Failure::error(message).hint("add them where the figures go")
    })?;
    std::fs::write(document, new).map_err(failed)
}

/// The document with something else between the marks.
fn replaced(document: &str, section: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

fn section(rows: &[Row], machine: &Machine) -> String {
    let mut lines = vec![
        String::new(),
        format!(
            "{}; {}; factum {}.",
            machine.when,
            machine.words(),
            machine.version
        ),
    ];
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            lines.push(format!("\n### `factum bench {group}`\n"));
            lines.push("| measured | figure | limit | ratio | floor | | more |".to_owned());
            lines.push("|---|---:|---:|---:|---:|---|---|".to_owned());
        }
        let limit = row
            .limit
            .map_or_else(String::new, |(limit, _)| shown(limit));
        let [ratio, floor] = [row.ratio(), row.floor_ratio()].map(two_digits);
        let (name, figure, unit) = (&row.name, shown(row.figure), row.unit.shown());
        let (verdict, words) = (verdict(row), row.words());
        lines.push(format!(
            "| {name} | {figure} {unit} | {limit} | {ratio} | {floor} | {verdict} | {words} |"
        ));
    }
    lines.push("\nThe limits are:\n".to_owned());
    lines.extend(limits(rows));
    lines.push("\n".to_owned());
    lines.join("\n")
}

/// What the limits are, each once.
fn limits(rows: &[Row]) -> Vec<String> {
    let mut said: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for row in rows {
        let Some((_, is)) = row.limit else { continue };
        if !said.contains(&is) {
            said.push(is);
            lines.push(format!("- `{}`, {}: {is}", row.group, row.name));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let check = |document: &str, expected: Option<&str>| {
            assert_eq!(
                replaced(document, "new\n").as_deref(),
                expected,
                "{document}"
            );
        };
        check(
            "a\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nz\n",
            Some("a\n<!-- figures: begin -->\nnew\n<!-- figures: end -->\nz\n"),
        );
        check("a\n<!-- figures: begin -->\n", None);
        check("a\n", None);
    }
}

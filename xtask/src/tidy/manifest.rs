//! Manifests: a reader for the little TOML that ours need, and what every manifest must say.
//!
//! One key and its value stand on one line. What the reader cannot read in a table of dependencies is a finding, never passed over.
//! Keeping to that saves this program a TOML parser and gives every finding its line.

use super::{Finding, Tree, numbered};

/// A line `key = value` under its `[table]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<'a> {
    line: usize,
    table: &'a str,
    key: &'a str,
    value: &'a str,
}

/// Who needs a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    /// The crate, on any target, or its build script.
    Normally,
    /// Its tests, examples and benchmarks only.
    ForDevelopment,
}

/// One dependency of a crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dependency<'a> {
    /// The line that names it, from 1.
    pub(super) line: usize,
    /// Its name.
    pub(super) name: &'a str,
    /// What stands after it: a version, a table, `true` after `.workspace`.
    pub(super) value: &'a str,
    /// Who needs it.
    pub(super) needed: Needed,
}

/// Crates with a stricter table of lints than the workspace's, because they read bytes from disk or network.
const OWN_LINTS: &[&str] = &["factum-format", "factum-proto"];

fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut table = "";
    numbered(text).filter_map(move |(line, written)| {
        let written = without_comment(written).trim();
        if let Some(name) = written
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            table = name.trim_matches(['[', ']', ' ']);
            // A table may itself name a dependency; it counts as an entry without a value.
            return Some(Entry {
                line,
                table,
                key: "",
                value: "",
            });
        }
        if written.is_empty() {
            return None;
        }
        let (key, value) = written.split_once('=').unwrap_or(("", written));
        Some(Entry {
            line,
            table,
            key: key.trim().trim_matches('"'),
            value: value.trim(),
        })
    })
}

/// The line without its comment. A `#` in quotes is none.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return line.get(..at).unwrap_or(line),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    line
}

/// The dependencies of a manifest, in order. Workspace dependencies are not a crate's.
pub(super) fn dependencies(text: &str) -> impl Iterator<Item = Dependency<'_>> {
    entries(text).filter_map(
        |Entry {
             line,
             table,
             key,
             value,
         }| {
            let (needed, named) = dependency_table(table)?;
            let name = match named {
                // [dependencies.name]: the header names it, the lines below describe it.
                Some(name) if key.is_empty() && value.is_empty() => name.trim_matches('"'),
                None if !key.is_empty() => key.split('.').next().unwrap_or(key),
                _ => return None,
            };
            Some(Dependency {
                line,
                name,
                value,
                needed,
            })
        },
    )
}

/// Whether a table is one of dependencies, and the one dependency that its name may hold.
fn dependency_table(table: &str) -> Option<(Needed, Option<&str>)> {
    if table.starts_with("workspace.") {
        return None;
    }
    for (word, needed) in [
        ("dev-dependencies", Needed::ForDevelopment),
        ("build-dependencies", Needed::Normally),
        ("dependencies", Needed::Normally),
    ] {
        if let Some(at) = table.find(word) {
            let (before, after) = (table.get(..at)?, table.get(at + word.len()..)?);
            if before.is_empty() || before.ends_with('.') {
                return Some((needed, after.strip_prefix('.')));
            }
        }
    }
    None
}

/// What every manifest must say.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        findings.extend(one_line_each(path, text));
        findings.extend(no_second_names(path, text));
        let folder = path.strip_suffix("/Cargo.toml").unwrap_or_default();
        let name = folder.strip_prefix("crates/").unwrap_or(folder);
        if folder == "xtask" || (name != folder && !name.contains('/')) {
            findings.extend(from_workspace(path, name, text));
        }
    }
    findings
}

fn from_workspace(path: &str, name: &str, text: &str) -> Vec<Finding> {
    let says = |table: &str, key: &str| {
        entries(text).any(|entry| entry.table == table && entry.key == key && entry.value == "true")
    };
    let mut findings = Vec::new();
    for key in ["version", "edition", "rust-version", "license"] {
        let key = format!("{key}.workspace");
        if !says("package", &key) {
            let remedy = format!("write `{key} = true` under [package]");
            findings.push(Finding::new(
                path,
                1,
                format!("[package] does not have {key}"),
                remedy,
            ));
        }
    }
    let has = |table: &str| entries(text).any(|entry| entry.table == table);
    let own = OWN_LINTS.contains(&name) && has("lints.rust") && has("lints.clippy");
    if !own && !says("lints", "workspace") {
        let what = "the lints are not the workspace's";
        findings.push(Finding::new(
            path,
            1,
            what,
            "write `workspace = true` under [lints]",
        ));
    }
    findings
}

/// Every entry of a table of dependencies stands on one line.
fn one_line_each(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Entry {
        line,
        table,
        key,
        value,
    } in entries(text)
    {
        let header = key.is_empty() && value.is_empty();
        let balanced = ['[', '{']
            .iter()
            .zip([']', '}'])
            .all(|(open, close)| value.matches(*open).count() == value.matches(close).count());
        let concerned = dependency_table(table).is_some() || table == "workspace.dependencies";
        if concerned && !header && (key.is_empty() || value.is_empty() || !balanced) {
            let what = "this check cannot read the dependency";
            findings.push(Finding::new(
                path,
                line,
                what,
                "write it on one line, as `name = value`",
            ));
        }
    }
    findings
}

/// No crate of ours is known by another name, which would hide it from the check of layers.
fn no_second_names(path: &str, text: &str) -> Vec<Finding> {
    let hides = |value: &str| {
        let compact: String = value.chars().filter(|c| !c.is_whitespace()).collect();
        compact.contains("package=\"factum")
    };
    entries(text)
        .filter(|entry| {
            let alone = entry.table.contains("dependencies.") && entry.key == "package";
            hides(entry.value) || (alone && entry.value.starts_with("\"factum"))
        })
        .map(|entry| {
            let what = "a crate of ours gets a second name";
            Finding::new(path, entry.line, what, "call it by its own")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::{Needed, check, dependencies};

    #[test]
    fn reads_dependencies_in_every_form_we_may_write() {
        let text = r##"
[package]
name = "x" # dependencies = "none"
[dependencies]
a.workspace = true
"b" = { version = "1", features = ["#"] } # a comment
[dependencies.c]
version = "1"
[target.'cfg(unix)'.dependencies]
d = "1"
[build-dependencies]
e = "1"
[dev-dependencies]
f = "1"
[workspace.dependencies]
g = "1"
"##;
        let found: Vec<_> = dependencies(text)
            .map(|found| (found.line, found.name, found.needed))
            .collect();
        let (normally, for_development) = (Needed::Normally, Needed::ForDevelopment);
        let expected = [
            (5, "a", normally),
            (6, "b", normally),
            (7, "c", normally),
            (10, "d", normally),
            (12, "e", normally),
            (14, "f", for_development),
        ];
        assert_eq!(found, expected);
    }

    const GOOD: &str = "[package]\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n";

    fn check_text(path: &str, text: &str, expected: &[(usize, &str)]) {
        let findings = check(&Tree::of(&[(path, text)]));
        let found: Vec<_> = findings
            .iter()
            .map(|found| (found.line, found.what.as_str()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_crate_takes_from_the_workspace_what_all_share() {
        let path = "crates/factum-x/Cargo.toml";
        check_text(path, GOOD, &[]);
        let own = GOOD.replace(
            "version.workspace = true\nedition",
            "version = \"1.0.0\"\nedition",
        );
        check_text(
            path,
            &own,
            &[(1, "[package] does not have version.workspace")],
        );
        let edition = GOOD.replace("edition.workspace = true", "edition = \"2021\"");
        check_text(
            path,
            &edition,
            &[(1, "[package] does not have edition.workspace")],
        );
        let no_lints = GOOD.replace("[lints]\nworkspace = true\n", "");
        check_text(path, &no_lints, &[(1, "the lints are not the workspace's")]);
        check_text(
            "xtask/Cargo.toml",
            &no_lints,
            &[(1, "the lints are not the workspace's")],
        );
        check_text("fuzz/Cargo.toml", "[package]\n", &[]);
    }

    #[test]
    fn only_readers_of_bytes_have_lints_of_their_own() {
        let own = GOOD.replace(
            "[lints]\nworkspace = true",
            "[lints.rust]\na = 1\n[lints.clippy]\nb = 1",
        );
        check_text("crates/factum-format/Cargo.toml", &own, &[]);
        check_text(
            "crates/factum-io/Cargo.toml",
            &own,
            &[(1, "the lints are not the workspace's")],
        );
    }

    #[test]
    fn what_it_cannot_read_is_a_finding() {
        let split = format!("{GOOD}[dependencies]\na = {{\n version = \"1\" }}\n");
        let what = "this check cannot read the dependency";
        check_text(
            "crates/factum-x/Cargo.toml",
            &split,
            &[(9, what), (10, what)],
        );
    }

    #[test]
    fn our_crates_keep_their_names() {
        let what = "a crate of ours gets a second name";
        let inline = format!("{GOOD}[dependencies]\ne = {{ package = \"factum-engine\" }}\n");
        check_text("crates/factum-x/Cargo.toml", &inline, &[(9, what)]);
        let table = format!("{GOOD}[dependencies.e]\npackage = \"factum-engine\"\n");
        check_text("crates/factum-x/Cargo.toml", &table, &[(9, what)]);
    }
}

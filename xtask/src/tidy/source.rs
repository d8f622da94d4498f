//! Every file: module docs, holes left open, length, and what belongs to one machine.
//!
//! The words looked for are put together from pieces here, so that this file does not find itself.

use super::{Finding, Tree, numbered};

/// Longer Rust files say why.
const LINES_MAX: usize = 800;

/// How far down that reason may stand.
const SIZE_REASON_LINES_MAX: usize = 40;

/// What a compiler lets pass and a release must not hold.
const HOLES: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
];

/// Where things lie on one machine only.
const MACHINE: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/fa", "rm/"),
];

/// Registries' hosts, which depend on how a machine reaches them.
const HOSTS: &[&str] = &[
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("py", "pi.org"),
    concat!("registry.", "npmjs"),
    concat!("proxy.", "golang"),
    concat!("repo.", "maven."),
    concat!("repo1.", "maven."),
];

/// Checks every file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.iter() {
        if path.ends_with(".rs") {
            findings.extend(module_docs(path, text));
            findings.extend(length(path, text));
            findings.extend(holes(path, text));
        }
        findings.extend(machine(path, text));
    }
    findings
}

/// The first thing in a file that is not an attribute is its documentation.
fn module_docs(path: &str, text: &str) -> Option<Finding> {
    let mut in_attribute = false;
    for (line, written) in numbered(text) {
        let written = written.trim();
        if in_attribute || written.starts_with("#!") {
            // `#![…]` may take several lines; a `#!` line for a shell is one.
            in_attribute = (in_attribute || written.starts_with("#![")) && !written.ends_with(']');
            continue;
        }
        if written.is_empty() {
            continue;
        }
        if written.starts_with("//!") {
            return None;
        }
        return Some(no_docs(path, line));
    }
    Some(no_docs(path, 1))
}

fn no_docs(path: &str, line: usize) -> Finding {
    let remedy = "begin with `//!`: what lives here, what it relies on, what it must never do";
    Finding::new(
        path,
        line,
        "the file does not begin with its documentation",
        remedy,
    )
}

fn length(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let reason = text.lines().take(SIZE_REASON_LINES_MAX).any(|line| {
        line.trim_start()
            .strip_prefix("// size:")
            .is_some_and(|reason| !reason.trim().is_empty())
    });
    if lines <= LINES_MAX || reason {
        return None;
    }
    let what = format!("the file has {lines} lines, more than {LINES_MAX}");
    let remedy = "if it is one idea, say why on a line `// size: …` near the top; if not, split it";
    Some(Finding::new(path, LINES_MAX + 1, what, remedy))
}

fn holes(path: &str, text: &str) -> Vec<Finding> {
    let remedy = "write what is missing, or take it out";
    find(path, text, HOLES, "a hole is left open", remedy)
}

fn machine(path: &str, text: &str) -> Vec<Finding> {
    let remedy = "write a path from the root of the repository, or `~`";
    let mut findings = find(path, text, MACHINE, "a path of one machine", remedy);
    if !path.ends_with(".lock") {
        let remedy = "leave registries to the configuration of whoever builds";
        findings.extend(find(path, text, HOSTS, "a registry's host", remedy));
    }
    findings
}

/// A finding for every line that holds one of the words.
fn find(path: &str, text: &str, words: &[&str], what: &str, remedy: &str) -> Vec<Finding> {
    numbered(text)
        .filter_map(|(line, written)| {
            let word = words.iter().find(|word| written.contains(**word))?;
            Some(Finding::new(path, line, format!("{what}: {word}"), remedy))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::{HOLES, HOSTS, MACHINE, check};

    fn check_file(path: &str, text: &str, expected: &[(usize, &str)]) {
        let findings = check(&Tree::of(&[(path, text)]));
        let found: Vec<_> = findings
            .iter()
            .map(|found| (found.line, found.what.as_str()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_file_begins_with_its_documentation() {
        check_file("a.rs", "//! Docs.\nmod b;\n", &[]);
        check_file(
            "a.rs",
            "#![no_main]\n#![expect(\n    x,\n)]\n\n//! Docs.\n",
            &[],
        );
        let what = "the file does not begin with its documentation";
        check_file("a.rs", "use b;\n//! Late.\n", &[(1, what)]);
        check_file("a.rs", "#![no_main]\n// A comment.\n", &[(2, what)]);
        check_file("a.rs", "", &[(1, what)]);
        check_file("a.sh", "echo\n", &[]);
    }

    #[test]
    fn a_long_file_says_why() {
        let long = format!("//! Docs.\n{}", "fn a() {}\n".repeat(800));
        check_file(
            "a.rs",
            &long,
            &[(801, "the file has 801 lines, more than 800")],
        );
        check_file("a.rs", &long.replacen("fn", "// size: a table\nfn", 1), &[]);
        let bare = long.replacen("fn", "// size:\nfn", 1);
        check_file(
            "a.rs",
            &bare,
            &[(801, "the file has 802 lines, more than 800")],
        );
        check_file("a.md", &long, &[]);
    }

    #[test]
    fn holes_are_found_in_rust_only() {
        for hole in HOLES {
            let what = format!("a hole is left open: {hole}");
            check_file("a.rs", &format!("//! Docs.\n{hole}\n"), &[(2, &what)]);
            check_file("a.md", hole, &[]);
        }
    }

    #[test]
    fn machines_and_hosts_are_found_everywhere() {
        for path in MACHINE {
            let what = format!("a path of one machine: {path}");
            check_file("a.md", &format!("see {path}x\n"), &[(1, &what)]);
        }
        for host in HOSTS {
            let what = format!("a registry's host: {host}");
            check_file(
                "a.toml",
                &format!("\nurl = \"https://{host}\"\n"),
                &[(2, &what)],
            );
            check_file("Cargo.lock", host, &[]);
        }
    }
}

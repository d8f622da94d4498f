//! What no compiler checks, checked.
//!
//! The files are read once into a [`Tree`]; every check is a function from a tree to findings, so that its tests feed it a bad
//! tree of a few lines. Relies on: `git`, for which files are the project's. Never: changes a file, asks the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

mod documents;
mod layers;
mod manifest;
mod source;

/// Something to mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// From the root of the repository, with `/` between.
    file: String,
    /// From 1.
    line: usize,
    /// What is wrong.
    what: String,
    /// What to do about it.
    remedy: String,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            what,
            remedy,
        } = self;
        write!(f, "{file}:{line}: {what}; {remedy}")
    }
}

/// The project's files.
#[derive(Debug, Default)]
struct Tree {
    /// All paths from the root that a link may lead to.
    paths: BTreeSet<String>,
    /// The text files to check, by their paths from the root.
    files: BTreeMap<String, String>,
}

impl Tree {
    /// What git tracks, and new files that are about to be: Rust, manifests and documents. Other new files may be anybody's notes:
    /// links may lead to them, and that is all. Files that are not UTF-8 are not checked.
    fn read(root: &Path) -> Result<Self, String> {
        let (tracked, others) = (list(root, "--cached")?, list(root, "--others")?);
        let ours = |path: &&String| {
            [".rs", ".toml", ".md"]
                .iter()
                .any(|end| path.ends_with(end))
        };
        let mut tree = Self::default();
        for path in tracked.iter().chain(others.iter().filter(ours)) {
            // A file that git still lists may be gone, and a link may lead to a folder.
            let Ok(bytes) = std::fs::read(root.join(path)) else {
                continue;
            };
            tree.paths.insert(path.clone());
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.insert(path.clone(), text);
            }
        }
        tree.paths.extend(others);
        Ok(tree)
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self {
            paths,
            files: files.collect(),
        }
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// All files: path and text, in order of their paths.
    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The crates in `crates/`: name and manifest.
    fn crates(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|(path, text)| {
            let name = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!name.contains('/')).then_some((name, text))
        })
    }

    /// Whether a file or a folder with files is there.
    fn holds(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let first_below = self.paths.range(below.clone()..).next();
        self.paths.contains(path) || first_below.is_some_and(|file| file.starts_with(&below))
    }
}

/// The files of one kind that git knows, ignored ones left out.
fn list(root: &Path, kind: &str) -> Result<Vec<String>, String> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--exclude-standard", kind]);
    let output = command.current_dir(root).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("git ls-files: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git ls-files: {}", said.trim()));
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Checks the repository and prints what it finds; says whether that was nothing.
pub(crate) fn run(root: &Path) -> Result<bool, String> {
    let tree = Tree::read(root)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    let (files, found) = (tree.files.len(), findings.len());
    println!(
        "tidy: {files} files, {}",
        if found == 0 {
            "all in order".to_owned()
        } else {
            format!("{found} to mend")
        }
    );
    Ok(findings.is_empty())
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(layers::check(tree));
    findings.extend(manifest::check(tree));
    findings.extend(source::check(tree));
    findings.extend(documents::check(tree));
    findings.sort();
    findings
}

/// The lines of a text with their numbers, from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::{Finding, Tree};

    #[test]
    fn a_finding_says_where_what_and_what_to_do() {
        let finding = Finding::new("a/b.rs", 7, "it is wrong", "make it right");
        assert_eq!(finding.to_string(), "a/b.rs:7: it is wrong; make it right");
    }

    #[test]
    fn a_tree_knows_its_crates_and_folders() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", "1"),
            ("crates/a/b/Cargo.toml", "2"),
            ("docs/x.md", ""),
        ]);
        assert_eq!(tree.crates().collect::<Vec<_>>(), [("a", "1")]);
        assert!(tree.holds("docs") && tree.holds("docs/x.md") && !tree.holds("doc"));
    }
}

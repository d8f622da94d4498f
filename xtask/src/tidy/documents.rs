//! Documents agree with what is there: the code map with the crates, the list of decisions with the records, links with files.

use super::{Finding, Tree, numbered};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const DECISIONS: &str = "docs/decisions/";

/// Checks every document.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = code_map(tree);
    findings.extend(decisions(tree));
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with(".md")) {
        findings.extend(links(tree, path, text));
    }
    findings
}

/// Each crate has a heading `### name` in the chapter "Code map", and each such heading a crate.
fn code_map(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(ARCHITECTURE).unwrap_or_default();
    let mut in_map = false;
    let mut named: Vec<(usize, &str)> = Vec::new();
    for (line, written) in numbered(text) {
        if let Some(title) = written.strip_prefix("## ") {
            in_map = title.to_lowercase().contains("code map");
        } else if let (true, Some(title)) = (in_map, written.strip_prefix("### ")) {
            let words = title
                .split([',', ' '])
                .filter(|word| !word.is_empty() && *word != "and");
            named.extend(words.map(|word| (line, word.trim_matches('`'))));
        }
    }
    let mut findings = Vec::new();
    for (name, _) in tree.crates() {
        if !named.iter().any(|(_, title)| *title == name) {
            let what = format!("{name} is not in the code map");
            let remedy =
                format!("write a paragraph under `### {name}`: what it is, its invariants");
            findings.push(Finding::new(ARCHITECTURE, 1, what, remedy));
        }
    }
    for (line, name) in named {
        let folders = [
            format!("crates/{name}/Cargo.toml"),
            format!("{name}/Cargo.toml"),
        ];
        if !folders.iter().any(|folder| tree.holds(folder)) {
            let what = format!("the code map names {name}, which is not there");
            findings.push(Finding::new(
                ARCHITECTURE,
                line,
                what,
                "take it out, or correct the name",
            ));
        }
    }
    findings
}

/// Each record of a decision is listed. That each list entry leads somewhere is a matter of links.
fn decisions(tree: &Tree) -> Vec<Finding> {
    let list_path = format!("{DECISIONS}README.md");
    let list = tree.text(&list_path).unwrap_or_default();
    let records = tree
        .iter()
        .filter_map(|(path, _)| path.strip_prefix(DECISIONS));
    records
        .filter(|name| name.ends_with(".md") && *name != "README.md")
        .filter(|name| !list.contains(&format!("]({name})")))
        .map(|name| {
            let what = format!("the decision {name} is not listed");
            Finding::new(
                &list_path,
                1,
                what,
                format!("add a line with a link to ({name})"),
            )
        })
        .collect()
}

/// Links to files of the repository lead to one.
fn links(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    let mut in_code = false;
    for (line, written) in numbered(text) {
        if written.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in written
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains(':') {
                continue;
            }
            if !resolve(folder, file).is_some_and(|file| file.is_empty() || tree.holds(&file)) {
                let what = format!("the link to {target} leads nowhere");
                findings.push(Finding::new(
                    path,
                    line,
                    what,
                    "correct it, or write the file",
                ));
            }
        }
    }
    findings
}

/// A path seen from a folder, as a path from the root; `None` when it leaves the repository.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::check;

    fn check_tree(files: &[(&str, &str)], expected: &[(usize, &str)]) {
        let findings = check(&Tree::of(files));
        let found: Vec<_> = findings
            .iter()
            .map(|found| (found.line, found.what.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_code_map_and_the_crates_agree() {
        let map =
            "# A\n## 6. Code map\n### factum-a\n### `factum-b` and xtask\n## Next\n### Other\n";
        let (a, b) = (
            ("crates/factum-a/Cargo.toml", ""),
            ("crates/factum-b/Cargo.toml", ""),
        );
        let xtask = ("xtask/Cargo.toml", "");
        check_tree(&[("ARCHITECTURE.md", map), a, b, xtask], &[]);
        let gone = "the code map names factum-b, which is not there";
        check_tree(&[("ARCHITECTURE.md", map), a, xtask], &[(4, gone)]);
        let c = ("crates/factum-c/Cargo.toml", "");
        let missing = "factum-c is not in the code map";
        check_tree(&[("ARCHITECTURE.md", map), a, b, c, xtask], &[(1, missing)]);
        check_tree(&[a], &[(1, "factum-a is not in the code map")]);
    }

    #[test]
    fn every_decision_is_listed() {
        let record = ("docs/decisions/0001-x.md", "");
        let list = "- [X](0001-x.md)\n";
        check_tree(&[record, ("docs/decisions/README.md", list)], &[]);
        let missing = "the decision 0001-x.md is not listed";
        check_tree(&[record, ("docs/decisions/README.md", "")], &[(1, missing)]);
        check_tree(&[record], &[(1, missing)]);
        let nowhere = "the link to 0001-x.md leads nowhere";
        check_tree(&[("docs/decisions/README.md", list)], &[(1, nowhere)]);
    }

    #[test]
    fn links_lead_somewhere() {
        let text = "[a](../README.md#top) [b](b.md) [c](https://example.org/x)\n[d](#here) [e](../crates)\n\
            ```\n[code](nowhere)\n```\n[f](../../out.md)\n";
        let files = [("docs/a.md", text), ("README.md", ""), ("crates/x.txt", "")];
        let expected = [
            (1, "the link to b.md leads nowhere"),
            (6, "the link to ../../out.md leads nowhere"),
        ];
        check_tree(&files, &expected);
    }
}

//! Who may depend on whom.
//!
//! A crate depends on lower layers only; crates of one layer do not know each other. Some lower crates are forbidden all the same.
//! Only what a crate needs normally counts; its tests may use what they like.

use super::manifest::{Dependency, Needed, dependencies};
use super::{Finding, Tree};

/// The crates by layer, lowest first. A name that ends in `*` stands for all that begin so.
const LAYERS: &[&[&str]] = &[
    &["factum-types", "factum-io", "factum-macros"],
    &["factum-store", "factum-format", "factum-json"],
    &[
        "factum-engine",
        "factum-framework",
        "factum-proto",
        "factum-privacy",
        "factum-design",
        "factum-conformance",
        "factum-log-*",
    ],
    &["factum-projection", "factum-server", "factum-client"],
    &["factum-http-client"],
    &["factum-sink-*"],
    &["factum-replicated", "factum-ui", "factum-query", "factum"],
    &["factum-cli", "factum-sim", "factum-bench"],
];

/// Who must not know whom, although the layers may allow it, and why.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    (
        "factum-engine",
        "factum-proto",
        "the wire stays at the edge",
    ),
    (
        "factum-framework",
        "factum-engine",
        "it runs on any store: use factum-store",
    ),
    (
        "factum-server",
        "factum-engine",
        "it serves any store: use factum-store",
    ),
    (
        "factum-projection",
        "factum-sink-*",
        "sinks know the projection, not the other way round",
    ),
    (
        "factum-ui",
        "factum-engine",
        "it shows any store: use factum-store",
    ),
];

/// Crates that only tests use, and who may use them otherwise.
const FOR_TESTS: &[(&str, &[&str])] =
    &[("factum-conformance", &["factum-sim"]), ("factum-sim", &[])];

/// Crates that applications' own types are made of: no runtime and no serde unless asked for.
const PLAIN: &[&str] = &["factum-types", "factum-format"];

/// What the plain crates do without. A name that ends in `*` stands for all that begin so.
const NOT_PLAIN: &[&str] = &[
    "serde*", "tokio*", "futures*", "async-*", "smol*", "pollster", "monoio", "compio", "glommio",
];

/// Checks the directions of all dependencies.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, manifest) in tree.crates() {
        let path = format!("crates/{name}/Cargo.toml");
        let Some(layer) = layer_of(name) else {
            let what = format!("{name} has no layer");
            let remedy = "give it one in xtask/src/tidy/layers.rs and in ARCHITECTURE.md";
            findings.push(Finding::new(&path, 1, what, remedy));
            continue;
        };
        for dependency in dependencies(manifest).filter(|found| found.needed == Needed::Normally) {
            findings.extend(check_direction(&path, name, layer, dependency));
            findings.extend(check_plain(&path, name, manifest, dependency));
        }
    }
    findings
}

fn check_direction(path: &str, name: &str, layer: usize, on: Dependency<'_>) -> Option<Finding> {
    let finding = |what, remedy: &str| Some(Finding::new(path, on.line, what, remedy));
    let other = on.name;
    // Tidy is the one place that knows all names; a crate of ours that it does not know is found by its own manifest.
    let other_layer = layer_of(other)?;
    if let Some((_, _, why)) = FORBIDDEN
        .iter()
        .find(|(a, b, _)| matches(a, name) && matches(b, other))
    {
        return finding(format!("{name} must not depend on {other}"), why);
    }
    if let Some((_, users)) = FOR_TESTS.iter().find(|(tool, _)| *tool == other) {
        if users.contains(&name) {
            return None;
        }
        let what = format!("{other} is for tests, and {name} needs it normally");
        return finding(what, "move it to [dev-dependencies]");
    }
    if other_layer < layer {
        return None;
    }
    let what = format!("{name} (layer {layer}) depends on {other} (layer {other_layer})");
    finding(
        what,
        "depend on lower layers only; move what both need down, or the use to a test",
    )
}

fn check_plain(path: &str, name: &str, manifest: &str, on: Dependency<'_>) -> Option<Finding> {
    let not_plain = |name: &str| NOT_PLAIN.iter().any(|pattern| matches(pattern, name));
    if !PLAIN.contains(&name) {
        return None;
    }
    let compact: String = on.value.chars().filter(|c| !c.is_whitespace()).collect();
    let quoted = |text: &str| {
        let parts: Vec<String> = text
            .split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        parts
    };
    let remedy = "make it optional and leave it out of the default features";
    if not_plain(on.name) {
        let default = manifest
            .lines()
            .find(|line| line.trim_start().starts_with("default"));
        let on_by_default = default.is_some_and(|line| {
            quoted(line)
                .iter()
                .any(|feature| feature.trim_start_matches("dep:") == on.name)
        });
        if on_by_default || !compact.contains("optional=true") {
            let what = format!("{name} must do without {} by default", on.name);
            return Some(Finding::new(path, on.line, what, remedy));
        }
        return None;
    }
    let feature = quoted(on.value)
        .into_iter()
        .find(|feature| not_plain(feature))?;
    let what = format!(
        "{name} must do without the feature {feature} of {} by default",
        on.name
    );
    Some(Finding::new(path, on.line, what, remedy))
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS
        .iter()
        .position(|layer| layer.iter().any(|pattern| matches(pattern, name)))
}

/// Whether a name fits a pattern, which may end in `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::check;

    fn check_manifest(name: &str, manifest: &str, expected: &[(usize, &str)]) {
        let path = format!("crates/{name}/Cargo.toml");
        let findings = check(&Tree::of(&[(&path, manifest)]));
        let found: Vec<_> = findings
            .iter()
            .map(|found| (found.line, found.what.as_str()))
            .collect();
        assert_eq!(found, expected, "{manifest}");
    }

    #[test]
    fn down_is_fine() {
        check_manifest(
            "factum-engine",
            "[dependencies]\nfactum-store.workspace = true\nfactum-io.workspace = true\nbytes = \"1\"\n",
            &[],
        );
        check_manifest(
            "factum-cli",
            "[dependencies]\nfactum-engine.workspace = true\n",
            &[],
        );
    }

    #[test]
    fn up_and_sideways_are_not() {
        check_manifest(
            "factum-types",
            "[dependencies]\nfactum-store.workspace = true\n",
            &[(
                2,
                "factum-types (layer 0) depends on factum-store (layer 1)",
            )],
        );
        check_manifest(
            "factum-format",
            "[dependencies]\n\nfactum-store = { path = \"../factum-store\" }\n",
            &[(
                3,
                "factum-format (layer 1) depends on factum-store (layer 1)",
            )],
        );
    }

    #[test]
    fn tests_may_use_what_they_like() {
        check_manifest(
            "factum-store",
            "[dev-dependencies]\nfactum-conformance.workspace = true\nfactum-sim.workspace = true\n",
            &[],
        );
    }

    #[test]
    fn what_is_for_tests_stays_there() {
        check_manifest(
            "factum-cli",
            "[dependencies]\nfactum-sim.workspace = true\n",
            &[(
                2,
                "factum-sim is for tests, and factum-cli needs it normally",
            )],
        );
        check_manifest(
            "factum-replicated",
            "[dependencies]\nfactum-conformance.workspace = true\n",
            &[(
                2,
                "factum-conformance is for tests, and factum-replicated needs it normally",
            )],
        );
        check_manifest(
            "factum-sim",
            "[dependencies]\nfactum-conformance.workspace = true\n",
            &[],
        );
    }

    #[test]
    fn some_do_not_know_each_other_for_a_reason() {
        for (name, other) in [
            ("factum-engine", "factum-proto"),
            ("factum-framework", "factum-engine"),
            ("factum-server", "factum-engine"),
            ("factum-projection", "factum-sink-sqlite"),
            ("factum-ui", "factum-engine"),
        ] {
            let manifest = format!("[dependencies.{other}]\nworkspace = true\n");
            let what = format!("{name} must not depend on {other}");
            check_manifest(name, &manifest, &[(1, &what)]);
        }
    }

    #[test]
    fn types_and_format_stay_plain() {
        check_manifest(
            "factum-types",
            "[dependencies]\nserde = \"1\"\nuuid = { version = \"1\", features = [\"serde\"] }\n",
            &[
                (2, "factum-types must do without serde by default"),
                (
                    3,
                    "factum-types must do without the feature serde of uuid by default",
                ),
            ],
        );
        let optional = "[dependencies]\nserde = { version = \"1\", optional = true }\n[features]\n";
        check_manifest(
            "factum-format",
            &format!("{optional}serde = [\"dep:serde\"]\n"),
            &[],
        );
        check_manifest(
            "factum-format",
            &format!("{optional}default = [\"dep:serde\"]\n"),
            &[(2, "factum-format must do without serde by default")],
        );
        check_manifest(
            "factum-types",
            "[dependencies]\ntokio.workspace = true\n",
            &[(2, "factum-types must do without tokio by default")],
        );
    }

    #[test]
    fn every_crate_has_a_layer() {
        check_manifest("factum-new", "", &[(1, "factum-new has no layer")]);
    }
}

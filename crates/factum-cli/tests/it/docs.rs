//! The documents say what is true: every `console` block in docs/cli.md, docs/projections.md and docs/versions.md is run. `TRYCMD=overwrite` repairs them.
//! A `toml` block is a file whose name is on its first line; the commands find it.

use std::path::Path;

use crate::support::{FACTUM, Place};

#[test]
fn the_tour_is_what_the_binary_does() {
    check_document("cli", &["order-fold.toml", "order-steps.toml"]);
}

#[test]
fn the_guide_to_versions_is_what_the_binary_does() {
    check_document("versions", &["vocabulary.toml"]);
}

#[test]
fn the_guide_to_projections_is_what_the_binary_does() {
    let files = ["orders.toml", "wrong.toml", "almost.toml", "orders-2.toml"];
    check_document("projections", &files);
}

/// What a sink that no test has looks like in a file, and what is measured there: read, and stopped only by what is not there.
#[test]
fn the_parts_of_files_in_the_guide_to_projections_are_understood() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/projections.md");
    let document = std::fs::read_to_string(document).unwrap();
    let parts = document.split("```text\n[").skip(1);
    let parts: Vec<_> = parts.map(|it| it.split("```").next().unwrap()).collect();
    let [sink, points] = parts[..] else {
        panic!("{parts:?}");
    };
    let check = |text: String, expected: &str| {
        let place = Place::new();
        place.write("x.toml", format!("format = 1\nname = \"x\"\n{text}"));
        let ran = place.run(&["project", "check", "x.toml", "-o", "json"]);
        let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let all = said["findings"].as_array().unwrap();
        let mut errors = all.iter().filter(|it| it["level"] == "error");
        let only = errors.next().unwrap();
        assert!(only["what"].as_str().unwrap().contains(expected), "{only}");
        assert_eq!(
            (only["line"].as_u64(), errors.next()),
            (None, None),
            "{all:?}"
        );
    };
    let table = "[table]\nid = \"text primary key\"\n[on.A]\ninsert = { id = \"@id\" }\n";
    check(format!("[{sink}{table}"), "/etc/shop/db-password");
    // As well with a password; without certificates that could be trusted nothing is sent.
    let here = sink.replace("password_file = \"/etc/shop/db-password\"", "");
    check(format!("[{here}{table}"), "ca.pem");
    // Nobody listens on the port of discarded text.
    let nowhere = "sink = \"influxdb://127.0.0.1:9/x\"\n";
    check(format!("{nowhere}[{points}"), "127.0.0.1:9");
}

/// Runs the commands of a document that shows these files.
fn check_document(name: &str, files_expected: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/{name}.md"));
    let place = tempfile::tempdir().unwrap();
    // A copy, because the commands write files: with an `.out` directory they are run in a directory of their own.
    let copy = place.path().join(format!("{name}.md"));
    std::fs::copy(&source, &copy).unwrap();
    let input = place.path().join(format!("{name}.in"));
    std::fs::create_dir(&input).unwrap();
    let document = std::fs::read_to_string(&source).unwrap();
    assert!(document.contains("```console\n$ factum "), "{name}");
    let files = files(&document);
    let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, files_expected);
    for (name, text) in files {
        std::fs::write(input.join(name), text).unwrap();
    }
    std::fs::create_dir(place.path().join(format!("{name}.out"))).unwrap();
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("factum", Path::new(FACTUM))
        .env("FACTUM_DATA", "factum-data")
        .case(&copy);
    cases.run();
    if std::env::var_os("TRYCMD").is_some_and(|value| value == "overwrite") {
        std::fs::copy(&copy, &source).unwrap();
    }
}

/// The files that the document shows, with their names.
fn files(document: &str) -> Vec<(&str, &str)> {
    let blocks = document.split("```toml\n").skip(1);
    let files = blocks.map(|block| {
        let (text, _) = block.split_once("```").unwrap();
        let (first, _) = text.split_once('\n').unwrap();
        (first.strip_prefix("# ").unwrap(), text)
    });
    files.collect()
}

//! docs/cli.md says what is true: every `console` block in it is run. `TRYCMD=overwrite` repairs the document.
//! A `toml` block is a file whose name is on its first line; the commands find it.

use std::path::Path;

use crate::support::FACTUM;

#[test]
fn the_tour_is_what_the_binary_does() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let place = tempfile::tempdir().unwrap();
    // A copy, because the tour writes files: with an `.out` directory it is run in a directory of its own.
    let copy = place.path().join("cli.md");
    std::fs::copy(&source, &copy).unwrap();
    let input = place.path().join("cli.in");
    std::fs::create_dir(&input).unwrap();
    for (name, text) in files(&std::fs::read_to_string(&source).unwrap()) {
        std::fs::write(input.join(name), text).unwrap();
    }
    std::fs::create_dir(place.path().join("cli.out")).unwrap();
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
    let files: Vec<_> = blocks
        .map(|block| {
            let (text, _) = block.split_once("```").unwrap();
            let (first, _) = text.split_once('\n').unwrap();
            (first.strip_prefix("# ").unwrap(), text)
        })
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    files
}

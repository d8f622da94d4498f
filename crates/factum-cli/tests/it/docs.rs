//! docs/cli.md says what is true: every `console` block in it is run. `TRYCMD=overwrite` repairs the document.

use std::path::Path;

use crate::support::FACTUM;

#[test]
fn the_tour_is_what_the_binary_does() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let place = tempfile::tempdir().unwrap();
    // A copy, because the tour writes files: with an `.out` directory it is run in a directory of its own.
    let copy = place.path().join("cli.md");
    std::fs::copy(&source, &copy).unwrap();
    std::fs::create_dir(place.path().join("cli.in")).unwrap();
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

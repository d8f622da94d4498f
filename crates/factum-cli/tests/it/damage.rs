//! Stored bytes that changed: they are named, everything else is read, and nothing is written until the loss is accepted.

use std::path::{Path, PathBuf};

use crate::support::Place;

/// Changes the one place in the store's files that holds `text`.
fn damage(data: &Path, text: &str) {
    let mut directories = vec![data.to_owned()];
    let mut hits: Vec<(PathBuf, usize)> = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if let Some(at) =
                memchr::memmem::find(&std::fs::read(&path).unwrap(), text.as_bytes())
            {
                hits.push((path, at));
            }
        }
    }
    assert_eq!(hits.len(), 1, "{hits:?}");
    let (path, at) = &hits[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[*at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn damage_is_named_and_everything_else_is_read() {
    let place = Place::new();
    for n in 0..4 {
        place.ok(&[
            "append",
            &format!("s-{n}"),
            "-t",
            "T",
            "--data",
            &format!("\"marked-{n}\""),
        ]);
    }
    damage(&place.path("factum-data"), "marked-2");
    let ran = place.run(&["read", "--all"]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(ran.err.contains("position 2"), "{}", ran.err);
    let ran = place.run(&["export", "out"]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    let ran = place.run(&["verify", "--full", "-o", "json"]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["findings"][0]["severity"], "lost");
    assert_eq!(report["findings"][0]["first_position"], 2);
    assert_eq!(place.run(&["doctor"]).code, 1);
    let ran = place.run(&["append", "s-9", "-t", "T"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("hint: `factum doctor`"), "{}", ran.err);
    assert_eq!(
        place.run(&["doctor", "--accept-loss"]).code,
        2,
        "it asks first"
    );
    let words = place.ok(&["doctor", "--accept-loss", "--yes"]);
    assert!(words.contains("positions 2 to 2"), "{words}");
    place.ok(&["append", "s-9", "-t", "T"]);
    place.ok(&["read", "s-3"]);
}

//! Stored bytes that changed: they are named, everything else is read, and nothing is written until the loss is accepted.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::support::{Place, Ran};

/// Changes the one place in the store's files that holds `text`: as many bytes as the range says for where it stands in the file.
fn damage_around(data: &Path, text: &str, range: impl Fn(&[u8], usize) -> Range<usize>) {
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
    let range = range(&bytes, *at);
    bytes[range].iter_mut().for_each(|byte| *byte ^= 0x5A);
    std::fs::write(path, bytes).unwrap();
}

/// Changes one byte of an event's data.
fn damage(data: &Path, text: &str) {
    damage_around(data, text, |_, at| at..at + 1);
}

/// Changes the whole frame that holds the text, so that nothing tells what it held.
fn damage_frame(data: &Path, text: &str) {
    damage_around(data, text, |bytes, at| {
        let begin = memchr::memmem::rfind(&bytes[..at], b"fFrM").unwrap();
        let end = memchr::memmem::find(&bytes[at..], b"mRfF").unwrap();
        begin..at + end + 64
    });
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
    let ran = place.run(&["tail", "-n", "3", "-o", "json"]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    let last: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(last.len(), 2, "{}", ran.out);
    assert!(ran.err.contains("position 2"), "{}", ran.err);
    // What can be read is in the backup, and nobody takes it for all.
    let ran = place.run(&["backup", "copy"]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    assert!(ran.err.contains("lacks events"), "{}", ran.err);
    assert_eq!(
        place
            .run(&["read", "--all", "--data", "copy"])
            .out
            .lines()
            .count(),
        3
    );
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
    // It stays known, and a backup of the store can be restored.
    let ran = place.run(&["verify", "--full", "-o", "json"]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["findings"][0]["severity"], "accepted");
    assert!(ran.err.contains("nothing else is damaged"), "{}", ran.err);
    place.ok(&["backup", "saved"]);
    let ran = place.run(&["restore", "saved", "--data", "restored"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("loss had been accepted"), "{}", ran.err);
}

#[test]
fn a_stream_that_may_have_lost_its_end_goes_on_when_told_to() {
    let place = Place::new();
    let append = |stream: &str, data: &str, more: &[&str]| {
        let args = ["append", stream, "-t", "T", "--data", data];
        place.run(&[&args[..], more].concat())
    };
    let events = [
        ("x-1", "\"left-0\""),
        ("x-1", "\"left-1\""),
        ("x-1", "\"lost\""),
        ("y-1", "\"after\""),
    ];
    for (stream, data) in events {
        assert_eq!(append(stream, data, &[]).code, 0);
    }
    damage_frame(&place.path("factum-data"), "\"lost\"");
    // The option accepts no damage.
    assert_eq!(append("x-1", "1", &["--accept-lost-tails"]).code, 1);
    place.ok(&["doctor", "--accept-loss", "--yes"]);

    let ran = append("x-1", "1", &[]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    assert!(ran.err.contains("last event of stream x-1"), "{}", ran.err);
    let hint = ran.err.lines().find(|line| line.starts_with("hint: "));
    assert!(hint.unwrap().contains("--accept-lost-tails"), "{}", ran.err);
    assert_eq!(append("x-1", "1", &["--expect", "1"]).code, 7);
    // Nothing was lost of what goes on behind the loss.
    assert_eq!(append("y-1", "1", &[]).code, 0);

    let ran = append("x-1", "1", &["--accept-lost-tails", "--expect", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("at revision 2"), "{}", ran.out);
    // What is written now proves where the stream ends.
    assert_eq!(append("x-1", "1", &["--expect", "2"]).code, 0);
}

#[test]
fn the_variable_says_the_same_as_the_option() {
    let place = Place::new();
    for (stream, data) in [("x-1", "1"), ("x-1", "\"lost\""), ("y-1", "1")] {
        place.ok(&["append", stream, "-t", "T", "--data", data]);
    }
    damage_frame(&place.path("factum-data"), "\"lost\"");
    place.ok(&["doctor", "--accept-loss", "--yes"]);
    for (value, code) in [("0", 7), ("", 7), ("maybe", 2), ("1", 0)] {
        let mut command = place.command(&["append", "x-1", "-t", "T", "--data", "2"]);
        let output = command.env("FACTUM_ACCEPT_LOST_TAILS", value).output();
        let ran = Ran::of(output.unwrap());
        assert_eq!(ran.code, code, "{value}: {}", ran.err);
    }
}

/// A hundred failures are named in the report, and the damage is none of these: the exit code tells of it all the same.
#[test]
fn damage_behind_many_failures_is_told_by_the_exit_code() {
    let place = Place::new();
    let line = |n: u32| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"00000000-0000-4000-8000-{n:012}\",\"source\":\"/x\",\"type\":\"T\",\
\"subject\":\"s-{n}\",\"datacontenttype\":\"application/json\",\"data\":\"no number\"}}\n"
        )
    };
    place.write("log", (0..120).map(line).collect::<String>());
    place.ok(&["import", "log"]);
    place.ok(&["append", "s-1", "-t", "T", "--data", "\"marked\""]);
    damage(&place.path("factum-data"), "marked");
    place.write(
        "steps.toml",
        "format = 1\n[[step]]\nevent = \"T\"\nfields = [{ convert = \"\", as = \"number\" }]\n",
    );
    let args = ["transform", "steps.toml", "--to", "new", "--skip-failed"];
    let ran = place.run(&[&args[..], &["-o", "json"]].concat());
    assert_eq!(ran.code, 7, "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let named = report["failures"].as_array().unwrap();
    assert!(named.iter().all(|failed| !failed["stream"].is_null()));
    assert_eq!(
        (named.len(), &report["failed"], &report["damaged"]),
        (100, &121.into(), &1.into())
    );
}

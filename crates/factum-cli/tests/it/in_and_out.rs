//! Import and export: there and back, again, and over files that end early.

use std::io::Write;

use crate::support::{Place, lines, real_events};

/// A line of an export without what belongs to the store.
fn foreign(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}}}\n", line.split(",\"position\":").next().unwrap()))
        .collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[test]
fn what_comes_in_goes_out_byte_for_byte() {
    let place = Place::new();
    let text = lines(100);
    place.write("x.ndjson", &text);
    place.write("x.gz", gzip(&text));
    place.ok(&["import", "x.ndjson", "--data", "a"]);
    place.ok(&["import", "x.gz", "--data", "b"]);
    assert_eq!(
        place
            .run_with(&["import", "-", "--data", "c"], text.as_bytes())
            .code,
        0
    );
    assert_eq!(
        place
            .run_with(&["import", "-", "--data", "d"], &gzip(&text))
            .code,
        0
    );
    assert_eq!(
        place
            .run_with(&["import", "--data", "e", "--preserve-time", "x.gz"], b"")
            .code,
        0
    );
    for data in ["a", "b", "c", "d", "e"] {
        assert_eq!(
            foreign(&place.ok(&["export", "--data", data])),
            text,
            "{data}"
        );
    }
    let shown = place.ok(&["event", "show", "0", "--data", "e"]);
    assert!(
        shown.contains("recorded  2011-09-30T22:00:00.5Z"),
        "{shown}"
    );
}

#[test]
fn an_export_goes_into_another_store_and_out_again_the_same() {
    let place = Place::new();
    place.ok(&[
        "append",
        "s-1",
        "-t",
        "T",
        "--data",
        "{\"a\":1}",
        "--tag",
        "k:v",
        "--schema-version",
        "2",
    ]);
    place.ok(&[
        "append",
        "s-1",
        "-t",
        "U",
        "--binary",
        "--data",
        "bytes",
        "--meta",
        "{\"User Agent\":\"x\"}",
    ]);
    let first = place.ok(&["export"]);
    assert_eq!(
        place
            .run_with(&["import", "-", "--data", "b"], first.as_bytes())
            .code,
        0
    );
    assert_eq!(place.ok(&["export", "--data", "b"]), first);
}

#[test]
fn an_import_is_summed_up_and_repeated_without_effect() {
    let place = Place::new();
    place.write("x", lines(50));
    let check = |added: u64, there: u64| {
        let ran = place.run(&["import", "x", "-o", "json", "--batch", "7"]);
        let sum: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            (sum["events_added"].as_u64(), sum["already_there"].as_u64()),
            (Some(added), Some(there))
        );
        assert_eq!(
            (sum["streams"].as_u64(), sum["complete"].as_bool()),
            (Some(7), Some(true))
        );
        assert!(ran.err.contains("7 streams"), "{}", ran.err);
    };
    let dry = place.run(&["import", "x", "--dry-run"]);
    assert!(dry.err.contains("50 events would be added"), "{}", dry.err);
    assert!(crate::support::is_absent(&place.path("factum-data")));
    check(50, 0);
    check(0, 50);
    place.write("x", lines(60));
    check(10, 50);
    assert_eq!(place.all("factum-data").len(), 60);
}

#[test]
fn an_export_is_continued() {
    let place = Place::new();
    place.write("x", lines(40));
    place.ok(&["import", "x"]);
    place.ok(&["export", "out"]);
    let whole = std::fs::read_to_string(place.path("out")).unwrap();
    assert_eq!(place.run(&["export", "out"]).code, 1);
    for kept in [0, 1, 500, whole.len() / 2, whole.len() - 1, whole.len()] {
        place.write("out", &whole[..kept]);
        place.ok(&["export", "out", "--resume"]);
        assert_eq!(
            std::fs::read_to_string(place.path("out")).unwrap(),
            whole,
            "{kept}"
        );
    }
    place.ok(&["export", "out", "--yes", "--from", "39"]);
    assert_eq!(
        std::fs::read_to_string(place.path("out"))
            .unwrap()
            .lines()
            .count(),
        1
    );
    place.write("out", "words\n");
    assert_eq!(place.run(&["export", "out", "--resume"]).code, 1);
    place.ok(&["export", "out.gz", "--gzip", "order-1"]);
    place.ok(&["import", "out.gz", "--data", "b"]);
    assert_eq!(place.all("b").len(), 6);
}

#[test]
fn progress_is_json_when_asked() {
    let place = Place::new();
    place.write("x", lines(10));
    let ran = place.run(&["import", "x", "--progress", "json", "-q"]);
    let last: serde_json::Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert_eq!(last["progress"]["events"], 10);
    assert_eq!(last["progress"]["done"], last["progress"]["total"]);
}

#[test]
fn a_backup_is_a_store() {
    let place = Place::new();
    place.write("x", lines(30));
    place.ok(&["import", "x"]);
    place.ok(&["verify", "--full"]);
    place.ok(&["backup", "saved"]);
    place.ok(&["append", "late-1", "-t", "T"]);
    place.ok(&["restore", "saved", "--data", "again"]);
    assert_eq!(place.all("again").len(), 30);
    assert_eq!(place.run(&["backup", "saved"]).code, 1);
    assert_eq!(place.run(&["restore", "saved"]).code, 1);
    assert_eq!(place.run(&["restore", "nothing", "--data", "new"]).code, 3);
}

/// Runs where the file of 262,200 loan application events is present, beside the project or where FACTUM_REAL_EVENTS says.
#[test]
fn the_real_events_come_back_byte_for_byte() {
    let Some(path) = real_events() else {
        eprintln!("the file of real events is not here: they were not tried");
        return;
    };
    let place = Place::new();
    place.ok(&["import", path.to_str().unwrap(), "--preserve-time"]);
    let mut text = String::new();
    let file = std::fs::read(&path).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&file[..]), &mut text)
        .unwrap();
    assert!(
        foreign(&place.ok(&["export"])) == text,
        "the export differs from the file"
    );
    let again = place.run(&["import", path.to_str().unwrap(), "--preserve-time"]);
    assert!(
        again
            .err
            .contains("0 events added, 262,200 already there, 13,087 streams"),
        "{again:?}"
    );
    place.ok(&["verify", "--full"]);
}

/// An import is killed in the middle, several times, at different places; then it is run to its end.
#[test]
fn a_killed_import_goes_on_where_it_was() {
    let place = Place::new();
    let all = lines(40_000);
    for part in [1, 300, 9_000, 21_000, 33_333, 39_999] {
        let mut child = place
            .command(&["import", "-", "--quiet"])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The pipe is narrow: when all this is written, nearly all of it has been read.
        let fed: usize = all.lines().take(part).map(|line| line.len() + 1).sum();
        Write::write_all(child.stdin.as_mut().unwrap(), &all.as_bytes()[..fed]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    place.write("all.ndjson", &all);
    place.ok(&["import", "all.ndjson"]);
    assert!(
        foreign(&place.ok(&["export"])) == all,
        "the export differs from the file"
    );
    place.ok(&["verify", "--full"]);
}

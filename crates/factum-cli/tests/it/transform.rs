//! `factum transform`: a real log in another vocabulary, killed and run again; reports, failures, and streams that moved.

#![expect(
    clippy::disallowed_methods,
    reason = "the store's file, looked at from outside while another process writes it, and a bound for that"
)]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Mortal, Place, real_events};

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/examples")
        .join(name)
}

fn vocabulary() -> String {
    example("loan-vocabulary.toml").to_str().unwrap().to_owned()
}

/// Applications like the real ones: so many, whose events are mixed.
fn applications(count: usize) -> String {
    const STORY: [(&str, &str, &str); 9] = [
        (
            "A_SUBMITTED",
            "COMPLETE",
            ",\"REG_DATE\":\"2011-10-01T00:38:44.546+02:00\",\"AMOUNT_REQ\":\"20000\"",
        ),
        ("A_PARTLYSUBMITTED", "COMPLETE", ""),
        ("A_PREACCEPTED", "COMPLETE", ""),
        ("W_Completeren aanvraag", "SCHEDULE", ""),
        ("W_Completeren aanvraag", "START", ""),
        ("A_ACCEPTED", "COMPLETE", ""),
        ("O_SENT", "COMPLETE", ""),
        ("W_Completeren aanvraag", "COMPLETE", ""),
        ("A_APPROVED", "COMPLETE", ""),
    ];
    let mut text = String::new();
    for number in 0..count * STORY.len() {
        // One hundred applications at a time.
        let (round, rest) = (number / (100 * STORY.len()), number % (100 * STORY.len()));
        let (event, lifecycle, more) = STORY[rest / 100];
        let application = round * 100 + rest % 100;
        let (minute, second) = (number / 60_000 % 60, number / 1_000 % 60);
        text.push_str(&format!(
            "{{\"specversion\":\"1.0\",\"id\":\"00000000-0000-4000-8000-{number:012}\",\"source\":\"/bank\",\"type\":\"{event}\",\
\"subject\":\"loanApplication-{application}\",\"time\":\"2011-09-30T22:{minute:02}:{second:02}.{:03}Z\",\
\"datacontenttype\":\"application/json\",\"data\":{{\"lifecycle\":\"{lifecycle}\"{more}}},\"userid\":\"112\"}}\n",
            number % 1_000
        ));
    }
    text
}

/// A store with the real log where it is present, else with one like it; and how many events that is.
fn log(place: &Place) -> u64 {
    if let Some(path) = real_events() {
        place.ok(&["import", path.to_str().unwrap(), "--preserve-time"]);
        return 262_200;
    }
    eprintln!("the file of real events is not here: one like it is made");
    place.write("log", applications(4_000));
    place.ok(&["import", "log", "--preserve-time"]);
    36_000
}

fn page(segment: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut page = vec![0; 4_096];
    let read = std::fs::File::open(segment)?.read_at(&mut page, offset)?;
    page.truncate(read);
    Ok(page)
}

/// Kills the process once the target's first segment has bytes here; `false` when it ended before.
fn kill_when_written(mut child: Mortal, segment: &Path, offset: u64) -> bool {
    let start = Instant::now();
    loop {
        if child.has_ended() {
            return false;
        }
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "byte {offset} is not written"
        );
        let written = page(segment, offset).is_ok_and(|page| page.iter().any(|byte| *byte != 0));
        if written {
            child.kill();
            return true;
        }
        std::thread::yield_now();
    }
}

/// The log goes into the new vocabulary in one run, and in several that are killed: both exports are the same, to the byte.
#[test]
fn a_real_log_is_migrated_and_a_killed_migration_goes_on() {
    let place = Place::new();
    let events = log(&place);
    let steps = vocabulary();
    let whole = place.run(&["transform", &steps, "--to", "whole", "-o", "json"]);
    assert_eq!(whole.code, 0, "{}", whole.err);
    let report = value(&whole.out);
    assert_eq!(
        (&report["read"], &report["added"], &report["failed"]),
        (&json!(events), &report["written"], &json!(0))
    );
    assert_eq!(
        (&report["unknown"], &report["types"]["A_SUBMITTED"]["split"]),
        (&json!({}), &report["dropped"])
    );
    let segment = place.path("cut/segments/0000000001.seg");
    let mut kills = 0;
    for offset in [4 << 10, 64 << 10, 600 << 10, 1_200 << 10, 2_000 << 10] {
        let child = place
            .command(&["transform", &steps, "--to", "cut", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        kills += u32::from(kill_when_written(Mortal::new(child), &segment, offset));
    }
    assert!(
        kills >= 3,
        "killed {kills} times only: the log is too short"
    );
    let rest = place.run(&["transform", &steps, "--to", "cut", "-o", "json"]);
    assert_eq!(rest.code, 0, "{}", rest.err);
    let resumed = value(&rest.out);
    let there = resumed["already_there"].as_u64().unwrap();
    assert!(there > 0 && there < events, "{there}");
    for same in ["read", "written", "dropped", "split", "types"] {
        assert_eq!(resumed[same], report[same], "{same}");
    }
    assert!(
        place.ok(&["export", "--data", "cut"]) == place.ok(&["export", "--data", "whole"]),
        "the exports differ"
    );
    place.ok(&["verify", "--full", "--data", "cut"]);
    let again = value(&place.ok(&["transform", &steps, "--to", "cut", "-o", "json"]));
    assert_eq!(
        (&again["added"], &again["already_there"]),
        (&json!(0), &report["written"])
    );
    // What was migrated is folded by the fold that goes with it.
    let fold = example("loan-fold.toml");
    let stream = place.ok(&["read", "--all", "-n", "1", "--data", "whole"]);
    let stream = value(&stream)["subject"].as_str().unwrap().to_owned();
    let state = value(&place.ok(&[
        "state",
        &stream,
        "--data",
        "whole",
        "--fold",
        fold.to_str().unwrap(),
        "-o",
        "json",
    ]));
    assert_eq!(
        (&state["state"]["amount"], &state["state"]["status"]),
        (&json!(20_000), &json!("granted"))
    );
}

/// Like the real log, and small.
fn small() -> Place {
    let place = Place::new();
    place.write("log", applications(100));
    place.ok(&["import", "log", "--preserve-time"]);
    place
}

#[test]
fn a_dry_run_writes_nothing_and_shows_examples() {
    let place = small();
    let before = place.all("factum-data");
    let ran = place.run(&[
        "transform",
        &vocabulary(),
        "--dry-run",
        "--examples",
        "2",
        "-o",
        "json",
        "--to",
        "new",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report = value(&ran.out);
    assert_eq!(
        (&report["written"], &report["dry_run"]),
        (&json!(900), &json!(true))
    );
    let examples = report["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 2);
    assert_eq!(
        examples[0]["after"][1],
        json!({"stream": "application-0", "type": "LoanRequested", "version": 1, "data": {"amount": 20000, "currency": "EUR"}})
    );
    assert!(ran.err.contains("900 would be written"), "{}", ran.err);
    assert!(crate::support::is_absent(&place.path("new")));
    assert_eq!(place.all("factum-data"), before);
    let dry = place.run(&[
        "transform",
        &vocabulary(),
        "--within",
        "--category",
        "loanApplication",
        "--dry-run",
        "--close",
    ]);
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert_eq!(place.all("factum-data"), before);
}

/// What a run refuses, a dry run refuses: both fail in the same words, and the dry one changes nothing.
#[test]
fn a_dry_run_fails_where_a_run_would() {
    let place = small();
    let vocabulary = vocabulary();
    let steps = std::fs::read_to_string(&vocabulary).unwrap();
    let of = "rename_stream = \"application-*\"";
    assert!(steps.contains(of), "the file of the example has changed");
    place.write(
        "itself.toml",
        steps.replace(of, "rename_stream = \"loanApplication-new-*\""),
    );
    place.ok(&["--data", "other", "append", "s-1", "-t", "T"]);
    let before = place.all("factum-data");
    let check = |args: &[&str], code: i32, words: &str| {
        let args = [&["transform"], args].concat();
        let dry = place.run(&[&args[..], &["--dry-run"]].concat());
        assert_eq!(place.all("factum-data"), before);
        assert_eq!(place.all("other").len(), 1);
        let real = place.run(&args);
        assert_eq!((dry.code, real.code), (code, code), "{}", dry.err);
        for err in [&dry.err, &real.err] {
            assert!(err.contains(words), "{err}");
        }
    };
    let category = ["--category", "loanApplication"];
    check(
        &[&["itself.toml", "--within"], &category[..]].concat(),
        1,
        "which is the category that is read",
    );
    check(
        &[&vocabulary, "--within", "--all"],
        1,
        "one stream or one category",
    );
    check(
        &[&vocabulary, "--to", "factum-data"],
        2,
        "factum-data is the store that is read",
    );
    check(
        &[&[vocabulary.as_str(), "--to", "other"], &category[..]].concat(),
        1,
        "the target holds something else at position 0",
    );
}

#[test]
fn failures_are_named_with_their_positions() {
    let place = small();
    let steps = std::fs::read_to_string(example("loan-vocabulary.toml")).unwrap();
    place.write("steps.toml", steps.replace("event = \"O_SENT\"", "event = \"O_SENT\"\nfields = [{ set = \"/x\", value = \"no\" }, { convert = \"/x\", as = \"number\" }]"));
    let ran = place.run(&["transform", "steps.toml", "--to", "a"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("error: position 600, O_SENT at revision 6 of stream loanApplication-0: /x: \"no\" cannot be made a number"), "{}", ran.err);
    assert_eq!(place.all("a").len(), 600);
    let ran = place.run(&[
        "transform",
        "steps.toml",
        "--to",
        "a",
        "--skip-failed",
        "-o",
        "json",
    ]);
    assert_eq!(ran.code, 8, "{}", ran.err);
    let report: Value = value(&ran.out);
    assert_eq!(
        (
            &report["failed"],
            &report["already_there"],
            &report["added"]
        ),
        (&json!(100), &json!(600), &json!(200))
    );
    assert_eq!(report["failures"][0]["position"], 600);
    assert!(ran.err.contains("100 events left out"), "{}", ran.err);
    // A type that is not listed does not slip through.
    place.ok(&["append", "loanApplication-7", "-t", "A_NEW"]);
    let ran = place.run(&["transform", &vocabulary(), "--to", "b"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("no step names the type A_NEW"),
        "{}",
        ran.err
    );
}

#[test]
fn streams_move_within_a_store() {
    let place = small();
    let within = |more: &[&str]| {
        place.run(
            &[
                &[
                    "transform",
                    &vocabulary(),
                    "--within",
                    "--category",
                    "loanApplication",
                    "-o",
                    "json",
                ],
                more,
            ]
            .concat(),
        )
    };
    let ran = within(&["--close"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        (&value(&ran.out)["closed"], &value(&ran.out)["added"]),
        (&json!(100), &json!(900))
    );
    assert_eq!(place.all("factum-data").len(), 900 + 900 + 100);
    let last = value(&place.ok(&["read", "loanApplication-7", "--backward", "-n", "1"]));
    assert_eq!(
        (&last["type"], &last["data"]["to"]),
        (&json!("StreamMoved"), &json!(["application-7"]))
    );
    // The time of what was moved is what it was.
    let old = value(&place.ok(&["read", "loanApplication-7", "-n", "1"]));
    let new = value(&place.ok(&["read", "application-7", "-n", "1"]));
    assert_eq!(
        (&new["time"], &new["source"], &new["userid"]),
        (&old["time"], &old["source"], &old["userid"])
    );
    assert_ne!(new["id"], old["id"]);
    let again = within(&["--close"]);
    assert_eq!(
        (&value(&again.out)["closed"], &value(&again.out)["added"]),
        (&json!(100), &json!(0))
    );
    assert_eq!(place.all("factum-data").len(), 1_900);
    let ran = place.run(&["transform", &vocabulary(), "--within", "--all"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains("one stream or one category"),
        "{}",
        ran.err
    );
}

#[test]
fn what_is_wrong_is_said() {
    let place = small();
    place.write(
        "bad.toml",
        "format = 1\n\n[[step]]\nevent = \"A\"\nrenam = \"B\"\n",
    );
    let check = |args: &[&str], code: i32, words: &str| {
        let ran = place.run(&[&["transform"], args].concat());
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(
            ran.err.contains(words) && !ran.err.contains("panicked"),
            "{args:?}: {}",
            ran.err
        );
    };
    let steps = vocabulary();
    check(&[&steps], 2, "--to <DIR>");
    check(
        &[&steps, "--to", "x", "--within", "s-1"],
        2,
        "cannot be used with",
    );
    check(&[&steps, "--to", "x", "--close"], 2, "cannot be used with");
    check(
        &[&steps, "--within"],
        2,
        "it was not said which stream or category",
    );
    check(
        &[&steps, "--to", "factum-data"],
        2,
        "factum-data is the store that is read",
    );
    check(
        &[&steps, "--to", "x", "none-1"],
        3,
        "stream none-1 has no events",
    );
    check(
        &[&steps, "--to", "x", "--data", "nowhere"],
        3,
        "there is no store in nowhere",
    );
    check(&["none.toml", "--check"], 3, "none.toml: No such file");
    check(
        &["bad.toml", "--check"],
        1,
        "error: bad.toml: line 5: the key `renam` is not known here",
    );
    assert!(crate::support::is_absent(&place.path("x")));
    place.ok(&["append", "s-1", "-t", "T"]);
    place.ok(&["--data", "other", "append", "s-1", "-t", "T"]);
    check(
        &[&steps, "--to", "other", "--category", "loanApplication"],
        1,
        "the target holds something else at position 0 (T in stream s-1)",
    );
}

#[test]
fn progress_is_json_when_asked() {
    let place = Place::new();
    place.write("log", applications(300));
    place.ok(&["import", "log", "--preserve-time"]);
    let ran = place.run(&[
        "transform",
        &vocabulary(),
        "--to",
        "new",
        "--progress",
        "json",
        "-q",
    ]);
    let line = ran
        .err
        .lines()
        .find(|line| line.starts_with("{\"progress\""))
        .unwrap_or(&ran.err);
    let last = value(line);
    assert_eq!(
        (&last["progress"]["total"], &last["progress"]["events"]),
        (&json!(2_700), &json!(2_700)),
        "{}",
        ran.err
    );
}

//! `factum state` and `factum snapshot`: the past of a stream.

use serde_json::{Value, json};

use crate::support::{Place, lines, real_events};

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

const FOLD: &str = "format = 1\n[[on]]\nevent = \"*\"\ndo = [{ increment = \"/events\" }, { set = \"/last\", from = \"/n\" }]\n";

/// A stream `s-1` with six events at times of its own.
fn place() -> Place {
    let place = Place::new();
    for n in 1..=6 {
        let data = format!("{{\"n\":{n},\"even\":{}}}", n % 2 == 0);
        let time = format!("2020-01-0{n}T12:00:00Z");
        place.ok(&[
            "append",
            "s-1",
            "-t",
            "Counted",
            "--data",
            &data,
            "--time",
            &time,
            "--user-id",
            &format!("u{n}"),
        ]);
    }
    place.write("fold.toml", FOLD);
    place
}

#[test]
fn a_state_is_shown_as_it_was() {
    let place = place();
    let check = |at: &str, version: u64, time: Option<&str>| {
        let answer = value(&place.ok(&["state", "s-1", "--at", at, "-o", "json"]));
        let state = if version == 0 {
            json!({})
        } else {
            json!({"n": version, "even": version.is_multiple_of(2)})
        };
        assert_eq!(
            (&answer["stream"], &answer["version"]),
            (&json!("s-1"), &json!(version)),
            "{at}"
        );
        assert_eq!(
            (&answer["state"], &answer["time"]),
            (&state, &json!(time)),
            "{at}"
        );
    };
    check("0", 0, None);
    check("1", 1, Some("2020-01-01T12:00:00Z"));
    check("v6", 6, Some("2020-01-06T12:00:00Z"));
    check("2020-01-03T12:00:00Z", 3, Some("2020-01-03T12:00:00Z"));
    check(
        "2020-01-03T11:59:59.999999Z",
        2,
        Some("2020-01-02T12:00:00Z"),
    );
    check("2020-01-03", 2, Some("2020-01-02T12:00:00Z"));
    check("2019-01-01", 0, None);
    check("2999-01-01", 6, Some("2020-01-06T12:00:00Z"));
    let now = value(&place.ok(&["state", "s-1", "-o", "ndjson"]));
    assert_eq!(now["version"], 6);
    let words = place.ok(&["state", "s-1", "--at", "2"]);
    assert!(
        words.contains("version    2 of 6") && words.contains("loaded     from 2 events"),
        "{words}"
    );
}

#[test]
fn changes_are_found_and_blamed() {
    let place = place();
    let answer =
        |args: &[&str]| value(&place.ok(&[&["state", "s-1", "-o", "json"], args].concat()));
    let diff = answer(&["--diff", "--at", "3"]);
    assert_eq!(
        diff["changes"],
        json!([{"field": "/even", "before": true, "after": false}, {"field": "/n", "before": 2, "after": 3}])
    );
    assert_eq!(
        (&diff["event"]["user"], &diff["event"]["version"]),
        (&json!("u3"), &json!(3))
    );
    let since = answer(&["--since", "2020-01-03", "--at", "2020-01-05"]);
    assert_eq!(
        since["changes"],
        json!([{"field": "/n", "before": 2, "after": 4}])
    );
    assert_eq!(
        (&since["from"]["version"], &since["to"]["version"]),
        (&json!(2), &json!(4))
    );
    let blame = answer(&["--blame", "/even", "--at", "3"]);
    assert_eq!(
        (&blame["event"]["user"], &blame["before"], &blame["after"]),
        (&json!("u3"), &json!(true), &json!(false))
    );
    assert_eq!(
        answer(&["--blame", "/last", "--fold", "fold.toml"])["event"]["version"],
        6
    );
    let first = answer(&["--blame", "/n", "--at", "1"]);
    assert_eq!((first.get("before"), &first["after"]), (None, &json!(1)));
}

#[test]
fn what_is_wrong_is_said() {
    let place = place();
    place.write("bad.toml", "format = 1\n[[on]]\nevent = \"*\"\nto = []\n");
    place.ok(&["append", "gone-1", "-t", "T"]);
    place.ok(&["stream", "delete", "gone-1", "--yes"]);
    let check = |args: &[&str], code: i32, words: &str| {
        let ran = place.run(&[&["state"], args].concat());
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(
            ran.err.contains(words) && !ran.err.contains("panicked"),
            "{args:?}: {}",
            ran.err
        );
    };
    check(&["s-2"], 3, "stream s-2 has no events");
    check(&["gone-1"], 3, "gone-1");
    check(
        &["s-1", "--at", "7"],
        3,
        "stream s-1 has no version 7: it has 6 events",
    );
    check(&["s-1", "--since", "7"], 3, "no version 7");
    check(
        &["s-1", "--since", "5", "--at", "2"],
        2,
        "version 5 comes after version 2",
    );
    check(
        &["s-1", "--at", "noon"],
        2,
        "write a version (3), a day (2011-10-05) or a time",
    );
    check(&["s-1", "--at", "2020-02-30"], 2, "is not RFC 3339");
    check(&["s-1", "--blame", "n"], 2, "it begins with /");
    check(
        &["s-1", "--blame", "/none"],
        3,
        "no event of stream s-1 set /none",
    );
    check(
        &["s-1", "--blame", "/n", "--diff"],
        2,
        "cannot be used with",
    );
    check(
        &["s-1", "--fold", "none.toml"],
        3,
        "none.toml: No such file",
    );
    check(
        &["s-1", "--fold", "bad.toml"],
        1,
        "error: bad.toml: line 2: the key `do` is missing",
    );
    check(
        &["s-1", "--data", "nowhere"],
        3,
        "there is no store in nowhere",
    );
}

/// At every cut: a snapshot and what came since are what a replay gives, and the answer says which it was.
#[test]
fn a_snapshot_saves_work_and_changes_nothing() {
    for fold in [&[][..], &["--fold", "fold.toml"]] {
        let place = Place::new();
        place.write("fold.toml", FOLD);
        place.write("other.toml", FOLD.replace("/last", "/latest"));
        for n in 1..=5_u64 {
            place.ok(&[
                "append",
                "s-1",
                "-t",
                "Counted",
                "--data",
                &format!("{{\"n\":{n}}}"),
            ]);
            if n % 2 == 0 {
                place.ok(&[&["snapshot", "s-1"], fold].concat());
            }
            for at in 0..=n {
                let at_text = at.to_string();
                let args = [&["state", "s-1", "-o", "json", "--at", &at_text], fold].concat();
                let with = value(&place.ok(&args));
                let without = value(&place.ok(&[&args[..], &["--no-snapshot"]].concat()));
                let (cut, none) = (at / 2 * 2, Value::Null);
                let expected = if cut > 0 { json!(cut) } else { none };
                assert_eq!(
                    with["loaded"],
                    json!({"snapshot": expected, "events": at - cut}),
                    "{n}, {at}"
                );
                assert_eq!(without["loaded"], json!({"snapshot": null, "events": at}));
                for name in ["state", "version", "time"] {
                    assert_eq!(with[name], without[name], "{n}, {at}");
                }
            }
        }
        let listed = place.ok(&[&["snapshot", "ls", "s-1"], fold].concat());
        let versions: Vec<_> = listed
            .lines()
            .map(|line| value(line)["version"].clone())
            .collect();
        assert_eq!(versions, [json!(4), json!(2)]);
        let none = place.run(&[
            "snapshot",
            "ls",
            "s-1",
            "--fold",
            "other.toml",
            "-o",
            "json",
        ]);
        assert_eq!((none.out.as_str(), none.code), ("[]\n", 0));
        assert!(none.err.contains("has no snapshot"), "{}", none.err);
        assert_eq!(place.run(&["snapshot", "s-2"]).code, 3);
        assert_eq!(place.run(&["snapshot"]).code, 2);
    }
}

/// What an import keeps of a time is what is asked for, whether or not it was recorded with it.
#[test]
fn the_past_of_an_imported_stream_is_its_own() {
    let place = Place::new();
    place.write("x", lines(30));
    place.ok(&["import", "x", "--data", "now"]);
    place.ok(&["import", "x", "--data", "then", "--preserve-time"]);
    for data in ["now", "then"] {
        let answer = value(&place.ok(&[
            "state",
            "order-1",
            "--at",
            "2011-09-30T22:00:10Z",
            "-o",
            "json",
            "--data",
            data,
        ]));
        assert_eq!(answer["version"], 2, "{data}");
        assert_eq!(
            (&answer["time"], &answer["state"]),
            (&json!("2011-09-30T22:00:08.5Z"), &json!({"n": 8})),
            "{data}"
        );
    }
}

/// Runs where the file of real events is present.
#[test]
fn the_past_of_a_real_application() {
    let Some(path) = real_events() else {
        eprintln!("the file of real events is not here: they were not tried");
        return;
    };
    let place = Place::new();
    place.ok(&["import", path.to_str().unwrap(), "--preserve-time"]);
    let at =
        |at: &str| value(&place.ok(&["state", "loanApplication-173688", "--at", at, "-o", "json"]));
    let all = at("26");
    assert_eq!(
        (&all["version"], &all["time"]),
        (&json!(26), &json!("2011-10-13T08:37:37.026Z"))
    );
    let then = at("2011-10-03");
    assert_eq!(
        (&then["version"], &then["time"]),
        (&json!(14), &json!("2011-10-01T10:17:08.924Z"))
    );
    assert_eq!(then["state"]["AMOUNT_REQ"], "20000");
    assert_eq!(
        place
            .run(&["state", "loanApplication-173688", "--at", "27"])
            .code,
        3
    );
}

//! The suites that are written here: Node.js, Go and Java.
//!
//! Versions are pinned by `package-lock.json`, `go.sum` and `pom.xml`. Relies on: `npm`, `go`, `mvn`.

use std::process::Command;

use super::{Place, Suite, command};
use crate::step::Tests;

/// The current client of Node.js.
pub(super) const NODE: Suite = Suite {
    name: "node",
    what: "@kurrent/kurrentdb-client 1.3.1",
    tool: &["npm", "--version"],
    install: npm,
    tests: |place, only| node(place, only, "new"),
    count: count_node,
    server: None,
    seconds: (180, 300),
};

/// The client of Node.js before it, with the same tests.
pub(super) const NODE_OLD: Suite = Suite {
    name: "node-old",
    what: "@eventstore/db-client 6.2.1",
    tests: |place, only| node(place, only, "old"),
    ..NODE
};

/// The client of Go.
pub(super) const GO: Suite = Suite {
    name: "go",
    what: "github.com/kurrent-io/KurrentDB-Client-Go 1.4.2",
    tool: &["go", "version"],
    install: |_| Ok(vec![command(&["go", "mod", "download"])]),
    tests: go,
    count: count_go,
    server: None,
    seconds: (180, 300),
};

/// The client of Java.
pub(super) const JAVA: Suite = Suite {
    name: "java",
    what: "io.kurrent:kurrentdb-client 1.1.0",
    tool: &["mvn", "--version"],
    install: |_| Ok(vec![command(&["mvn", "-q", "-B", "test-compile"])]),
    tests: java,
    count: count_java,
    server: None,
    seconds: (300, 300),
};

/// Files of tests, one for an area.
const AREAS: &[&str] = &[
    "port",
    "streams",
    "metadata",
    "multi",
    "links",
    "subscriptions",
    "deadlines",
    "restart",
    "auth",
    "rights",
    "users",
    "persistent",
    "groups",
    "readme",
];

/// Those that are not for the older client: it has no append to many streams, and the README is about the current one.
const NOT_OLD: &[&str] = &["multi", "readme"];

fn npm(place: &Place) -> Result<Vec<Command>, String> {
    // Both suites use one directory, and nothing is downloaded twice.
    let done = place.sources.join("node_modules/.package-lock.json");
    let is_newer = || {
        let lock = place.sources.join("package-lock.json").metadata().ok()?;
        let done = done.metadata().ok()?;
        Some(done.modified().ok()? >= lock.modified().ok()?)
    };
    if is_newer() == Some(true) {
        return Ok(Vec::new());
    }
    Ok(vec![command(&[
        "npm",
        "ci",
        "--silent",
        "--no-audit",
        "--no-fund",
    ])])
}

fn node(_: &Place, only: Option<&str>, client: &str) -> Result<Vec<Command>, String> {
    let of_both = |area: &&&str| client != "old" || !NOT_OLD.contains(area);
    let wanted = |area: &&&str| only.is_none_or(|only| only == **area);
    let areas: Vec<&str> = AREAS
        .iter()
        .filter(of_both)
        .filter(wanted)
        .copied()
        .collect();
    if areas.is_empty() {
        let all = AREAS.join(", ");
        return Err(format!("there is no such area here; there are {all}"));
    }
    let mut tests = command(&[
        "node",
        "--test",
        "--test-timeout=150000",
        "--test-reporter=spec",
    ]);
    tests.args(areas.iter().map(|area| format!("{area}.test.mjs")));
    tests.env("CLIENT", client).env("NODE_NO_WARNINGS", "1");
    Ok(vec![tests])
}

fn go(_: &Place, only: Option<&str>) -> Result<Vec<Command>, String> {
    let mut tests = command(&["go", "test", "-count=1", "-timeout=240s", "-v"]);
    if let Some(only) = only {
        tests.arg(format!("-run=(?i)^Test{only}"));
    }
    tests.arg("./...");
    Ok(vec![tests])
}

fn java(_: &Place, only: Option<&str>) -> Result<Vec<Command>, String> {
    // Not with `-q`, which leaves out the classes that passed.
    let mut tests = command(&["mvn", "-B", "-ntp", "test"]);
    if let Some(only) = only {
        let mut name: Vec<char> = only.chars().collect();
        if let Some(first) = name.first_mut() {
            first.make_ascii_uppercase();
        }
        let name: String = name.into_iter().collect();
        tests.arg(format!("-Dtest={name}Test"));
    }
    Ok(vec![tests])
}

/// `ℹ pass 12`, in whatever colour.
fn count_node(line: &str) -> Option<Tests> {
    let (_, rest) = line.split_once('ℹ')?;
    let mut words = rest.split_whitespace();
    let (what, number) = (words.next()?, words.next()?.parse().ok()?);
    let mut tests = Tests::default();
    match what {
        "pass" => tests.passed = number,
        "fail" | "cancelled" => tests.failed = number,
        "skipped" => tests.ignored = number,
        _ => return None,
    }
    Some(tests)
}

/// `--- PASS: TestName (0.01s)`; those of subtests are further in.
fn count_go(line: &str) -> Option<Tests> {
    let mut tests = Tests::default();
    match line.strip_prefix("--- ")?.split(':').next()? {
        "PASS" => tests.passed = 1,
        "FAIL" => tests.failed = 1,
        "SKIP" => tests.ignored = 1,
        _ => return None,
    }
    Some(tests)
}

/// `Tests run: 7, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: …`: one class; the total of all has no time.
fn count_java(line: &str) -> Option<Tests> {
    let (_, counts) = line.split_once("Tests run: ")?;
    let counts = counts.split_once(", Time elapsed")?.0;
    let mut numbers = counts
        .split(|part: char| !part.is_ascii_digit())
        .filter_map(|number| number.parse::<u64>().ok());
    let (run, failures) = (numbers.next()?, numbers.next()?);
    let (errors, ignored) = (numbers.next()?, numbers.next()?);
    let failed = failures + errors;
    Some(Tests {
        passed: run.saturating_sub(failed + ignored),
        failed,
        ignored,
    })
}

#[cfg(test)]
mod tests {
    use super::{count_go, count_java, count_node};
    use crate::step::Tests;

    fn tests(passed: u64, failed: u64, ignored: u64) -> Option<Tests> {
        Some(Tests {
            passed,
            failed,
            ignored,
        })
    }

    #[test]
    fn what_the_runners_say_is_counted_once() {
        assert_eq!(count_node("\u{1b}[34mℹ pass 48\u{1b}[39m"), None);
        assert_eq!(count_node("ℹ pass 48\n"), tests(48, 0, 0));
        assert_eq!(count_node("ℹ fail 2\n"), tests(0, 2, 0));
        assert_eq!(count_node("ℹ suites 2\n"), None);
        assert_eq!(count_go("--- FAIL: TestAuth (0.84s)\n"), tests(0, 1, 0));
        assert_eq!(count_go("    --- PASS: TestRestart/TERM (0.64s)\n"), None);
        let class = "[ERROR] Tests run: 7, Failures: 1, Errors: 2, Skipped: 1, Time elapsed: 5.590 s <<< FAILURE! -- in factum.StreamsTest";
        assert_eq!(count_java(class), tests(3, 3, 1));
        assert_eq!(
            count_java("[ERROR] Tests run: 7, Failures: 1, Errors: 0, Skipped: 0"),
            None
        );
    }
}

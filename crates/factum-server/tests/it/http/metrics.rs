//! Metrics, as Prometheus reads them and `promtool` judges them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::client::{ask, get, post};
use crate::support::Running;

/// The path of `promtool`; without one a test says so and passes, but not where `CI` is set.
#[expect(clippy::print_stdout, reason = "whoever looks should see it")]
fn promtool() -> Option<String> {
    let services = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/services");
    match std::fs::read_to_string(services.join("prometheus").join("promtool")) {
        Ok(path) => Some(path.trim().to_owned()),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "no promtool: {error}");
            println!("not run: there is no promtool; `cargo xtask services up prometheus`");
            None
        }
    }
}

/// With every metric that there is.
async fn busy() -> Running {
    let server = Running::start().await;
    post(server.address, "/streams/s", r#"{"type":"T"}"#).await;
    let taken = [("content-type", "application/json"), ("if-none-match", "*")];
    let refused = ask(
        server.address,
        "POST",
        "/streams/s",
        &taken,
        r#"{"type":"T"}"#,
    )
    .await;
    refused.problem(412, "conflict");
    get(server.address, "/streams/s").await;
    get(server.address, "/nowhere").await;
    get(server.address, "/streams/nobody").await;
    server
}

#[tokio::test]
async fn they_are_as_promtool_wants_them() {
    let Some(promtool) = promtool() else { return };
    let server = busy().await;
    let metrics = get(server.address, "/metrics").await;
    server.stop().await;
    let mut judge = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    judge
        .stdin
        .take()
        .unwrap()
        .write_all(&metrics.body)
        .unwrap();
    let said = judge.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(
        said.status.success() && words.is_empty(),
        "{words}\n{}",
        metrics.text()
    );
}

#[tokio::test]
async fn who_knows_the_newer_format_is_given_it() {
    let server = busy().await;
    let accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let open = ask(server.address, "GET", "/metrics", &[("accept", accept)], "").await;
    let kind = open.header("content-type").unwrap();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
    let plain = get(server.address, "/metrics").await;
    assert_eq!(
        plain.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for text in [open.text(), plain.text()] {
        for expected in [
            "factum_appends_total{result=\"Stored\"} 1\n",
            "factum_appends_total{result=\"Conflict\"} 1\n",
            "factum_requests_total{route=\"/streams/{stream}\",code=\"201\"} 1\n",
            "factum_requests_total{route=\"/streams/{stream}\",code=\"412\"} 1\n",
            "factum_requests_total{route=\"/streams/{stream}\",code=\"404\"} 1\n",
            "factum_requests_total{route=\"other\",code=\"404\"} 1\n",
            "factum_read_events_total 1\n",
            "factum_head_position 1\n",
        ] {
            assert!(text.contains(expected), "{expected}{text}");
        }
    }
    server.stop().await;
}

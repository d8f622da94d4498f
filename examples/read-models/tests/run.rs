//! The example, run against real servers.

#![expect(
    clippy::disallowed_methods,
    reason = "what the program says, and a bound for how long it takes"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It takes seconds.
const WITHIN: Duration = Duration::from_secs(300);

/// A child that does not outlive a test that fails.
struct Mortal(Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// With `CI=true` the servers must be there; elsewhere what is missing is said.
#[test]
fn four_read_models_say_what_the_log_says() {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services");
    let missing = ["postgres15", "influxdb", "opensearch"]
        .into_iter()
        .find(|name| !services.join(name).join("url").exists());
    if let Some(name) = missing {
        let needs = format!("the example of read models needs {name}: cargo xtask services up");
        assert!(std::env::var_os("CI").is_none(), "{needs}");
        eprintln!("NOT RUN: {needs}");
        return;
    }
    let program = env!("CARGO_BIN_EXE_factum-example-read-models");
    let said = tempfile::tempdir().unwrap();
    let file = |name| std::fs::File::create(said.path().join(name)).unwrap();
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command.stdout(file("stdout")).stderr(file("stderr"));
    let mut child = Mortal(command.spawn().unwrap());
    let start = Instant::now();
    let read = |name| std::fs::read_to_string(said.path().join(name)).unwrap();
    let status = loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            break status;
        }
        let late = start.elapsed() > WITHIN;
        assert!(
            !late,
            "it does not end:\n{}{}",
            read("stdout"),
            read("stderr")
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{}", read("stderr"));
    let told = read("stdout");
    assert!(told.contains("readers see generation 2"), "{told}");
    assert!(told.ends_with("all four say what the log says\n"), "{told}");
}

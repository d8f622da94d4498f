//! The example, run against real servers.

use std::path::Path;
use std::process::Command;

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
    let output = Command::new(program).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("readers see generation 2"), "{told}");
    assert!(told.ends_with("all four say what the log says\n"), "{told}");
}

//! What opening the store finds.

use std::path::Path;

use factum_io::Env;

use super::Check;
use crate::store::{self, Severity, VerifyDepth};
use crate::ui::progress::counted;

pub(super) fn checks(data: &Path, env: &Env) -> Vec<Check> {
    vec![opening(data, env), files(data, env)]
}

fn opening(data: &Path, env: &Env) -> Check {
    let name = "opening";
    match store::open_report(data, env) {
        Err(failure) => {
            let fix = failure.hint.unwrap_or_else(|| "see the message".to_owned());
            Check::fail(name, failure.message, fix)
        }
        Ok(report) if report.is_degraded => Check::fail(
            name,
            format!(
                "damaged, so nothing is written: {}",
                report.notes.join("; ")
            ),
            "restore from a backup, or accept the loss: factum doctor --accept-loss",
        ),
        Ok(report) => {
            let found = format!(
                "{} in {}",
                counted(report.records, "record"),
                counted(report.segments, "segment")
            );
            if report.notes.is_empty() {
                Check::ok(name, found)
            } else {
                Check::ok(name, format!("{found}; {}", report.notes.join("; ")))
            }
        }
    }
}

fn files(data: &Path, env: &Env) -> Check {
    let name = "files";
    match store::verify(data, VerifyDepth::Quick, env, &mut |_, _| {}) {
        Err(failure) => Check::fail(name, failure.message, "factum verify --full"),
        Ok(verified) if verified.is_clean() => Check::ok(name, "all there, and they fit together"),
        Ok(verified) => {
            let found = counted(verified.findings.len() as u64, "finding");
            let fix = "factum verify --full names them";
            if verified
                .findings
                .iter()
                .all(|finding| finding.severity == Severity::Harmless)
            {
                Check::warn(name, found, fix)
            } else {
                Check::fail(name, found, fix)
            }
        }
    }
}

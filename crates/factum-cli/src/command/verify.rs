//! `factum verify`.

use factum_types::Position;
use serde_json::json;

use super::backup::watched;
use crate::cli::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::store::{self, Severity, VerifyDepth, VerifyFinding, VerifyReport};
use crate::ui::progress::{self, counted};
use crate::ui::table::{Align, Column, Table};

const COLUMNS: &[Column] = &[
    ("severity", Align::Left),
    ("file", Align::Left),
    ("offset", Align::Right),
    ("bytes", Align::Right),
    ("positions", Align::Left),
    ("what", Align::Left),
];

/// How closely to look.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Checks that the store holds what was written. Without --full: that all files are there, fit together and end where \
they should. With --full: every byte against its checksum. Nothing is changed, and the store may be in use. The exit code is 7 if \
events are damaged; each finding names the file, the bytes and the positions.",
    after_long_help = "Examples:\n  factum verify\n  factum verify --full --progress json\n  factum verify --full -o json | jq .findings"
)]
pub(crate) struct VerifyArgs {
    /// Check every byte
    #[arg(long)]
    full: bool,
}

/// Checks, and says what was found.
pub(crate) fn run(args: &VerifyArgs, context: &mut Context) -> Outcome {
    store::must_be_there(&context.data)?;
    let depth = if args.full {
        VerifyDepth::Full
    } else {
        VerifyDepth::Quick
    };
    let (data, env) = (context.data.clone(), context.env.clone());
    let verified = watched("verifying", context, |on_progress| {
        store::verify(&data, depth, &env, on_progress)
    })?;
    print(&verified, args, context)?;
    match worst(&verified) {
        None | Some(Severity::Harmless) => Ok(()),
        Some(Severity::Repairable) => Err(Failure::new(
            Exit::Integrity,
            "corrupt",
            "the store is damaged, but no event is lost",
        )
        .hint("what is damaged exists twice or can be made again; take a backup now")),
        Some(Severity::Accepted) => Err(Failure::new(
            Exit::Integrity,
            "corrupt",
            "events are lost, and their loss was accepted",
        )
        .hint(if has(&verified, Severity::Repairable) {
            "what else is damaged exists twice or can be made again; take a backup now"
        } else {
            "nothing else is damaged; a backup from before has them"
        })),
        Some(Severity::Lost) => Err(
            Failure::new(Exit::Integrity, "corrupt", "events are damaged").hint(
                "restore from a backup, or accept the loss with `factum doctor --accept-loss`",
            ),
        ),
    }
}

fn has(verified: &VerifyReport, severity: Severity) -> bool {
    let mut findings = verified.findings.iter();
    findings.any(|finding| finding.severity == severity)
}

fn worst(verified: &VerifyReport) -> Option<Severity> {
    verified
        .findings
        .iter()
        .map(|finding| finding.severity)
        .max()
}

fn print(verified: &VerifyReport, args: &VerifyArgs, context: &mut Context) -> Outcome {
    let findings = &verified.findings;
    if context.ui.answer_format() == Format::Table && !findings.is_empty() {
        let mut table = Table::new(COLUMNS);
        for finding in findings {
            let offset = finding.offset.to_string();
            let length = finding.length.to_string();
            let positions = positions(finding.first, finding.last);
            let cells = [
                severity(finding.severity),
                &finding.file,
                &offset,
                &length,
                &positions,
                &finding.what,
            ];
            table.row(&mut context.ui, &cells)?;
        }
        table.print(&mut context.ui)?;
    }
    let words = format!(
        "{}: {} in {}, {} checked{}",
        if verified.is_clean() {
            "intact"
        } else {
            "damaged"
        },
        counted(verified.records, "record"),
        counted(verified.segments as u64, "segment"),
        progress::bytes(verified.bytes),
        if args.full {
            ""
        } else {
            "; --full checks every byte"
        },
    );
    let answer = json!({
        "clean": verified.is_clean(),
        "depth": if args.full { "full" } else { "quick" },
        "segments": verified.segments,
        "frames": verified.frames,
        "records": verified.records,
        "bytes": verified.bytes,
        "findings": findings.iter().map(as_json).collect::<Vec<_>>(),
    });
    context.ui.answer(&words, &answer)
}

fn as_json(finding: &VerifyFinding) -> serde_json::Value {
    json!({
        "severity": severity(finding.severity),
        "file": finding.file,
        "offset": finding.offset,
        "length": finding.length,
        "first_position": finding.first.map(Position::raw),
        "last_position": finding.last.map(Position::raw),
        "what": finding.what,
    })
}

fn positions(first: Option<Position>, last: Option<Position>) -> String {
    match (first, last) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(one), _) | (None, Some(one)) => one.to_string(),
        (None, None) => "-".to_owned(),
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Harmless => "harmless",
        Severity::Repairable => "repairable",
        Severity::Accepted => "accepted",
        Severity::Lost => "lost",
    }
}

//! `factum doctor`.

use std::io::Write;

use anstyle::AnsiColor;
use serde_json::json;

use crate::cli::Format;
use crate::context::Context;
use crate::doctor::{self, Check, Health};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::store;
use crate::ui::escape;

/// What to do.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Examines the data directory, the disk under it, the machine and the store, and says for each thing whether it is well \
and what to do if not. The exit code is 1 if anything fails. Small files are written beside the store's and removed.\n\nWith \
--accept-loss: after damage that no backup can mend, the damaged events are given up for good and named in the log, and the store \
accepts writes again.",
    after_long_help = "Examples:\n  factum doctor\n  factum doctor --data /var/lib/factum -o json\n  factum doctor --accept-loss"
)]
pub(crate) struct DoctorArgs {
    /// Give damaged events up, so that writing goes on
    #[arg(long)]
    accept_loss: bool,
    /// Do not ask
    #[arg(short, long, requires = "accept_loss")]
    yes: bool,
}

/// Examines, or accepts a loss.
pub(crate) fn run(args: &DoctorArgs, context: &mut Context) -> Outcome {
    if args.accept_loss {
        return accept_loss(args, context);
    }
    let checks = doctor::examine(&context.data, &context.env);
    match context.ui.answer_format() {
        Format::Table => words(&checks, context)?,
        Format::Json | Format::Ndjson => {
            let all: Vec<_> = checks.iter().map(as_json).collect();
            context.ui.answer(
                "",
                &json!({ "healthy": failed(&checks) == 0, "checks": all }),
            )?;
        }
    }
    match failed(&checks) {
        0 => Ok(()),
        count => Err(
            Failure::new(Exit::Error, "unhealthy", format!("{count} checks failed"))
                .hint("the lines above say what to do"),
        ),
    }
}

fn failed(checks: &[Check]) -> usize {
    checks
        .iter()
        .filter(|check| check.health == Health::Fail)
        .count()
}

fn words(checks: &[Check], context: &mut Context) -> Outcome {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or_default();
    for check in checks {
        let color = match check.health {
            Health::Ok => AnsiColor::Green,
            Health::Warn => AnsiColor::Yellow,
            Health::Fail => AnsiColor::Red,
        };
        let health = context
            .ui
            .styled(color.on_default(), &format!("{:<4}", health(check.health)));
        let found = escape::cell(&check.found);
        writeln!(
            context.ui.out(),
            "{health}  {:<width$}  {found}",
            check.name
        )?;
        if let Some(fix) = &check.fix {
            writeln!(
                context.ui.out(),
                "      {:<width$}  -> {}",
                "",
                escape::cell(fix)
            )?;
        }
    }
    Ok(())
}

fn as_json(check: &Check) -> serde_json::Value {
    json!({ "name": check.name, "health": health(check.health), "found": check.found, "fix": check.fix })
}

const fn health(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warn => "warn",
        Health::Fail => "fail",
    }
}

fn accept_loss(args: &DoctorArgs, context: &mut Context) -> Outcome {
    store::must_be_there(&context.data)?;
    context
        .ui
        .confirm("The damaged events are given up for good.", args.yes)?;
    let lost = store::accept_loss(&context.data, &context.env)?;
    let words = if lost.is_empty() {
        "nothing was damaged, nothing was given up".to_owned()
    } else {
        lost.join("\n")
    };
    context
        .ui
        .answer(&escape::words(&words), &json!({ "accepted": lost }))
}

//! `factum restore`.

use std::path::PathBuf;

use super::backup::{is_empty, print, watched};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::store::{self, Severity, VerifyFinding};

/// From where.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Makes a store in the data directory from a backup. The directory must be missing or empty: a store is never \
overwritten.",
    after_long_help = "Example:\n  factum restore /backup/monday --data ./restored"
)]
pub(crate) struct RestoreArgs {
    /// The directory that `factum backup` wrote
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
}

/// Copies back.
pub(crate) fn run(args: &RestoreArgs, context: &mut Context) -> Outcome {
    if !args.backup.is_dir() {
        return Err(Failure::not_found(format!(
            "there is no backup in {}",
            args.backup.display()
        )));
    }
    let data = context.data.clone();
    if !is_empty(&data) {
        return Err(Failure::error(format!("{} is not empty", data.display()))
            .hint("name a new directory by --data; a store is never overwritten"));
    }
    let env = context.env.clone();
    let restored = watched("restoring", context, |on_progress| {
        store::restore(&args.backup, &data, &env, on_progress)
    })?;
    print("restored to", &data, &restored.copied, context)?;
    // What nobody has accepted is an error of `restore` itself.
    let accepted = |finding: &&VerifyFinding| finding.severity == Severity::Accepted;
    if let Some(lost) = restored.verified.findings.iter().find(accepted) {
        context.ui.warn(format!(
            "the backup was taken of a store whose loss had been accepted: {} in {}",
            lost.what, lost.file
        ));
    }
    Ok(())
}

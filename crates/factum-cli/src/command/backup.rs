//! `factum backup`.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::store::{self, BackupReport, OnProgress};
use crate::ui::progress::{self, Step};

/// Where to.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Copies the store into a directory, consistent at one position. The copy is a store by itself: `factum verify` and \
`factum read` work on it, and `factum restore` makes a store from it.",
    after_long_help = "Examples:\n  factum backup /backup/monday\n  factum verify --full --data /backup/monday"
)]
pub(crate) struct BackupArgs {
    /// The directory for the copy: a new one, or an empty one
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Copies.
pub(crate) fn run(args: &BackupArgs, context: &mut Context) -> Outcome {
    store::must_be_there(&context.data)?;
    if !is_empty(&args.directory) {
        return Err(
            Failure::error(format!("{} is not empty", args.directory.display()))
                .hint("name a new directory; a backup is never overwritten"),
        );
    }
    let (data, env) = (context.data.clone(), context.env.clone());
    let copied = watched("backing up", context, |on_progress| {
        store::backup(&data, &args.directory, &env, on_progress)
    })?;
    print("backed up to", &args.directory, &copied, context)
}

/// Whether nothing is there that could be overwritten.
pub(super) fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none())
}

/// Does something with a bar.
pub(super) fn watched<T>(
    what: &'static str,
    context: &Context,
    action: impl FnOnce(OnProgress<'_>) -> Outcome<T>,
) -> Outcome<T> {
    let mut progress = context
        .ui
        .progress(std::sync::Arc::clone(&context.env.clock));
    let mut begun = false;
    let mut last = 0;
    let outcome = action(&mut |done, total| {
        if !begun {
            progress.begin(what, Some(total));
            begun = true;
        }
        last = done;
        progress.step(Step { done, events: 0 });
    });
    progress.end(Step {
        done: last,
        events: 0,
    });
    outcome
}

/// Says what was copied.
pub(super) fn print(
    verb: &str,
    directory: &Path,
    copied: &BackupReport,
    context: &mut Context,
) -> Outcome {
    let last = copied.records.checked_sub(1);
    let head = last.map_or_else(
        || "it holds no events".to_owned(),
        |last| format!("everything up to position {last}"),
    );
    let words = format!(
        "{verb} {}: {head}, {}",
        directory.display(),
        progress::bytes(copied.bytes)
    );
    let answer = json!({
        "directory": directory.display().to_string(),
        "last_position": last,
        "bytes": copied.bytes,
        "files": copied.files,
    });
    context.ui.answer(&words, &answer)
}

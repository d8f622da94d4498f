//! `factum backup`.

use std::path::{Path, PathBuf};

use factum_types::Position;
use serde_json::json;

use crate::context::Context;
use crate::failure::Outcome;
use crate::store::{self, BackedUp, OnProgress};
use crate::ui::progress::{self, Step};

/// Where to.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Copies the store into a directory, consistent at one position. The copy is a store by itself: `factum verify` and \
`factum read` work on it, and `factum restore` makes a store from it.",
    after_long_help = "Examples:\n  factum backup /backup/monday\n  factum verify --full --data /backup/monday"
)]
pub(crate) struct BackupArgs {
    /// The directory for the copy; made if needed
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Write into a directory that is not empty, without asking
    #[arg(short, long)]
    yes: bool,
}

/// Copies.
pub(crate) fn run(args: &BackupArgs, context: &mut Context) -> Outcome {
    store::must_be_there(&context.data)?;
    if !is_empty(&args.directory) {
        let question = format!(
            "{} is not empty, and files in it may be replaced.",
            args.directory.display()
        );
        context.ui.confirm(&question, args.yes)?;
    }
    let (data, env) = (context.data.clone(), context.env.clone());
    let copied = watched("backing up", context, |on_progress| {
        store::backup(&data, &args.directory, &env, on_progress)
    })?;
    print("backed up to", &args.directory, copied, context)
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
    copied: BackedUp,
    context: &mut Context,
) -> Outcome {
    let head = copied.head.map_or_else(
        || "it holds no events".to_owned(),
        |head| format!("everything up to position {head}"),
    );
    let words = format!(
        "{verb} {}: {head}, {}",
        directory.display(),
        progress::bytes(copied.bytes)
    );
    let answer = json!({
        "directory": directory.display().to_string(),
        "last_position": copied.head.map(Position::raw),
        "bytes": copied.bytes,
        "files": copied.files,
    });
    context.ui.answer(&words, &answer)
}

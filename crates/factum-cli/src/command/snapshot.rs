//! `factum snapshot`.

use factum_store::SnapshotStore;
use factum_types::StreamName;
use serde_json::json;

use crate::cli::Format;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::fold::{FoldArgs, Past};
use crate::store::{self, Access};
use crate::time;
use crate::ui::progress::bytes;
use crate::ui::table::{Align, Column, Table};

/// Which stream.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    long_about = "Remembers the state of a stream as it is now, so that `factum state` reads only the events since. A snapshot is known \
by how it was folded: by merging, or by a file, of which every change makes another fold. It holds nothing that the events do not say: \
snapshots cannot be removed one by one, and losing them costs time, never an answer.\n\nSnapshots of Rust types are taken by the \
application (`Repository::snapshot`).",
    after_long_help = "Examples:\n  factum snapshot order-1\n  factum snapshot order-1 --fold order.toml\n  factum snapshot ls order-1"
)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    command: Option<SnapshotCommand>,
    /// The stream
    #[arg(required = true)]
    stream: Option<StreamName>,
    #[command(flatten)]
    fold: FoldArgs,
}

/// What else to do with snapshots.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SnapshotCommand {
    /// List the snapshots that would be used
    #[command(
        long_about = "Lists the snapshots of a stream that a fold would use, the last saved first. Those of Rust types have keys that \
only the application knows.",
        after_long_help = "Examples:\n  factum snapshot ls order-1\n  factum snapshot ls order-1 --fold order.toml -o json"
    )]
    Ls(LsArgs),
}

/// Which snapshots.
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {
    /// The stream
    stream: StreamName,
    #[command(flatten)]
    fold: FoldArgs,
}

const COLUMNS: &[Column] = &[
    ("version", Align::Right),
    ("size", Align::Right),
    ("taken", Align::Left),
    ("key", Align::Left),
];
/// More snapshots than this are not listed.
const LISTED_MAX: usize = 1_000;

/// Takes one, or lists them.
pub(crate) fn run(args: &SnapshotArgs, context: &mut Context) -> Outcome {
    match (&args.command, &args.stream) {
        (Some(SnapshotCommand::Ls(ls)), _) => list(ls, context),
        (None, Some(stream)) => take(stream, &args.fold, context),
        (None, None) => Err(Failure::usage("it was not said which stream")),
    }
}

fn take(stream: &StreamName, fold: &FoldArgs, context: &mut Context) -> Outcome {
    let declared = fold.read()?;
    let store = store::open(context, Access::Write)?;
    let taken = pollster::block_on(async {
        let past = Past::of(&store, stream).await?;
        Ok::<_, Failure>(past.repository.snapshot_folded(stream, &declared).await?)
    })?;
    let Some(taken) = taken else {
        return Err(Failure::not_found(format!("stream {stream} has no events")));
    };
    let words = format!(
        "snapshot of stream {stream} at version {} taken, folded by {}",
        taken.version,
        fold.words()
    );
    let answer = json!({
        "stream": stream.as_str(),
        "version": taken.version,
        "key": declared.key(),
    });
    context.ui.answer(&words, &answer)?;
    store.close()
}

fn list(args: &LsArgs, context: &mut Context) -> Outcome {
    let declared = args.fold.read()?;
    let store = store::open(context, Access::Read)?;
    let found = pollster::block_on(async {
        Past::of(&store, &args.stream).await?;
        all(&*store.snapshots, &args.stream, declared.key()).await
    })?;
    let ui = &mut context.ui;
    let mut rows = Table::new(COLUMNS);
    for (version, size, taken) in &found {
        let taken = time::rfc3339(*taken).unwrap_or_default();
        if ui.records_format() == Format::Table {
            let cells = [&version.to_string(), &bytes(*size), &taken, declared.key()];
            rows.row(ui, &cells)?;
        } else if ui.records_format() == Format::Ndjson {
            let line =
                json!({ "version": version, "bytes": size, "taken": taken, "key": declared.key() });
            std::io::Write::write_fmt(ui.out(), format_args!("{line}\n"))?;
        }
    }
    rows.print(ui)?;
    if ui.records_format() == Format::Json {
        let all = found.iter().map(|(version, size, taken)| {
            json!({ "version": version, "bytes": size, "taken": time::rfc3339(*taken), "key": declared.key() })
        });
        let all: Vec<_> = all.collect();
        ui.answer("", &json!(all))?;
    }
    if found.is_empty() {
        ui.note(format_args!(
            "stream {} has no snapshot folded by {}",
            args.stream,
            args.fold.words()
        ));
    }
    store.close()
}

/// Version, size and time of the snapshots that could be found for some version.
async fn all(
    snapshots: &dyn SnapshotStore,
    stream: &StreamName,
    key: &str,
) -> Outcome<Vec<(u64, u64, factum_types::Timestamp)>> {
    let mut found = Vec::new();
    let mut at_most = None;
    while found.len() < LISTED_MAX {
        let next = snapshots
            .load_snapshot(stream.clone(), key.to_owned(), at_most)
            .await?;
        let Some(next) = next else {
            break;
        };
        found.push((next.version, next.data.len() as u64, next.time));
        match next.version.checked_sub(1) {
            Some(version) => at_most = Some(version),
            None => break,
        }
    }
    Ok(found)
}

//! `factum stream ls|info|truncate|delete`.

mod change;
mod look;

use std::time::Duration;

use factum_types::StreamName;

use crate::context::Context;
use crate::failure::Outcome;
use crate::time;

/// What to do with streams.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum StreamCommand {
    /// List streams by name
    #[command(
        long_about = "Lists streams in the order of their names, with their last revision and position.",
        after_long_help = "Examples:\n  factum stream ls\n  factum stream ls --prefix order- -n 20"
    )]
    Ls(LsArgs),
    /// Print what is known about one stream
    #[command(
        long_about = "Prints what is known about one stream: its state, where it stands, and what it keeps.",
        after_long_help = "Example:\n  factum stream info order-1 -o json"
    )]
    Info(InfoArgs),
    /// Set which events of a stream are kept
    #[command(
        long_about = "Sets which events of a stream reading it still gives. What is given is changed, the rest stays as it was; \
--clear removes all limits. Hidden events are removed for good when the log is scavenged.",
        after_long_help = "Examples:\n  factum stream truncate sensor-1 --max-age 30d --yes\n  \
factum stream truncate sensor-1 --before 1000 --dry-run\n  factum stream truncate sensor-1 --clear --yes"
    )]
    Truncate(TruncateArgs),
    /// Delete a stream
    #[command(
        long_about = "Hides all events of a stream. It may be written again, and its revisions then go on. With --tombstone it is \
closed for ever: its name can never be used again.",
        after_long_help = "Examples:\n  factum stream delete cart-9 --yes\n  factum stream delete cart-9 --tombstone --dry-run"
    )]
    Delete(DeleteArgs),
}

/// Which streams.
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {
    /// Only names that begin with this
    #[arg(long, default_value = "")]
    prefix: String,
    /// At most this many
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
}

/// Which stream.
#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// The stream
    stream: StreamName,
}

/// What to keep.
#[derive(Debug, clap::Args)]
#[group(id = "limits", required = true, multiple = true, args = ["before", "max_count", "max_age", "clear"])]
pub(crate) struct TruncateArgs {
    /// The stream
    stream: StreamName,
    /// Keep events from this revision on
    #[arg(long, value_name = "REVISION")]
    before: Option<u64>,
    /// Keep this many of the newest events
    #[arg(long, value_name = "N")]
    max_count: Option<u64>,
    /// Keep events no older than this: 90s, 15m, 12h, 30d, 2w
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration)]
    max_age: Option<Duration>,
    /// Keep everything that is still stored
    #[arg(long, conflicts_with_all = ["before", "max_count", "max_age"])]
    clear: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Which stream, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// The stream
    stream: StreamName,
    /// Close it for ever
    #[arg(long)]
    tombstone: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Whether something that cannot be undone may be done.
#[derive(Debug, clap::Args)]
pub(crate) struct Consent {
    /// Do it without asking
    #[arg(short, long)]
    yes: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Does it.
pub(crate) fn run(command: &StreamCommand, context: &mut Context) -> Outcome {
    match command {
        StreamCommand::Ls(args) => look::list(args, context),
        StreamCommand::Info(args) => look::info(args, context),
        StreamCommand::Truncate(args) => change::truncate(args, context),
        StreamCommand::Delete(args) => change::delete(args, context),
    }
}

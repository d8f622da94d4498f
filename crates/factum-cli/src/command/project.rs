//! `factum project …`: read models that a file declares.

mod check;
mod hand;
mod look;
mod parked;
mod rebuild;
mod run;

use crate::context::Context;
use crate::failure::Outcome;

/// What to do with projections.
#[derive(Debug, clap::Subcommand)]
#[command(
    long_about = "Keeps read models that a file declares: tables that are folded from the events of the store and live somewhere else, \
for SQL or whatever else the sink speaks. docs/projections.md is the guide.\n\nThe store is only read, beside the process that writes \
it, if there is one; checkpoints stand in the sink, in the same transaction as the rows where it has any.",
    after_long_help = "A file, orders.toml:\n\n  format = 1\n  name = \"orders\"\n  sink = \"sqlite:read.db\"\n  from = { category = \"order\" }\n\n  \
[table]\n  id = \"text primary key\"\n  total = \"integer\"\n  status = \"text not null index\"\n  placed_at = \"timestamp\"\n\n  \
[on.OrderPlaced]\n  insert = { id = \"@stream\", total = \"$.total\", status = \"'placed'\", placed_at = \"@time\" }\n\n  \
[on.OrderShipped]\n  update = { where = { id = \"@stream\" }, set = { status = \"'shipped'\" } }\n\nExamples:\n  \
factum project check orders.toml\n  factum project run orders.toml --once\n  factum query --sink sqlite:read.db 'SELECT status, count(*) FROM orders GROUP BY status'"
)]
pub(crate) enum ProjectCommand {
    /// Check a file against the store and the sink, before it runs
    #[command(
        long_about = "Names everything that is wrong with a file, each with its line: what it says, what real events of the store would \
make of it, and what stands in the way in the sink. Nothing is written.\n\nErrors are what cannot work: an unknown column, a type that \
does not fit, a handler for events that the store does not have, a sink that cannot be reached, a table that is someone else's. Warnings \
are what may not be meant: events that no handler takes, fields that no event has, a file that was changed since it ran.",
        after_long_help = "Examples:\n  factum project check orders.toml\n  factum project check *.toml --sample 100000 -o ndjson\n\nExit codes: 0 nothing is wrong, \
1 something is, 5 the sink refuses the password, 6 it cannot be reached."
    )]
    Check(check::CheckArgs),
    /// Keep read models, until Ctrl-C
    #[command(
        long_about = "Applies all events that are not applied yet, then those that come. With --once it ends when it has caught up.\n\nThe store is \
only read, so another process may have it open and append to it; what it appends is seen within a second or two. One `run` keeps a \
projection at a time: a second one takes over, and the first ends with exit code 4. Stop it at any moment, also by kill -9: rows and \
checkpoint are one transaction in SQL sinks. A sink that is down is waited for. Several files share \
what they read of the store where they can, and none waits for another.\n\nAn event that cannot be applied is parked with the \
reason, with those of its stream behind it, and the rest goes on: `factum project errors`.",
        after_long_help = "Examples:\n  factum project run orders.toml\n  factum project run *.toml --once\n  \
factum project run orders.toml --sink postgres://reader@db/shop --password-env DB_PASSWORD\n\nExit codes with --once: 8 when events are parked."
    )]
    Run(run::RunArgs),
    /// List the projections of sinks
    #[command(
        long_about = "Lists the projections that are in the sinks of the files given, or in the sink of --sink, with what readers see.",
        after_long_help = "Examples:\n  factum project ls orders.toml\n  factum project ls --sink sqlite:read.db -o json"
    )]
    Ls(look::LsArgs),
    /// Print what is known about one projection
    #[command(
        long_about = "Prints the generations of a projection: how far each is, which one readers see, what waits. Beside a store it says how far \
behind it is.",
        after_long_help = "Examples:\n  factum project info orders.toml\n  factum project info orders --sink sqlite:read.db -o json"
    )]
    Info(look::InfoArgs),
    /// Fill a new generation beside the live one, and switch to it
    #[command(
        long_about = "Fills a new generation from the first event on, in bulk, beside the one that readers see; makes its indexes, catches up, compares, and \
switches from one moment to the next. The one before stays for a rollback until it is dropped. This is what a changed file asks \
for.\n\nIt can be stopped at any moment; the next rebuild goes on where it was, unless the file was changed again.",
        after_long_help = "Examples:\n  factum project rebuild orders.toml\n  factum project rebuild orders.toml --no-switch\n  \
factum project switch orders.toml"
    )]
    Rebuild(rebuild::RebuildArgs),
    /// Show readers another generation
    #[command(
        long_about = "Shows readers a generation, from one moment to the next: the newest, unless a number is given. One that is behind the live one \
needs --behind.",
        after_long_help = "Examples:\n  factum project switch orders.toml\n  factum project switch orders --sink sqlite:read.db 3"
    )]
    Switch(hand::SwitchArgs),
    /// Show readers the generation before again
    #[command(
        long_about = "Shows readers the newest generation again that they saw before the live one, as far as that is.",
        after_long_help = "Example:\n  factum project rollback orders.toml"
    )]
    Rollback(hand::HandArgs),
    /// Remove a generation that readers do not see
    #[command(
        long_about = "Removes a generation with its rows, checkpoint and parked events. That cannot be undone; a rebuild makes a new one.",
        after_long_help = "Example:\n  factum project drop orders.toml 1 --yes"
    )]
    Drop(hand::DropArgs),
    /// Apply nothing until it is resumed
    #[command(
        long_about = "Pauses the live generation, in the sink: a runner waits, wherever it runs, and so does one that is started.",
        after_long_help = "Example:\n  factum project pause orders.toml"
    )]
    Pause(hand::HandArgs),
    /// The end of a pause
    #[command(
        long_about = "Ends a pause: runners go on within a second.",
        after_long_help = "Example:\n  factum project resume orders.toml"
    )]
    Resume(hand::HandArgs),
    /// List the events that are parked, with the reason
    #[command(
        long_about = "Lists the events that could not be applied, with the reason, and those that wait behind them.",
        after_long_help = "Examples:\n  factum project errors orders.toml\n  factum project errors orders.toml -o ndjson | jq .reason"
    )]
    Errors(parked::ErrorsArgs),
    /// Try parked events again
    #[command(
        long_about = "Asks for another attempt at what is parked, of one stream or of all; a running runner makes it within a second, else the next one.",
        after_long_help = "Examples:\n  factum project retry orders.toml order-17\n  factum project retry orders.toml --all"
    )]
    Retry(parked::RetryArgs),
    /// Give a parked event up
    #[command(
        long_about = "Gives a parked event up for this generation: it is not applied, and those behind it are tried. That cannot be undone but by a rebuild.",
        after_long_help = "Example:\n  factum project skip orders.toml 1742 --yes"
    )]
    Skip(parked::SkipArgs),
}

/// Does what the command line says.
pub(crate) fn run(command: &ProjectCommand, context: &mut Context) -> Outcome {
    match command {
        ProjectCommand::Check(args) => check::run(args, context),
        ProjectCommand::Run(args) => run::run(args, context),
        ProjectCommand::Ls(args) => look::ls(args, context),
        ProjectCommand::Info(args) => look::info(args, context),
        ProjectCommand::Rebuild(args) => rebuild::run(args, context),
        ProjectCommand::Switch(args) => hand::switch(args, context),
        ProjectCommand::Rollback(args) => hand::rollback(args, context),
        ProjectCommand::Drop(args) => hand::drop_generation(args, context),
        ProjectCommand::Pause(args) => hand::pause(args, context),
        ProjectCommand::Resume(args) => hand::resume(args, context),
        ProjectCommand::Errors(args) => parked::errors(args, context),
        ProjectCommand::Retry(args) => parked::retry(args, context),
        ProjectCommand::Skip(args) => parked::skip(args, context),
    }
}

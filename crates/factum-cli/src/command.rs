//! One command per file; here they are told apart.

pub(crate) mod append;
mod append_many;
pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod event;
pub(crate) mod exit_codes;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod man;
pub(crate) mod project;
pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod snapshot;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod tail;
pub(crate) mod transform;
pub(crate) mod verify;

use crate::bench;
use crate::cli::{Command, Format};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Does what the command line says.
pub(crate) fn run(command: Command, context: &mut Context) -> Outcome {
    if context.server.is_some()
        && let Some(name) = on_the_spot(&command)
    {
        let text = format!("`factum {name}` works on the files of a store, not through a server");
        return Err(
            Failure::usage(text).hint("run it where the store is, without --url and FACTUM_URL")
        );
    }
    match command {
        Command::Append(args) => append::run(*args, context),
        Command::Read(args) => read::run(&args, context),
        Command::Cat(args) => {
            context.ui.set_format(Format::Ndjson);
            read::run(&args, context)
        }
        Command::Tail(args) => tail::run(&args, context),
        Command::Stream(command) => stream::run(&command, context),
        Command::Event(command) => event::run(&command, context),
        Command::State(args) => state::run(&args, context),
        Command::Snapshot(args) => snapshot::run(&args, context),
        Command::Transform(args) => transform::run(&args, context),
        Command::Project(command) => project::run(&command, context),
        Command::Query(args) => query::run(&args, context),
        Command::Serve(args) => serve::run(&args, context),
        Command::Config(command) => config::run(&command, context),
        Command::Import(args) => import::run(&args, context),
        Command::Export(args) => export::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Backup(args) => backup::run(&args, context),
        Command::Restore(args) => restore::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Demo(args) => demo::run(&args, context),
        Command::Bench(args) => bench::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
        Command::Man(args) => man::run(&args, context),
        Command::ExitCodes => exit_codes::run(context),
    }
}

/// The name of a command that works on files, or makes a store of its own.
const fn on_the_spot(command: &Command) -> Option<&'static str> {
    match command {
        Command::Verify(_) => Some("verify"),
        Command::Backup(_) => Some("backup"),
        Command::Restore(_) => Some("restore"),
        Command::Doctor(_) => Some("doctor"),
        Command::Demo(_) => Some("demo"),
        Command::Bench(_) => Some("bench"),
        Command::Serve(_) => Some("serve"),
        _ => None,
    }
}

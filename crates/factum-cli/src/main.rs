//! The binary `factum`: the event store on the command line.
//!
//! What lives here: reading arguments, wiring them to the library, printing answers, exit codes.
//! Relies on: the public contract of factum-store; factum-engine behind the one module [`store`].
//! Never: decides anything about events that the library should decide; ends by a panic on bad input.

mod bench;
mod cli;
mod command;
mod context;
mod demo;
mod doctor;
mod event_time;
mod exit;
mod export;
mod failure;
mod files;
mod fold;
mod import;
mod interrupt;
mod printer;
mod project;
mod settings;
mod source;
mod store;
mod time;
mod ui;

use std::process::ExitCode;

use crate::cli::Parsed;
use crate::context::Context;

/// See docs/decisions/0034-allocator.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let parsed = match cli::parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let Parsed {
        cli,
        data,
        settings,
    } = parsed;
    let mut context = Context::new(&cli.global, data);
    context.settings = settings;
    let outcome = command::run(cli.command, &mut context);
    let outcome = context.ui.finish(outcome);
    context.ui.report(outcome).into()
}

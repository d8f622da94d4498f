//! `factum man DIR`.

use std::path::PathBuf;

use crate::cli;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Where to.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Writes one manual page per command into a directory, which is made if needed.",
    after_long_help = "Example:\n  factum man ~/.local/share/man/man1 && man factum-read"
)]
pub(crate) struct ManArgs {
    /// The directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes the pages.
pub(crate) fn run(args: &ManArgs, context: &mut Context) -> Outcome {
    let directory = &args.directory;
    let failed = |error: std::io::Error| Failure::io(directory.display(), &error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    let command = cli::command();
    let pages = shown(&command);
    clap_mangen::generate_to(command, directory).map_err(failed)?;
    context
        .ui
        .note(format_args!("{pages} pages in {}", directory.display()));
    Ok(())
}

/// How many pages there are: of a command and of all below it that are shown.
fn shown(command: &clap::Command) -> usize {
    let below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    1 + below.map(shown).sum::<usize>()
}

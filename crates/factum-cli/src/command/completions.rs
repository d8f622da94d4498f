//! `factum completions SHELL`.

use std::io::Write;

use clap_complete::Shell;

use crate::cli;
use crate::context::Context;
use crate::failure::Outcome;

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Prints a script that teaches a shell to complete factum's commands and options.",
    after_long_help = "Examples:\n  factum completions bash > ~/.local/share/bash-completion/completions/factum\n  \
factum completions zsh > \"${fpath[1]}/_factum\"\n  factum completions fish > ~/.config/fish/completions/factum.fish"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script. It is made in memory first, because the generator panics when its reader goes away.
pub(crate) fn run(args: &CompletionsArgs, context: &mut Context) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "factum", &mut script);
    context.ui.out().write_all(&script)?;
    Ok(())
}

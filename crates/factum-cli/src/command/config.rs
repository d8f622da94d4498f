//! `factum config show`.

use serde_json::json;

use super::serve::ServeArgs;
use crate::cli::Format;
use crate::context::Context;
use crate::failure::Outcome;
use crate::settings::Setting;
use crate::ui::table::{Align, Column, Table};

/// What to do with the settings.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings that `factum serve` would have
    #[command(
        long_about = "Prints the settings that `factum serve` would have here with the same arguments, and with --origin where each comes from: \
a flag, a variable of the environment, a line of the file, or what is built in. Of passwords only whether they are set.",
        after_long_help = "Examples:\n  factum config show --origin\n  factum config show --origin --config /etc/factum.toml --listen 0.0.0.0:2113"
    )]
    Show(Box<ShowArgs>),
}

/// What to print.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Print where each setting comes from
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    _serve: ServeArgs,
}

const COLUMNS: &[Column] = &[("setting", Align::Left), ("value", Align::Left)];
const WITH_ORIGIN: &[Column] = &[
    ("setting", Align::Left),
    ("value", Align::Left),
    ("origin", Align::Left),
];
const NOT_SET: &str = "(not set)";

/// Does it.
pub(crate) fn run(command: &ConfigCommand, context: &mut Context) -> Outcome {
    let ConfigCommand::Show(args) = command;
    let settings = std::mem::take(&mut context.settings);
    if context.ui.answer_format() != Format::Table {
        let shown: Vec<_> = settings.iter().map(|of| as_json(of, args.origin)).collect();
        return context.ui.answer("", &json!(shown));
    }
    let mut table = Table::new(if args.origin { WITH_ORIGIN } else { COLUMNS });
    for setting in &settings {
        let value = setting.value.as_deref().unwrap_or(NOT_SET);
        let cells = [setting.name.as_str(), value, setting.origin.as_str()];
        let shown = if args.origin { &cells[..] } else { &cells[..2] };
        table.row(&mut context.ui, shown)?;
    }
    table.print(&mut context.ui)
}

fn as_json(setting: &Setting, origin: bool) -> serde_json::Value {
    let mut shown = json!({ "setting": setting.name, "value": setting.value });
    if let (true, Some(object)) = (origin, shown.as_object_mut()) {
        object.insert("origin".to_owned(), json!(setting.origin));
    }
    shown
}

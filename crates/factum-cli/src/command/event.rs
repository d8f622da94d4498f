//! `factum event show`.

use factum_store::{ReadFrom, ReadRequest};
use factum_types::Position;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::printer;
use crate::store::{self, Access};

/// What to do with an event.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum EventCommand {
    /// Print one event with all that is known about it
    #[command(
        long_about = "Prints one event with all that is known about it: ids, time, tags, metadata, and its data set out in lines.",
        after_long_help = "Examples:\n  factum event show 0\n  factum event show 41 -o json"
    )]
    Show(ShowArgs),
}

/// Which event.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its position, as `factum read` prints it
    position: u64,
}

/// Does it.
pub(crate) fn run(command: &EventCommand, context: &mut Context) -> Outcome {
    let EventCommand::Show(args) = command;
    let position = Position::from_raw(args.position);
    let store = store::open(context, Access::Read)?;
    let request = ReadRequest::all()
        .from(ReadFrom::Position(position))
        .limit(1)
        .with_control();
    let found = pollster::block_on(store.events.read(request).collect())?;
    let event = found.iter().find(|event| event.position == position).ok_or_else(|| {
        Failure::not_found(format!("there is no event at position {position}")).hint(
            "positions may be skipped: records that readers do not see have one too; `factum tail` shows the last ones",
        )
    })?;
    printer::closely(&mut context.ui, event)?;
    store.close()
}

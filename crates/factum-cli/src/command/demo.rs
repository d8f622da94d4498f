//! `factum demo`.

use std::path::PathBuf;

use factum_store::StreamState;
use factum_types::StreamName;

use crate::context::Context;
use crate::demo;
use crate::failure::{Failure, Outcome};
use crate::store::{self, Access};

/// Whether the store stays.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Shows in a few seconds what event sourcing does, through a real store: orders of a shop are written, read by stream, \
type and tag, folded to their state at every version; two clerks get in each other's way; a request is sent twice; a subscriber follows \
live. The store is made in a temporary directory and removed, unless --data or --keep say otherwise.",
    after_long_help = "Examples:\n  factum demo\n  factum demo --keep\n  factum demo --data ./demo-data && factum --data ./demo-data read --all"
)]
pub(crate) struct DemoArgs {
    /// Leave the store there to look around in
    #[arg(long)]
    keep: bool,
}

/// Shows it.
pub(crate) fn run(args: &DemoArgs, context: &mut Context) -> Outcome {
    let given = context.data_is_argument;
    if !given {
        let random = context.env.random.next_u64();
        context.data = std::env::temp_dir().join(format!("factum-demo-{random:016x}"));
    }
    let keep = args.keep || given;
    let data = context.data.clone();
    let outcome = show(context, keep);
    if keep {
        return outcome;
    }
    let removed = std::fs::remove_dir_all(&data).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(Failure::io(data.display(), &error)),
    });
    outcome.and(removed)
}

fn show(context: &mut Context, keep: bool) -> Outcome {
    let store = store::open(context, Access::Create)?;
    let first =
        StreamName::new(demo::FIRST_STREAM).map_err(|error| Failure::error(error.to_string()))?;
    let info = pollster::block_on(store.events.stream_info(first))?;
    if info.state != StreamState::Missing {
        return Err(
            Failure::error(format!("{} has orders already", context.data.display()))
                .hint("name a new directory by --data, or leave it out"),
        );
    }
    demo::Demo::new(&store.events, context).run()?;
    store.close()?;
    let data: PathBuf = context.data.clone();
    demo::farewell(context, keep.then_some(data.as_path()))
}

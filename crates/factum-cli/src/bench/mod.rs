//! `factum bench`: measures the store on this machine, and beside every figure the limit that the machine sets.
//!
//! | module | what is there |
//! |---|---|
//! | `disk`, `append`, `condition`, `read`, `stream`, `fold`, `open` | one measurement each, as the command line names them |
//! | `floor` | the group-commit loop that does nothing but commit: the limit of all appends |
//! | `probe` | the device alone: durable writes and direct reads |
//! | `crowd` | many tasks in a closed loop, the same for a store and for the loop above |
//! | `loans` | loan applications, real ones or made, for `fold` |
//! | `fill`, `place`, `files` | stores to read from, where they lie, what their files say |
//! | `session`, `meter`, `stats`, `threads` | how a measurement is taken |
//! | `row`, `report`, `markdown`, `machine` | what is printed |
//!
//! Relies on: the public side of the engine, and what files look like. Never: prints a figure that was not just measured, leaves a file
//! behind.

mod append;
mod condition;
mod crowd;
mod disk;
mod files;
mod fill;
mod floor;
mod fold;
mod loans;
mod machine;
mod markdown;
mod meter;
mod open;
mod place;
mod probe;
mod read;
mod report;
mod row;
mod session;
mod stats;
mod stream;
mod threads;

use std::path::PathBuf;

use crate::bench::session::{Session, Settings};
use crate::context::Context;
use crate::failure::Outcome;

/// What to measure.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Measures the store on this machine. Beside every figure stands its limit: the same work with everything left out but \
what the machine must do, measured before and after the figure, so that a slow disk or a busy machine shows in both. The ratio of the two \
is what to compare, between machines and between versions; `floor` is the ratio below which a version is not released.\n\nStores are made \
in a directory of their own, which is removed at the end.",
    after_long_help = "Examples:\n  factum bench append\n  factum bench disk --dir /var/lib --seconds 10\n  factum bench all -o json\n  \
factum bench all --markdown docs/benchmarks.md"
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    settings: Settings,
}

/// What to measure.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// The device alone: what one durable write costs, how many run side by side, how fast it reads
    Disk,
    /// Appends: 1 to 1,024 writers, one event each or in batches
    Append,
    /// Appends on the condition that nothing relevant came in between
    Condition,
    /// Reading everything, from memory and from the device
    Read,
    /// Reading single streams, from memory and from the device
    Stream,
    /// Folding states: all of a category, and a long stream with and without snapshots
    Fold,
    /// Opening a store, after closing it and after a kill; bytes on disk per event
    Open,
    /// All of it
    All {
        /// Put the results into this document, between its two marks
        #[arg(long, value_name = "FILE")]
        markdown: Option<PathBuf>,
    },
    /// Fills a store until its last segment is nearly full, and waits to be killed
    #[command(hide = true)]
    Victim {
        /// The store's directory
        store: PathBuf,
    },
}

/// Measures and prints.
pub(crate) fn run(args: &BenchArgs, context: &mut Context) -> Outcome {
    if let What::Victim { store } = &args.what {
        return open::be_killed(store, &args.settings, &context.env);
    }
    let mut session = Session::begin(&args.settings, context)?;
    let measured = measure(&args.what, &mut session);
    let (rows, machine) = session.end()?;
    measured?;
    report::print(&rows, &machine, &mut context.ui)?;
    if let What::All {
        markdown: Some(document),
    } = &args.what
    {
        markdown::write(document, &rows, &machine)?;
    }
    Ok(())
}

fn measure(what: &What, session: &mut Session<'_>) -> Outcome {
    type Measure = fn(&mut Session<'_>) -> Outcome;
    const ALL: &[Measure] = &[
        disk::measure,
        append::measure,
        condition::measure,
        read::measure,
        stream::measure,
        fold::measure,
        open::measure,
    ];
    match what {
        What::Disk => disk::measure(session),
        What::Append => append::measure(session),
        What::Condition => condition::measure(session),
        What::Read => read::measure(session),
        What::Stream => stream::measure(session),
        What::Fold => fold::measure(session),
        What::Open => open::measure(session),
        What::All { .. } => ALL.iter().try_for_each(|measure| measure(session)),
        What::Victim { .. } => Ok(()),
    }
}

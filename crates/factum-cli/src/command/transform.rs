//! `factum transform`.

mod report;
mod watch;

use std::path::{Path, PathBuf};

use factum_framework::transform::file::DeclaredSteps;
use factum_framework::transform::{End, Finished, OnFailure, Transform};
use factum_store::Source;
use serde_json::json;

use self::watch::Watcher;
use crate::context::Context;
use crate::event_time;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::fold::declaration;
use crate::interrupt::Interrupt;
use crate::source::SourceArgs;
use crate::store::{self, Access, Store};
use crate::ui::progress::counted;

/// What to transform, how, and where to.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Copies events while they change: into a new store (--to), or into new streams of the same store (--within). A file \
says what each type of event becomes: another type or version, other fields, another stream, several events, or none. The tour in \
docs/cli.md shows one.\n\nOrder, time, correlation, causation, user and tags are kept, and data that no step touches stay byte for byte. \
An event that becomes one keeps its id in another store. What was deleted or truncated is left out, but not what has expired by max_age and \
is still stored; settings of streams do not go along. Within one store events are recorded now, and \
the time they had is kept beside, as an import does.\n\nStop it at any moment, also by kill -9, and run it again: it reads \
what is there, writes what is missing, nothing twice, and gives what one run would have given. Run again later, it copies what came since.\n\nWith --close every \
stream that was read ends with an event StreamMoved that names the new ones. The store still takes events for such a stream; `factum \
stream delete --tombstone` forbids that, and hides the link with the rest.",
    after_long_help = "Examples:\n  factum transform steps.toml --check                    is the file right?\n  \
factum transform steps.toml --dry-run                  what would become of the events?\n  \
factum transform steps.toml --to new-store\n  \
factum transform steps.toml --to new-store --category order -o json > report.json\n  \
factum transform steps.toml --within cart-9 --close    into new streams beside the old one\n  \
factum transform steps.toml --to new-store --skip-failed   # exit code 8 if an event was left out"
)]
pub(crate) struct TransformArgs {
    /// The file with the steps (TOML)
    #[arg(value_name = "STEPS")]
    steps: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
    /// Write into the store of this directory, which is made if needed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["within", "close"], required_unless_present_any = ["within", "dry_run", "check"])]
    to: Option<PathBuf>,
    /// Write into new streams of the same store; one stream or one category is read
    #[arg(long)]
    within: bool,
    /// End every stream that was read with a link to the new one
    #[arg(long, requires = "within")]
    close: bool,
    /// Only check the file
    #[arg(long, conflicts_with_all = ["dry_run", "to", "within"])]
    check: bool,
    /// Show what would become of the events, write nothing
    #[arg(long)]
    dry_run: bool,
    /// How many examples a dry run shows, of different types
    #[arg(long, value_name = "N", default_value_t = 3, requires = "dry_run")]
    examples: usize,
    /// Leave out events that cannot be transformed, and damaged ones, and say so
    #[arg(long)]
    skip_failed: bool,
}

/// Transforms, and reports.
pub(crate) fn run(args: &TransformArgs, context: &mut Context) -> Outcome {
    let steps = DeclaredSteps::read(&declaration(&args.steps)?)
        .map_err(|error| Failure::from(error).while_doing(args.steps.display()))?;
    if args.check {
        let count = steps.len();
        let words = format!(
            "{}: {}, no mistakes",
            args.steps.display(),
            counted(count as u64, "step")
        );
        return context.ui.answer(&words, &json!({ "steps": count }));
    }
    let source = match args.source.chosen() {
        Some(source) => source,
        None if args.within => {
            return Err(
                Failure::usage("it was not said which stream or category is transformed").hint(
                    "name a stream, or say --category: what is written must not be read again",
                ),
            );
        }
        None => Source::All,
    };
    let is_written = args.within && !args.dry_run;
    let access = if is_written {
        Access::Write
    } else {
        Access::Read
    };
    let interrupt = Interrupt::watch(&context.env)?;
    let store = store::open(context, access)?;
    // What cannot be read is said before a directory is made for it.
    let probe = factum_store::ReadRequest::forward(source.clone()).limit(0);
    pollster::block_on(store.events.read(probe).collect())?;
    let target = match &args.to {
        Some(to) => open_target(to, args.dry_run, context)?,
        None => None,
    };
    let start_ns = context.env.clock.monotonic_ns();
    let (finished, examples) = transform(
        args,
        &steps,
        source,
        (&store, target.as_ref()),
        &interrupt,
        context,
    );
    let seconds = context.seconds_since(start_ns);
    let Finished {
        report, outcome, ..
    } = finished;
    let is_complete = matches!(outcome, Ok(End::Complete));
    report::print(args, &report, is_complete, seconds, &examples, context)?;
    match outcome? {
        End::Complete => {}
        End::Stopped => {
            context.ui.note("stopped; run it again to go on");
            return Err(Failure::interrupted());
        }
    }
    if let Some(target) = target {
        target.close()?;
    }
    store.close()?;
    ending(&report)
}

fn transform(
    args: &TransformArgs,
    steps: &DeclaredSteps,
    source: Source,
    (store, target): (&Store, Option<&Store>),
    interrupt: &Interrupt,
    context: &Context,
) -> (Finished, Vec<serde_json::Value>) {
    let mut run = Transform::new(steps.fingerprint(), &*store.events, steps).of(source);
    if args.skip_failed {
        run = run.on_failure(OnFailure::Skip);
    }
    if let Some(target) = target {
        run = run.into_store(&*target.events);
    } else if args.within {
        run = run.within(event_time::keep);
    }
    if args.close {
        run = run.closing();
    }
    if args.dry_run {
        run = run.dry_run();
    }
    let progress = context
        .ui
        .progress(std::sync::Arc::clone(&context.env.clock));
    let mut watcher = Watcher::new(progress, interrupt.clone(), args.examples);
    let finished = pollster::block_on(run.run(&mut watcher));
    let examples = watcher.end(finished.report.read);
    (finished, examples)
}

/// Opens the store that is written; for a dry run to read it, if there is one.
fn open_target(to: &Path, is_dry: bool, context: &Context) -> Outcome<Option<Store>> {
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if context.server.is_none() && same(to, &context.data) {
        return Err(
            Failure::usage(format!("{} is the store that is read", to.display()))
                .hint("--within writes new streams into the same store"),
        );
    }
    if !is_dry {
        return store::open_at(to, Access::Create, context).map(Some);
    }
    if store::trace(to).is_empty() {
        return Ok(None);
    }
    store::open_at(to, Access::Read, context).map(Some)
}

/// What a run that came to its end ends with.
fn ending(report: &factum_framework::transform::Report) -> Outcome {
    if report.failed > 0 {
        let (exit, kind) = if report.damaged > 0 {
            (Exit::Integrity, "corrupt")
        } else {
            (Exit::Partial, "partial")
        };
        let message = format!("{} left out", counted(report.failed, "event"));
        return Err(Failure::new(exit, kind, message));
    }
    if report.stayed_open > 0 {
        let more = report.stayed_open - report.not_closed.len() as u64;
        let more = match more {
            0 => String::new(),
            more => format!(" and {} more", counted(more, "stream")),
        };
        let message = format!(
            "{}{more} not closed: written to meanwhile",
            report.not_closed.join(", ")
        );
        return Err(Failure::new(Exit::Partial, "partial", message)
            .hint("run it again: it copies what came since, and closes them"));
    }
    Ok(())
}

//! `factum import`.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::Input;
use crate::import::{self, Effect, Finished, Invalid, Settings, Tally};
use crate::interrupt::Interrupt;
use crate::store::{self, Access};
use crate::ui::progress::{Progress, Step, counted, grouped, rate};
use factum_json::cloud::bring::TimeOf;

/// So many wrong lines are named; the others are only counted.
const NAMED_MAX: u64 = 20;

/// What to import.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Brings events in from CloudEvents 1.0 in JSON, one per line, plain or gzip.\n\nThe subject becomes the stream; \
type, id and data stay as they are, byte for byte. Source, time and all other attributes are kept in the event's metadata, so that \
`factum export` gives them back. An id that is not a UUID gets one made from source and id, and is kept beside. `position` and \
`streamrevision` are left out: they belong to the store the event came from.\n\nRun it again after it was stopped, at whatever moment: \
events that are there already are passed over, and nothing is added twice. An id that is there with other content is an error. At a \
wrong line the import ends; every line before it is in the store. Ctrl-C ends it in order.",
    after_long_help = "Examples:\n  factum import events.ndjson.gz\n  factum import events.ndjson --dry-run\n  \
curl -s https://example.com/events.ndjson | factum import -\n  factum import events.ndjson --skip-invalid    # exit code 8 if a line was \
skipped"
)]
pub(crate) struct ImportArgs {
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Record events with their own times instead of now; the file must be in the order of time
    #[arg(long)]
    preserve_time: bool,
    /// How many events one append holds, all or none
    #[arg(long, value_name = "N", default_value_t = import::BATCH_EVENTS, value_parser = batch)]
    batch: usize,
    /// Pass over lines that are wrong, and count them
    #[arg(long)]
    skip_invalid: bool,
    /// Check everything, write nothing
    #[arg(long)]
    dry_run: bool,
}

fn batch(text: &str) -> Result<usize, String> {
    let max = import::BATCH_EVENTS_MAX;
    text.parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| format!("write a number from 1 to {max}"))
}

struct Watcher<'a> {
    context: &'a mut Context,
    progress: Progress,
    done: std::sync::Arc<std::sync::atomic::AtomicU64>,
    named: u64,
}

impl import::Watcher for Watcher<'_> {
    fn step(&mut self, tally: &Tally) {
        self.progress.step(step(tally, &self.done));
    }

    fn wrong(&mut self, message: &str) {
        self.named += 1;
        if self.named <= NAMED_MAX {
            self.context.ui.warn(format_args!("skipped {message}"));
        } else if self.named == NAMED_MAX + 1 {
            self.context
                .ui
                .warn("more lines are wrong; they are counted below");
        }
    }
}

/// Imports, and sums up.
pub(crate) fn run(args: &ImportArgs, context: &mut Context) -> Outcome {
    let input = Input::open(&args.file)?;
    let settings = Settings {
        time_of: if args.preserve_time {
            TimeOf::Event
        } else {
            TimeOf::Now
        },
        batch_events: args.batch,
        invalid: if args.skip_invalid {
            Invalid::Skip
        } else {
            Invalid::Stop
        },
        effect: if args.dry_run {
            Effect::DryRun
        } else {
            Effect::Append
        },
    };
    let store = match settings.effect {
        Effect::Append => store::open(context, Access::Create)?,
        Effect::DryRun => store::open_or_empty(context)?,
    };
    // Not before: a server that says nothing must not keep Ctrl-C waiting.
    let interrupt = Interrupt::watch(&context.env)?;
    let env = context.env.clone();
    let start_ns = env.clock.monotonic_ns();
    let mut progress = context.ui.progress(std::sync::Arc::clone(&env.clock));
    progress.begin("importing", input.len);
    let done = std::sync::Arc::clone(&input.done);
    let mut watcher = Watcher {
        context,
        progress,
        done,
        named: 0,
    };
    let finished = import::run(
        input,
        settings,
        &store.events,
        &env,
        &interrupt,
        &mut watcher,
    );
    watcher.progress.end(step(&finished.tally, &watcher.done));
    let seconds = context.seconds_since(start_ns);
    sum_up(args, &finished, seconds, context)?;
    finished.outcome?;
    store.close()?;
    if finished.tally.invalid > 0 {
        let message = format!("{} skipped", counted(finished.tally.invalid, "line"));
        return Err(Failure::new(Exit::Partial, "partial", message));
    }
    Ok(())
}

fn step(tally: &Tally, done: &std::sync::atomic::AtomicU64) -> Step {
    let done = done.load(std::sync::atomic::Ordering::Relaxed);
    Step {
        done,
        events: tally.added + tally.already_there,
    }
}

fn sum_up(args: &ImportArgs, finished: &Finished, seconds: f64, context: &mut Context) -> Outcome {
    let Tally {
        added,
        already_there,
        repeated,
        invalid,
        streams,
    } = finished.tally;
    let rate = rate(added + already_there, seconds);
    let verb = if args.dry_run {
        "would be added"
    } else {
        "added"
    };
    let mut words = format!(
        "{} {verb}, {} already there, {}, {seconds:.2} s, {} events/s",
        counted(added, "event"),
        grouped(already_there),
        counted(streams, "stream"),
        grouped(rate)
    );
    for (count, what) in [(repeated, "repeated line"), (invalid, "skipped line")] {
        if count > 0 {
            words.push_str(&format!(", {}", counted(count, what)));
        }
    }
    context.ui.note(words);
    if context.ui.answer_format() == Format::Table {
        return Ok(());
    }
    let answer = json!({
        "events_added": added,
        "already_there": already_there,
        "repeated_lines": repeated,
        "invalid_lines": invalid,
        "streams": streams,
        "seconds": (seconds * 1e3).round() / 1e3,
        "events_per_second": rate,
        "dry_run": args.dry_run,
        "complete": finished.outcome.is_ok(),
    });
    context.ui.answer("", &answer)
}

//! `factum export`.

use std::path::PathBuf;

use factum_json::cloud::write;
use factum_store::{EventStream, Kind, ReadFrom, ReadRequest, Source};
use factum_types::Position;
use serde_json::json;

use crate::cli::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::export::{Packing, Sink};
use crate::failure::{Failure, Outcome};
use crate::files::Existing;
use crate::interrupt::Interrupt;
use crate::source::SourceArgs;
use crate::store::{self, Access};
use crate::ui::progress::{Progress, Step, counted, grouped, rate};

/// How many events pass between two looks at Ctrl-C and the clock.
const LOOK_EVERY: u64 = 1_024;

/// What to export, and where to.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Writes events as CloudEvents 1.0 in JSON, one per line, in the order of their positions. Events that came by \
`factum import` get back their own id, source, time and attributes.\n\nA file can be continued: --resume cuts off an incomplete last \
line and goes on after the last complete one. Running it twice changes nothing.",
    after_long_help = "Examples:\n  factum export events.ndjson\n  factum export events.ndjson --resume\n  \
factum export orders.ndjson.gz --gzip --category order\n  factum export - order-1 | jq .type"
)]
pub(crate) struct ExportArgs {
    /// The file, or - for standard output
    #[arg(value_name = "FILE|-", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
    /// Begin at this position
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// Compress with gzip
    #[arg(long)]
    gzip: bool,
    /// Continue the file
    #[arg(long, conflicts_with_all = ["gzip", "from"])]
    resume: bool,
    /// Replace the file if it is there
    #[arg(short, long, conflicts_with = "resume")]
    yes: bool,
}

struct Export {
    sink: Sink,
    progress: Progress,
    first: u64,
    events: u64,
    damaged: u64,
    last: Option<Position>,
}

/// Exports, and sums up.
pub(crate) fn run(args: &ExportArgs, context: &mut Context) -> Outcome {
    let source = args.source.chosen().unwrap_or(Source::All);
    let store = store::open(context, Access::Read)?;
    let interrupt = Interrupt::watch(&context.env)?;
    // What cannot be read is said before a file is made or emptied for it.
    let probe = ReadRequest::forward(source.clone()).limit(0);
    pollster::block_on(interrupt.unless_came(store.events.read(probe).collect()))??;
    let (sink, from) = open(args)?;
    let head = pollster::block_on(interrupt.unless_came(store.events.head()))??;
    let first = from.map_or(0, Position::number);
    let left = head.map_or(0, |head| (head.number() + 1).saturating_sub(first));
    let mut progress = context
        .ui
        .progress(std::sync::Arc::clone(&context.env.clock));
    progress.begin("exporting", Some(left));
    let start_ns = context.env.clock.monotonic_ns();
    let mut export = Export {
        sink,
        progress,
        first,
        events: 0,
        damaged: 0,
        last: None,
    };
    let request =
        ReadRequest::forward(source).from(from.map_or(ReadFrom::Start, ReadFrom::Position));
    let events = store.events.read(request);
    let outcome = pollster::block_on(export.all(events, &interrupt, context));
    export.progress.end(Step {
        done: if outcome.is_ok() { left } else { export.done() },
        events: export.events,
    });
    let Export {
        sink,
        events,
        damaged,
        last,
        ..
    } = export;
    let written = sink
        .end()
        .map_err(|error| Failure::io(args.file.display(), &error));
    outcome.and(written)?;
    sum_up(args, events, last, context.seconds_since(start_ns), context)?;
    store.close()?;
    if damaged > 0 {
        let message = format!("{} left out", counted(damaged, "damaged place"));
        return Err(Failure::new(Exit::Integrity, "corrupt", message));
    }
    Ok(())
}

/// The file, and where to begin.
fn open(args: &ExportArgs) -> Outcome<(Sink, Option<Position>)> {
    let packing = if args.gzip {
        Packing::Gzip
    } else {
        Packing::Plain
    };
    let from = args.from.map(Position::from_raw);
    if args.file.as_os_str() == "-" {
        if args.resume {
            return Err(Failure::usage("standard output cannot be continued").hint("name a file"));
        }
        return Ok((Sink::stdout(packing), from));
    }
    if !args.resume {
        let existing = if args.yes {
            Existing::Replace
        } else {
            Existing::Refuse
        };
        return Ok((Sink::create(&args.file, existing, packing)?, from));
    }
    let (sink, last) = Sink::resume(&args.file)?;
    match last.map(Position::next) {
        None => Ok((sink, None)),
        Some(Some(next)) => Ok((sink, Some(next))),
        Some(None) => Err(Failure::error(
            "the last line of the file has the last position there is",
        )),
    }
}

impl Export {
    /// How many positions have been passed.
    fn done(&self) -> u64 {
        self.last
            .map_or(0, |last| (last.number() + 1).saturating_sub(self.first))
    }

    async fn all(
        &mut self,
        mut events: EventStream,
        interrupt: &Interrupt,
        context: &mut Context,
    ) -> Outcome {
        let mut line = Vec::with_capacity(1_024);
        while let Some(item) = interrupt.unless_came(events.next()).await? {
            match item {
                Ok(event) => {
                    line.clear();
                    write::event(&mut line, &event);
                    line.push(b'\n');
                    self.sink.write(&line)?;
                    self.events += 1;
                    self.last = Some(event.position);
                }
                Err(error) if error.kind() == Kind::Corrupt => {
                    context.ui.error(&Failure::from(error));
                    self.damaged += 1;
                }
                Err(error) => return Err(error.into()),
            }
            if self.events.is_multiple_of(LOOK_EVERY) {
                interrupt.check()?;
                self.progress.step(Step {
                    done: self.done(),
                    events: self.events,
                });
            }
        }
        Ok(())
    }
}

fn sum_up(
    args: &ExportArgs,
    events: u64,
    last: Option<Position>,
    seconds: f64,
    context: &mut Context,
) -> Outcome {
    let rate = rate(events, seconds);
    context.ui.note(format_args!(
        "{} exported, {seconds:.2} s, {} events/s",
        counted(events, "event"),
        grouped(rate)
    ));
    let to_stdout = args.file.as_os_str() == "-";
    if to_stdout || context.ui.answer_format() == Format::Table {
        return Ok(());
    }
    let answer = json!({
        "events": events,
        "last_position": last.map(Position::raw),
        "seconds": (seconds * 1e3).round() / 1e3,
        "events_per_second": rate,
    });
    context.ui.answer("", &answer)
}

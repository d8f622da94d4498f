//! `factum query`.

mod print;

use std::path::PathBuf;
use std::time::Duration;

use factum_query::{Filter, Kind, Limits};
use factum_store::Source;
use factum_types::{Category, EventType, Position, Query, StreamName, Tag, Timestamp};

use self::print::{Printer, Shape};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::project::file::SinkArgs;
use crate::project::target::{self, Target};
use crate::project::work::LOOK_EVERY;
use crate::store;
use crate::time;
use crate::ui::progress::counted;

/// What to ask.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Runs one SQL statement over a read model, or, with --events, over the events of the store. It only reads, ends after \
--limit rows and --timeout, and at Ctrl-C.\n\nOver events there is one table, `events`, with the columns position, stream, category, revision, \
type, version, time, recorded, id, data, metadata, tags, user, correlation and causation. Times are RFC 3339; data and metadata are JSON, \
so `data ->> '$.total'` is a field. SQLite runs the statement, over a copy of the columns that it reads of the events that --type, \
--category, --stream, --tag, --from, --to, --since and --until leave: on a large store, say there what a WHERE would.",
    after_long_help = "Examples:\n  factum query --events 'SELECT type, count(*) FROM events GROUP BY type'\n  \
factum query --events --category order \"SELECT stream, data ->> '$.total' AS total FROM events WHERE type = 'OrderPlaced'\"\n  \
factum query --sink sqlite:read.db 'SELECT status, count(*) FROM orders GROUP BY status'\n  \
factum query --file orders.toml --at-least 1742 'SELECT * FROM orders' --csv\n\nExit codes: 1 the statement is wrong, refused or took too long, 6 the read model cannot be read, \
or did not reach --at-least in time."
)]
pub(crate) struct QueryArgs {
    /// The statement
    #[arg(value_name = "SQL")]
    sql: String,
    /// Over the events of the store
    #[arg(long, conflicts_with_all = ["file", "sink"])]
    events: bool,
    /// Over the read model of the projection that this file declares
    #[arg(long, value_name = "FILE", required_unless_present_any = ["events", "sink"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    sink: SinkArgs,
    /// Wait until the read model has reached this position
    #[arg(long, value_name = "POSITION", conflicts_with = "events")]
    at_least: Option<u64>,
    /// Rows as CSV with a head line (RFC 4180)
    #[arg(long, conflicts_with = "output")]
    csv: bool,
    /// After so many rows it ends
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100_000)]
    limit: u64,
    /// After so long it fails, waiting included
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = time::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    which: WhichEvents,
}

/// Which events are copied for the statement.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which events")]
struct WhichEvents {
    /// Of this stream
    #[arg(long, requires = "events", conflicts_with_all = ["category", "types", "tags"])]
    stream: Option<StreamName>,
    /// Of the streams of this category
    #[arg(short, long, requires = "events", conflicts_with_all = ["types", "tags"])]
    category: Option<Category>,
    /// Of this type; given again, of any of these types
    #[arg(short = 't', long = "type", value_name = "TYPE", requires = "events")]
    types: Vec<EventType>,
    /// With this tag; given again, with all of these tags
    #[arg(
        short = 'g',
        long = "tag",
        value_name = "KEY:VALUE",
        requires = "events"
    )]
    tags: Vec<Tag>,
    /// From this position on
    #[arg(long, value_name = "POSITION", requires = "events")]
    from: Option<u64>,
    /// Up to this position
    #[arg(long, value_name = "POSITION", requires = "events")]
    to: Option<u64>,
    /// That happened at this time or later
    #[arg(long, value_name = "TIME", requires = "events", value_parser = time::parse_moment)]
    since: Option<Timestamp>,
    /// That happened before this time
    #[arg(long, value_name = "TIME", requires = "events", value_parser = time::parse_moment)]
    until: Option<Timestamp>,
}

impl WhichEvents {
    fn filter(&self) -> Filter {
        let source = match (&self.stream, &self.category) {
            (Some(stream), _) => Source::Stream(stream.clone()),
            (_, Some(category)) => Source::Category(category.clone()),
            _ if self.types.is_empty() && self.tags.is_empty() => Source::All,
            _ => Source::Query(Query::of(self.types.clone(), self.tags.clone())),
        };
        Filter {
            source,
            from: self.from.map(Position::from_raw),
            to: self.to.map(Position::from_raw),
            since: self.since,
            until: self.until,
        }
    }
}

/// Asks, and prints the rows as they come.
pub(crate) fn run(args: &QueryArgs, context: &mut Context) -> Outcome {
    let start_ns = context.env.clock.monotonic_ns();
    let over = if args.events {
        Over::Events(store::open(context, store::Access::Read)?)
    } else {
        Over::ReadModel(Box::new(ReadModel::of(args)?))
    };
    // Not before: a server that says nothing must not keep Ctrl-C waiting.
    let interrupt = Interrupt::watch(&context.env)?;
    if let (Over::ReadModel(model), Some(position)) = (&over, args.at_least) {
        let position = Position::from_raw(position);
        wait(model, args, position, &interrupt, context)?;
    }
    // What was waited for counts; opening does not, so that the message names the limit that was asked for.
    let gone = match args.at_least {
        Some(_) => context.env.clock.monotonic_ns().saturating_sub(start_ns),
        None => 0,
    };
    let limits = Limits {
        rows: args.limit,
        time: args.timeout.saturating_sub(Duration::from_nanos(gone)),
    };
    let stopping = interrupt.clone();
    let is_stopped = move || stopping.came();
    let shape = if args.csv {
        Shape::Csv
    } else {
        Shape::Format(context.ui.records_format())
    };
    let mut printer = Printer::new(shape);
    let mut failed = None;
    let ui = &mut context.ui;
    let mut out = |row: factum_query::Row<'_>| {
        printer.row(ui, row).map_err(|failure| {
            failed = Some(failure);
            factum_query::Error::new(Kind::Out, "the output cannot be written")
        })
    };
    let done = match &over {
        Over::ReadModel(model) => model.target.query(&args.sql, limits, is_stopped, &mut out),
        Over::Events(store) => {
            let filter = args.which.filter();
            let asked = factum_query::events(
                &*store.events,
                &filter,
                &args.sql,
                limits,
                is_stopped,
                &mut out,
            );
            pollster::block_on(asked)
        }
    };
    if let Some(failed) = failed {
        return Err(failed);
    }
    let done = done.map_err(|error| failure(&error))?;
    printer.end(&done, &mut context.ui)?;
    if done.cut {
        let rows = counted(done.rows, "row");
        context.ui.warn(format!(
            "ended after {rows}; there are more: --limit allows them"
        ));
    }
    match over {
        Over::Events(store) => store.close(),
        Over::ReadModel(_) => Ok(()),
    }
}

/// What is asked.
enum Over {
    Events(store::Store),
    ReadModel(Box<ReadModel>),
}

/// A sink, and which of its projections is meant; all of them when no file says it.
struct ReadModel {
    target: Target,
    projection: Option<String>,
}

impl ReadModel {
    /// The file is read once: it may be standard input.
    fn of(args: &QueryArgs) -> Outcome<Self> {
        let model = match &args.file {
            Some(path) => {
                let project = args.sink.project(path)?;
                let projection = Some(project.declared.name().to_owned());
                let target = project.target;
                Some(Self { target, projection })
            }
            None => args.sink.target()?.map(|target| Self {
                target,
                projection: None,
            }),
        };
        let over_what = || Failure::usage("over what?").hint("--events, --file FILE or --sink URL");
        let model = model.ok_or_else(over_what)?;
        model.target.must_be_there()?;
        Ok(model)
    }
}

/// Waits until readers see everything up to a position: of the projection of the file, else of all that the sink has.
fn wait(
    ReadModel { target, projection }: &ReadModel,
    args: &QueryArgs,
    position: Position,
    interrupt: &Interrupt,
    context: &Context,
) -> Outcome {
    let failed = |error| target.failed(&error);
    let clock = &context.env.clock;
    let start_ns = clock.monotonic_ns();
    let mut desk = target.desk()?;
    loop {
        let names = match projection {
            Some(name) => vec![name.clone()],
            None => pollster::block_on(desk.projections()).map_err(failed)?,
        };
        let mut behind = names
            .is_empty()
            .then(|| "there is no projection".to_owned());
        for name in names {
            let live = pollster::block_on(desk.live(&name)).map_err(failed)?;
            let at = live.and_then(|live| live.checkpoint);
            if at < Some(position) {
                let at = at.map_or_else(|| "the beginning".to_owned(), |at| at.to_string());
                behind = Some(format!("{name} is at {at}"));
            }
        }
        let Some(behind) = behind else {
            return Ok(());
        };
        interrupt.check()?;
        let waited = clock.monotonic_ns().saturating_sub(start_ns);
        if Duration::from_nanos(waited) >= args.timeout {
            let message = format!(
                "position {position} was not reached in {}: {behind}",
                time::duration(args.timeout)
            );
            return Err(Failure::new(Exit::Unreachable, "behind", message)
                .hint("is `factum project run` running?"));
        }
        clock.sleep(LOOK_EVERY);
    }
}

fn failure(error: &factum_query::Error) -> Failure {
    let (exit, kind) = match error.kind() {
        Kind::Stopped => return Failure::interrupted(),
        Kind::Store(kind) => {
            return Failure::from(factum_store::StoreError::new(kind, error.to_string()));
        }
        Kind::Unavailable => (Exit::Unreachable, "unavailable"),
        Kind::Denied => (Exit::Denied, "denied"),
        Kind::Refused => (Exit::Error, "refused"),
        Kind::Limit => (Exit::Error, "limit"),
        _ => (Exit::Error, "invalid"),
    };
    let failure = Failure::new(exit, kind, error.to_string());
    match error.kind() {
        Kind::Denied => failure.hint(target::WHERE_PASSWORDS_ARE),
        Kind::Limit => failure.hint("ask for less, or allow more by --timeout"),
        _ => failure,
    }
}

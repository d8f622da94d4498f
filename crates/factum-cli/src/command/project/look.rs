//! `factum project ls` and `factum project info`.

use std::path::PathBuf;
use std::sync::Arc;

use factum_projection::{Generation, Manage};
use factum_store::{EventStore, ReadFrom, ReadRequest, Source};
use factum_types::{Position, Timestamp};
use serde_json::{Value, json};

use crate::cli::Format;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::project::file::{ProjectionArgs, SinkArgs};
use crate::project::target::Target;
use crate::store;
use crate::time;
use crate::ui::table::{self, Align, Column, Table};

/// Which sinks.
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {
    /// Files, for their sinks
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    sink: SinkArgs,
}

/// Which projection.
#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    projection: ProjectionArgs,
}

const LIST: &[Column] = &[
    ("projection", Align::Left),
    ("generation", Align::Right),
    ("checkpoint", Align::Right),
    ("behind", Align::Right),
    ("parked", Align::Right),
    ("state", Align::Left),
    ("sink", Align::Left),
];
const GENERATIONS: &[Column] = &[
    ("generation", Align::Right),
    ("checkpoint", Align::Right),
    ("parked", Align::Right),
    ("state", Align::Left),
    ("version", Align::Left),
];

/// Lists what the sinks have.
pub(super) fn ls(args: &LsArgs, context: &mut Context) -> Outcome {
    let mut targets: Vec<Target> = Vec::new();
    for path in &args.files {
        let target = args.sink.project(path)?.target;
        if !targets.iter().any(|it| it.is(&target)) {
            targets.push(target);
        }
    }
    if args.files.is_empty() {
        targets.extend(args.sink.target()?);
    }
    if targets.is_empty() {
        return Err(Failure::usage("of which sink?").hint("name a file, or the sink by --sink"));
    }
    let store = Beside::open(context)?;
    let mut rows = Table::new(LIST);
    let mut all = Vec::new();
    for target in &targets {
        let mut desk = target.desk()?;
        let failed = |error| target.failed(&error);
        for name in pollster::block_on(desk.projections()).map_err(failed)? {
            let live = pollster::block_on(desk.live(&name)).map_err(failed)?;
            let behind = store.behind(live.as_ref())?;
            if context.ui.records_format() != Format::Table {
                let mut row = live.as_ref().map_or_else(|| json!({}), generation);
                let more = json!({ "projection": name, "sink": target.shown(), "behind": behind.map(|it| it.json()) });
                if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
                    row.extend(more);
                }
                all.push(row);
                continue;
            }
            let cells = [
                name,
                live.as_ref()
                    .map_or_else(|| "-".to_owned(), |it| it.number.to_string()),
                at(live.as_ref().and_then(|it| it.checkpoint)),
                behind.map_or_else(|| "-".to_owned(), |it| it.words()),
                live.as_ref().map_or(0, |it| it.parked).to_string(),
                live.as_ref()
                    .map_or_else(|| "nothing is shown".to_owned(), state),
                target.shown(),
            ];
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            rows.row(&mut context.ui, &cells)?;
        }
    }
    rows.print(&mut context.ui)?;
    print(&all, context)
}

/// Prints JSON as one list, or line by line.
pub(super) fn print(all: &[Value], context: &mut Context) -> Outcome {
    use std::io::Write as _;
    match context.ui.records_format() {
        Format::Table => {}
        Format::Json => writeln!(context.ui.out(), "{:#}", Value::from(all.to_vec()))?,
        Format::Ndjson => {
            for one in all {
                writeln!(context.ui.out(), "{one}")?;
            }
        }
    }
    Ok(())
}

/// Prints the generations of one projection.
pub(super) fn info(args: &InfoArgs, context: &mut Context) -> Outcome {
    let named = args.projection.named()?;
    let mut desk = named.target.desk()?;
    let all = generations(&mut *desk, &named.name, &named.target)?;
    let live = all.iter().find(|it| it.live);
    let behind = Beside::open(context)?.behind(live)?;
    if context.ui.answer_format() != Format::Table {
        let answer = json!({
            "projection": named.name,
            "sink": named.target.shown(),
            "live": live.map(|it| it.number),
            "behind": behind.map(|it| it.json()),
            "generations": all.iter().map(generation).collect::<Vec<_>>(),
        });
        return context.ui.answer("", &answer);
    }
    let facts = [
        ("projection", named.name),
        ("sink", named.target.shown()),
        (
            "behind",
            behind.map_or_else(|| "(no store to compare with)".to_owned(), |it| it.words()),
        ),
    ];
    table::facts(&mut context.ui, &facts)?;
    let mut rows = Table::new(GENERATIONS);
    for one in &all {
        let cells = [
            one.number.to_string(),
            at(one.checkpoint),
            one.parked.to_string(),
            state(one),
            one.version.clone(),
        ];
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        rows.row(&mut context.ui, &cells)?;
    }
    rows.print(&mut context.ui)
}

/// The generations of a projection; fails when there is none.
pub(super) fn generations(
    desk: &mut dyn Manage,
    name: &str,
    target: &Target,
) -> Outcome<Vec<Generation>> {
    let all = pollster::block_on(desk.generations(name)).map_err(|error| target.failed(&error))?;
    if all.is_empty() {
        let message = format!("there is no projection {name} in {}", target.shown());
        return Err(Failure::not_found(message).hint(format!(
            "`factum project ls --sink {}` lists what there is",
            target.shown()
        )));
    }
    Ok(all)
}

fn at(position: Option<Position>) -> String {
    position.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

fn state(generation: &Generation) -> String {
    let mut words = Vec::new();
    words.extend(generation.live.then_some("live"));
    words.extend((!generation.live && generation.published).then_some("was live"));
    words.extend((!generation.live && !generation.published).then_some("never shown"));
    words.extend(generation.bulk.then_some("being filled"));
    words.extend(generation.paused.then_some("paused"));
    words.join(", ")
}

fn generation(generation: &Generation) -> Value {
    json!({
        "generation": generation.number,
        "live": generation.live,
        "published": generation.published,
        "bulk": generation.bulk,
        "paused": generation.paused,
        "checkpoint": generation.checkpoint.map(Position::raw),
        "parked": generation.parked,
        "version": generation.version,
    })
}

/// The store beside a sink, to see how far behind a projection is.
struct Beside {
    store: Option<Arc<dyn EventStore>>,
    now: Timestamp,
}

/// How far behind a projection is.
#[derive(Debug, Clone, Copy)]
struct Behind {
    records: u64,
    seconds: f64,
}

impl Beside {
    fn open(context: &Context) -> Outcome<Self> {
        // Where one was named, a wrong name is not passed over.
        let store = if context.server.is_some() || context.data.is_dir() || context.data_is_argument
        {
            Some(store::follow(context)?)
        } else {
            None
        };
        Ok(Self {
            store,
            now: Timestamp::from_micros(context.env.clock.now_us()),
        })
    }

    fn behind(&self, live: Option<&Generation>) -> Outcome<Option<Behind>> {
        let (Some(store), Some(live)) = (&self.store, live) else {
            return Ok(None);
        };
        let from = match live.checkpoint {
            None => ReadFrom::Start,
            Some(at) => at.next().map_or(ReadFrom::End, ReadFrom::Position),
        };
        pollster::block_on(async {
            let past = |at: Option<Position>| at.map_or(0, |at| at.number().saturating_add(1));
            let records = past(store.head().await?).saturating_sub(past(live.checkpoint));
            let request = ReadRequest::forward(Source::All).from(from).limit(1);
            let next = store.read(request).next().await.transpose()?;
            let seconds = next.map_or(0, |next| {
                self.now.as_micros().saturating_sub(next.time.as_micros())
            });
            #[expect(clippy::cast_precision_loss, reason = "a figure for display")]
            let seconds = (seconds.max(0) / 1_000) as f64 / 1e3;
            Ok(Some(Behind { records, seconds }))
        })
    }
}

impl Behind {
    fn words(self) -> String {
        if self.records == 0 {
            return "0".to_owned();
        }
        let age = std::time::Duration::from_secs_f64(self.seconds);
        format!("{}, {}", self.records, time::duration(age))
    }

    fn json(self) -> Value {
        json!({ "records": self.records, "seconds": self.seconds })
    }
}

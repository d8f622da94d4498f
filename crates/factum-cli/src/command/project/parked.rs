//! `factum project errors|retry|skip`.

use factum_projection::{Edit, Parked};
use factum_types::Position;
use serde_json::{Value, json};

use super::look::{generations, print};
use crate::cli::Format;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::project::file::{Named, ProjectionArgs};
use crate::time;
use crate::ui::progress::counted;
use crate::ui::table::{Align, Column, Table};

/// Which parked events.
#[derive(Debug, clap::Args)]
pub(crate) struct ErrorsArgs {
    #[command(flatten)]
    projection: ProjectionArgs,
    #[command(flatten)]
    of: GenerationArgs,
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
}

/// What is tried again.
#[derive(Debug, clap::Args)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    projection: ProjectionArgs,
    /// The stream whose events are parked
    #[arg(value_name = "STREAM", required_unless_present = "all")]
    stream: Option<String>,
    /// Of all streams
    #[arg(long, conflicts_with = "stream")]
    all: bool,
    #[command(flatten)]
    of: GenerationArgs,
}

/// What is given up.
#[derive(Debug, clap::Args)]
pub(crate) struct SkipArgs {
    #[command(flatten)]
    projection: ProjectionArgs,
    /// Where the event stands, as `errors` prints it
    #[arg(value_name = "POSITION")]
    position: u64,
    #[command(flatten)]
    of: GenerationArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Which generation.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct GenerationArgs {
    /// Of this generation [default: the live one]
    #[arg(long, value_name = "N")]
    generation: Option<u32>,
}

const COLUMNS: &[Column] = &[
    ("position", Align::Right),
    ("stream", Align::Left),
    ("rev", Align::Right),
    ("type", Align::Left),
    ("tried", Align::Right),
    ("since", Align::Left),
    ("reason", Align::Left),
];

/// A generation, and a desk to look at it and change it.
struct Desk {
    named: Named,
    desk: Box<dyn factum_projection::Manage>,
    generation: u32,
}

impl Desk {
    fn open(projection: &ProjectionArgs, of: GenerationArgs) -> Outcome<Self> {
        let named = projection.named()?;
        let mut desk = named.target.desk()?;
        let all = generations(&mut *desk, &named.name, &named.target)?;
        let live = all.iter().find(|it| it.live).map(|it| it.number);
        let Some(generation) = of.generation.or(live) else {
            let message = format!("readers see no generation of {} yet", named.name);
            return Err(Failure::not_found(message).hint("--generation names one"));
        };
        Ok(Self {
            named,
            desk,
            generation,
        })
    }

    fn parked(&mut self, limit: usize) -> Outcome<Vec<Parked>> {
        let parked = self.desk.parked(&self.named.name, self.generation, limit);
        pollster::block_on(parked).map_err(|error| self.named.target.failed(&error))
    }

    fn edit(&mut self, edit: Edit) -> Outcome {
        let done = self.desk.edit(&self.named.name, self.generation, edit);
        pollster::block_on(done).map_err(|error| self.named.target.failed(&error))
    }

    /// What brings an attempt about.
    fn advice(&self) -> String {
        format!(
            "a running `factum project run {}` sees it within a second, else the next one",
            self.named.given
        )
    }
}

pub(super) fn errors(args: &ErrorsArgs, context: &mut Context) -> Outcome {
    let mut desk = Desk::open(&args.projection, args.of)?;
    let all = desk.parked(args.limit)?;
    if context.ui.records_format() != Format::Table {
        let all: Vec<_> = all.iter().map(one).collect();
        return print(&all, context);
    }
    let mut rows = Table::new(COLUMNS);
    for parked in &all {
        let cells = [
            parked.position.to_string(),
            parked.stream.to_string(),
            parked.revision.to_string(),
            parked.event_type.to_string(),
            parked.attempts.to_string(),
            time::short(parked.since),
            if parked.wanted {
                format!("(to be tried again) {}", parked.reason)
            } else {
                parked.reason.clone()
            },
        ];
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        rows.row(&mut context.ui, &cells)?;
    }
    rows.print(&mut context.ui)?;
    if all.is_empty() {
        context.ui.note("nothing is parked");
    }
    Ok(())
}

fn one(parked: &Parked) -> Value {
    json!({
        "position": parked.position.raw(),
        "stream": parked.stream.as_str(),
        "revision": parked.revision.number(),
        "id": parked.event.to_string(),
        "type": parked.event_type.as_str(),
        "partition": parked.partition,
        "attempts": parked.attempts,
        "since": time::rfc3339(parked.since),
        "to_be_retried": parked.wanted,
        "reason": parked.reason,
    })
}

pub(super) fn retry(args: &RetryArgs, context: &mut Context) -> Outcome {
    let mut desk = Desk::open(&args.projection, args.of)?;
    let mut partitions: Vec<String> = match &args.stream {
        Some(stream) => vec![stream.clone()],
        None => desk
            .parked(usize::MAX)?
            .into_iter()
            .map(|it| it.partition)
            .collect(),
    };
    partitions.dedup();
    partitions.sort_unstable();
    partitions.dedup();
    for partition in &partitions {
        desk.edit(Edit::Retry {
            partition: partition.clone(),
        })?;
    }
    let words = format!(
        "{}: {} to be tried again; {}",
        desk.named.name,
        counted(partitions.len() as u64, "stream"),
        desk.advice()
    );
    context.ui.answer(
        &words,
        &json!({ "projection": desk.named.name, "retried": partitions }),
    )
}

pub(super) fn skip(args: &SkipArgs, context: &mut Context) -> Outcome {
    let mut desk = Desk::open(&args.projection, args.of)?;
    let position = Position::from_raw(args.position);
    let question = format!(
        "The event at position {position} will not be applied to generation {} of {}.",
        desk.generation, desk.named.name
    );
    context.ui.confirm(&question, args.yes)?;
    desk.edit(Edit::Skip { position })?;
    let words = format!(
        "{}: position {position} skipped; {}",
        desk.named.name,
        desk.advice()
    );
    context.ui.answer(
        &words,
        &json!({ "projection": desk.named.name, "skipped": position.raw() }),
    )
}

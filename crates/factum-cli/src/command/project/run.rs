//! `factum project run`.

use std::path::PathBuf;
use std::sync::Arc;

use factum_framework::Stop;
use factum_projection::{CaughtUp, SharedReads};
use factum_store::EventStore;
use factum_types::Position;
use serde_json::{Value, json};

use crate::cli::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::project::file::{Project, SinkArgs};
use crate::project::work::{LOOK_EVERY, Running, Until};
use crate::store;
use crate::ui::progress::{Progress, Step, counted, rate};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    sink: SinkArgs,
    /// End when everything that the store has is applied
    #[arg(long)]
    once: bool,
}

/// Runs all of them, each on a thread of its own.
pub(super) fn run(args: &RunArgs, context: &mut Context) -> Outcome {
    let projects = args.files.iter().map(|path| args.sink.project(path));
    let projects = projects.collect::<Outcome<Vec<_>>>()?;
    for (index, project) in projects.iter().enumerate() {
        let same = projects.iter().take(index).find(|before| {
            before.declared.name() == project.declared.name() && before.target.is(&project.target)
        });
        if let Some(same) = same {
            let (one, other) = (same.path.display(), project.path.display());
            let message = format!(
                "{one} and {other} declare the same projection {}",
                project.declared.name()
            );
            return Err(Failure::usage(message));
        }
    }
    let interrupt = Interrupt::watch(&context.env)?;
    let store = together(store::follow(context)?, &projects);
    let until = if args.once {
        Until::CaughtUp
    } else {
        Until::Stopped
    };
    let stop = Stop::new();
    let start_ns = context.env.clock.monotonic_ns();
    let running = projects
        .into_iter()
        .map(|project| Running::start(project, Arc::clone(&store), until, &stop, context));
    let running = running.collect::<Outcome<Vec<_>>>()?;
    let watched = Watch::new(&running, &*store, context)?.until_ended(&stop, &interrupt, context);
    let seconds = context.seconds_since(start_ns);
    watched?;
    let mut outcome = Ok(());
    for one in &running {
        outcome = outcome.and(report(one, seconds, context));
    }
    if interrupt.came() {
        return outcome.and(Err(Failure::interrupted()));
    }
    outcome
}

/// The store, read once for all of them where that can be.
fn together(store: Arc<dyn EventStore>, projects: &[Project]) -> Arc<dyn EventStore> {
    if projects.len() < 2 {
        return store;
    }
    let sources = projects.iter().map(|it| it.declared.source().clone());
    Arc::new(SharedReads::over(store, sources))
}

/// What is shown meanwhile.
struct Watch<'r> {
    running: &'r [Running],
    progress: Progress,
    /// Records that were behind when it began, for each.
    begun: Vec<Option<u64>>,
    head: u64,
    told: Vec<Told>,
}

/// What was said of a runner, and what was seen at the last look: only what lasts is said, and an error that ends a runner does not.
#[derive(Debug, Clone, Default)]
struct Told {
    said: Option<String>,
    seen: Option<String>,
}

impl<'r> Watch<'r> {
    fn new(running: &'r [Running], store: &dyn EventStore, context: &Context) -> Outcome<Self> {
        let head = passed(pollster::block_on(store.head())?);
        Ok(Self {
            running,
            progress: context.ui.progress(Arc::clone(&context.env.clock)),
            begun: vec![None; running.len()],
            head,
            told: vec![Told::default(); running.len()],
        })
    }

    /// Waits for all of them; when one fails or Ctrl-C comes, the others are told to stop.
    fn until_ended(mut self, stop: &Stop, interrupt: &Interrupt, context: &mut Context) -> Outcome {
        let mut is_begun = false;
        let step = loop {
            let ended: Vec<_> = self.running.iter().map(Running::ended).collect();
            if interrupt.came() || ended.iter().flatten().any(Result::is_err) {
                stop.stop();
            }
            let step = self.step();
            if let (false, Some(step)) = (is_begun, step) {
                is_begun = true;
                let total = self.head.saturating_mul(self.running.len() as u64);
                self.progress
                    .begin("projecting", Some(total.max(step.done)));
            }
            self.progress.step(step.unwrap_or_default());
            self.tell(context);
            if ended.iter().all(Option::is_some) {
                break step;
            }
            context.env.clock.sleep(LOOK_EVERY);
        };
        self.progress.end(step.unwrap_or_default());
        Ok(())
    }

    /// How far they are together; `None` until every sink was looked at.
    fn step(&mut self) -> Option<Step> {
        let (mut done, mut before) = (0, 0);
        for (running, begun) in self.running.iter().zip(&mut self.begun) {
            let status = running.monitor.status();
            status.lease.as_ref()?;
            let now = passed(status.checkpoint);
            before += *begun.get_or_insert(now);
            done += now;
        }
        Some(Step {
            done,
            events: done.saturating_sub(before),
        })
    }

    /// Says what troubles a runner, once for each trouble, and when it is over.
    fn tell(&mut self, context: &mut Context) {
        for (running, told) in self.running.iter().zip(&mut self.told) {
            let status = running.monitor.status();
            let trouble = match status.trouble {
                Some((trouble, _)) => Some(trouble),
                None if status.paused => {
                    Some("paused; `factum project resume` lets it go on".to_owned())
                }
                None => None,
            };
            let lasts = trouble == told.seen;
            told.seen.clone_from(&trouble);
            if !lasts || trouble == told.said || running.ended().is_some() {
                continue;
            }
            let path = running.project.path.display();
            match &trouble {
                Some(trouble) => context.ui.warn(format!("{path}: {trouble}; waiting")),
                None => context.ui.note(format!("{path}: goes on")),
            }
            told.said = trouble;
        }
    }
}

/// How many records are up to here.
fn passed(position: Option<Position>) -> u64 {
    position.map_or(0, |position| position.number().saturating_add(1))
}

/// Says what one of them came to.
fn report(running: &Running, seconds: f64, context: &mut Context) -> Outcome {
    let caught_up = match running.ended() {
        Some(Ok(caught_up)) => caught_up,
        Some(Err(error)) => return Err(running.failed(&error)),
        None => None,
    };
    let status = running.monitor.status();
    let name = running.project.declared.name();
    let applied = caught_up.map_or(0, |caught_up: CaughtUp| caught_up.applied);
    let parked = status.parked as u64;
    let at = status
        .checkpoint
        .map_or_else(|| "the beginning".to_owned(), |at| format!("position {at}"));
    let words = match caught_up {
        Some(_) => format!(
            "{name}: caught up at {at}: {} applied, {}/s, {parked} parked, in {}",
            counted(applied, "event"),
            rate(applied, seconds),
            running.project.target.shown(),
        ),
        None => format!("{name}: stopped at {at}, {parked} parked"),
    };
    let json = json!({
        "projection": name,
        "sink": running.project.target.shown(),
        "generation": status.lease.as_ref().map(|lease| lease.generation),
        "caught_up": caught_up.is_some(),
        "applied": caught_up.map(|it| it.applied),
        "parked": parked,
        "checkpoint": status.checkpoint.map_or(Value::Null, |at| at.raw().into()),
        "seconds": (seconds * 1e3).round() / 1e3,
    });
    if context.ui.answer_format() == Format::Table || caught_up.is_some() {
        context.ui.answer(&words, &json)?;
    }
    if parked == 0 || caught_up.is_none() {
        return Ok(());
    }
    let message = format!("{name}: {} parked", counted(parked, "event"));
    let hint = format!(
        "`factum project errors {}` says why",
        running.project.path.display()
    );
    Err(Failure::new(Exit::Partial, "partial", message).hint(hint))
}

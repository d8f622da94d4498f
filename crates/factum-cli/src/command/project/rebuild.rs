//! `factum project rebuild`.

use std::path::PathBuf;
use std::sync::Arc;

use factum_framework::Stop;
use factum_projection::memory::MemoryWriter;
use factum_projection::rebuild::Watch;
use factum_projection::{Manage, Phase, Projector, ReadBack, Rebuild, Rebuilt, Sink, Verify};
use factum_store::EventStore;
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::project::file::{Project, SinkArgs};
use crate::project::target::Job;
use crate::project::work::{End, Ending, LOOK_EVERY};
use crate::store;
use crate::ui::progress::{Progress, Step, counted, grouped, rate};

/// What to rebuild.
#[derive(Debug, clap::Args)]
pub(crate) struct RebuildArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    sink: SinkArgs,
    /// How much is compared with a fresh fold before the switch
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value = "fitting",
        default_missing_value = "everything",
        num_args = 0..=1
    )]
    verify: How,
    /// Leave the switch to `factum project switch`
    #[arg(long)]
    no_switch: bool,
    /// Drop what a rebuild before left unfinished, in place of going on with it
    #[arg(long)]
    afresh: bool,
}

/// How much is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum How {
    /// Everything, or of more than a million rows so many as make a million
    Fitting,
    /// All rows
    Everything,
    /// Nothing
    Nothing,
}

struct Work {
    store: Arc<dyn EventStore>,
    verify: Verify,
    no_switch: bool,
    afresh: bool,
    stop: Stop,
    /// Nothing when it was stopped.
    ending: Ending<Option<Rebuilt>>,
    spawner: Arc<dyn factum_io::Spawner>,
}

impl Job for Work {
    type Given = std::io::Result<Watch>;

    fn with<S, P>(self, sink: S, projector: P) -> Self::Given
    where
        S: Sink + Manage + ReadBack + 'static,
        P: Projector<S::Writer> + Projector<MemoryWriter> + Clone + 'static,
    {
        let mut rebuild = Rebuild::new(self.store, sink, projector).verify(self.verify);
        if self.no_switch {
            rebuild = rebuild.without_switch();
        }
        if self.afresh {
            rebuild = rebuild.afresh();
        }
        let watch = rebuild.watch();
        let work = move || {
            let ended = pollster::block_on(rebuild.run(&self.stop));
            self.ending.with(ended);
        };
        // It is told to stop and then waited for by `ended`.
        drop(self.spawner.spawn("rebuild", Box::new(work))?);
        Ok(watch)
    }
}

pub(super) fn run(args: &RebuildArgs, context: &mut Context) -> Outcome {
    let project = args.sink.project(&args.file)?;
    let interrupt = Interrupt::watch(&context.env)?;
    let store = store::follow(context)?;
    let stop = Stop::new();
    let (end, ending) = End::new();
    let job = Work {
        store,
        verify: match args.verify {
            How::Fitting => Verify::Fitting,
            How::Everything => Verify::Everything,
            How::Nothing => Verify::Nothing,
        },
        no_switch: args.no_switch,
        afresh: args.afresh,
        stop: stop.clone(),
        ending,
        spawner: Arc::clone(&context.env.spawner),
    };
    let watch = project.target.with(&project.declared, job)?;
    let watch = watch.map_err(|error| Failure::io("cannot start a thread", &error))?;
    let mut shown = Shown {
        progress: context.ui.progress(Arc::clone(&context.env.clock)),
        phase: Phase::Beginning,
        filled: 0.0,
    };
    let ended = loop {
        if interrupt.came() {
            stop.stop();
        }
        shown.look(&watch);
        if let Some(ended) = end.take() {
            break ended;
        }
        context.env.clock.sleep(LOOK_EVERY);
    };
    let now = watch.now();
    shown.progress.end(Step {
        done: now.records,
        events: now.applied,
    });
    match ended {
        Ok(Some(rebuilt)) => report(&project, &rebuilt, &watch, &shown, context),
        Ok(None) => {
            context
                .ui
                .note("stopped; the next rebuild goes on where it was");
            Err(Failure::interrupted())
        }
        Err(error) => Err(project
            .target
            .failed(&error)
            .while_doing(project.path.display())),
    }
}

/// What is shown meanwhile.
struct Shown {
    progress: Progress,
    phase: Phase,
    /// Seconds until everything was applied for the first time.
    filled: f64,
}

impl Shown {
    fn look(&mut self, watch: &Watch) {
        let now = watch.now();
        if now.phase != self.phase {
            self.phase = now.phase;
            let total = matches!(
                now.phase,
                Phase::Filling | Phase::CatchingUp | Phase::Verifying
            );
            self.progress.end_quietly();
            self.progress
                .begin(words(now.phase), total.then_some(now.total));
        }
        if matches!(now.phase, Phase::Beginning | Phase::Filling) {
            self.filled = now.elapsed.as_secs_f64();
        }
        let verifying = now.phase == Phase::Verifying;
        self.progress.step(Step {
            done: now.records,
            events: if verifying { now.records } else { now.applied },
        });
    }
}

const fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Filling => "filling",
        Phase::Finishing => "making indexes",
        Phase::CatchingUp => "catching up",
        Phase::Verifying => "verifying",
        Phase::Switching => "switching",
        _ => "rebuilding",
    }
}

fn report(
    project: &Project,
    rebuilt: &Rebuilt,
    watch: &Watch,
    shown: &Shown,
    context: &mut Context,
) -> Outcome {
    let now = watch.now();
    let name = project.declared.name();
    let path = project.path.display();
    let number = rebuilt.generation;
    let seconds = now.elapsed.as_secs_f64();
    let see = match (rebuilt.switched, rebuilt.before) {
        (false, _) => format!("readers do not see it yet; `factum project switch {path}`"),
        (true, None) => "readers see it".to_owned(),
        (true, Some(before)) => format!(
            "readers see it in place of generation {before}, which stays for `factum project rollback {path}`"
        ),
    };
    let verified = match rebuilt.verified {
        None => "nothing compared".to_owned(),
        Some(verified) if verified.one_in > 1 => format!(
            "{} compared, one in {}",
            counted(verified.rows, "row"),
            verified.one_in
        ),
        Some(verified) => format!("{} compared", counted(verified.rows, "row")),
    };
    let applied = counted(now.applied, "event");
    let rate = rate(now.applied, shown.filled);
    let words = format!(
        "{name}: generation {number} filled in {seconds:.1} s: {applied}, {}/s, {} parked, {verified}; {see}",
        grouped(rate),
        rebuilt.parked
    );
    let answer = json!({
        "projection": name,
        "sink": project.target.shown(),
        "generation": number,
        "before": rebuilt.before,
        "switched": rebuilt.switched,
        "applied": now.applied,
        "parked": rebuilt.parked,
        "rows_compared": rebuilt.verified.map(|it| it.rows),
        "one_in": rebuilt.verified.map(|it| it.one_in),
        "seconds": (seconds * 1e3).round() / 1e3,
    });
    context.ui.answer(&words, &answer)?;
    if rebuilt.parked == 0 {
        return Ok(());
    }
    let message = format!("{name}: {} parked", counted(rebuilt.parked as u64, "event"));
    let hint = format!("`factum project errors {path} --generation {number}` says why");
    Err(Failure::new(Exit::Partial, "partial", message).hint(hint))
}

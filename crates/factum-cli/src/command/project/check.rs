//! `factum project check`.

use std::path::{Path, PathBuf};

use factum_projection::Obstacle;
use factum_projection::declared::Declared;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::fold::declaration;
use crate::project::file::{SinkArgs, beside};
use crate::project::findings::Findings;
use crate::project::sample;
use crate::project::target::Target;
use crate::store;

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    sink: SinkArgs,
    /// How many events of the store are tried, half of them the first and half the last
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    sample: u64,
}

/// Checks each file, and fails with the code of the first that has a mistake.
pub(super) fn run(args: &CheckArgs, context: &mut Context) -> Outcome {
    let target = args.sink.target()?;
    let mut outcome = Ok(());
    for path in &args.files {
        let mut findings = Findings::default();
        check(path, target.as_ref(), args.sample, &mut findings, context)?;
        outcome = outcome.and(findings.print(path, context));
    }
    outcome
}

fn check(
    path: &Path,
    target: Option<&Target>,
    most: u64,
    findings: &mut Findings,
    context: &Context,
) -> Outcome {
    let declared = match Declared::read(&declaration(path)?) {
        Ok(declared) => declared,
        Err(mistakes) => {
            for mistake in &mistakes {
                findings.error(mistake.line, mistake.what.as_str());
            }
            return Ok(());
        }
    };
    check_store(&declared, most, findings, context)?;
    let target = match (target, declared.sink()) {
        (Some(target), _) => Ok(target.clone()),
        (None, Some(place)) => Target::new(place, beside(path)),
        (None, None) => {
            findings.warning(None, "the file names no sink, so none was looked at");
            return Ok(());
        }
    };
    match target {
        Ok(target) => check_sink(&declared, &target, findings),
        Err(failure) => findings.failure(failure),
    }
    Ok(())
}

fn check_store(
    declared: &Declared,
    most: u64,
    findings: &mut Findings,
    context: &Context,
) -> Outcome {
    if context.server.is_none() && !context.data.is_dir() && !context.data_is_argument {
        let data = context.data.display();
        findings.warning(
            None,
            format!("there is no store in {data}: no event could be tried"),
        );
        return Ok(());
    }
    let store = store::open(context, store::Access::Read)?;
    pollster::block_on(sample::check(declared, &*store.events, most, findings))?;
    store.close()
}

fn check_sink(declared: &Declared, target: &Target, findings: &mut Findings) {
    let obstacles = match target.inspect(declared) {
        Ok(obstacles) => obstacles,
        Err(failure) => return findings.failure(failure),
    };
    for obstacle in obstacles {
        match obstacle {
            Obstacle::Owned { what } => findings.error(None, format!("{}: {what}", target.shown())),
            Obstacle::Differs { generation, what } => findings.warning(
                None,
                format!("generation {generation} in {} was made by another file: {what}: run `factum project rebuild`", target.shown()),
            ),
            _ => (),
        }
    }
    if let Err(failure) = check_version(declared, target, findings) {
        findings.failure(failure);
    }
}

/// A file that was changed cannot go on with what it wrote before.
fn check_version(declared: &Declared, target: &Target, findings: &mut Findings) -> Outcome {
    let mut desk = match target.desk() {
        Ok(desk) => desk,
        // It is made when the projection runs.
        Err(Failure {
            exit: crate::exit::Exit::NotFound,
            ..
        }) => return Ok(()),
        Err(failure) => return Err(failure),
    };
    let live =
        pollster::block_on(desk.live(declared.name())).map_err(|error| target.failed(&error))?;
    if let Some(live) = live.filter(|live| live.version != declared.version()) {
        let what = format!(
            "the file says something else than when generation {} was filled: `factum project run` will refuse it, `factum project rebuild` makes a new one",
            live.number
        );
        findings.warning(None, what);
    }
    Ok(())
}

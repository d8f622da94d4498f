//! Loan applications on the command line: import, fold, look back, and decide again.

#![expect(clippy::print_stderr, reason = "saying what went wrong is its purpose")]

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use factum::io::{Clock, Env as World};
use factum::{Engine, EventStore, Loaded, Options, Repository};
use loan_applications::report::{Agreement, Outcomes, agreement};
use loan_applications::{CATEGORY, LoanApplication, log};

const USAGE: &str = "usage: loan-applications STORE                       how applications ended, and whether the rules explain it
       loan-applications STORE --import LOG          brings a log into a store, which may be new
       loan-applications STORE --application STREAM  how one application came to be what it is";

type Done = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    match run(&mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(out: &mut impl Write) -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (directory, task) = match arguments.as_slice() {
        [directory] if !directory.starts_with('-') => (*directory, None),
        [directory, option @ ("--import" | "--application"), value] => {
            (*directory, Some((*option, *value)))
        }
        _ => return Err(USAGE.into()),
    };
    let world = World::real();
    let engine = Arc::new(Engine::open(Options::new(directory), world.clone())?);
    let store = Arc::clone(&engine) as Arc<dyn EventStore>;
    let done = pollster::block_on(async {
        match task {
            Some(("--import", path)) => import(path, &*store, out).await,
            Some((_, stream)) => past(&Repository::new(store), stream, out).await,
            None => everything(&Repository::new(store), &*world.clock, out).await,
        }
    });
    engine.close()?;
    done
}

async fn import(path: &str, store: &dyn EventStore, out: &mut impl Write) -> Done {
    let file = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let events = log::import(&file, store).await?;
    writeln!(out, "{events} events")?;
    Ok(())
}

/// All applications: outcomes, durations, agreement.
async fn everything(factum: &Repository, clock: &dyn Clock, out: &mut impl Write) -> Done {
    let start = clock.monotonic_ns();
    let applications = factum.load_all::<LoanApplication>(CATEGORY).await?;
    let seconds = (clock.monotonic_ns() - start) as f64 / 1e9;
    let outcomes = Outcomes::of(&applications);
    let rate = outcomes.events as f64 / seconds;
    writeln!(
        out,
        "{} events of {} applications folded in {seconds:.3} s: {rate:.0} events/s\n",
        outcomes.events,
        applications.len()
    )?;
    print_outcomes(&outcomes, out)?;
    print_agreement(&agreement(factum.store(), CATEGORY).await?, out)?;
    Ok(())
}

fn print_outcomes(outcomes: &Outcomes, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<16} {:>12} {:>22}",
        "stands at", "applications", "half decided within"
    )?;
    for (status, count) in &outcomes.by_status {
        let median = outcomes.median_us(*status);
        let median = median.map_or_else(String::new, |us| format!("{:.1} h", us as f64 / 3.6e9));
        writeln!(
            out,
            "{:<16} {count:>12} {median:>22}",
            format!("{status:?}")
        )?;
    }
    writeln!(out, "granted: {} euros\n", outcomes.granted_euros)?;
    Ok(())
}

fn print_agreement(agreement: &Agreement, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "decided again: {} of {} events as they happened; in {} of {} applications all of them",
        agreement.agreed,
        agreement.events,
        agreement.streams_agreed(),
        agreement.streams
    )?;
    for ((event, refusal), refused) in &agreement.refused {
        let (events, streams) = (refused.events, refused.streams.len());
        writeln!(
            out,
            "  {events:>5} times in {streams:>4} applications: {event}, refused: {refusal}"
        )?;
    }
    Ok(())
}

/// One application, event by event, and which event made it what it is.
async fn past(factum: &Repository, stream: &str, out: &mut impl Write) -> Done {
    let now: Loaded<LoanApplication> = factum.load(stream).await?;
    if !now.exists() {
        return Err(format!("there is no application {stream}").into());
    }
    for version in 1..=now.version {
        let then = factum
            .load::<LoanApplication>(stream)
            .as_of(version)
            .await?;
        let changed = factum
            .diff::<LoanApplication>(stream, version - 1, version)
            .await?;
        let time = then.time.map_or(0, factum::Timestamp::as_micros);
        writeln!(
            out,
            "v{version} {}",
            jiff::Timestamp::from_microsecond(time)?
        )?;
        for change in changed {
            let shown = |value: Option<serde_json::Value>| {
                value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
            };
            let (before, after) = (shown(change.before), shown(change.after));
            writeln!(out, "    {}: {before} -> {after}", change.pointer)?;
        }
    }
    if let Some(blame) = factum.blame::<LoanApplication>(stream, "/status").await? {
        let who = blame
            .event
            .metadata
            .user_id
            .as_deref()
            .unwrap_or("nobody named");
        writeln!(
            out,
            "{:?} since {}, by {who}",
            now.state.status, blame.event.event_type
        )?;
    }
    Ok(())
}

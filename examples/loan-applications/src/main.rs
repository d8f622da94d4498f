//! Loan applications on the command line: import, fold, look back, and decide again.

#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::error::Error;
use std::sync::Arc;

use factum::io::{Clock, Env as World};
use factum::{Engine, EventStore, Loaded, Options, Repository};
use loan_applications::report::{Agreement, Outcomes, agreement};
use loan_applications::{CATEGORY, LoanApplication, log};

const USAGE: &str = "usage: loan-applications STORE                       how applications ended, and whether the rules explain it
       loan-applications STORE --import LOG          brings a log into a store, which may be new
       loan-applications STORE --application STREAM  how one application came to be what it is";

fn main() -> Result<(), Box<dyn Error>> {
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
            Some(("--import", path)) => import(path, &*store).await,
            Some((_, stream)) => past(&Repository::new(store), stream).await,
            None => everything(&Repository::new(store), &*world.clock).await,
        }
    });
    engine.close()?;
    done
}

async fn import(path: &str, store: &dyn EventStore) -> Result<(), Box<dyn Error>> {
    let file = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let events = log::import(&file, store).await?;
    println!("{events} events");
    Ok(())
}

/// All applications: outcomes, durations, agreement.
async fn everything(factum: &Repository, clock: &dyn Clock) -> Result<(), Box<dyn Error>> {
    let start = clock.monotonic_ns();
    let applications = factum.load_all::<LoanApplication>(CATEGORY).await?;
    let seconds = (clock.monotonic_ns() - start) as f64 / 1e9;
    let outcomes = Outcomes::of(&applications);
    let rate = outcomes.events as f64 / seconds;
    println!(
        "{} events of {} applications folded in {seconds:.3} s: {rate:.0} events/s\n",
        outcomes.events,
        applications.len()
    );
    print_outcomes(&outcomes);
    print_agreement(&agreement(factum.store(), CATEGORY).await?);
    Ok(())
}

fn print_outcomes(outcomes: &Outcomes) {
    println!(
        "{:<16} {:>12} {:>22}",
        "stands at", "applications", "half decided within"
    );
    for (status, count) in &outcomes.by_status {
        let median = outcomes.median_us(*status);
        let median = median.map_or_else(String::new, |us| format!("{:.1} h", us as f64 / 3.6e9));
        println!("{:<16} {count:>12} {median:>22}", format!("{status:?}"));
    }
    println!("granted: {} euros\n", outcomes.granted_euros);
}

fn print_agreement(agreement: &Agreement) {
    println!(
        "decided again: {} of {} events as they happened; in {} of {} applications all of them",
        agreement.agreed,
        agreement.events,
        agreement.streams_agreed(),
        agreement.streams
    );
    for ((event, refusal), refused) in &agreement.refused {
        let (events, streams) = (refused.events, refused.streams.len());
        println!("  {events:>5} times in {streams:>4} applications: {event}, refused: {refusal}");
    }
}

/// One application, event by event, and which event made it what it is.
async fn past(factum: &Repository, stream: &str) -> Result<(), Box<dyn Error>> {
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
        println!("v{version} {}", jiff::Timestamp::from_microsecond(time)?);
        for change in changed {
            let shown = |value: Option<serde_json::Value>| {
                value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
            };
            let (before, after) = (shown(change.before), shown(change.after));
            println!("    {}: {before} -> {after}", change.pointer);
        }
    }
    if let Some(blame) = factum.blame::<LoanApplication>(stream, "/status").await? {
        let who = blame
            .event
            .metadata
            .user_id
            .as_deref()
            .unwrap_or("nobody named");
        println!(
            "{:?} since {}, by {who}",
            now.state.status, blame.event.event_type
        );
    }
    Ok(())
}

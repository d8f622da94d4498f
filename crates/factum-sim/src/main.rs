//! The simulator on the command line.
//!
//! Relies on: the layers of the library. Never: leaves anything behind but what it prints.
#![expect(clippy::print_stdout, reason = "a report is what this program is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "how long a layer took is printed, nothing else"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use factum_sim::layer::{self, LAYERS, Layer, process};
use factum_sim::mutants::{Mutant, hunt};

const USAGE: &str = "usage:
  factum-sim campaign [--seeds N] [--start S] [--layer LAYER]
      runs N cases of each layer, from case S on; without --seeds, as many as for each change
  factum-sim replay --layer LAYER --seed S
      runs one case again
  factum-sim mutants [--only NAME]
      plants each known bug and looks for it
  factum-sim kills [--seeds N] [--start S]
      kills N real processes
  factum-sim victim DIRECTORY
      appends until it is killed
layers: exhaustive, random, rot, fault, chain, lying";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().map_or("", String::as_str);
    let outcome = match command {
        "campaign" => campaign(&arguments),
        "replay" => replay(&arguments),
        "mutants" => mutants(&arguments),
        "kills" => kills(&arguments),
        "victim" => victim(&arguments),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            println!("{message}");
            ExitCode::from(2)
        }
    }
}

/// The value of an option.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

fn number(arguments: &[String], name: &str) -> Result<Option<u64>, String> {
    let Some(text) = option(arguments, name) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|error| format!("{name} {text}: {error}"))
}

fn chosen(arguments: &[String]) -> Result<Vec<Layer>, String> {
    match option(arguments, "--layer") {
        None => Ok(LAYERS.to_vec()),
        Some(name) => match Layer::named(name) {
            Some(layer) => Ok(vec![layer]),
            None => Err(format!("there is no layer {name}\n{USAGE}")),
        },
    }
}

fn campaign(arguments: &[String]) -> Result<bool, String> {
    let start = number(arguments, "--start")?.unwrap_or(0);
    let seeds = number(arguments, "--seeds")?;
    std::panic::set_hook(Box::new(|_| {}));
    let (mut states, mut failed) = (0, 0);
    for layer in chosen(arguments)? {
        let cases = seeds.unwrap_or_else(|| layer.ci_cases());
        let began = Instant::now();
        let summary = layer::campaign(layer, start..start.saturating_add(cases), false);
        println!(
            "{:<10} {:>8} cases {:>9} states {:>4} failed {:>8.1} s",
            layer.name(),
            summary.cases,
            summary.states,
            summary.failed,
            began.elapsed().as_secs_f32()
        );
        for failure in &summary.failures {
            println!("{failure}");
        }
        states += summary.states;
        failed += summary.failed;
    }
    println!("in all: {states} states, {failed} failed");
    Ok(failed == 0)
}

fn replay(arguments: &[String]) -> Result<bool, String> {
    let seed = number(arguments, "--seed")?.ok_or(USAGE)?;
    let mut sound = true;
    for layer in chosen(arguments)? {
        match layer::run_case(layer, seed) {
            Ok(states) => println!("{layer} seed {seed}: {states} states, nothing found"),
            Err(violation) => {
                println!("{layer} seed {seed}: {violation}");
                sound = false;
            }
        }
    }
    Ok(sound)
}

fn mutants(arguments: &[String]) -> Result<bool, String> {
    std::panic::set_hook(Box::new(|_| {}));
    let only = option(arguments, "--only");
    let (mut caught, mut survived) = (0, 0);
    for mutant in Mutant::ALL {
        if only.is_some_and(|only| format!("{mutant:?}") != only) {
            continue;
        }
        let verdict = hunt(*mutant);
        println!("{verdict}");
        match verdict.caught {
            Some(_) => caught += 1,
            None => survived += 1,
        }
    }
    println!("in all: {caught} caught, {survived} survived");
    Ok(survived == 0)
}

fn kills(arguments: &[String]) -> Result<bool, String> {
    let (count, seed) = (number(arguments, "--seeds")?, number(arguments, "--start")?);
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let directory = std::env::temp_dir().join(format!("factum-sim-{}", std::process::id()));
    let count = count.unwrap_or(20);
    match process::campaign(&program, &directory, count, seed.unwrap_or(0)) {
        Ok(checked) => {
            println!("{count} kills, {checked} acknowledgements checked, nothing lost");
            Ok(true)
        }
        Err(violation) => {
            println!(
                "{violation} (the directory is kept: {})",
                directory.display()
            );
            Ok(false)
        }
    }
}

fn victim(arguments: &[String]) -> Result<bool, String> {
    let directory = arguments.get(1).ok_or(USAGE)?;
    match process::victim(Path::new(directory)) {
        Ok(()) => Ok(true),
        Err(violation) => Err(violation.to_string()),
    }
}

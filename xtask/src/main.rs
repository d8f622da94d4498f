//! The project's chores: `cargo xtask --help`.
//!
//! What lives here: checks that no compiler makes (`tidy`), and the order in which tools are run for a newcomer (`test`),
//! for a change (`ci`) and over night (`campaign`), and the servers that tests need (`services`). Relies on: `cargo` and `git` on the path.
//! Never: depends on a crate of Factum, so that it builds when they do not; hides the output of a tool; calls a step that was
//! not run a success.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people to read"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod campaign;
mod ci;
mod clients;
mod services;
mod step;
mod test;
mod tidy;

const HELP: &str = "\
The project's chores.

Usage: cargo xtask <COMMAND>

Commands:
  tidy                      Check what no compiler checks: who may depend on whom, module docs, the code map, long files,
                            holes left open, paths of one machine
  test [--quick]            What a newcomer runs: tidy, then all tests, doc tests and the simulator's included, on real servers
                            --quick leaves the simulator out, which is built a second time, optimised
  ci                        What every change must pass: format, lints, tidy, all tests, documentation, dependencies
  services up|down|status [NAME...]
                            Install and start the servers that tests need, stop them, or say which run; all of them unless named
  clients [NAME...] [--server BINARY] [--only AREA]
                            Run the suites on official clients of KurrentDB: node, node-old, go, java, rust; all unless named. The server
                            is built, or BINARY; an area is streams, links, subscriptions, restart, auth, persistent, ...
  campaign sim --seeds N [--start S]
                            Run N simulations, with the seeds S, S+1, ... (S is 0 unless given)
  campaign fuzz --seconds N [--target T]
                            Fuzz each parser for N seconds, or only T; needs cargo-fuzz and a nightly compiler
  campaign load --seconds N [--seed S]
                            1,088 clients append for N seconds to a server that is killed twice; nothing acknowledged may be lost

Options:
  --keep-going              test, ci: run the steps after a failed one too
  -h, --help                Print this

CI=true in the environment: Cargo.lock must be up to date (--locked), and every server that tests need must be there.
Exit status: 0 when everything that was asked for was run and passed, 1 when not, 2 when the arguments are wrong.
";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Help,
    Tidy,
    Test {
        extent: test::Extent,
        on_failure: step::OnFailure,
    },
    Ci {
        on_failure: step::OnFailure,
    },
    Services {
        action: services::Action,
        names: Vec<String>,
    },
    Clients {
        names: Vec<String>,
        server: Option<String>,
        only: Option<String>,
    },
    CampaignSim {
        seeds: u64,
        start: u64,
    },
    CampaignFuzz {
        seconds: u64,
        target: Option<String>,
    },
    CampaignLoad {
        seconds: u64,
        seed: Option<u64>,
    },
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let task = match parse(&arguments) {
        Ok(task) => task,
        Err(wrong) => {
            eprintln!("error: {wrong}\n\nTry `cargo xtask --help`.");
            return ExitCode::from(2);
        }
    };
    if task == Task::Help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let passed = match root() {
        Ok(root) => run(&root, task),
        Err(wrong) => Err(wrong),
    };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(wrong) => {
            eprintln!("error: {wrong}");
            ExitCode::FAILURE
        }
    }
}

/// Does what is asked; says whether all of it passed.
fn run(root: &Path, task: Task) -> Result<bool, String> {
    match task {
        Task::Help => Ok(true),
        Task::Tidy => tidy::run(root),
        Task::Test { extent, on_failure } => test::run(root, extent, on_failure),
        Task::Ci { on_failure } => ci::run(root, on_failure),
        Task::Services { action, names } => services::run(root, action, &names),
        Task::Clients {
            names,
            server,
            only,
        } => clients::run(root, &names, server.as_deref(), only.as_deref()),
        Task::CampaignSim { seeds, start } => campaign::sim(root, seeds, start),
        Task::CampaignFuzz { seconds, target } => campaign::fuzz(root, seconds, target.as_deref()),
        Task::CampaignLoad { seconds, seed } => campaign::load(root, seconds, seed),
    }
}

/// The root of the repository, which is where the alias in `.cargo/config.toml` has Cargo find this package.
fn root() -> Result<PathBuf, String> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("CARGO_MANIFEST_DIR is not set; run this as `cargo xtask`")?;
    let root = PathBuf::from(package).parent().map(Path::to_path_buf);
    root.ok_or_else(|| "the package xtask has no parent directory".to_owned())
}

fn parse(arguments: &[String]) -> Result<Task, String> {
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.is_empty()
        || words
            .iter()
            .any(|word| matches!(*word, "-h" | "--help" | "help"))
    {
        return Ok(Task::Help);
    }
    let task = match words.remove(0) {
        "tidy" => Task::Tidy,
        "test" => Task::Test {
            extent: if take_flag(&mut words, "--quick") {
                test::Extent::Quick
            } else {
                test::Extent::Full
            },
            on_failure: take_on_failure(&mut words),
        },
        "ci" => Task::Ci {
            on_failure: take_on_failure(&mut words),
        },
        "services" if words.is_empty() => {
            return Err("services: up, down or status?".to_owned());
        }
        "services" => Task::Services {
            action: match words.remove(0) {
                "up" => services::Action::Up,
                "down" => services::Action::Down,
                "status" => services::Action::Status,
                other => return Err(format!("services: up, down or status, not {other:?}")),
            },
            names: words.drain(..).map(str::to_owned).collect(),
        },
        "clients" => Task::Clients {
            server: take_value(&mut words, "--server")?.map(str::to_owned),
            only: take_value(&mut words, "--only")?.map(str::to_owned),
            names: words.drain(..).map(str::to_owned).collect(),
        },
        "campaign" => parse_campaign(&mut words)?,
        other => return Err(format!("there is no command {other:?}")),
    };
    match words.first() {
        None => Ok(task),
        Some(word) => Err(format!("{word:?} is not understood here")),
    }
}

fn parse_campaign(words: &mut Vec<&str>) -> Result<Task, String> {
    if words.is_empty() {
        return Err("which campaign: sim, fuzz or load?".to_owned());
    }
    Ok(match words.remove(0) {
        "sim" => Task::CampaignSim {
            seeds: take_number(words, "--seeds")?.ok_or("campaign sim: how many --seeds?")?,
            start: take_number(words, "--start")?.unwrap_or(0),
        },
        "fuzz" => Task::CampaignFuzz {
            seconds: take_number(words, "--seconds")?
                .ok_or("campaign fuzz: how many --seconds?")?,
            target: take_value(words, "--target")?.map(str::to_owned),
        },
        "load" => Task::CampaignLoad {
            seconds: take_number(words, "--seconds")?
                .ok_or("campaign load: how many --seconds?")?,
            seed: take_number(words, "--seed")?,
        },
        other => {
            return Err(format!(
                "there is no campaign {other:?}; there are sim, fuzz and load"
            ));
        }
    })
}

fn take_flag(words: &mut Vec<&str>, flag: &str) -> bool {
    let found = words.iter().position(|word| *word == flag);
    found.map(|at| words.remove(at)).is_some()
}

fn take_on_failure(words: &mut Vec<&str>) -> step::OnFailure {
    if take_flag(words, "--keep-going") {
        step::OnFailure::Continue
    } else {
        step::OnFailure::Stop
    }
}

fn take_value<'a>(words: &mut Vec<&'a str>, flag: &str) -> Result<Option<&'a str>, String> {
    let Some(at) = words.iter().position(|word| *word == flag) else {
        return Ok(None);
    };
    if at + 1 >= words.len() {
        return Err(format!("{flag} needs a value"));
    }
    words.remove(at);
    Ok(Some(words.remove(at)))
}

fn take_number(words: &mut Vec<&str>, flag: &str) -> Result<Option<u64>, String> {
    let Some(text) = take_value(words, flag)? else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(error) => Err(format!("{flag} {text}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Task, parse};
    use crate::services::Action;
    use crate::step::OnFailure;
    use crate::test::Extent;

    fn check(line: &str, expected: Result<Task, &str>) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert_eq!(parse(&words), expected.map_err(str::to_owned), "{line}");
    }

    #[test]
    fn asks_for_tasks() {
        check("", Ok(Task::Help));
        check("ci --help", Ok(Task::Help));
        check("tidy", Ok(Task::Tidy));
        check(
            "ci",
            Ok(Task::Ci {
                on_failure: OnFailure::Stop,
            }),
        );
        let quick = Task::Test {
            extent: Extent::Quick,
            on_failure: OnFailure::Continue,
        };
        check("test --keep-going --quick", Ok(quick));
        check(
            "campaign sim --seeds 9",
            Ok(Task::CampaignSim { seeds: 9, start: 0 }),
        );
        let down = Task::Services {
            action: Action::Down,
            names: vec!["postgres15".to_owned()],
        };
        check("services down postgres15", Ok(down));
        let clients = Task::Clients {
            names: vec!["go".to_owned()],
            server: Some("factum".to_owned()),
            only: None,
        };
        check("clients go --server factum", Ok(clients));
        let record = Task::CampaignFuzz {
            seconds: 60,
            target: Some("record".to_owned()),
        };
        check("campaign fuzz --target record --seconds 60", Ok(record));
        let load = Task::CampaignLoad {
            seconds: 60,
            seed: Some(7),
        };
        check("campaign load --seconds 60 --seed 7", Ok(load));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        check("tdiy", Err("there is no command \"tdiy\""));
        check("tidy --quick", Err("\"--quick\" is not understood here"));
        check("services", Err("services: up, down or status?"));
        check(
            "services go",
            Err("services: up, down or status, not \"go\""),
        );
        check("clients --only", Err("--only needs a value"));
        check("campaign", Err("which campaign: sim, fuzz or load?"));
        check("campaign sim", Err("campaign sim: how many --seeds?"));
        check("campaign load", Err("campaign load: how many --seconds?"));
        check("campaign sim --seeds", Err("--seeds needs a value"));
        check(
            "campaign sim --seeds x",
            Err("--seeds x: invalid digit found in string"),
        );
    }
}

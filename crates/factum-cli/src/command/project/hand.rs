//! `factum project switch|rollback|drop|pause|resume`.

use factum_projection::{Behind, Edit};
use serde_json::json;

use super::look::generations;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::project::file::ProjectionArgs;

/// Which projection.
#[derive(Debug, clap::Args)]
pub(crate) struct HandArgs {
    #[command(flatten)]
    projection: ProjectionArgs,
}

/// Which generation readers are to see.
#[derive(Debug, clap::Args)]
pub(crate) struct SwitchArgs {
    #[command(flatten)]
    projection: ProjectionArgs,
    /// The generation [default: the newest]
    #[arg(value_name = "GENERATION")]
    generation: Option<u32>,
    /// Also when it is behind the live one, so that readers see the past
    #[arg(long)]
    behind: bool,
}

/// Which generation goes.
#[derive(Debug, clap::Args)]
pub(crate) struct DropArgs {
    #[command(flatten)]
    projection: ProjectionArgs,
    /// The generation
    #[arg(value_name = "GENERATION")]
    generation: u32,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn switch(args: &SwitchArgs, context: &mut Context) -> Outcome {
    let named = args.projection.named()?;
    let mut desk = named.target.desk()?;
    let all = generations(&mut *desk, &named.name, &named.target)?;
    let newest = all.iter().map(|it| it.number).max().unwrap_or_default();
    let number = args.generation.unwrap_or(newest);
    let behind = if args.behind {
        Behind::Allow
    } else {
        Behind::Refuse
    };
    let name = &named.name;
    pollster::block_on(desk.switch(name, number, behind))
        .map_err(|error| named.target.failed(&error))?;
    let words = format!("{name}: readers see generation {number}");
    context
        .ui
        .answer(&words, &json!({ "projection": name, "live": number }))
}

pub(super) fn rollback(args: &HandArgs, context: &mut Context) -> Outcome {
    let named = args.projection.named()?;
    let mut desk = named.target.desk()?;
    let name = &named.name;
    generations(&mut *desk, name, &named.target)?;
    let number =
        pollster::block_on(desk.switch_back(name)).map_err(|error| named.target.failed(&error))?;
    let words = format!("{name}: readers see generation {number} again");
    context
        .ui
        .answer(&words, &json!({ "projection": name, "live": number }))
}

pub(super) fn drop_generation(args: &DropArgs, context: &mut Context) -> Outcome {
    let named = args.projection.named()?;
    let mut desk = named.target.desk()?;
    let (name, number) = (&named.name, args.generation);
    let all = generations(&mut *desk, name, &named.target)?;
    let Some(found) = all.iter().find(|it| it.number == number) else {
        return Err(Failure::not_found(format!(
            "projection {name} has no generation {number}"
        )));
    };
    if found.live {
        let message = format!("readers see generation {number} of {name}");
        return Err(Failure::error(message).hint("switch to another first"));
    }
    let question = format!(
        "Generation {number} of {name} in {} will be gone.",
        named.target.shown()
    );
    context.ui.confirm(&question, args.yes)?;
    pollster::block_on(desk.drop_generation(name, number))
        .map_err(|error| named.target.failed(&error))?;
    let words = format!("{name}: generation {number} dropped");
    context
        .ui
        .answer(&words, &json!({ "projection": name, "dropped": number }))
}

pub(super) fn pause(args: &HandArgs, context: &mut Context) -> Outcome {
    edit(args, Edit::Pause, "paused", context)
}

pub(super) fn resume(args: &HandArgs, context: &mut Context) -> Outcome {
    edit(args, Edit::Resume, "resumed", context)
}

fn edit(args: &HandArgs, edit: Edit, done: &str, context: &mut Context) -> Outcome {
    let named = args.projection.named()?;
    let mut desk = named.target.desk()?;
    let name = &named.name;
    let all = generations(&mut *desk, name, &named.target)?;
    let Some(live) = all.iter().find(|it| it.live) else {
        return Err(Failure::not_found(format!(
            "readers see no generation of {name} yet"
        )));
    };
    let number = live.number;
    pollster::block_on(desk.edit(name, number, edit))
        .map_err(|error| named.target.failed(&error))?;
    let words = format!("{name}: {done}, generation {number}");
    context.ui.answer(
        &words,
        &json!({ "projection": name, "generation": number, "done": done }),
    )
}

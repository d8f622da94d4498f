//! What a transformation did, for people and for programs.

use factum_framework::transform::{Report, TypeReport};
use serde_json::{Value, json};

use super::TransformArgs;
use crate::cli::Format;
use crate::context::Context;
use crate::failure::Outcome;
use crate::ui::Ui;
use crate::ui::progress::{counted, grouped, rate};
use crate::ui::table::{Align, Column, Table};

const TYPES: &[Column] = &[
    ("type", Align::Left),
    ("read", Align::Right),
    ("dropped", Align::Right),
    ("split", Align::Right),
    ("failed", Align::Right),
    ("became", Align::Left),
];
const EXAMPLES: &[Column] = &[
    ("", Align::Left),
    ("stream", Align::Left),
    ("type", Align::Left),
    ("data", Align::Left),
];
const FAILURES: &[Column] = &[
    ("position", Align::Right),
    ("stream", Align::Left),
    ("type", Align::Left),
    ("failed because", Align::Left),
];

/// Prints it.
pub(super) fn print(
    args: &TransformArgs,
    report: &Report,
    is_complete: bool,
    seconds: f64,
    examples: &[Value],
    context: &mut Context,
) -> Outcome {
    let ui = &mut context.ui;
    if ui.answer_format() == Format::Table {
        types(report, ui)?;
        failures(report, ui)?;
        for example in examples {
            show(example, ui)?;
        }
    } else {
        let mut answer = json!(report);
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("seconds".into(), json!((seconds * 1e3).round() / 1e3));
            fields.insert("dry_run".into(), args.dry_run.into());
            fields.insert("complete".into(), is_complete.into());
            if args.dry_run {
                fields.insert("examples".into(), examples.into());
            }
        }
        ui.answer("", &answer)?;
    }
    ui.flush()?;
    sum_up(args, report, seconds, ui);
    Ok(())
}

fn sum_up(args: &TransformArgs, report: &Report, seconds: f64, ui: &mut Ui) {
    let verb = if args.dry_run {
        "would be written"
    } else {
        "written"
    };
    let mut words = format!(
        "{} read, {} {verb}",
        counted(report.read, "event"),
        grouped(report.written)
    );
    let more = [
        (report.already_there, "already there"),
        (report.dropped, "dropped"),
        (report.split, "split"),
        (report.failed, "failed"),
        (report.hidden, "hidden and left out"),
        (report.closed, "old streams closed"),
        (report.stayed_open, "old streams not closed"),
    ];
    for (count, what) in more {
        if count > 0 {
            words.push_str(&format!(", {} {what}", grouped(count)));
        }
    }
    let rate = rate(report.read, seconds);
    ui.note(format_args!(
        "{words}, {seconds:.2} s, {} events/s",
        grouped(rate)
    ));
}

fn types(report: &Report, ui: &mut Ui) -> Outcome {
    let mut rows = Table::new(TYPES);
    for (name, of_type) in &report.types {
        let TypeReport {
            read,
            dropped,
            split,
            failed,
            ..
        } = of_type;
        let [read, dropped, split, failed] =
            [read, dropped, split, failed].map(|count| grouped(*count));
        let became = became(of_type, report.unknown.contains_key(name));
        rows.row(ui, &[name, &read, &dropped, &split, &failed, &became])?;
    }
    rows.print(ui)
}

/// What the events of a type became.
fn became(of_type: &TypeReport, is_unknown: bool) -> String {
    let into = of_type
        .into
        .iter()
        .map(|(name, count)| format!("{name} {}", grouped(*count)));
    let mut words: Vec<_> = into.collect();
    if words.is_empty() {
        words.push("nothing".to_owned());
    }
    let unknown = if is_unknown {
        " (no step names it)"
    } else {
        ""
    };
    format!("{}{unknown}", words.join(", "))
}

fn failures(report: &Report, ui: &mut Ui) -> Outcome {
    if report.failures.is_empty() {
        return Ok(());
    }
    let mut rows = Table::new(FAILURES);
    for failed in &report.failures {
        let position = failed.position.to_string();
        let stream = failed.stream.as_deref().unwrap_or("(damaged)");
        let name = failed.event_type.as_deref().unwrap_or_default();
        rows.row(ui, &[&position, stream, name, &failed.reason])?;
    }
    rows.print(ui)?;
    let left = report.failed - report.failures.len() as u64;
    if left > 0 {
        ui.note(format_args!("and {} more", grouped(left)));
    }
    Ok(())
}

/// An example, as rows before and after.
fn show(example: &Value, ui: &mut Ui) -> Outcome {
    let mut rows = Table::new(EXAMPLES);
    let mut row = |head: &str, event: &Value, ui: &mut Ui| {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let version = event["version"].as_u64().filter(|version| *version != 1);
        let name = version.map_or_else(
            || text("type"),
            |version| format!("{} v{version}", text("type")),
        );
        rows.row(
            ui,
            &[head, &text("stream"), &name, &event["data"].to_string()],
        )
    };
    row("before", &example["before"], ui)?;
    let after = example["after"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for event in after {
        row("after", event, ui)?;
    }
    if after.is_empty() {
        row("after", &json!({ "data": "(nothing)" }), ui)?;
    }
    rows.print(ui)
}

//! `factum stream ls` and `factum stream info`.

use std::io::Write;

use factum_store::{StreamInfo, StreamState, StreamsRequest};
use factum_types::StreamSettings;
use serde_json::json;

use super::{InfoArgs, LsArgs};
use crate::cli::Format;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::store::{self, Access};
use crate::time;
use crate::ui::progress::counted;
use crate::ui::table::{self, Align, Column, Table};

const PAGE: usize = 1_000;
const COLUMNS: &[Column] = &[
    ("last revision", Align::Right),
    ("last position", Align::Right),
    ("state", Align::Left),
    ("stream", Align::Left),
];

/// Lists streams, a page at a time.
pub(super) fn list(args: &LsArgs, context: &mut Context) -> Outcome {
    let store = store::open(context, Access::Read)?;
    let format = context.ui.records_format();
    let mut table = Table::new(COLUMNS);
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut after = None;
    let mut printed = 0_u64;
    while left > 0 {
        let limit = left.min(PAGE);
        let request = StreamsRequest {
            prefix: args.prefix.clone(),
            after: after.take(),
            limit,
        };
        let page = pollster::block_on(store.events.streams(request))?;
        for info in &page {
            let ui = &mut context.ui;
            match format {
                Format::Table => {
                    let revision = shown(info.last_revision);
                    let position = shown(info.last_position);
                    let cells = [
                        &revision,
                        &position,
                        state(info.state),
                        info.stream.as_str(),
                    ];
                    table.row(ui, &cells)?;
                }
                Format::Ndjson => writeln!(ui.out(), "{}", as_json(info))?,
                Format::Json => {
                    let between = if printed == 0 { "[\n" } else { ",\n" };
                    write!(ui.out(), "{between}{}", as_json(info))?;
                }
            }
            printed += 1;
        }
        left -= page.len().min(left);
        if page.len() < limit {
            break;
        }
        after = page.last().map(|info| info.stream.clone());
    }
    table.print(&mut context.ui)?;
    if format == Format::Json {
        write!(
            context.ui.out(),
            "{}",
            if printed == 0 { "[]\n" } else { "\n]\n" }
        )?;
    }
    store.close()
}

/// Prints what is known about one stream.
pub(super) fn info(args: &InfoArgs, context: &mut Context) -> Outcome {
    let store = store::open(context, Access::Read)?;
    let info = pollster::block_on(store.events.stream_info(args.stream.clone()))?;
    if info.state == StreamState::Missing {
        return Err(missing(&info));
    }
    match context.ui.answer_format() {
        Format::Json => writeln!(context.ui.out(), "{:#}", as_json(&info))?,
        Format::Ndjson => writeln!(context.ui.out(), "{}", as_json(&info))?,
        Format::Table => table::facts(
            &mut context.ui,
            &[
                ("stream", info.stream.to_string()),
                ("category", info.stream.category().unwrap_or("-").to_owned()),
                ("state", state(info.state).to_owned()),
                ("last revision", shown(info.last_revision)),
                ("last position", shown(info.last_position)),
                ("keeps", keeps(&info.settings)),
            ],
        )?,
    }
    store.close()
}

/// The stream never had an event.
pub(super) fn missing(info: &StreamInfo) -> Failure {
    Failure::not_found(format!("there is no stream {}", info.stream))
        .hint("`factum stream ls --prefix …` shows the names there are")
}

/// What the settings keep, in words.
pub(super) fn keeps(settings: &StreamSettings) -> String {
    let limits = [
        settings
            .truncate_before
            .map(|revision| format!("from revision {revision} on")),
        settings
            .max_count
            .map(|count| format!("the newest {}", counted(count, "event"))),
        settings
            .max_age
            .map(|age| format!("events of the last {}", time::duration(age))),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if limits.is_empty() {
        "everything".to_owned()
    } else {
        limits.join(", ")
    }
}

fn as_json(info: &StreamInfo) -> serde_json::Value {
    json!({
        "stream": info.stream.as_str(),
        "category": info.stream.category(),
        "state": state(info.state),
        "last_revision": info.last_revision.map(|revision| revision.number()),
        "last_position": info.last_position.map(|position| position.raw()),
        "truncate_before": info.settings.truncate_before.map(|revision| revision.number()),
        "max_count": info.settings.max_count,
        "max_age_seconds": info.settings.max_age.map(|age| age.as_secs()),
    })
}

const fn state(state: StreamState) -> &'static str {
    match state {
        StreamState::Missing => "missing",
        StreamState::Live => "live",
        StreamState::Deleted => "deleted",
        StreamState::Tombstoned => "closed",
    }
}

fn shown(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

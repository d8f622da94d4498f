//! Events as they are read, in the format asked for, with bounded memory.

use std::io::Write;

use anstyle::AnsiColor;
use factum_json::cloud::write;
use factum_json::text as json;
use factum_store::{EventStream, Kind};
use factum_types::{ContentType, RecordedEvent};

use crate::cli::Format;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::time;
use crate::ui::Ui;
use crate::ui::progress::counted;
use crate::ui::table::{Align, Column, Table};

/// More of an event's data than this is never shown in a column.
const SHOWN_BYTES_MAX: usize = 1_024;

const COLUMNS: &[Column] = &[
    ("position", Align::Right),
    ("stream", Align::Left),
    ("rev", Align::Right),
    ("type", Align::Left),
    ("time", Align::Left),
    ("data", Align::Left),
];

/// Prints events one by one.
#[derive(Debug)]
pub(crate) struct Printer {
    format: Format,
    table: Table,
    line: Vec<u8>,
    printed: u64,
    damaged: u64,
}

impl Printer {
    /// A printer in the format that `ui` is set to.
    pub(crate) fn new(ui: &Ui) -> Self {
        Self {
            format: ui.records_format(),
            table: Table::new(COLUMNS),
            line: Vec::with_capacity(1_024),
            printed: 0,
            damaged: 0,
        }
    }

    /// Prints one event.
    pub(crate) fn event(&mut self, ui: &mut Ui, event: &RecordedEvent) -> Outcome {
        if self.format == Format::Table {
            self.printed += 1;
            return self.row(ui, event);
        }
        self.line.clear();
        let between: &[u8] = match (self.format, self.printed) {
            (Format::Json, 0) => b"[\n",
            (Format::Json, _) => b",\n",
            _ => b"",
        };
        self.line.extend_from_slice(between);
        write::event(&mut self.line, event);
        if self.format == Format::Ndjson {
            self.line.push(b'\n');
        }
        self.printed += 1;
        Ok(ui.out().write_all(&self.line)?)
    }

    fn row(&mut self, ui: &mut Ui, event: &RecordedEvent) -> Outcome {
        let position = event.position.to_string();
        let revision = event.revision.to_string();
        let cells = [
            position.as_str(),
            event.stream.as_str(),
            revision.as_str(),
            event.event_type.as_str(),
            &time::short(event.time),
            &shown(event),
        ];
        self.table.row(ui, &cells)
    }

    /// Says that an event is damaged, and goes on.
    pub(crate) fn damage(&mut self, ui: &mut Ui, failure: &Failure) -> Outcome {
        ui.flush()?;
        ui.error(failure);
        self.damaged += 1;
        Ok(())
    }

    /// Lets what was printed so far be seen.
    pub(crate) fn flush(&mut self, ui: &mut Ui) -> Outcome {
        self.table.print(ui)?;
        ui.flush()
    }

    /// Ends; fails when damage was met.
    pub(crate) fn end(mut self, ui: &mut Ui) -> Outcome<u64> {
        self.table.print(ui)?;
        if self.format == Format::Json {
            ui.out()
                .write_all(if self.printed == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        if self.damaged == 0 {
            return Ok(self.printed);
        }
        let message = format!("{} left out", counted(self.damaged, "damaged place"));
        Err(Failure::new(Exit::Integrity, "corrupt", message)
            .hint("`factum verify --full` lists all damage"))
    }

    /// Prints everything that `events` gives.
    pub(crate) fn all(mut self, ui: &mut Ui, mut events: EventStream) -> Outcome<u64> {
        let read = pollster::block_on(async {
            while let Some(item) = events.next().await {
                match item {
                    Ok(event) => self.event(ui, &event)?,
                    Err(error) if error.kind() == Kind::Corrupt => {
                        self.damage(ui, &Failure::from(error))?;
                    }
                    Err(error) => return Err(Failure::from(error)),
                }
            }
            Ok(())
        });
        self.end_after(ui, read)
    }

    /// Ends what may have failed before: what was printed is whole all the same.
    pub(crate) fn end_after(self, ui: &mut Ui, outcome: Outcome) -> Outcome<u64> {
        let ended = self.end(ui);
        outcome.and(ended)
    }
}

/// The data of an event for a column.
pub(crate) fn shown(event: &RecordedEvent) -> String {
    if event.content_type == ContentType::Binary {
        return format!("({} bytes)", event.data.len());
    }
    let mut line = Vec::new();
    match std::str::from_utf8(&event.data) {
        Ok(text) => json::push_value(&mut line, text.trim()),
        Err(_not_text) => return format!("({} bytes that are not text)", event.data.len()),
    }
    let text = String::from_utf8_lossy(&line);
    let end = text
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| *at > SHOWN_BYTES_MAX);
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or_default()
        .to_owned()
}

/// One event with all that is known about it.
pub(crate) fn closely(ui: &mut Ui, event: &RecordedEvent) -> Outcome {
    if ui.answer_format() != Format::Table {
        let mut line = Vec::new();
        write::event(&mut line, event);
        line.push(b'\n');
        return Ok(ui.out().write_all(&line)?);
    }
    let mut facts = vec![
        ("position", event.position.to_string()),
        ("stream", event.stream.to_string()),
        ("revision", event.revision.to_string()),
        ("type", event.event_type.to_string()),
        ("id", event.id.to_string()),
        ("recorded", time::rfc3339(event.time).unwrap_or_default()),
        ("kind", format!("{:?}", event.kind).to_lowercase()),
    ];
    if event.schema_version != 1 {
        facts.push(("schema version", event.schema_version.to_string()));
    }
    facts.extend(event.tags.iter().map(|tag| ("tag", tag.to_string())));
    for (name, value) in event.metadata.fields() {
        if let Some(value) = value {
            facts.push((name, value.to_owned()));
        }
    }
    if !event.metadata.custom.is_empty() {
        facts.push((
            "metadata",
            String::from_utf8_lossy(&event.metadata.custom).into_owned(),
        ));
    }
    if !event.personal.is_empty() {
        facts.push((
            "personal",
            format!("({} sealed bytes)", event.personal.len()),
        ));
    }
    crate::ui::table::facts(ui, &facts)?;
    let head = ui.styled(AnsiColor::Cyan.on_default(), "data");
    writeln!(ui.out(), "{head}")?;
    let pretty = serde_json::from_slice::<serde_json::Value>(&event.data)
        .ok()
        .filter(|_| event.content_type == ContentType::Json)
        .map_or_else(|| shown(event), |value| format!("{value:#}"));
    writeln!(ui.out(), "{}", crate::ui::escape::words(&pretty))?;
    Ok(())
}

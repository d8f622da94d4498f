//! Rows of a result: columns for people, JSON, or CSV; as they come.

use std::io::Write as _;

use anstyle::Style;
use factum_query::{Done, Row, Value};
use serde_json::Map;
use unicode_width::UnicodeWidthStr;

use crate::cli::Format;
use crate::failure::Outcome;
use crate::ui::{Ui, escape};

/// How many rows are seen before the widths of columns are set.
const LOOK_AHEAD_ROWS: usize = 200;
/// Wider cells are cut.
const CELL_WIDTH_MAX: usize = 60;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Csv,
    Format(Format),
}

/// Prints rows one by one.
#[derive(Debug)]
pub(super) struct Printer {
    shape: Shape,
    printed: u64,
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
    /// Which columns have held numbers only.
    numbers: Vec<bool>,
    begun: bool,
}

impl Printer {
    pub(super) const fn new(shape: Shape) -> Self {
        Self {
            shape,
            printed: 0,
            waiting: Vec::new(),
            widths: Vec::new(),
            numbers: Vec::new(),
            begun: false,
        }
    }

    /// Prints one row.
    pub(super) fn row(&mut self, ui: &mut Ui, row: Row<'_>) -> Outcome {
        match self.shape {
            Shape::Csv => {
                if self.printed == 0 {
                    self.csv_head(ui, row.columns)?;
                }
                let cells: Vec<_> = row.values.iter().map(text).collect();
                csv_line(ui, &cells)?;
            }
            Shape::Format(Format::Table) => self.cells(ui, row)?,
            Shape::Format(format) => {
                let object = object(row);
                let before = match (format, self.printed) {
                    (Format::Json, 0) => "[\n",
                    (Format::Json, _) => ",\n",
                    _ => "",
                };
                let after = if format == Format::Json { "" } else { "\n" };
                write!(ui.out(), "{before}{object}{after}")?;
            }
        }
        self.printed += 1;
        Ok(())
    }

    /// Ends; a head line is printed also when there is no row.
    pub(super) fn end(mut self, done: &Done, ui: &mut Ui) -> Outcome {
        match self.shape {
            Shape::Csv if self.printed == 0 => self.csv_head(ui, &done.columns),
            Shape::Format(Format::Table) => self.print(ui, &done.columns),
            Shape::Format(Format::Json) if self.printed == 0 => Ok(writeln!(ui.out(), "[]")?),
            Shape::Format(Format::Json) => Ok(writeln!(ui.out(), "\n]")?),
            _ => Ok(()),
        }
    }

    fn csv_head(&self, ui: &mut Ui, columns: &[String]) -> Outcome {
        if ui.no_headers {
            return Ok(());
        }
        csv_line(ui, columns)
    }

    fn cells(&mut self, ui: &mut Ui, row: Row<'_>) -> Outcome {
        if self.widths.is_empty() {
            let head = |name: &String| {
                if ui.no_headers {
                    0
                } else {
                    escape::cell(name).width()
                }
            };
            self.widths = row.columns.iter().map(head).collect();
            self.numbers = vec![true; row.columns.len()];
        }
        let cells: Vec<String> = row
            .values
            .iter()
            .map(|value| cut(&escape::cell(&text(value))))
            .collect();
        for ((cell, value), (width, numbers)) in cells
            .iter()
            .zip(row.values)
            .zip(self.widths.iter_mut().zip(&mut self.numbers))
        {
            *width = (*width).max(cell.width());
            *numbers &= self.begun || value.is_number() || value.is_null();
        }
        self.waiting.push(cells);
        if self.begun || self.waiting.len() >= LOOK_AHEAD_ROWS {
            self.print(ui, row.columns)?;
        }
        Ok(())
    }

    fn print(&mut self, ui: &mut Ui, columns: &[String]) -> Outcome {
        if !self.begun && !ui.no_headers {
            if self.widths.is_empty() {
                self.widths = columns.iter().map(|name| name.width()).collect();
                self.numbers = vec![false; columns.len()];
            }
            let heads: Vec<String> = columns
                .iter()
                .map(|name| escape::cell(name).into_owned())
                .collect();
            let line = self.line(&heads);
            let line = ui.styled(Style::new().bold(), &line);
            writeln!(ui.out(), "{line}")?;
        }
        self.begun = true;
        for cells in std::mem::take(&mut self.waiting) {
            let line = self.line(&cells);
            writeln!(ui.out(), "{line}")?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        let columns = cells.iter().zip(&self.widths).zip(&self.numbers);
        for (index, ((cell, width), numbers)) in columns.enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            if *numbers {
                line.extend([pad.as_str(), cell.as_str()]);
            } else {
                line.extend([cell.as_str(), pad.as_str()]);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// A row as JSON; of two columns with one name the second has a number behind it.
fn object(row: Row<'_>) -> Value {
    let mut object = Map::new();
    for (name, value) in row.columns.iter().zip(row.values) {
        let mut unique = name.clone();
        let mut number = 1;
        while object.contains_key(&unique) {
            number += 1;
            unique = format!("{name}_{number}");
        }
        object.insert(unique, value.clone());
    }
    Value::Object(object)
}

/// A value for a cell: nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(bytes) => format!("({} bytes)", bytes.len()),
        other => other.to_string(),
    }
}

fn cut(cell: &str) -> String {
    if cell.width() <= CELL_WIDTH_MAX {
        return cell.to_owned();
    }
    let mut short = String::new();
    for c in cell.chars() {
        if short.width() + 2 > CELL_WIDTH_MAX {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// RFC 4180, with line feeds.
fn csv_line(ui: &mut Ui, cells: &[String]) -> Outcome {
    for (index, cell) in cells.iter().enumerate() {
        let between = if index == 0 { "" } else { "," };
        let quoted = cell.contains([',', '"', '\n', '\r']);
        if quoted {
            write!(ui.out(), "{between}\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            write!(ui.out(), "{between}{cell}")?;
        }
    }
    Ok(writeln!(ui.out())?)
}

//! Rows of a result: columns for people, JSON, or CSV; as they come.

use std::io::Write as _;

use factum_query::{Done, Row, Value};
use serde_json::Map;

use crate::cli::Format;
use crate::failure::Outcome;
use crate::ui::Ui;
use crate::ui::table::{Align, Table};

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
    /// For people: made when the first row says which columns there are.
    table: Option<Table>,
    /// Which columns have held numbers only.
    numbers: Vec<bool>,
}

impl Printer {
    pub(super) const fn new(shape: Shape) -> Self {
        Self {
            shape,
            printed: 0,
            table: None,
            numbers: Vec::new(),
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
    pub(super) fn end(self, done: &Done, ui: &mut Ui) -> Outcome {
        match self.shape {
            Shape::Csv if self.printed == 0 => self.csv_head(ui, &done.columns),
            Shape::Format(Format::Table) => {
                let empty = || Table::of(&done.columns, CELL_WIDTH_MAX);
                let mut table = self.table.unwrap_or_else(empty);
                match self.printed {
                    0 => table.head(ui),
                    _ => table.print(ui),
                }
            }
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
        let new = || Table::of(row.columns, CELL_WIDTH_MAX);
        let table = self.table.get_or_insert_with(new);
        self.numbers.resize(row.columns.len(), true);
        for (index, (value, numbers)) in row.values.iter().zip(&mut self.numbers).enumerate() {
            *numbers &= value.is_number() || value.is_null();
            table.lean(index, if *numbers { Align::Right } else { Align::Left });
        }
        let cells: Vec<String> = row.values.iter().map(text).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        table.row(ui, &cells)
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

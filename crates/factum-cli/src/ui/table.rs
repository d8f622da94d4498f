//! Columns for people. Rows are printed as they come: the first ones set the widths, later ones may widen a column.
//!
//! Every cell is escaped and counted in terminal columns; the last column is cut to the width of the terminal, or each cell to one of its own.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Ui, escape};
use crate::failure::Outcome;

/// How many rows are seen before the widths are set.
const LOOK_AHEAD_ROWS: usize = 200;
const GAP: &str = "  ";

/// To which side a column leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// One column: its head and its side.
pub(crate) type Column = (&'static str, Align);

/// What is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// The last column, where the terminal ends.
    Terminal,
    /// Every cell, after so many terminal columns.
    Cells(usize),
}

/// Columns being printed.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(Cow<'static, str>, Align)>,
    widths: Vec<usize>,
    waiting: Vec<Vec<String>>,
    begun: bool,
    fit: Fit,
}

impl Table {
    /// A table with these columns; at least one.
    pub(crate) fn new(columns: &'static [Column]) -> Self {
        let columns = columns
            .iter()
            .map(|(head, align)| (Cow::from(*head), *align));
        Self::with(columns.collect(), Fit::Terminal)
    }

    /// A table whose columns are only known now, as text until [`Table::lean`] says otherwise; cells are cut at this width.
    pub(crate) fn of(heads: &[String], width_max: usize) -> Self {
        let columns = heads
            .iter()
            .map(|head| (Cow::from(escape::cell(head).into_owned()), Align::Left));
        Self::with(columns.collect(), Fit::Cells(width_max))
    }

    fn with(columns: Vec<(Cow<'static, str>, Align)>, fit: Fit) -> Self {
        let widths = columns.iter().map(|(head, _)| head.width()).collect();
        Self {
            columns,
            widths,
            waiting: Vec::new(),
            begun: false,
            fit,
        }
    }

    /// To which side a column leans; of no effect once something was printed.
    pub(crate) fn lean(&mut self, column: usize, align: Align) {
        if let Some((_, leans)) = self.columns.get_mut(column).filter(|_| !self.begun) {
            *leans = align;
        }
    }

    /// Adds a row, with a cell per column.
    pub(crate) fn row(&mut self, ui: &mut Ui, cells: &[&str]) -> Outcome {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| match self.fit {
                Fit::Terminal => escape::cell(cell).into_owned(),
                Fit::Cells(room) => cut(&escape::cell(cell), room),
            })
            .collect();
        if ui.no_headers && !self.begun && self.waiting.is_empty() {
            self.widths.fill(0);
        }
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.width());
        }
        self.waiting.push(cells);
        if self.begun || self.waiting.len() >= LOOK_AHEAD_ROWS {
            self.print(ui)
        } else {
            Ok(())
        }
    }

    /// Prints the heads, unless that was done.
    pub(crate) fn head(&mut self, ui: &mut Ui) -> Outcome {
        if !self.begun && !ui.no_headers {
            let heads = self.columns.iter().map(|(head, _)| head.to_string());
            let heads: Vec<String> = heads.collect();
            let line = self.line(&heads, ui.width());
            let head = ui.styled(Style::new().bold(), &line);
            writeln!(ui.out(), "{head}")?;
        }
        self.begun = true;
        Ok(())
    }

    /// Prints what is still waiting.
    pub(crate) fn print(&mut self, ui: &mut Ui) -> Outcome {
        if !self.waiting.is_empty() {
            self.head(ui)?;
        }
        self.begun = true;
        for row in std::mem::take(&mut self.waiting) {
            let line = self.line(&row, ui.width());
            writeln!(ui.out(), "{line}")?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String], width_max: usize) -> String {
        let mut line = String::new();
        let last = self.columns.len() - 1;
        for (index, ((_, align), cell)) in self.columns.iter().zip(cells).enumerate() {
            if index > 0 {
                line.push_str(GAP);
            }
            let width = self.widths.get(index).copied().unwrap_or_default();
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            match align {
                Align::Right => line.extend([pad.as_str(), cell.as_str()]),
                Align::Left if index == last && self.fit == Fit::Terminal => {
                    let room = width_max.saturating_sub(line.width()).max(16);
                    line.push_str(&cut(cell, room));
                }
                Align::Left => line.extend([cell.as_str(), pad.as_str()]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The beginning of `text` that fits into `room` terminal columns, with `…` if something is left out.
fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut used = 1;
    let mut short: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect();
    short.push('…');
    short
}

/// Names with their values, one per line; for one thing looked at closely.
pub(crate) fn facts(ui: &mut Ui, facts: &[(&str, String)]) -> io::Result<()> {
    let width = facts
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    for (name, value) in facts {
        let name = ui.styled(AnsiColor::Cyan.on_default(), &format!("{name:<width$}"));
        let value = escape::cell(value).into_owned();
        writeln!(ui.out(), "{name}  {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Align, Table, cut};

    #[test]
    fn numbers_lean_right_and_wide_characters_count_twice() {
        let mut table = Table::new(&[
            ("n", Align::Right),
            ("name", Align::Left),
            ("data", Align::Left),
        ]);
        table.widths = vec![3, 6, 4];
        let line = table.line(&["7".into(), "日本".into(), "x".into()], 80);
        assert_eq!(line, "  7  日本    x");
    }

    #[test]
    fn long_cells_are_cut_at_the_terminal() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("日本語", 5), "日本…");
    }
}

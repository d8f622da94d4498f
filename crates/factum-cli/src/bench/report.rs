//! Results for a person or a program.

use serde_json::json;

use super::machine::Machine;
use super::row::{Row, shown};
use crate::cli::Format;
use crate::failure::Outcome;
use crate::ui::Ui;
use crate::ui::table::{Align, Column, Table};

const COLUMNS: &[Column] = &[
    ("measured", Align::Left),
    ("figure", Align::Right),
    ("limit", Align::Right),
    ("unit", Align::Left),
    ("ratio", Align::Right),
    ("floor", Align::Right),
    ("", Align::Left),
    ("more", Align::Left),
];

/// Prints the results in the format asked for.
pub(super) fn print(rows: &[Row], machine: &Machine, ui: &mut Ui) -> Outcome {
    if ui.answer_format() != Format::Table {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        return ui.answer("", &json!({ "machine": machine.json(), "rows": rows }));
    }
    let mut table = Table::new(COLUMNS);
    for row in rows {
        let [ratio, floor] = [row.ratio(), row.floor_ratio()].map(two_digits);
        let limit = row
            .limit
            .map_or_else(String::new, |(limit, _)| shown(limit));
        let name = format!("{}: {}", row.group, row.name);
        let cells = [
            name.as_str(),
            &shown(row.figure),
            &limit,
            row.unit.shown(),
            &ratio,
            &floor,
            verdict(row),
            &row.words(),
        ];
        table.row(ui, &cells)?;
    }
    table.print(ui)
}

/// A ratio, or nothing.
pub(super) fn two_digits(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
}

/// Whether the floor is kept, in one word. Nothing is faster than its limit: if it seems so, the limit was measured in a bad moment.
pub(super) fn verdict(row: &Row) -> &'static str {
    const DOUBTFUL: f64 = 1.1;
    match (row.ratio(), row.is_under()) {
        (Some(ratio), _) if ratio > DOUBTFUL => "doubtful",
        (_, None) => "",
        (_, Some(false)) => "ok",
        (_, Some(true)) => "UNDER",
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;
    use crate::bench::row::{Floor, Row, Unit};

    #[test]
    fn nothing_is_faster_than_its_limit() {
        let check = |figure: f64, expected: &str| {
            let row = Row::new("x", "y", Unit::Events, figure).limit(100.0, "z");
            assert_eq!(
                verdict(&row.floor(Some(Floor::Ratio(0.5)))),
                expected,
                "{figure}"
            );
        };
        check(40.0, "UNDER");
        check(60.0, "ok");
        check(105.0, "ok");
        check(951.0, "doubtful");
    }
}

//! What of a file its rows depend on, as a short text.
//!
//! Relies on: the reader of declared files. Never: counts comments, spaces, or where the read model lives.

use factum_framework::declared;
use serde_json::Value as Json;

use super::mistake::Found;

/// Raised when this module writes other rows for the same file than before.
const REVISION: u32 = 1;
/// The keys that rows depend on; of these the order counts within the first three.
const KEYS: [&str; 5] = ["table", "tables", "on", "points", "from"];

/// The fingerprint of the text of a file.
pub(super) fn of(text: &str, found: &mut Found) -> Option<String> {
    let mut written = format!("{REVISION}\n");
    let mut file = found.ok(declared::read(text))?;
    for key in KEYS {
        let Some(entry) = file.take(key) else {
            continue;
        };
        written.push_str(key);
        let value = found.ok(entry.json())?;
        canonical(&value, &mut written);
        match (key, entry.table()) {
            ("table" | "tables", Ok(mut table)) => {
                order(&mut table, u8::from(key == "tables"), &mut written);
            }
            ("on", Ok(mut table)) => handlers(&mut table, &mut written),
            _ => (),
        }
    }
    Some(declared::fingerprint("projection", &written))
}

/// The types of events in the order of the file; and, where something else stands between two handlers of one type, the types of all
/// handlers in the order in which they are applied.
fn handlers(on: &mut declared::Table<'_>, to: &mut String) {
    let mut all = Vec::new();
    for entry in on.entries() {
        let (name, line) = (entry.key().to_owned(), entry.line());
        to.push('\n');
        to.push_str(&name);
        match entry.tables_or_one() {
            Ok(tables) => all.extend(tables.iter().map(|table| (table.line, name.clone()))),
            // It is told where handlers are read.
            Err(_) => all.push((line, name)),
        }
    }
    if all.is_sorted_by_key(|(line, _)| *line) {
        return;
    }
    all.sort_by_key(|(line, _)| *line);
    for (_, name) in all {
        to.push('\n');
        to.push_str(&name);
    }
}

/// The names of columns in the order of the file.
fn order(table: &mut declared::Table<'_>, deeper: u8, to: &mut String) {
    for entry in table.entries() {
        to.push('\n');
        to.push_str(entry.key());
        if let (true, Ok(mut inner)) = (deeper > 0, entry.table()) {
            order(&mut inner, deeper - 1, to);
        }
    }
}

/// JSON with its members sorted, whatever the parser keeps.
fn canonical(value: &Json, to: &mut String) {
    match value {
        Json::Object(members) => {
            let mut names: Vec<_> = members.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            to.push('{');
            for (name, value) in names {
                to.push_str(&Json::from(name.as_str()).to_string());
                to.push(':');
                canonical(value, to);
                to.push(',');
            }
            to.push('}');
        }
        Json::Array(items) => {
            to.push('[');
            for item in items {
                canonical(item, to);
                to.push(',');
            }
            to.push(']');
        }
        other => to.push_str(&other.to_string()),
    }
}

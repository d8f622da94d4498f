//! Which types fields have, so that a point of another type is refused before anything of its batch is written.
//!
//! A server refuses such a point too, but writes the others of the request all the same. Relies on: nobody else writing there. Never: refuses what
//! the server took from here.

use std::collections::{BTreeMap, BTreeSet};

use factum_projection::Error;
use serde_json::Value as Json;

use crate::line::{Line, type_of};
use crate::server::{Server, name};

/// The types of the fields of each measurement that was asked about.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    known: BTreeMap<String, BTreeMap<String, String>>,
}

impl Fields {
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }

    /// Whether all of these points fit what is there, and each other.
    pub(crate) async fn check(
        &mut self,
        server: &Server,
        database: &str,
        lines: &[Line],
    ) -> Result<(), Error> {
        let all: BTreeSet<&str> = lines.iter().map(|line| line.measurement.as_str()).collect();
        let new: Vec<&str> = all
            .into_iter()
            .filter(|it| !self.known.contains_key(*it))
            .collect();
        if !new.is_empty() {
            let statements: Vec<String> = new
                .iter()
                .map(|it| format!("SHOW FIELD KEYS FROM {}", name(it)))
                .collect();
            let found = server.ask(database, &statements).await?;
            for (measurement, rows) in new.into_iter().zip(found) {
                let text = |row: &BTreeMap<String, Json>, name: &str| {
                    Some(row.get(name)?.as_str()?.to_owned())
                };
                let rows = rows
                    .iter()
                    .filter_map(|row| Some((text(row, "fieldKey")?, text(row, "fieldType")?)));
                self.known.insert(measurement.to_owned(), rows.collect());
            }
        }
        let mut fresh: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for line in lines {
            for (field, value) in &line.fields {
                let Some(holds) = type_of(value) else {
                    continue;
                };
                let known = self
                    .known
                    .get(&line.measurement)
                    .and_then(|it| it.get(field));
                let at = (line.measurement.as_str(), field.as_str());
                let before =
                    known.map_or_else(|| *fresh.entry(at).or_insert(holds), String::as_str);
                if before != holds {
                    let measurement = &line.measurement;
                    return Err(Error::refused(format!(
                        "field {field} of {measurement:?} holds {before} values, not {holds} ones"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Remembers the types of what was written.
    pub(crate) fn took(&mut self, lines: &[Line]) {
        for line in lines {
            let known = self.known.entry(line.measurement.clone()).or_default();
            for (field, value) in &line.fields {
                if let Some(holds) = type_of(value).filter(|_| !known.contains_key(field)) {
                    known.insert(field.clone(), holds.to_owned());
                }
            }
        }
    }
}

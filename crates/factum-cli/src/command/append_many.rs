//! `factum append --events`: many events from lines of JSON.

use std::path::Path;

use factum_json::plain;
use factum_types::{NewEvent, limits};

use super::append::new_id;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::files;

/// One append cannot hold more; the rest is room for names and space.
const FILE_BYTES_MAX: usize = 2 * limits::BATCH_BYTES_MAX;

/// The events of a file, or of standard input for `-`; blank lines are passed over.
pub(super) fn read(path: &Path, context: &Context) -> Outcome<Vec<NewEvent>> {
    let bytes = files::read_whole(path, FILE_BYTES_MAX)?;
    let name = if path.as_os_str() == "-" {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    };
    let lines = files::without_mark(&bytes)
        .split(|byte| *byte == b'\n')
        .enumerate();
    let events: Vec<NewEvent> = lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(index, line)| {
            event(line, context)
                .map_err(|what| Failure::error(format!("{name}:{}: {what}", index + 1)))
        })
        .collect::<Outcome<_>>()?;
    if events.is_empty() {
        return Err(Failure::error(format!("{name} holds no events"))
            .hint("write one per line: {\"type\":\"OrderPlaced\",\"data\":{\"total\":42}}"));
    }
    Ok(events)
}

fn event(line: &[u8], context: &Context) -> Result<NewEvent, String> {
    plain::event(line, || new_id(context)).map_err(|wrong| match wrong.column {
        Some(column) => format!("column {column}: {wrong}"),
        None => wrong.to_string(),
    })
}

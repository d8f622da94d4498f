//! Golden samples: stored events of every version, kept with the code, that must be readable for ever.
//!
//! Relies on: the lines that the lock file has. Never: writes a file.

use serde_json::Value;

use super::record::{record, recorded};
use crate::error::Error;
use crate::event::{Event, Events, read};
use crate::lock;
use crate::versions::Raw;

/// Checks that stored samples of every version can still be read, and that nothing of the newest ones is lost.
///
/// `samples` has one JSON object a line, `{"type": …, "version": …, "data": …}`; `lock` is the lock file, each of whose lines wants a sample.
/// A sample that needs neither an upcaster nor a step is written again too, and must have all that it had: that is how a change *inside*
/// a field's type is noticed, which the lock file does not see.
///
/// # Errors
/// [`Kind::Decode`](crate::Kind::Decode): a sample cannot be read. [`Kind::Invalid`](crate::Kind::Invalid): a version has no sample, a
/// line is no sample, or a sample loses something.
///
/// ```
/// use factum_framework::{Event, kit};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone)]
/// #[event(name = "OrderShipped")]
/// struct Shipped { carrier: String }
///
/// let lock = "OrderShipped v1 { carrier: String }";
/// let golden = r#"{"type": "OrderShipped", "version": 1, "data": {"carrier": "post"}}"#;
/// assert!(kit::check_golden::<Shipped>(golden, lock).is_ok());
/// assert!(kit::check_golden::<Shipped>("", lock).is_err());
/// ```
pub fn check_golden<E: Event>(samples: &str, lock: &str) -> Result<(), Error> {
    let mut seen = Vec::new();
    for (raw, data) in parsed(samples)? {
        let events = read_sample::<E>(&raw, &data)?;
        let is_newest = E::KINDS
            .iter()
            .any(|kind| kind.name == raw.name && kind.version == raw.version);
        if let (true, Events::One(event)) = (is_newest, events) {
            let again: Value = crate::codec::decode(&raw.name, raw.version, &event.encode()?)?;
            if let Some(lost) = lost(&raw.data, &again, String::new()) {
                return Err(Error::invalid(format!(
                    "the golden sample of {} v{} is not the same when it is read and written again, at {lost:?}: a type inside it changed without a new version",
                    raw.name, raw.version
                )));
            }
        }
        seen.push(format!("{} v{}", raw.name, raw.version));
    }
    for version in lock::versions(lock) {
        if !seen.iter().any(|seen| seen == version) {
            return Err(Error::invalid(format!(
                "no golden sample of {version}; add a line {{\"type\": …, \"version\": …, \"data\": …}} as a store has it"
            )));
        }
    }
    Ok(())
}

/// Checks that fields which nobody knows survive reading and writing: every sample is read with one more field, which must be there when
/// it is written again. For events that keep a [`Rest`](crate::versions::Rest), through all their versions.
///
/// # Errors
/// [`Kind::Decode`](crate::Kind::Decode): a sample cannot be read. [`Kind::Invalid`](crate::Kind::Invalid): the field is lost,
/// or there is no sample with fields that is read as an event, so that nothing was checked.
///
/// ```
/// use factum_framework::{Event, kit, versions::Rest};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone)]
/// #[event(name = "OrderShipped")]
/// struct Shipped { carrier: String, #[serde(flatten)] rest: Rest }
///
/// let golden = r#"{"type": "OrderShipped", "version": 1, "data": {"carrier": "post"}}"#;
/// assert!(kit::check_rest::<Shipped>(golden).is_ok());
/// ```
pub fn check_rest<E: Event>(samples: &str) -> Result<(), Error> {
    const UNKNOWN: &str = "a field that nobody knows";
    let mut compared = false;
    for (mut raw, _) in parsed(samples)? {
        let Some(fields) = raw.data.as_object_mut() else {
            continue;
        };
        fields.insert(UNKNOWN.to_owned(), Value::from(7));
        let data = crate::codec::encode(&raw.data)?;
        for event in read_sample::<E>(&raw, &data)?.as_slice() {
            compared = true;
            let kind = event.kind();
            let again: Value = crate::codec::decode(kind.name, kind.version, &event.encode()?)?;
            if again.get(UNKNOWN) != Some(&Value::from(7)) {
                return Err(Error::invalid(format!(
                    "{} v{} loses fields that it does not know; keep them: #[serde(flatten)] rest: Rest",
                    raw.name, raw.version
                )));
            }
        }
    }
    if !compared {
        return Err(Error::invalid(
            "no golden sample has fields and is read as an event, so nothing was checked; add a line {\"type\": …, \"version\": …, \"data\": {…}} as a store has it",
        ));
    }
    Ok(())
}

/// These events as golden samples, a line each: to begin a file with.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): an event cannot be written.
///
/// ```
/// use factum_framework::{Event, kit};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone)]
/// #[event(name = "OrderShipped")]
/// struct Shipped { carrier: String }
///
/// let lines = kit::golden_lines(&[Shipped { carrier: "post".into() }])?;
/// assert_eq!(lines, "{\"type\":\"OrderShipped\",\"version\":1,\"data\":{\"carrier\":\"post\"}}\n");
/// # Ok::<(), factum_framework::Error>(())
/// ```
pub fn golden_lines<E: Event>(events: &[E]) -> Result<String, Error> {
    let mut lines = String::new();
    for event in recorded(events)? {
        let name = Value::from(event.event_type.as_str());
        let (version, data) = (event.schema_version, String::from_utf8_lossy(&event.data));
        lines.push_str(&format!(
            "{{\"type\":{name},\"version\":{version},\"data\":{data}}}\n"
        ));
    }
    Ok(lines)
}

/// The samples, and their data as bytes.
fn parsed(samples: &str) -> Result<Vec<(Raw, Vec<u8>)>, Error> {
    let lines = samples.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let raw = golden(line).ok_or_else(|| {
                Error::invalid(format!(
                    "not a golden sample, which is {{\"type\": …, \"version\": …, \"data\": …}}: {line}"
                ))
            })?;
            let data = crate::codec::encode(&raw.data)?;
            Ok((raw, data))
        })
        .collect()
}

/// The name of the event that a line is a sample of; `None` when it is none.
pub(super) fn golden_name(line: &str) -> Option<String> {
    golden(line).map(|raw| raw.name)
}

fn golden(line: &str) -> Option<Raw> {
    let mut value: Value = serde_json::from_str(line).ok()?;
    let data = value.get_mut("data")?.take();
    let version = u32::try_from(value.get("version")?.as_u64()?).ok()?;
    Some(Raw::new(value.get("type")?.as_str()?, version, data))
}

fn read_sample<E: Event>(raw: &Raw, data: &[u8]) -> Result<Events<E>, Error> {
    read(&record(&raw.name, raw.version, data.to_vec(), 0)?)
}

/// Where something of `before` is missing or different in `after`, as a JSON pointer; what is added is not lost.
fn lost(before: &Value, after: &Value, at: String) -> Option<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let at = format!("{at}/{key}");
            match after.get(key) {
                Some(after) => lost(value, after, at),
                None => Some(at),
            }
        }),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            let pairs = before.iter().zip(after).enumerate();
            pairs
                .map(|(index, (before, after))| lost(before, after, format!("{at}/{index}")))
                .find_map(|lost| lost)
        }
        _ => (before != after).then_some(at),
    }
}

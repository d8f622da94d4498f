//! What declared steps do.

use std::collections::BTreeMap;

use factum_types::{EventType, limits};
use serde_json::{Map, Value};

use super::Draft;
use crate::codec::DEPTH_MAX;
use crate::error::Error;
use crate::fold::Takes;
use crate::generic::merge_object;
use crate::pointer::{Pointer, kind};
use crate::value::{Form, Source};

/// What becomes of types that no step names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Keep,
    Drop,
    Fail,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub(super) takes: Takes,
    pub(super) stream: Option<Pattern>,
    pub(super) when: Vec<Condition>,
    pub(super) then: Then,
}

/// What a step makes of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Then {
    Drop,
    Split(Vec<Part>),
    Change(Change),
}

/// One event of those that an event is split into.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) when: Vec<Condition>,
    pub(super) change: Change,
}

/// What is different about an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Change {
    pub(super) rename: Option<EventType>,
    pub(super) version: Option<u32>,
    pub(super) stream: Option<Pattern>,
    pub(super) fields: Vec<Field>,
}

/// What must be so of the data.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Is(Pointer, Vec<Value>),
    Has(Pointer),
    Lacks(Pointer),
}

/// What is different about the data.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Set(Pointer, Source),
    Fill(Pointer, Source),
    Move(Pointer, Pointer),
    Copy(Pointer, Pointer),
    Remove(Vec<Pointer>),
    Keep(Vec<Pointer>),
    Convert(Pointer, Form),
    Map(Pointer, BTreeMap<String, Value>, Otherwise),
    Join(Vec<Pointer>, Pointer, String),
    Merge(Pointer, Pointer),
}

/// What becomes of a value that a map does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    Fail,
    Keep,
    Remove,
}

/// A name in which one `*` stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    before: String,
    after: Option<String>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let (before, after) = match text.split_once('*') {
            Some((before, after)) => (before, Some(after.to_owned())),
            None => (text, None),
        };
        Self {
            before: before.to_owned(),
            after,
        }
    }

    pub(super) const fn has_star(&self) -> bool {
        self.after.is_some()
    }

    /// What `*` stands for in a name; the empty text without a star. `None` when the name does not fit.
    fn taken<'a>(&self, name: &'a str) -> Option<&'a str> {
        let rest = name.strip_prefix(self.before.as_str())?;
        match &self.after {
            Some(after) => rest.strip_suffix(after.as_str()),
            None => rest.is_empty().then_some(""),
        }
    }

    fn put(&self, taken: &str) -> String {
        let (star, after) = self
            .after
            .as_ref()
            .map_or(("", ""), |after| (taken, after.as_str()));
        [self.before.as_str(), star, after].concat()
    }
}

impl Rule {
    /// Gives what it makes of an event to `made`.
    pub(super) fn apply(&self, mut event: Draft, made: &mut Vec<Draft>) -> Result<(), Error> {
        if !self.takes.takes(event.name(), event.version()) {
            made.push(event);
            return Ok(());
        }
        let stream = self
            .stream
            .as_ref()
            .map(|pattern| pattern.taken(event.stream()).map(str::to_owned));
        if stream == Some(None) || !all_hold(&self.when, &mut event) {
            made.push(event);
            return Ok(());
        }
        let taken = stream.flatten().unwrap_or_default();
        match &self.then {
            Then::Drop => {}
            Then::Change(change) => {
                change.apply(&mut event, &taken)?;
                made.push(event);
            }
            Then::Split(parts) => {
                for part in parts {
                    if all_hold(&part.when, &mut event) {
                        let mut result = event.clone();
                        part.change.apply(&mut result, &taken)?;
                        made.push(result);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether all conditions hold; data that are not JSON have no fields.
fn all_hold(conditions: &[Condition], event: &mut Draft) -> bool {
    if conditions.is_empty() {
        return true;
    }
    let data = event.data().ok();
    let find = |pointer: &Pointer| data.and_then(|data| pointer.get(data));
    conditions.iter().all(|condition| match condition {
        Condition::Is(pointer, values) => find(pointer).is_some_and(|found| values.contains(found)),
        Condition::Has(pointer) => find(pointer).is_some(),
        Condition::Lacks(pointer) => find(pointer).is_none(),
    })
}

impl Change {
    fn apply(&self, event: &mut Draft, taken: &str) -> Result<(), Error> {
        if !self.fields.is_empty() {
            let before = event.data()?;
            let mut data = before.clone();
            let source = event.source();
            for field in &self.fields {
                data = field.apply(data, source)?;
                if field.may_grow() {
                    must_fit(&data)?;
                }
            }
            if data != *event.data()? {
                event.set_data(data);
            }
        }
        if let Some(name) = &self.rename {
            event.set_name(name);
        }
        if let Some(version) = self.version {
            event.set_version(version);
        }
        if let Some(stream) = &self.stream {
            event.move_to(stream.put(taken))?;
        }
        Ok(())
    }
}

impl Field {
    /// Whether data may be larger or nest deeper after it.
    const fn may_grow(&self) -> bool {
        !matches!(self, Self::Remove(_) | Self::Keep(_))
    }

    /// The data with this difference.
    fn apply(&self, mut data: Value, event: &factum_types::RecordedEvent) -> Result<Value, Error> {
        match self {
            Self::Set(at, source) => {
                if let Some(value) = source.of(event, Some(&data))? {
                    at.set(&mut data, value)?;
                }
            }
            Self::Fill(at, source) => {
                if at.get(&data).is_none()
                    && let Some(value) = source.of(event, Some(&data))?
                {
                    at.set(&mut data, value)?;
                }
            }
            Self::Move(from, to) => {
                if let Some(value) = from.remove(&mut data) {
                    to.set(&mut data, value)?;
                }
            }
            Self::Copy(from, to) => {
                if let Some(value) = from.get(&data).cloned() {
                    to.set(&mut data, value)?;
                }
            }
            Self::Remove(all) => {
                for at in all {
                    at.remove(&mut data);
                }
            }
            Self::Keep(all) => return keep(all, &data),
            Self::Convert(at, form) => change(at, &mut data, |value| form.of(value).map(Some))?,
            Self::Map(at, values, otherwise) => {
                change(at, &mut data, |value| mapped(value, values, *otherwise))?;
            }
            Self::Join(from, to, with) => join(from, to, with, &mut data)?,
            Self::Merge(from, to) => {
                if let Some(patch) = from.remove(&mut data) {
                    merge_object(to.place(&mut data)?, patch)
                        .map_err(|error| Error::new(error.kind(), format!("{from}: {error}")))?;
                }
            }
        }
        Ok(data)
    }
}

/// Fails when data are larger than those of an event may be, or nest so deep that they could not be read again: a few lines of a file
/// could ask for any amount of both.
fn must_fit(data: &Value) -> Result<(), Error> {
    let mut bytes = 0;
    measure(data, 0, &mut bytes)
}

/// Adds up how many bytes a value has as JSON; not more than it has.
fn measure(value: &Value, depth: usize, bytes: &mut usize) -> Result<(), Error> {
    *bytes += match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.len() + 1,
        Value::Object(fields) => fields.keys().map(|key| key.len() + 4).sum::<usize>() + 1,
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    };
    must_be_at_most(*bytes)?;
    if depth == DEPTH_MAX && (value.is_object() || value.is_array()) {
        return Err(Error::invalid(format!(
            "the data would be nested more than {DEPTH_MAX} levels deep"
        )));
    }
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| measure(item, depth + 1, bytes)),
        Value::Object(fields) => fields
            .values()
            .try_for_each(|field| measure(field, depth + 1, bytes)),
        _ => Ok(()),
    }
}

fn must_be_at_most(bytes: usize) -> Result<(), Error> {
    const LIMIT: usize = limits::EVENT_DATA_BYTES_MAX;
    if bytes <= LIMIT {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the data would have {bytes} bytes, more than the limit of {LIMIT}"
    )))
}

/// Puts something else where something is; nothing takes it away.
fn change(
    at: &Pointer,
    data: &mut Value,
    make: impl FnOnce(Value) -> Result<Option<Value>, Error>,
) -> Result<(), Error> {
    let Some(value) = at.get(data).cloned() else {
        return Ok(());
    };
    match make(value).map_err(|error| Error::new(error.kind(), format!("{at}: {error}")))? {
        Some(value) => at.set(data, value)?,
        None => {
            at.remove(data);
        }
    }
    Ok(())
}

fn mapped(
    value: Value,
    values: &BTreeMap<String, Value>,
    otherwise: Otherwise,
) -> Result<Option<Value>, Error> {
    let found = match &value {
        Value::String(text) => values.get(text),
        Value::Number(_) | Value::Bool(_) => values.get(&value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match (found, otherwise) {
        (Some(found), _) => Ok(Some(found.clone())),
        (None, Otherwise::Keep) => Ok(Some(value)),
        (None, Otherwise::Remove) => Ok(None),
        (None, Otherwise::Fail) => Err(Error::invalid(format!(
            "{value} is not among the values of the map"
        ))),
    }
}

fn keep(all: &[Pointer], data: &Value) -> Result<Value, Error> {
    let mut kept = Value::Object(Map::new());
    for at in all {
        if let Some(value) = at.get(data) {
            at.set(&mut kept, value.clone())?;
        }
    }
    Ok(kept)
}

fn join(from: &[Pointer], to: &Pointer, with: &str, data: &mut Value) -> Result<(), Error> {
    let mut texts = Vec::with_capacity(from.len());
    for at in from {
        match at.remove(data) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => texts.push(text),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => texts.push(value.to_string()),
            Some(value) => {
                return Err(Error::invalid(format!(
                    "{at} is {}, and only texts can be joined",
                    kind(&value)
                )));
            }
        }
    }
    if texts.is_empty() {
        return Ok(());
    }
    let bytes = texts.iter().map(String::len).sum::<usize>();
    must_be_at_most(bytes + with.len() * (texts.len() - 1))?;
    to.set(data, Value::String(texts.join(with)))
}

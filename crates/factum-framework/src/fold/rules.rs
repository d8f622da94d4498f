//! What a declared fold does with an event.

use factum_types::RecordedEvent;
use serde_json::Value;

use crate::error::Error;
use crate::generic::merge_object;
use crate::pointer::{Pointer, kind};
use crate::value::{Source, sum};

/// A declared fold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rules {
    pub(super) initial: Value,
    pub(super) unknown: Unknown,
    pub(super) rules: Vec<Rule>,
}

/// What becomes of events that no rule takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Ignore,
    Merge,
    Fail,
}

/// What some events do.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub(super) takes: Takes,
    pub(super) actions: Vec<Action>,
}

/// Which events a rule takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Takes {
    /// Their types; all when empty.
    pub(crate) types: Vec<String>,
    /// Their schema versions; all when empty.
    pub(crate) versions: Vec<u32>,
}

/// One change of the state.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Action {
    pub(super) what: What,
    pub(super) at: Pointer,
    pub(super) source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Set,
    Merge,
    Append,
    Increment,
    Decrement,
    Remove,
}

impl Takes {
    pub(crate) fn takes(&self, name: &str, version: u32) -> bool {
        (self.types.is_empty() || self.types.iter().any(|known| known == name))
            && (self.versions.is_empty() || self.versions.contains(&version))
    }
}

impl Rules {
    pub(super) fn initial(&self) -> Value {
        self.initial.clone()
    }

    pub(super) fn apply(&self, state: &mut Value, event: &RecordedEvent) -> Result<(), Error> {
        let (name, version) = (event.event_type.as_str(), event.schema_version);
        let mut rules = self
            .rules
            .iter()
            .filter(|rule| rule.takes.takes(name, version))
            .peekable();
        if rules.peek().is_none() {
            return match self.unknown {
                Unknown::Ignore => Ok(()),
                Unknown::Merge => super::merge(state, event),
                Unknown::Fail => Err(Error::invalid(format!(
                    "no rule takes {name} version {version}"
                ))),
            };
        }
        let data = super::data(event)?;
        for action in rules.flat_map(|rule| &rule.actions) {
            action.apply(state, event, data.as_ref()).map_err(|error| {
                Error::new(
                    error.kind(),
                    format!("{name}, at \"{}\": {error}", action.at),
                )
                .because(error)
            })?;
        }
        Ok(())
    }
}

impl Action {
    fn apply(
        &self,
        state: &mut Value,
        event: &RecordedEvent,
        data: Option<&Value>,
    ) -> Result<(), Error> {
        if self.what == What::Remove {
            self.at.remove(state);
            return Ok(());
        }
        let Some(value) = self.source.of(event, data)? else {
            return Ok(());
        };
        match self.what {
            What::Set => self.at.set(state, value)?,
            What::Merge => merge_object(self.at.place(state)?, value)?,
            What::Append => self.append(state, value)?,
            What::Increment => self.count(state, &value, false)?,
            What::Decrement => self.count(state, &value, true)?,
            What::Remove => {}
        }
        Ok(())
    }

    fn append(&self, state: &mut Value, value: Value) -> Result<(), Error> {
        match self.at.place(state)? {
            Value::Array(items) => items.push(value),
            place @ Value::Null => *place = Value::Array(vec![value]),
            other => {
                let what = format!("nothing can be appended to {}", kind(other));
                return Err(Error::invalid(what));
            }
        }
        Ok(())
    }

    fn count(&self, state: &mut Value, by: &Value, minus: bool) -> Result<(), Error> {
        let place = self.at.place(state)?;
        if place.is_null() {
            *place = Value::from(0);
        }
        *place = sum(place, by, minus)?;
        Ok(())
    }
}

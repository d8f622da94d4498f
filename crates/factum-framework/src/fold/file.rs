//! A fold, read from its file. The form is described in the parent module.

use serde_json::{Map, Value};

use super::rules::{Action, Rule, Rules, Takes, Unknown, What};
use crate::declared::{self, Table};
use crate::error::Error;
use crate::value::Source;

const UNKNOWN: &[(&str, Unknown)] = &[
    ("ignore", Unknown::Ignore),
    ("merge", Unknown::Merge),
    ("fail", Unknown::Fail),
];
const WHAT: &[(&str, What)] = &[
    ("set", What::Set),
    ("merge", What::Merge),
    ("append", What::Append),
    ("increment", What::Increment),
    ("decrement", What::Decrement),
    ("remove", What::Remove),
];
const WHAT_NAMES: [&str; 6] = ["set", "merge", "append", "increment", "decrement", "remove"];

impl Rules {
    /// What the text of a file declares.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        let mut file = declared::read(text)?;
        file.format()?;
        let initial = match file.take("initial") {
            Some(entry) => entry.json()?,
            None => Value::Object(Map::new()),
        };
        let unknown = match file.take("unknown") {
            Some(entry) => entry.word(UNKNOWN)?,
            None => Unknown::Ignore,
        };
        let on = file.need(
            "on",
            "write a rule as [[on]] for the events that change the state",
        )?;
        let rules = on
            .tables()?
            .into_iter()
            .map(rule)
            .collect::<Result<_, _>>()?;
        file.finish()?;
        Ok(Self {
            initial,
            unknown,
            rules,
        })
    }
}

impl Takes {
    /// The keys `event` and `version` of a table.
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, Error> {
        let event = table.need("event", "which events the rule takes")?;
        let mut types = event.texts()?;
        if types.iter().any(|name| name == "*") {
            if types.len() > 1 {
                return Err(event.wrong("\"*\" takes all events; leave the other names out"));
            }
            types.clear();
        }
        for name in &types {
            factum_types::EventType::new(name).map_err(|error| event.wrong(error))?;
        }
        let versions = match table.take("version") {
            Some(entry) => entry.versions()?,
            None => Vec::new(),
        };
        Ok(Self { types, versions })
    }
}

fn rule(mut table: Table<'_>) -> Result<Rule, Error> {
    let takes = Takes::read(&mut table)?;
    let actions = table.need(
        "do",
        "what the events do, as in do = [{ set = \"/status\", value = \"new\" }]",
    )?;
    let actions = actions
        .tables()?
        .into_iter()
        .map(action)
        .collect::<Result<_, _>>()?;
    table.finish()?;
    Ok(Rule { takes, actions })
}

fn action(mut table: Table<'_>) -> Result<Action, Error> {
    let entry = table.one_of(&WHAT_NAMES, "the step")?;
    let at = entry.pointer()?;
    let found = WHAT.iter().find(|(name, _)| *name == entry.key());
    let what = found.map_or(What::Remove, |(_, what)| *what);
    let by = match what {
        What::Increment | What::Decrement => table.take("by"),
        _ => None,
    };
    let given = if what == What::Remove {
        None
    } else {
        Source::read(&mut table)?
    };
    let source = match (what, given, by) {
        (_, Some(_), Some(by)) => return Err(by.wrong("it excludes `value`, `from` and `beside`")),
        (_, Some(given), None) => given,
        (_, None, Some(by)) => {
            let number = by.json()?;
            if !number.is_number() {
                return Err(by.wrong("a number is expected"));
            }
            Source::constant(number)
        }
        (What::Increment | What::Decrement, None, None) => Source::constant(Value::from(1)),
        (What::Merge | What::Append, None, None) => Source::whole(),
        (What::Remove, ..) => Source::constant(Value::Null),
        (What::Set, None, None) => {
            return Err(entry.wrong("what is set there: add `value`, `from` or `beside`"));
        }
    };
    table.finish()?;
    Ok(Action { what, at, source })
}

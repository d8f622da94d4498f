//! Steps from a file (TOML 1.0), in which every mistake is named with its line.
//!
//! ```toml
//! format = 1                                # of this file; always there
//! unknown = "keep"                          # types that no step names: keep (the default), drop, or fail
//!
//! [[step]]
//! event = "A_SUBMITTED"                     # one type, a list of types, or "*" for all
//! version = 1                               # only these schema versions
//! stream = "loanApplication-*"              # only these streams
//! when = { "/lifecycle" = "COMPLETE" }      # only if each field is this, or one of a list
//! has = "/AMOUNT_REQ"                       # only if these fields are there, or, with lacks, are not
//! rename = "ApplicationSubmitted"           # then: another type,
//! set_version = 2                           # another schema version,
//! rename_stream = "application-*"           # another stream: * is what * stood for in `stream`,
//! fields = [                                # other data, in this order:
//!   { move = "/AMOUNT_REQ", to = "/amount" },
//!   { copy = "/amount", to = "/requested" },
//!   { convert = "/amount", as = "number" },
//!   { set = "/currency", value = "EUR" },   # or from another field, or beside = "time"
//!   { fill = "/channel", value = "web" },   # only where nothing is
//!   { map = "/lifecycle", values = { COMPLETE = "done" }, otherwise = "fail" },
//!   { join = ["/first", "/last"], to = "/name", with = " " },
//!   { merge = "/address", to = "/home" },
//!   { remove = "/lifecycle" },
//!   { keep = ["/amount", "/name"] },        # and nothing else
//! ]
//!
//! [[step]]
//! event = "Heartbeat"
//! drop = true
//!
//! [[step]]
//! event = "AddressChanged"
//! split = [                                 # each begins with all of the event
//!   { rename = "Moved", has = "/city", fields = [{ keep = "/city" }] },
//!   { rename = "PhoneChanged", has = "/phone", fields = [{ keep = "/phone" }] },
//! ]
//! ```
//!
//! An event goes through all steps, in order: what one step made of it is what the next one sees, its new type included. `beside` and its
//! words, `as` and `default` are those of [folds](crate::fold). `map` with `otherwise` says what becomes of other values: `fail` (the
//! default), `keep` or `remove`. `move`, `copy`, `convert`, `map`, `join` and `merge` do nothing for a field that is not there; `move`,
//! `join` and `merge` take away what they move.

use factum_types::{EventType, RecordedEvent, StreamName};

use super::steps::{Change, Condition, Field, Otherwise, Part, Pattern, Rule, Then, Unknown};
use super::{Draft, PARTS_MAX, Steps};
use crate::declared::{self, Entry, Table};
use crate::error::Error;
use crate::fold::Takes;
use crate::value::{FORMS, Source};

const UNKNOWN: &[(&str, Unknown)] = &[
    ("keep", Unknown::Keep),
    ("drop", Unknown::Drop),
    ("fail", Unknown::Fail),
];
const OTHERWISE: &[(&str, Otherwise)] = &[
    ("fail", Otherwise::Fail),
    ("keep", Otherwise::Keep),
    ("remove", Otherwise::Remove),
];
const FIELDS: [&str; 10] = [
    "set", "fill", "move", "copy", "remove", "keep", "convert", "map", "join", "merge",
];

/// Steps that a file declares; see the [module](self) for its form.
///
/// ```
/// use factum_framework::transform::file::DeclaredSteps;
///
/// let steps = DeclaredSteps::read(r#"
///     format = 1
///     [[step]]
///     event = "order.new"
///     rename = "OrderPlaced"
/// "#)?;
/// assert_eq!(steps.len(), 1);
/// let error = DeclaredSteps::read("format = 1\n[[step]]\nevent = \"x\"\nrenam = \"y\"\n").unwrap_err();
/// assert!(error.to_string().starts_with("line 4: the key `renam` is not known here"));
/// # Ok::<(), factum_framework::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredSteps {
    unknown: Unknown,
    rules: Vec<Rule>,
    fingerprint: String,
}

impl DeclaredSteps {
    /// What the text of a file declares.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) names the first mistake with its line.
    pub fn read(text: &str) -> Result<Self, Error> {
        let mut file = declared::read(text)?;
        file.format()?;
        let unknown = match file.take("unknown") {
            Some(entry) => entry.word(UNKNOWN)?,
            None => Unknown::Keep,
        };
        let steps = file.need("step", "write a step as [[step]]")?;
        let rules = steps
            .tables()?
            .into_iter()
            .map(rule)
            .collect::<Result<_, _>>()?;
        file.finish()?;
        let fingerprint = crate::env::derive_id(&["steps", text]).to_string();
        Ok(Self {
            unknown,
            rules,
            fingerprint,
        })
    }

    /// How many steps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none, so that events are only copied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// A text that changes with the file: what a [`Transform`](super::Transform) is named by.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl Steps for DeclaredSteps {
    fn apply(&self, event: Draft) -> Result<Vec<Draft>, Error> {
        if self.unknown != Unknown::Keep && !self.knows(event.source()) {
            return match self.unknown {
                Unknown::Fail => Err(Error::invalid(format!(
                    "no step names the type {}",
                    event.name()
                ))),
                Unknown::Keep | Unknown::Drop => Ok(Vec::new()),
            };
        }
        let mut events = vec![event];
        for rule in &self.rules {
            let mut next = Vec::with_capacity(events.len());
            for event in events {
                rule.apply(event, &mut next)?;
                // Splits of splits: their number is no longer that of the lines.
                if next.len() > PARTS_MAX {
                    return Err(Error::invalid(format!(
                        "it would become more events than the limit of {PARTS_MAX}"
                    )));
                }
            }
            events = next;
        }
        Ok(events)
    }

    fn knows(&self, event: &RecordedEvent) -> bool {
        let name = event.event_type.as_str();
        self.rules
            .iter()
            .any(|rule| rule.takes.types.iter().any(|known| known == name))
    }
}

fn rule(mut table: Table<'_>) -> Result<Rule, Error> {
    let line = table.line;
    let takes = Takes::read(&mut table)?;
    let stream = table
        .take("stream")
        .map(|entry| pattern(&entry))
        .transpose()?;
    let when = conditions(&mut table)?;
    let dropped = table.take("drop");
    let split = table.take("split");
    let change = change(&mut table, stream.as_ref())?;
    let then = match (dropped, split, change) {
        (Some(dropped), None, None) => {
            if !dropped.boolean()? {
                return Err(dropped.wrong("write true, or leave it out"));
            }
            Then::Drop
        }
        (None, Some(split), None) => {
            let parts = split
                .tables()?
                .into_iter()
                .map(|table| part(table, stream.as_ref()));
            Then::Split(parts.collect::<Result<_, _>>()?)
        }
        (None, None, Some(change)) => Then::Change(change),
        (None, None, None) => {
            table.finish()?;
            let what = "the step does nothing: add rename, set_version, rename_stream, fields, drop or split";
            return Err(declared::wrong(line, what));
        }
        _ => {
            let what = "drop, split and changes exclude each other: what parts of a split change stands in the parts";
            return Err(declared::wrong(line, what));
        }
    };
    table.finish()?;
    Ok(Rule {
        takes,
        stream,
        when,
        then,
    })
}

fn part(mut table: Table<'_>, stream: Option<&Pattern>) -> Result<Part, Error> {
    let when = conditions(&mut table)?;
    let change = change(&mut table, stream)?.unwrap_or_default();
    table.finish()?;
    Ok(Part { when, change })
}

fn conditions(table: &mut Table<'_>) -> Result<Vec<Condition>, Error> {
    let mut all = Vec::new();
    if let Some(when) = table.take("when") {
        for (pointer, value) in when.map()? {
            let pointer =
                crate::pointer::Pointer::new(pointer).map_err(|error| when.wrong(error))?;
            let values = match value {
                serde_json::Value::Array(values) => values,
                value => vec![value],
            };
            all.push(Condition::Is(pointer, values));
        }
    }
    if let Some(has) = table.take("has") {
        all.extend(has.pointers()?.into_iter().map(Condition::Has));
    }
    if let Some(lacks) = table.take("lacks") {
        all.extend(lacks.pointers()?.into_iter().map(Condition::Lacks));
    }
    Ok(all)
}

fn change(table: &mut Table<'_>, stream: Option<&Pattern>) -> Result<Option<Change>, Error> {
    let (rename, version) = (table.take("rename"), table.take("set_version"));
    let (to, fields) = (table.take("rename_stream"), table.take("fields"));
    if [&rename, &version, &to, &fields]
        .into_iter()
        .all(Option::is_none)
    {
        return Ok(None);
    }
    let mut change = Change::default();
    if let Some(rename) = rename {
        let name = EventType::new(rename.text()?).map_err(|error| rename.wrong(error))?;
        change.rename = Some(name);
    }
    if let Some(version) = version {
        let number = u32::try_from(version.integer()?)
            .ok()
            .filter(|number| *number > 0);
        change.version =
            Some(number.ok_or_else(|| version.wrong("a version from 1 on is expected"))?);
    }
    if let Some(to) = to {
        let pattern = pattern(&to)?;
        if pattern.has_star() && !stream.is_some_and(Pattern::has_star) {
            return Err(to.wrong(
                "* stands for what * took in `stream`, as in stream = \"loan-*\"; write that too",
            ));
        }
        change.stream = Some(pattern);
    }
    if let Some(fields) = fields {
        change.fields = fields
            .tables()?
            .into_iter()
            .map(field)
            .collect::<Result<_, _>>()?;
    }
    Ok(Some(change))
}

fn pattern(entry: &Entry<'_>) -> Result<Pattern, Error> {
    let text = entry.text()?;
    if text.matches('*').count() > 1 {
        return Err(entry.wrong("* may stand once"));
    }
    StreamName::new(&text).map_err(|error| entry.wrong(error))?;
    Ok(Pattern::new(&text))
}

fn field(mut table: Table<'_>) -> Result<Field, Error> {
    let entry = table.one_of(&FIELDS, "the field")?;
    let to = |table: &mut Table<'_>| table.need("to", "where it goes")?.pointer();
    let field = match entry.key() {
        "set" | "fill" => {
            let source = Source::read(&mut table)?;
            let source = source
                .ok_or_else(|| entry.wrong("what is put there: add `value`, `from` or `beside`"))?;
            let at = entry.pointer()?;
            if entry.key() == "set" {
                Field::Set(at, source)
            } else {
                Field::Fill(at, source)
            }
        }
        "move" => Field::Move(entry.pointer()?, to(&mut table)?),
        "copy" => Field::Copy(entry.pointer()?, to(&mut table)?),
        "remove" => Field::Remove(entry.pointers()?),
        "keep" => Field::Keep(entry.pointers()?),
        "convert" => {
            let form = table.need("as", "number, text or boolean")?;
            Field::Convert(entry.pointer()?, form.word(FORMS)?)
        }
        "map" => {
            let values = table.need("values", "{ old = \"new\" }")?.map()?;
            let otherwise = table
                .take("otherwise")
                .map(|entry| entry.word(OTHERWISE))
                .transpose()?;
            Field::Map(
                entry.pointer()?,
                values,
                otherwise.unwrap_or(Otherwise::Fail),
            )
        }
        "join" => {
            let with = table.take("with").map(|entry| entry.text()).transpose()?;
            Field::Join(entry.pointers()?, to(&mut table)?, with.unwrap_or_default())
        }
        _ => {
            let to = table.take("to").map(|entry| entry.pointer()).transpose()?;
            Field::Merge(
                entry.pointer()?,
                to.unwrap_or(crate::pointer::Pointer::ROOT),
            )
        }
    };
    table.finish()?;
    Ok(field)
}

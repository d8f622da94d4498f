//! What was taken down, as SQL: one statement for all rows of a table to which the same happens.
//!
//! Lists of values are bound, a list for each column, and taken apart by `unnest`; many new rows go by COPY. Relies on: names checked by
//! `Table::check`. Never: splices a value; sends more in one message than a limit.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use factum_projection::{Column, Error, Table, Value};
use tokio_postgres::types::{IsNull, ToSql, Type};

use crate::effect::{Cell, Effect, What};
use crate::schema::{quoted, table_name};
use crate::session::Bound;
use crate::value::{Sent, list_type, one_type};
use crate::writer::Batch;

/// How many rows a statement is for at most.
const ROWS_MAX: usize = 8_192;
/// From how many new rows on they are copied, which takes two more round trips and is faster for each.
const COPY_ROWS_MIN: usize = 64;
/// After how many bytes a message of a COPY is sent.
const CHUNK_BYTES: usize = 64 << 10;
/// The head of COPY's binary format: signature, no flags, no extension.
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Something to be sent.
pub(crate) enum Statement<'a> {
    /// Lists are bound to it.
    Bound {
        what: String,
        sql: String,
        table: &'a Table,
        lists: Vec<List<'a>>,
    },
    /// Rows are copied.
    Copy {
        what: String,
        sql: String,
        table: &'a Table,
        effects: Vec<&'a Effect>,
    },
}

impl Statement<'_> {
    /// The table whose rows have to be found by their key, if that is so.
    pub(crate) const fn needs_key(&self) -> Option<&Table> {
        match self {
            Self::Bound { table, .. } => Some(table),
            Self::Copy { .. } => None,
        }
    }
}

/// The values of a column.
pub(crate) struct List<'a> {
    of: Type,
    values: Vec<Sent<'a>>,
}

impl List<'_> {
    pub(crate) fn bound(&self) -> Bound<'_> {
        (&self.values, self.of.clone())
    }
}

/// What happens to which columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Keep,
    Set,
    Add,
}

/// The statements for a table, in the order in which they have to be run, each for at most so many rows.
pub(crate) fn statements<'a>(
    schema: &str,
    table: &'a Table,
    generation: u32,
    batch: &'a Batch,
    rows_max: usize,
) -> Vec<Statement<'a>> {
    let groups = groups(&batch.effects);
    let target = format!("{schema}.{}", quoted(&table_name(&table.name, generation)));
    let mut statements = Vec::new();
    for group in groups {
        let Group {
            what,
            fates,
            effects,
            ..
        } = group;
        let shape = Shape {
            table,
            target: &target,
            fates: &fates,
        };
        let doing = || format!("cannot write to {}", table.name);
        if what == What::Insert && effects.len().min(rows_max) >= COPY_ROWS_MIN {
            statements.extend(effects.chunks(rows_max).map(|effects| Statement::Copy {
                what: doing(),
                sql: copy_sql(&target, table),
                table,
                effects: effects.to_vec(),
            }));
            continue;
        }
        for effects in effects.chunks(ROWS_MAX.min(rows_max)) {
            statements.push(Statement::Bound {
                what: doing(),
                sql: shape.sql(what),
                table,
                lists: shape.lists(what, effects),
            });
        }
    }
    statements
}

/// Rows to which the same happens in the same round.
struct Group<'a> {
    round: u32,
    what: What,
    fates: Vec<Fate>,
    effects: Vec<&'a Effect>,
}

/// What happens to a row, but for its values: effects that have this in common go by one statement.
type Manner = (u32, What, Vec<Fate>);

impl Group<'_> {
    fn takes(&self, round: u32, effect: &Effect) -> bool {
        let fates = || effect.cells.iter().map(Cell::fate);
        self.round == round && self.what == effect.what && fates().eq(self.fates.iter().copied())
    }
}

/// Effects by round and manner; each is looked up once, however many manners there are.
fn groups(effects: &[(u32, Effect)]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: BTreeMap<Manner, usize> = BTreeMap::new();
    let mut last = 0;
    for (round, effect) in effects {
        // Mostly it is the one before.
        if !groups.get(last).is_some_and(|it| it.takes(*round, effect)) {
            let fates: Vec<Fate> = effect.cells.iter().map(Cell::fate).collect();
            let manner = (*round, effect.what, fates);
            last = known.get(&manner).copied().unwrap_or(groups.len());
            if last == groups.len() {
                groups.push(Group {
                    round: *round,
                    what: effect.what,
                    fates: manner.2.clone(),
                    effects: Vec::new(),
                });
                known.insert(manner, last);
            }
        }
        if let Some(group) = groups.get_mut(last) {
            group.effects.push(effect);
        }
    }
    groups.sort_by_key(|group| group.round);
    groups
}

struct Shape<'s> {
    table: &'s Table,
    target: &'s str,
    fates: &'s [Fate],
}

impl Shape<'_> {
    fn columns(&self) -> impl Iterator<Item = (usize, &Column, Fate)> {
        let all = self.table.columns.iter().zip(self.fates);
        all.enumerate()
            .map(|(index, (column, fate))| (index, column, *fate))
    }

    fn is_key(&self, column: &Column) -> bool {
        self.table.key.contains(&column.name)
    }

    /// The columns whose values are sent.
    fn sent(&self, what: What) -> impl Iterator<Item = (usize, &Column)> {
        self.columns()
            .filter(move |(_, column, fate)| {
                self.is_key(column) || (what != What::Delete && *fate != Fate::Keep)
            })
            .map(|(index, column, _)| (index, column))
    }

    fn lists<'a>(&self, what: What, effects: &[&'a Effect]) -> Vec<List<'a>> {
        self.sent(what)
            .map(|(index, column)| List {
                of: list_type(column.holds),
                values: effects
                    .iter()
                    .map(|effect| {
                        effect
                            .cells
                            .get(index)
                            .map_or(Sent::Value(&Value::Null), Cell::sent)
                    })
                    .collect(),
            })
            .collect()
    }

    fn sql(&self, what: What) -> String {
        let sent: Vec<String> = self.sent(what).map(|(_, it)| quoted(&it.name)).collect();
        let places: Vec<String> = (1..=sent.len()).map(|index| format!("${index}")).collect();
        let (columns, places, target) = (sent.join(", "), places.join(", "), self.target);
        let rows = format!("unnest({places})");
        match what {
            What::Insert => format!("INSERT INTO {target} ({columns}) SELECT * FROM {rows}"),
            What::Replace | What::Upsert => {
                let sets = self.sets("excluded");
                let key: Vec<String> = self.table.key.iter().map(|it| quoted(it)).collect();
                let key = key.join(", ");
                let conflict = if sets.is_empty() {
                    "NOTHING".to_owned()
                } else {
                    format!("UPDATE SET {sets}")
                };
                format!(
                    "INSERT INTO {target} AS old ({columns}) SELECT * FROM {rows} ON CONFLICT ({key}) DO {conflict}"
                )
            }
            What::Update => {
                let (sets, is) = (self.sets("new"), self.is_same());
                format!(
                    "UPDATE {target} AS old SET {sets} FROM {rows} AS new ({columns}) WHERE {is}"
                )
            }
            What::Delete => {
                let is = self.is_same();
                format!("DELETE FROM {target} AS old USING {rows} AS new ({columns}) WHERE {is}")
            }
        }
    }

    /// What is set in a row that is there.
    fn sets(&self, from: &str) -> String {
        let sets: Vec<String> = self
            .columns()
            .filter(|(_, column, _)| !self.is_key(column))
            .filter_map(|(_, column, fate)| {
                let name = quoted(&column.name);
                match fate {
                    Fate::Keep => None,
                    Fate::Set => Some(format!("{name} = {from}.{name}")),
                    Fate::Add => Some(format!("{name} = coalesce(old.{name}, 0) + {from}.{name}")),
                }
            })
            .collect();
        sets.join(", ")
    }

    fn is_same(&self) -> String {
        let key = self.table.key.iter().map(|name| {
            let name = quoted(name);
            format!("old.{name} = new.{name}")
        });
        key.collect::<Vec<_>>().join(" AND ")
    }
}

/// New rows as a COPY sends them, made while they are sent.
pub(crate) fn copied<'a>(
    table: &'a Table,
    effects: &'a [&'a Effect],
) -> impl Iterator<Item = Result<Bytes, Error>> + Send + 'a {
    let rows = effects
        .iter()
        .map(|effect| effect.cells.iter().map(Cell::sent));
    Chunks::new(table, rows)
}

/// A COPY of all columns.
fn copy_sql(target: &str, table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|it| quoted(&it.name)).collect();
    let columns = columns.join(", ");
    format!("COPY {target} ({columns}) FROM STDIN (FORMAT binary)")
}

/// The COPY of whole rows, and what is sent for it, made while it is sent.
pub(crate) fn copy_rows<'a>(
    target: &str,
    table: &'a Table,
    rows: &'a [Vec<Value>],
) -> (
    String,
    impl Iterator<Item = Result<Bytes, Error>> + Send + 'a,
) {
    let rows = rows.iter().map(|row| row.iter().map(Sent::Value));
    (copy_sql(target, table), Chunks::new(table, rows))
}

/// Rows in COPY's binary format: a count of fields, then each with its length before it, -1 for null; -1 ends it.
struct Chunks<'a, R> {
    table: &'a Table,
    rows: R,
    begun: bool,
    ended: bool,
}

impl<'a, R> Chunks<'a, R> {
    const fn new(table: &'a Table, rows: R) -> Self {
        Self {
            table,
            rows,
            begun: false,
            ended: false,
        }
    }
}

impl<'v, R, C> Iterator for Chunks<'_, R>
where
    R: Iterator<Item = C>,
    C: Iterator<Item = Sent<'v>>,
{
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut out = BytesMut::with_capacity(CHUNK_BYTES.saturating_mul(2));
        if !self.begun {
            out.put_slice(COPY_HEAD);
            self.begun = true;
        }
        while out.len() < CHUNK_BYTES {
            let Some(row) = self.rows.next() else {
                out.put_i16(-1);
                self.ended = true;
                break;
            };
            if let Err(error) = put_row(&mut out, self.table, row) {
                self.ended = true;
                return Some(Err(error));
            }
        }
        Some(Ok(out.freeze()))
    }
}

fn put_row<'v>(
    out: &mut BytesMut,
    table: &Table,
    row: impl Iterator<Item = Sent<'v>>,
) -> Result<(), Error> {
    let count = i16::try_from(table.columns.len());
    out.put_i16(count.map_err(|error| Error::invalid(error.to_string()).because(error))?);
    for (column, value) in table.columns.iter().zip(row) {
        field(out, column, value).map_err(|error| {
            let (table, column) = (&table.name, &column.name);
            Error::refused(format!("column {column} of table {table}: {error}"))
        })?;
    }
    Ok(())
}

fn field(out: &mut BytesMut, column: &Column, value: Sent<'_>) -> Result<(), String> {
    let at = out.len();
    out.put_i32(-1);
    let written = value.to_sql(&one_type(column.holds), out);
    if let IsNull::Yes = written.map_err(|error| error.to_string())? {
        return Ok(());
    }
    let length = out.len().saturating_sub(at).saturating_sub(4);
    let length =
        i32::try_from(length).map_err(|error| format!("a value of {length} bytes: {error}"))?;
    if let Some(place) = out.get_mut(at..at.saturating_add(4)) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

impl Cell {
    const fn fate(&self) -> Fate {
        match self {
            Self::Keep => Fate::Keep,
            Self::Set(_) => Fate::Set,
            Self::Add(_) => Fate::Add,
        }
    }

    fn sent(&self) -> Sent<'_> {
        match self {
            Self::Keep => Sent::Value(&Value::Null),
            Self::Set(value) => Sent::Value(value),
            Self::Add(by) => Sent::Number(*by),
        }
    }
}

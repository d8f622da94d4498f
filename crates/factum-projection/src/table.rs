//! The shape of tables, and what every sink checks before it writes.
//!
//! What lives here: [`Table`] and its columns. Relies on: names that are checked here, so that a sink may quote them. Never: holds SQL.

use crate::error::Error;
use crate::rows::Cell;
use crate::value::Value;

/// A table has at most this many columns.
pub const COLUMNS_MAX: usize = 256;
/// A table has at most this many indexes beside its key.
pub const INDEXES_MAX: usize = 16;
/// The longest name of a table or column, in bytes; what is left of PostgreSQL's 63 is for generations.
pub const NAME_BYTES_MAX: usize = 48;

/// What a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// [`Value::Text`].
    Text,
    /// [`Value::Integer`].
    Integer,
    /// [`Value::Real`].
    Real,
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Bytes`].
    Bytes,
    /// [`Value::Time`].
    Time,
    /// [`Value::Json`]; not in a key or an index.
    Json,
}

impl ColumnType {
    /// Whether a column of this type takes the value; everything takes [`Value::Null`], and a number with fraction takes whole ones.
    #[must_use]
    pub const fn takes(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (_, Value::Null)
                | (Self::Text, Value::Text(_))
                | (Self::Integer, Value::Integer(_))
                | (Self::Real, Value::Real(_) | Value::Integer(_))
                | (Self::Bool, Value::Bool(_))
                | (Self::Bytes, Value::Bytes(_))
                | (Self::Time, Value::Time(_))
                | (Self::Json, Value::Json(_))
        )
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub holds: ColumnType,
}

/// The shape of a table.
///
/// ```
/// use factum_projection::Table;
///
/// let table = Table::new("orders").text("id").text("status").time("confirmed_at").key(["id"]);
/// assert!(table.check().is_ok());
/// assert!(Table::new("orders; drop").text("id").key(["id"]).check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The name that readers use.
    pub name: String,
    /// In order.
    pub columns: Vec<Column>,
    /// The columns by which a row is found, at least one.
    pub key: Vec<String>,
    /// Columns by which readers look for rows, each list an index of its own. Sinks that index everything leave them out.
    pub indexes: Vec<Vec<String>>,
}

impl Table {
    /// A table without columns yet.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            columns: Vec::new(),
            key: Vec::new(),
            indexes: Vec::new(),
        }
    }

    /// With a column more.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>, holds: ColumnType) -> Self {
        let name = name.into();
        self.columns.push(Column { name, holds });
        self
    }

    /// With a column for text.
    #[must_use]
    pub fn text(self, name: impl Into<String>) -> Self {
        self.column(name, ColumnType::Text)
    }

    /// With a column for whole numbers.
    #[must_use]
    pub fn integer(self, name: impl Into<String>) -> Self {
        self.column(name, ColumnType::Integer)
    }

    /// With a column for moments.
    #[must_use]
    pub fn time(self, name: impl Into<String>) -> Self {
        self.column(name, ColumnType::Time)
    }

    /// With a column for JSON.
    #[must_use]
    pub fn json(self, name: impl Into<String>) -> Self {
        self.column(name, ColumnType::Json)
    }

    /// With an index more over these columns, beside the key; a bulk load makes it at the end.
    #[must_use]
    pub fn index<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        self.indexes.push(columns);
        self
    }

    /// With these columns as key.
    #[must_use]
    pub fn key<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.key = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Checks names and key.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): which name, and why.
    pub fn check(&self) -> Result<(), Error> {
        check_name(&self.name)?;
        for (index, column) in self.columns.iter().enumerate() {
            check_name(&column.name)?;
            let mut before = self.columns.iter().take(index);
            if before.any(|other| other.name == column.name) {
                return Err(self.invalid(&format!("has the column {} twice", column.name)));
            }
        }
        if self.columns.len() > COLUMNS_MAX {
            return Err(self.invalid(&format!("has more than {COLUMNS_MAX} columns")));
        }
        if self.key.is_empty() {
            return Err(self.invalid("has no key"));
        }
        self.check_columns("key", &self.key)?;
        if self.indexes.len() > INDEXES_MAX {
            return Err(self.invalid(&format!("has more than {INDEXES_MAX} indexes")));
        }
        for index in &self.indexes {
            if index.is_empty() {
                return Err(self.invalid("has an index without columns"));
            }
            self.check_columns("index", index)?;
        }
        Ok(())
    }

    /// Checks each of these tables, and that none has the name of another.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): which name, and why.
    pub fn check_all(tables: &[Self]) -> Result<(), Error> {
        for (index, table) in tables.iter().enumerate() {
            table.check()?;
            let mut before = tables.iter().take(index);
            if before.any(|other| other.name == table.name) {
                return Err(table.invalid("is given twice"));
            }
        }
        Ok(())
    }

    fn check_columns(&self, of: &str, names: &[String]) -> Result<(), Error> {
        for (index, name) in names.iter().enumerate() {
            let wrong = match self.find(name) {
                None => format!("has no column {name}, which is in its {of}"),
                Some(column) if column.holds == ColumnType::Json => {
                    format!("has {name} in its {of}, which holds JSON")
                }
                Some(_) if names.iter().take(index).any(|other| other == name) => {
                    format!("has {name} twice in its {of}")
                }
                Some(_) => continue,
            };
            return Err(self.invalid(&wrong));
        }
        Ok(())
    }

    /// The column of this name.
    #[must_use]
    pub fn find(&self, column: &str) -> Option<&Column> {
        self.columns.iter().find(|found| found.name == column)
    }

    /// Checks that cells fit the columns, that every sink can hold their values, and that no column is given twice.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): which column, and why.
    pub fn check_cells(&self, cells: &[Cell<'_>]) -> Result<(), Error> {
        let table = &self.name;
        for (index, (name, value)) in cells.iter().enumerate() {
            let Some(column) = self.find(name) else {
                return Err(Error::refused(format!(
                    "table {table} has no column {name}"
                )));
            };
            if !column.holds.takes(value) {
                let holds = column.holds;
                return Err(Error::refused(format!(
                    "column {name} of table {table} holds {holds:?}, not {value:?}"
                )));
            }
            if let Some(flaw) = value.flaw() {
                return Err(Error::refused(format!(
                    "column {name} of table {table} cannot hold {flaw}"
                )));
            }
            if cells.iter().take(index).any(|(other, _)| other == name) {
                return Err(Error::refused(format!(
                    "column {name} of table {table} is given twice"
                )));
            }
        }
        Ok(())
    }

    /// Checks a row that is to be written: its cells, and that the whole key is among them.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): which column, and why.
    pub fn check_row(&self, row: &[Cell<'_>]) -> Result<(), Error> {
        self.check_cells(row)?;
        let given = |key: &String| {
            let mut cells = row.iter();
            cells.any(|(name, value)| name == key && *value != Value::Null)
        };
        match self.key.iter().find(|key| !given(key)) {
            Some(key) => Err(self.refused(key, "is in the key and must be given")),
            None => Ok(()),
        }
    }

    /// Checks that cells are the whole key and nothing else.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): which column, and why.
    pub fn check_key(&self, key: &[Cell<'_>]) -> Result<(), Error> {
        self.check_row(key)?;
        match key.iter().find(|(name, _)| !self.has_in_key(name)) {
            Some((name, _)) => Err(self.refused(name, "is not in the key")),
            None => Ok(()),
        }
    }

    /// Checks what an update sets: its cells, and that none is in the key.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): which column, and why.
    pub fn check_set(&self, set: &[Cell<'_>]) -> Result<(), Error> {
        self.check_cells(set)?;
        match set.iter().find(|(name, _)| self.has_in_key(name)) {
            Some((name, _)) => {
                Err(self.refused(name, "is in the key, which an update cannot change"))
            }
            None => Ok(()),
        }
    }

    /// Checks a column that is to be added to: it holds whole numbers and is not in the key.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): why not.
    pub fn check_sum(&self, column: &str) -> Result<(), Error> {
        self.check_set(&[(column, Value::Null)])?;
        match self.find(column) {
            Some(found) if found.holds == ColumnType::Integer => Ok(()),
            _ => Err(self.refused(column, "does not hold whole numbers, so nothing is added")),
        }
    }

    /// A value as a column gives it back: whole numbers as numbers with fraction where it holds those, and no zero below zero.
    #[must_use]
    pub fn settled(&self, column: &str, value: &Value) -> Value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "what a database does with a whole number in such a column"
        )]
        let real = match value {
            Value::Integer(number) => *number as f64,
            Value::Real(number) => *number,
            other => return other.clone(),
        };
        match self.find(column) {
            // Plus zero: it has no sign.
            Some(found) if found.holds == ColumnType::Real => Value::Real(real + 0.0),
            _ => value.clone(),
        }
    }

    fn has_in_key(&self, column: &str) -> bool {
        self.key.iter().any(|key| key == column)
    }

    fn refused(&self, column: &str, what: &str) -> Error {
        Error::refused(format!("column {column} of table {} {what}", self.name))
    }

    fn invalid(&self, what: &str) -> Error {
        Error::invalid(format!("table {} {what}", self.name))
    }
}

/// Lowercase letters, digits and underscores: the same in every database, quoted or not.
fn check_name(name: &str) -> Result<(), Error> {
    let first = name.bytes().next();
    let plain = first.is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with("factum_")
        && !name.contains("__g")
    {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name:?} cannot name a table or column: use a-z, 0-9 and _, at most {NAME_BYTES_MAX}, not beginning with factum_ and without __g"
    )))
}

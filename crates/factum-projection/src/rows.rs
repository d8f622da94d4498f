//! Tables, as all sinks that have some see them: the writer [`Rows`], the values, and the shape of a [`Table`].
//!
//! Relies on: names that are checked here, so that a sink may quote them. Never: holds SQL.

use factum_types::Timestamp;

use crate::error::Error;

/// A table has at most this many columns.
pub const COLUMNS_MAX: usize = 256;
/// The longest name of a table or column, in bytes; what is left of PostgreSQL's 63 is for generations.
pub const NAME_BYTES_MAX: usize = 48;

/// What a column of a row holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text; JSON too.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment.
    Time(Timestamp),
}

macro_rules! value_from {
    ($($from:ty => $to:ident),*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$to(value.into())
            }
        })*
    };
}
value_from!(bool => Bool, i64 => Integer, i32 => Integer, u32 => Integer, f64 => Real, &str => Text, String => Text, Vec<u8> => Bytes, Timestamp => Time);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A column and what it holds.
pub type Cell<'a> = (&'a str, Value);

/// Writes rows of the tables that the sink was given.
///
/// Keys are the columns of the table's key, all of them. A name that is not in the table is refused, so it parks the event.
pub trait Rows {
    /// A new row.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused), now or at commit: there is a row with this key, or a value does not fit.
    fn insert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error>;

    /// A new row, or the columns given of the one with this key.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused), now or at commit: a value does not fit.
    fn upsert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error>;

    /// Changes columns of the row with this key; nothing when there is none.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused), now or at commit: a value does not fit.
    fn update(&mut self, table: &str, key: &[Cell<'_>], set: &[Cell<'_>]) -> Result<(), Error>;

    /// Removes the row with this key; nothing when there is none.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused), now or at commit: the sink does not let it go.
    fn delete(&mut self, table: &str, key: &[Cell<'_>]) -> Result<(), Error>;

    /// Adds to a column of the row with this key, which is made when there is none; nothing counts as zero.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused), now or at commit: what is there is not a whole number.
    fn increment(
        &mut self,
        table: &str,
        key: &[Cell<'_>],
        column: &str,
        by: i64,
    ) -> Result<(), Error>;
}

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
}

impl Table {
    /// A table without columns yet.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            columns: Vec::new(),
            key: Vec::new(),
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
        match self.key.iter().find(|name| self.find(name).is_none()) {
            Some(name) => Err(self.invalid(&format!("has no column {name}, which is in its key"))),
            None => Ok(()),
        }
    }

    /// The column of this name.
    #[must_use]
    pub fn find(&self, column: &str) -> Option<&Column> {
        self.columns.iter().find(|found| found.name == column)
    }

    /// Checks that cells fit the columns, and no column is given twice.
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
            if cells.iter().take(index).any(|(other, _)| other == name) {
                return Err(Error::refused(format!(
                    "column {name} of table {table} is given twice"
                )));
            }
        }
        Ok(())
    }

    /// Checks that the cells contain the whole key.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): what is missing.
    pub fn check_key(&self, cells: &[Cell<'_>]) -> Result<(), Error> {
        let table = &self.name;
        let given = |key: &String| {
            cells
                .iter()
                .any(|(name, value)| name == key && *value != Value::Null)
        };
        match self.key.iter().find(|key| !given(key)) {
            Some(key) => Err(Error::refused(format!(
                "column {key} is in the key of table {table} and must be given"
            ))),
            None => Ok(()),
        }
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

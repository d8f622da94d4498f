//! What a batch does to one row in the end.
//!
//! What lives here: [`Effect`], and how what comes later is merged into it, so that a row that is written ten times is sent once.
//! Relies on: nothing but the rules of `Rows`. Never: merges what could come out otherwise than one after the other; that is kept apart.

use factum_projection::{Error, Table, Value};

/// What becomes of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// It stays, or is null in a new row.
    Keep,
    /// It holds this.
    Set(Value),
    /// This is added.
    Add(i64),
}

/// What becomes of a row; its cells are those of all columns, those of the key set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Effect {
    pub(crate) what: What,
    pub(crate) cells: Vec<Cell>,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// It is new; that there is none is part of it. Nothing is kept or added.
    Insert,
    /// It is this, whatever there was. Nothing is kept or added.
    Replace,
    /// It is new or changed.
    Upsert,
    /// It is changed where there is one.
    Update,
    /// It is gone.
    Delete,
}

impl Effect {
    /// This, and after it the other, in one; gives the other back where it has to be done by itself.
    ///
    /// # Errors
    /// Refused: the other cannot come after this one, whatever there was before.
    pub(crate) fn then(&mut self, later: Self) -> Result<Option<Self>, Error> {
        match (self.what, later.what) {
            (What::Insert | What::Replace | What::Upsert, What::Insert) => {
                Err(Error::refused("there is a row with this key already"))
            }
            // As `is_changed_by` says.
            (What::Insert | What::Replace | What::Upsert, What::Upsert | What::Update)
            | (What::Update, What::Update) => self.fold(later),
            // That there was none has to be found out first.
            (What::Insert, What::Delete | What::Replace) | (What::Update, What::Upsert) => {
                Ok(Some(later))
            }
            (What::Replace | What::Upsert | What::Update, What::Delete | What::Replace) => {
                if self.cells.iter().any(|cell| matches!(cell, Cell::Add(_))) {
                    // The sum may be too much, which is refused although the row goes.
                    return Ok(Some(later));
                }
                *self = later;
                Ok(None)
            }
            // If there is one it is refused, changed or not.
            (What::Update, What::Insert) => {
                *self = later;
                Ok(None)
            }
            (What::Delete, What::Insert | What::Replace | What::Upsert) => {
                self.what = What::Replace;
                let cells = later.cells.into_iter();
                self.cells = cells.map(Cell::of_new).collect();
                Ok(None)
            }
            (What::Delete, What::Update | What::Delete) => Ok(None),
        }
    }

    /// What it is where there was no row; `None` when nothing comes of it.
    pub(crate) fn of_none(self) -> Option<Self> {
        match self.what {
            What::Update | What::Delete => None,
            What::Insert | What::Replace | What::Upsert => Some(Self {
                what: What::Insert,
                cells: self.cells.into_iter().map(Cell::of_new).collect(),
            }),
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.cells.iter().map(Cell::size).sum::<usize>()
    }

    /// What is set in this column.
    pub(crate) fn value(&self, table: &Table, name: &str) -> Option<&Value> {
        let mut all = table.columns.iter().zip(&self.cells);
        match all.find(|(column, _)| column.name == name) {
            Some((_, Cell::Set(value))) => Some(value),
            _ => None,
        }
    }

    fn fold(&mut self, later: Self) -> Result<Option<Self>, Error> {
        let mut pairs = self.cells.iter().zip(&later.cells);
        if pairs.any(|(cell, later)| cell.is_apart_from(later)) {
            return Ok(Some(later));
        }
        let mut pairs = self.cells.iter().zip(&later.cells);
        if self.what == What::Update && pairs.any(|(cell, later)| cell.is_too_much_with(later)) {
            // Only where there is such a row.
            return Ok(Some(later));
        }
        for (cell, later) in self.cells.iter_mut().zip(later.cells) {
            cell.fold(later)?;
        }
        Ok(None)
    }
}

impl What {
    /// Whether the other changes the cells of this and nothing else.
    pub(crate) const fn is_changed_by(self, later: Self) -> bool {
        matches!(
            (self, later),
            (
                Self::Insert | Self::Replace | Self::Upsert,
                Self::Upsert | Self::Update
            ) | (Self::Update, Self::Update)
        )
    }
}

impl Cell {
    /// About how many bytes of memory it takes.
    pub(crate) const fn size(&self) -> usize {
        let more = match self {
            Self::Set(Value::Text(text) | Value::Json(text)) => text.len(),
            Self::Set(Value::Bytes(bytes)) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + more
    }

    /// Adds where no overflow is to be looked for on the way; says whether it did.
    pub(crate) fn raise(&mut self, by: i64) -> bool {
        if self.is_apart_from(&Self::Add(by)) || self.is_too_much_with(&Self::Add(by)) {
            return false;
        }
        self.fold(Self::Add(by)).is_ok()
    }

    /// What it is in a row that was not there.
    pub(crate) fn of_new(self) -> Self {
        match self {
            Self::Keep => Self::Set(Value::Null),
            Self::Add(by) => Self::Set(Value::Integer(by)),
            set @ Self::Set(_) => set,
        }
    }

    /// Whether an overflow on the way would be missed.
    const fn is_apart_from(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Add(_), Self::Set(_)) => true,
            (Self::Add(one), Self::Add(other)) => {
                one.is_negative() != other.is_negative() || one.checked_add(*other).is_none()
            }
            _ => false,
        }
    }

    const fn is_too_much_with(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Set(Value::Integer(sum)), Self::Add(by)) => sum.checked_add(*by).is_none(),
            _ => false,
        }
    }

    fn fold(&mut self, later: Self) -> Result<(), Error> {
        let by = match later {
            Self::Keep => return Ok(()),
            Self::Set(_) => {
                *self = later;
                return Ok(());
            }
            Self::Add(by) => by,
        };
        let (known, sum) = match self {
            Self::Keep => (false, Some(by)),
            Self::Add(sum) => (false, sum.checked_add(by)),
            Self::Set(Value::Integer(sum)) => (true, sum.checked_add(by)),
            Self::Set(_) => (true, Some(by)),
        };
        let sum = sum.ok_or_else(|| Error::refused(format!("{by} more is too much")))?;
        *self = if known {
            Self::Set(Value::Integer(sum))
        } else {
            Self::Add(sum)
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use factum_projection::Value;

    use super::{Cell, Effect, What};

    type Stored = Option<[Option<i64>; 2]>;

    fn random(state: &mut u64, below: u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % below
    }

    fn effect(state: &mut u64) -> Effect {
        let what = match random(state, 4) {
            0 => What::Insert,
            1 => What::Upsert,
            2 => What::Update,
            _ => What::Delete,
        };
        let mut cell = || match random(state, 6) {
            0 => Cell::Set(Value::Null),
            1 => Cell::Set(Value::Integer(7)),
            2 if what != What::Insert => Cell::Add(1),
            3 if what != What::Insert => Cell::Add(-1),
            4 if what != What::Insert => Cell::Add(i64::MAX),
            _ => Cell::Keep,
        };
        let mut cells = vec![cell(), cell()];
        if what == What::Insert {
            cells = cells.into_iter().map(Cell::of_new).collect();
        }
        Effect { what, cells }
    }

    /// What the server does.
    fn apply(row: Stored, effect: &Effect) -> Result<Stored, ()> {
        let new = match (effect.what, row) {
            (What::Delete, _) | (What::Update, None) => return Ok(None),
            (What::Insert, Some(_)) => return Err(()),
            (What::Replace, _) | (_, None) => [None, None],
            (_, Some(row)) => row,
        };
        let cells = new.into_iter().zip(&effect.cells);
        let cells: Result<Vec<_>, ()> = cells
            .map(|(old, cell)| match cell {
                Cell::Keep => Ok(old),
                Cell::Set(Value::Integer(number)) => Ok(Some(*number)),
                Cell::Set(_) => Ok(None),
                Cell::Add(by) => old.unwrap_or(0).checked_add(*by).map(Some).ok_or(()),
            })
            .collect();
        Ok(Some(cells?.try_into().unwrap()))
    }

    /// Each as far into the one before as it goes; how many are left then, or that one was refused.
    fn merge(effects: impl IntoIterator<Item = Effect>) -> Result<Vec<Effect>, ()> {
        let mut short: Vec<Effect> = Vec::new();
        for effect in effects {
            let left = match short.last_mut() {
                None => Some(effect),
                Some(last) => last.then(effect).map_err(drop)?,
            };
            short.extend(left);
        }
        Ok(short)
    }

    #[test]
    fn merged_is_as_one_after_the_other() {
        let (mut merged, mut apart) = (0, 0);
        for seed in 1..20_000_u64 {
            let mut state = seed;
            let effects: Vec<Effect> = (0..5).map(|_| effect(&mut state)).collect();
            // One by one, and what was merged by itself before.
            let (begin, end) = effects.split_at(usize::try_from(random(&mut state, 6)).unwrap());
            let one_by_one = merge(effects.clone());
            let grouped = merge(end.to_vec()).and_then(|end| {
                let begin = merge(begin.to_vec())?;
                merge(begin.into_iter().chain(end))
            });
            for short in [&one_by_one, &grouped] {
                let left = short.as_ref().map_or(0, Vec::len);
                (merged, apart) = (merged + effects.len() - left, apart + left);
                check(seed, &effects, short.as_deref().ok());
            }
        }
        assert!(merged > 20_000 && apart > 20_000, "{merged}, {apart}");
    }

    fn check(seed: u64, effects: &[Effect], short: Option<&[Effect]>) {
        let rows = [
            None,
            Some([None, Some(3)]),
            Some([Some(i64::MAX), Some(-1)]),
            Some([Some(i64::MIN), None]),
        ];
        for row in rows {
            let all = |effects: &[Effect]| effects.iter().try_fold(row, apply);
            let expected = all(effects);
            let seen = short.ok_or(()).and_then(all);
            assert_eq!(seen, expected, "seed {seed}: {row:?} {effects:?} {short:?}");
            if row.is_none()
                && let Some([first, rest @ ..]) = short
            {
                // In a table that is empty.
                let new: Vec<Effect> = first.clone().of_none().into_iter().collect();
                let seen = all(&new).and_then(|row| rest.iter().try_fold(row, apply));
                assert_eq!(seen, expected, "seed {seed}: {effects:?} {new:?}");
            }
        }
    }
}

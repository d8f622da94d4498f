//! What a batch does to one row in the end.
//!
//! What lives here: [`Effect`], and how what comes later is merged into it, so that a row that is written ten times is sent once.
//! Relies on: nothing but the rules of `Rows`. Never: merges what could come out otherwise than one after the other; that is kept apart.

use factum_projection::{Error, Value};

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
            (What::Insert | What::Replace | What::Upsert, What::Insert | What::Replace) => {
                Err(Error::refused("there is a row with this key already"))
            }
            (What::Insert | What::Replace | What::Upsert, What::Upsert | What::Update)
            | (What::Update, What::Update) => self.fold(later),
            // That there was none has to be found out first.
            (What::Insert, What::Delete) | (What::Update, What::Upsert) => Ok(Some(later)),
            (What::Replace | What::Upsert | What::Update, What::Delete) => {
                if self.cells.iter().any(|cell| matches!(cell, Cell::Add(_))) {
                    // The sum may be too much, which is refused although the row goes.
                    return Ok(Some(later));
                }
                *self = later;
                Ok(None)
            }
            // If there is one it is refused, changed or not.
            (What::Update, What::Insert | What::Replace) => {
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

impl Cell {
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

    #[test]
    fn merged_is_as_one_after_the_other() {
        let rows = [
            None,
            Some([None, Some(3)]),
            Some([Some(i64::MAX), Some(-1)]),
            Some([Some(i64::MIN), None]),
        ];
        let (mut merged, mut apart) = (0, 0);
        for seed in 1..20_000_u64 {
            let mut state = seed;
            let effects: Vec<Effect> = (0..5).map(|_| effect(&mut state)).collect();
            let mut short: Vec<Effect> = Vec::new();
            let mut refused = false;
            for effect in effects.clone() {
                let left = match short.last_mut() {
                    None => Some(effect),
                    Some(last) => match last.then(effect) {
                        Ok(left) => left,
                        Err(_) => {
                            refused = true;
                            break;
                        }
                    },
                };
                match left {
                    Some(left) => short.push(left),
                    None => merged += 1,
                }
            }
            apart += short.len();
            for row in rows {
                let all = |effects: &[Effect]| effects.iter().try_fold(row, apply);
                let one_by_one = all(&effects);
                let seen = if refused { Err(()) } else { all(&short) };
                assert_eq!(
                    seen, one_by_one,
                    "seed {seed}: {row:?} {effects:?} {short:?}"
                );
            }
        }
        assert!(merged > 10_000 && apart > 10_000, "{merged}, {apart}");
    }
}

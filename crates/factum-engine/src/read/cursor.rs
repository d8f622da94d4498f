//! A cursor: walks the records of a source through all segments, a page at a time.
//!
//! It remembers a position, not a place in a file, so segments may be sealed, repacked or added while it walks.
//! Relies on: positions below the published end never change. Never: skips or repeats a record.

use crate::number::clamp_u32;
use std::ops::Range;

use factum_store::{Direction, StoreError};

use super::lists::{Lists, Wanted};
use super::page::{Fetched, Page, Want};
use super::plan::{Bounds, Ordinals, SourceKeys};
use crate::view::{Published, Segment, View};

/// Whoever goes through everything has about so much read ahead.
const AHEAD_BYTES: u64 = 16 << 20;
/// Of which it wishes so much at once.
const WISH_BYTES: u64 = 4 << 20;

/// Where a cursor begins.
#[derive(Debug, Clone)]
pub(crate) struct CursorStart {
    pub(crate) source: SourceKeys,
    pub(crate) direction: Direction,
    /// Forwards: the first position considered. Backwards: one more than the last.
    pub(crate) from: u64,
    /// For a stream: the revisions meant.
    pub(crate) revisions: Range<u64>,
    pub(crate) control: bool,
    /// The revisions at which control records are meant; those of hidden events are too.
    pub(crate) control_revisions: Range<u64>,
}

/// Walks the records of a source.
#[derive(Debug)]
pub(crate) struct Cursor {
    start: CursorStart,
    /// For a stream: where its lists are.
    lists: Lists,
    /// Forwards: the next position to consider. Backwards: one more than it.
    next: u64,
    plan: Option<Planned>,
    /// Whoever goes through everything: the position up to which it is read ahead.
    ahead: u64,
}

/// The records of one segment that are still to be fetched.
#[derive(Debug)]
struct Planned {
    segment: Segment,
    base: u64,
    ordinals: Ordinals,
    /// Forwards: where the plan ends. Backwards: where it begins. A position.
    edge: u64,
    /// The same of the segment.
    segment_edge: u64,
}

impl Cursor {
    pub(crate) fn new(start: CursorStart) -> Self {
        Self::with_lists(start, Lists::of_many())
    }

    /// As [`new`](Self::new), for a stream of which some lists have been found.
    pub(crate) const fn with_lists(start: CursorStart, lists: Lists) -> Self {
        let next = start.from;
        Self {
            start,
            lists,
            next,
            plan: None,
            ahead: 0,
        }
    }

    /// Forwards: every record before this position has been given.
    pub(crate) const fn next_position(&self) -> u64 {
        self.next
    }

    /// Adds records to the page until it holds as many records or bytes as wanted, or there are no more. Says whether there are no more now.
    pub(crate) fn fill(
        &mut self,
        published: &Published,
        page: &mut Page,
        (count, bytes): (usize, usize),
    ) -> Result<bool, StoreError> {
        let (control, control_revisions) =
            (self.start.control, self.start.control_revisions.clone());
        let want = Want {
            count,
            bytes,
            control,
            control_revisions,
        };
        // The end first: what lies before it is in the view that is taken afterwards.
        let end = published.end();
        let view = published.view();
        self.look_ahead(&view);
        while page.len() < count && page.byte_len() < bytes {
            if self.plan.is_none() {
                match self.plan_next(&view, end) {
                    Ok(true) => {}
                    Ok(false) => return Ok(true),
                    Err(error) => page.push_damage(error)?,
                }
            }
            let Some(plan) = &mut self.plan else { continue };
            match plan.fetch(self.start.direction, page, &want) {
                Ok(fetched) => self.advance(fetched),
                Err(error) => {
                    // What is wrong with the segment as a whole is told once, and the read goes on behind it.
                    page.push_damage(error)?;
                    self.next = plan.segment_edge;
                    self.plan = None;
                }
            }
        }
        Ok(false)
    }

    /// Wishes that what comes next is read ahead, if this goes through everything and has given something already: most reads end with
    /// their first page.
    fn look_ahead(&mut self, view: &View) {
        let is_going = self.next > self.start.from && self.start.direction == Direction::Forward;
        if !is_going || !matches!(self.start.source, SourceKeys::All) {
            return;
        }
        self.ahead = self.ahead.max(self.next);
        while let Some(sealed) = view.sealed.get(view.segment_at(self.ahead)) {
            let (bytes, records) = (sealed.entry.end_offset, sealed.entry.record_count);
            let records_in = |wanted: u64| part(wanted, records, bytes).max(1);
            let end = sealed.end_position();
            if self.ahead >= end || self.ahead - self.next >= records_in(AHEAD_BYTES) {
                return;
            }
            let until = end.min(self.ahead.saturating_add(records_in(WISH_BYTES)));
            let base = sealed.entry.base_position;
            let place = |position: u64| part(position.saturating_sub(base), bytes, records);
            if !sealed.wish(place(self.ahead)..place(until)) {
                return;
            }
            self.ahead = until;
        }
    }

    fn advance(&mut self, fetched: Fetched) {
        let Some(plan) = &mut self.plan else { return };
        if fetched.exhausted {
            self.next = plan.edge;
            self.plan = None;
            return;
        }
        let Some(last) = fetched.last else { return };
        let forward = self.start.direction == Direction::Forward;
        self.next = plan.base + u64::from(last) + u64::from(forward);
        plan.drop_through(last, forward);
    }

    /// Plans the next segment that has something before the end; says whether there is one.
    fn plan_next(&mut self, view: &View, end: u64) -> Result<bool, StoreError> {
        match self.start.direction {
            Direction::Forward => self.plan_forward(view, end),
            Direction::Backward => self.plan_backward(view, end),
        }
    }

    fn plan_forward(&mut self, view: &View, end: u64) -> Result<bool, StoreError> {
        let mut number = view.segment_at(self.next);
        while let Some(segment) = view.segment(number).filter(|_| self.next < end) {
            number += 1;
            let base = segment.base_position();
            let segment_end = segment.end_position().min(end);
            let from = self.next.max(base);
            if from >= segment_end {
                continue;
            }
            let within = clamp_u32(from - base)..clamp_u32(segment_end - base);
            let mut ordinals = self
                .ordinals(view, number - 1, within)
                .inspect_err(|_| self.next = segment_end)?;
            if ordinals.is_empty() {
                self.next = segment_end;
                continue;
            }
            let edge = ordinals.cut_end().map_or(segment_end, |cut| base + cut);
            self.plan = Some(Planned {
                segment,
                base,
                ordinals,
                edge,
                segment_edge: segment_end,
            });
            return Ok(true);
        }
        self.next = self.next.max(end);
        Ok(false)
    }

    fn plan_backward(&mut self, view: &View, end: u64) -> Result<bool, StoreError> {
        self.next = self.next.min(end);
        while self.next > 0 {
            let number = view.segment_at(self.next - 1);
            let Some(segment) = view.segment(number) else {
                break;
            };
            let base = segment.base_position();
            if base >= self.next {
                break;
            }
            let until = self.next.min(segment.end_position());
            self.next = base;
            let mut ordinals = self.ordinals(view, number, 0..clamp_u32(until - base))?;
            if !ordinals.is_empty() {
                let edge = ordinals.cut_begin().map_or(base, |cut| base + cut);
                self.plan = Some(Planned {
                    segment,
                    base,
                    ordinals,
                    edge,
                    segment_edge: base,
                });
                return Ok(true);
            }
        }
        self.next = 0;
        Ok(false)
    }

    /// What is meant of the segment with this number.
    fn ordinals(
        &mut self,
        view: &View,
        number: usize,
        within: Range<u32>,
    ) -> Result<Ordinals, StoreError> {
        let bounds = Bounds {
            ordinals: within,
            revisions: self.start.revisions.clone(),
            control: self.start.control,
        };
        let (Some(sealed), SourceKeys::Stream { name, key, .. }, false) =
            (view.sealed.get(number), &self.start.source, bounds.control)
        else {
            let none = || Ok(Ordinals::List(Vec::new()));
            let segment = view.segment(number);
            return segment.map_or_else(none, |segment| {
                self.start.source.ordinals(&segment, &bounds)
            });
        };
        let wanted = Wanted {
            name: name.as_str(),
            key: *key,
        };
        let list = match self.start.direction {
            Direction::Forward => self.lists.next(view.sealed[number..].iter(), wanted),
            Direction::Backward => self.lists.next(view.sealed[..=number].iter().rev(), wanted),
        };
        SourceKeys::of_list(list?.as_ref(), &bounds).map_err(|error| sealed.bad_index(&error))
    }
}

/// As much of `all` as `some` is of `whole`. What a file says of itself may be anything.
fn part(some: u64, all: u64, whole: u64) -> u64 {
    let part = u128::from(some) * u128::from(all) / u128::from(whole.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

impl Planned {
    fn fetch(
        &mut self,
        direction: Direction,
        page: &mut Page,
        want: &Want,
    ) -> Result<Fetched, StoreError> {
        let mut forward;
        let mut backward;
        let mut forward_range;
        let mut backward_range;
        let ordinals: &mut dyn Iterator<Item = u32> = match (&self.ordinals, direction) {
            (Ordinals::Range(range), Direction::Forward) => {
                forward_range = range.clone();
                &mut forward_range
            }
            (Ordinals::Range(range), Direction::Backward) => {
                backward_range = range.clone().rev();
                &mut backward_range
            }
            (Ordinals::List(list), Direction::Forward) => {
                forward = list.iter().copied();
                &mut forward
            }
            (Ordinals::List(list), Direction::Backward) => {
                backward = list.iter().rev().copied();
                &mut backward
            }
        };
        match &self.segment {
            Segment::Sealed(sealed) => page.fetch_sealed(sealed, ordinals, want),
            Segment::Unsealed(unsealed) => Ok(page.fetch_unsealed(unsealed, ordinals, want)),
        }
    }

    /// Drops what has been fetched.
    fn drop_through(&mut self, last: u32, forward: bool) {
        match &mut self.ordinals {
            Ordinals::Range(range) if forward => range.start = last + 1,
            Ordinals::Range(range) => range.end = last,
            Ordinals::List(list) if forward => {
                let done = list.partition_point(|ordinal| *ordinal <= last);
                list.drain(..done);
            }
            Ordinals::List(list) => {
                let left = list.partition_point(|ordinal| *ordinal < last);
                list.truncate(left);
            }
        }
    }
}

/// A plan lists no more records than this: a reader who pauses holds it.
const PLANNED_MAX: usize = 16 << 10;

impl Ordinals {
    /// Leaves the last ones of a long list for another plan; where that one begins.
    fn cut_end(&mut self) -> Option<u64> {
        let Self::List(list) = self else { return None };
        let cut = u64::from(*list.get(PLANNED_MAX)?);
        list.truncate(PLANNED_MAX);
        list.shrink_to_fit();
        Some(cut)
    }

    /// Leaves the first ones of a long list for another plan; where that one ends.
    fn cut_begin(&mut self) -> Option<u64> {
        let Self::List(list) = self else { return None };
        let left = list
            .len()
            .checked_sub(PLANNED_MAX)
            .filter(|left| *left > 0)?;
        list.drain(..left);
        list.shrink_to_fit();
        list.first().map(|first| u64::from(*first))
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Range(range) => range.is_empty(),
            Self::List(list) => list.is_empty(),
        }
    }
}

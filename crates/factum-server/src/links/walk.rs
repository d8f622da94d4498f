//! Walking through a virtual stream from a known point, in either direction.
//!
//! The source is read in slices, and before each the walk leaps over what is known to hold no link. Walking forwards tells
//! [`counts`](super::counts) how far it got.
//! Relies on: the contract gives the events of a source in order of position. Never: holds more than the event it is at.

use factum_store::{Direction, EventStream, Kind, ReadFrom, ReadRequest, StoreError};
use factum_types::{Position, RecordedEvent};

use super::LinkReader;
use super::counts::Point;
use super::link::Link;
use super::virtual_stream::VirtualStream;

/// A walk under way.
pub(super) struct Walk {
    reader: LinkReader,
    direction: Direction,
    at: Point,
    /// How many links are still wanted.
    left: Option<u64>,
    /// How many slices were begun, and how many may be.
    slices: (u64, u64),
    slice: Option<Slice>,
    is_over: bool,
    is_at_end: bool,
}

struct Slice {
    events: EventStream,
    /// How many events it may still give; when it ends before, so does what is published.
    left: u64,
}

/// Where an item of the source stands, and what it is.
pub(super) struct Place {
    first: Position,
    last: Position,
    has_number: bool,
}

impl Place {
    /// `None` for an error that does not stand in the place of an event, or does not say in which.
    pub(super) fn of(
        stream: &VirtualStream,
        item: &Result<RecordedEvent, StoreError>,
    ) -> Option<Self> {
        let (first, last, has_number) = match item {
            Ok(event) => (event.position, event.position, stream.holds(event)),
            Err(error) if error.kind() == Kind::Corrupt => {
                let damage = error.as_damage()?;
                (damage.first, damage.last, !stream.is_selection())
            }
            Err(_) => return None,
        };
        Some(Self {
            first,
            last,
            has_number,
        })
    }

    pub(super) const fn has_number(&self) -> bool {
        self.has_number
    }
}

impl Point {
    /// Behind the item, coming from before it.
    pub(super) fn behind(self, place: &Place) -> Self {
        Self {
            number: self.number.saturating_add(u64::from(place.has_number)),
            after: self.after.max(Some(place.last)),
        }
    }

    /// Before the item, coming from behind it.
    fn before(self, place: &Place) -> Self {
        let before = place.first.raw().checked_sub(1).map(Position::from_raw);
        Self {
            number: self.number.saturating_sub(u64::from(place.has_number)),
            after: self.after.min(before),
        }
    }
}

/// Damage has been counted; any other error is one for whoever counts.
pub(super) fn pass_damage(item: Result<Link, StoreError>) -> Result<(), StoreError> {
    match item {
        Err(error) if error.kind() != Kind::Corrupt || error.as_damage().is_none() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Walk {
    /// From this point, over at most `limit` links.
    pub(super) fn new(
        reader: LinkReader,
        at: Point,
        direction: Direction,
        limit: Option<u64>,
    ) -> Self {
        Self {
            reader,
            direction,
            at,
            left: limit,
            slices: (0, u64::MAX),
            slice: None,
            is_over: false,
            is_at_end: false,
        }
    }

    /// Forwards from this point, over at most `limit` links.
    pub(super) fn forward(reader: LinkReader, at: Point, limit: Option<u64>) -> Self {
        Self::new(reader, at, Direction::Forward, limit)
    }

    /// Forwards from this point, over one slice of the source.
    pub(super) fn slice(reader: LinkReader, at: Point) -> Self {
        Self {
            slices: (0, 1),
            ..Self::forward(reader, at, None)
        }
    }

    /// Where it is.
    pub(super) const fn at(&self) -> Point {
        self.at
    }

    /// Whether it has come to the end of what is published, or before the first event.
    pub(super) const fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// The next link, `None` at the end or when no more are wanted. Damage stands in its place; after any other error comes nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Link, StoreError>> {
        while self.left != Some(0) {
            let item = self.next_of_source().await?;
            if let Some(found) = self.take(item) {
                return Some(found);
            }
        }
        None
    }

    /// Moves over an item; gives it when it is in the stream, or when it ends the walk.
    fn take(
        &mut self,
        item: Result<RecordedEvent, StoreError>,
    ) -> Option<Result<Link, StoreError>> {
        let stream = &self.reader.stream;
        let Some(place) = Place::of(stream, &item) else {
            self.is_over = true;
            return item.err().map(Err);
        };
        let number = match self.direction {
            Direction::Forward => {
                let number = self.at.number;
                self.at = self.at.behind(&place);
                self.reader.counted.note(self.at);
                number
            }
            Direction::Backward => {
                self.at = self.at.before(&place);
                self.at.number
            }
        };
        if !place.has_number {
            return None;
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Some(item.map(|target| Link {
            stream: stream.name().clone(),
            number,
            target,
        }))
    }

    async fn next_of_source(&mut self) -> Option<Result<RecordedEvent, StoreError>> {
        loop {
            if self.is_over {
                return None;
            }
            let Some(slice) = &mut self.slice else {
                self.open().await;
                continue;
            };
            if let Some(item) = slice.events.next().await {
                slice.left = slice.left.saturating_sub(1);
                return Some(item);
            }
            self.is_at_end = slice.left > 0;
            self.is_over = self.is_at_end;
            self.slice = None;
        }
    }

    /// Begins the next slice, or ends the walk.
    async fn open(&mut self) {
        if self.slices.0 == self.slices.1 {
            self.is_over = true;
            return;
        }
        if self.slices.0 > 0 {
            // A long walk lets others run.
            tokio::task::yield_now().await;
        }
        self.slices.0 += 1;
        self.leap();
        let Some(from) = self.from() else {
            self.is_at_end = true;
            self.is_over = true;
            return;
        };
        let limit = self.slice_events();
        let request = ReadRequest {
            direction: self.direction,
            ..ReadRequest::forward(self.reader.stream.source())
                .from(from)
                .limit(limit)
        };
        let events = self.reader.store.read(request);
        self.slice = Some(Slice {
            events,
            left: limit,
        });
    }

    /// Over what is known to hold no link.
    fn leap(&mut self) {
        if !self.reader.stream.is_selection() {
            return;
        }
        let counted = &self.reader.counted;
        let number = self.at.number;
        let same = |point: &Point| point.number == number;
        match self.direction {
            Direction::Forward => {
                let last = Some(counted.at_most(number)).filter(same);
                self.at.after = self.at.after.max(last.and_then(|point| point.after));
            }
            Direction::Backward => {
                if let Some(first) = counted.first_with(number) {
                    self.at.after = self.at.after.min(first.after);
                }
            }
        }
    }

    /// Where the next slice begins, `None` when nothing is left that way.
    fn from(&self) -> Option<ReadFrom> {
        match (self.direction, self.at.after) {
            (Direction::Forward, None) => Some(ReadFrom::Start),
            (Direction::Forward, Some(after)) => {
                let next = after.raw().checked_add(1).map(Position::from_raw);
                next.map(ReadFrom::Position)
            }
            (Direction::Backward, after) => {
                after.filter(|_| self.at.number > 0).map(ReadFrom::Position)
            }
        }
    }

    /// As many events as are wanted, when all of them are in the stream.
    fn slice_events(&self) -> u64 {
        let most = self.reader.counted.slice_events();
        match self.left {
            Some(left) if !self.reader.stream.is_selection() => left.min(most),
            _ => most,
        }
    }
}

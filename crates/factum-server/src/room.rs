//! Room for what requests bring: the bytes of all requests that this server has taken in and not got rid of, up to a limit together.
//!
//! The first bytes of each request take their room from a part of it that is theirs, so that small requests are served whatever large ones
//! there are. A request gives its room back when it is answered. One that goes on for long (`flows`) has room for what it has of an unfinished
//! message, and for what its handler says that it keeps. Never: waits for room: who sends slowly would make others wait.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_store::{AppendBatch, Change};
use factum_types::NewEvent;
use http::Extensions;
use tonic::Status;

/// How many bytes of a request are its first.
const FIRST_BYTES: usize = 16 << 10;
/// Which part of all room is for first bytes: one of so many.
const FIRST_SHARE: usize = 4;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Room {
    first: Part,
    more: Part,
}

#[derive(Debug)]
struct Part {
    taken: AtomicUsize,
    limit: usize,
}

/// What one request has brought. Its room is free again when nobody has this any more.
#[derive(Debug)]
pub(crate) struct Brought {
    room: Arc<Room>,
    counts: Mutex<Counts>,
}

/// Bytes.
#[derive(Debug, Default)]
struct Counts {
    /// Come, and not yet handed on.
    waiting: usize,
    /// Kept by the handler.
    kept: usize,
    /// For which room is taken.
    taken: usize,
    flows: bool,
}

/// There is no room for more.
#[derive(Debug)]
pub(crate) struct NoRoom(Status);

/// What events take in memory that have so many bytes.
pub(crate) const fn in_memory(bytes: usize, events: usize) -> usize {
    bytes.saturating_add(events.saturating_mul(size_of::<NewEvent>()))
}

/// The same of all events of a batch.
pub(crate) fn batch_in_memory(batch: &AppendBatch) -> usize {
    batch
        .writes
        .iter()
        .map(|write| match &write.change {
            Change::Events(events) => {
                in_memory(events.iter().map(NewEvent::byte_len).sum(), events.len())
            }
            _ => size_of_val(write),
        })
        .sum()
}

impl Room {
    /// For so many bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        let first = limit / FIRST_SHARE;
        Self {
            first: Part::new(first),
            more: Part::new(limit - first),
        }
    }

    /// For one request.
    pub(crate) fn brought(self: &Arc<Self>) -> Arc<Brought> {
        Arc::new(Brought {
            room: Arc::clone(self),
            counts: Mutex::default(),
        })
    }
}

impl Part {
    const fn new(limit: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
        }
    }

    /// Takes so much in place of what was taken. More is only taken where there is room, if that is asked.
    fn change(&self, from: usize, to: usize, asked: bool) -> bool {
        let order = Ordering::Relaxed;
        if to <= from {
            if to < from {
                self.taken.fetch_sub(from - to, order);
            }
            return true;
        }
        let more = |taken: usize| {
            let taken = taken.saturating_add(to - from);
            (!asked || taken <= self.limit).then_some(taken)
        };
        self.taken.fetch_update(order, order, more).is_ok()
    }

    /// Whether more is taken than there is.
    fn is_over(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > self.limit
    }
}

impl Brought {
    /// What the request with these extensions has brought.
    pub(crate) fn of(extensions: &Extensions) -> Arc<Self> {
        let brought = extensions.get::<Arc<Self>>().map(Arc::clone);
        // Only what came over no connection has none.
        brought.unwrap_or_else(|| Arc::new(Room::new(usize::MAX)).brought())
    }

    /// Bytes came.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn came(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut counts = self.counts();
        let waiting = counts.waiting.saturating_add(bytes);
        let all = waiting.saturating_add(counts.kept);
        self.take(&mut counts, all, true)?;
        counts.waiting = waiting;
        Ok(())
    }

    /// All that has come is handed on, and the handler keeps so many bytes of it.
    ///
    /// # Errors
    /// As for [`keeps`](Self::keeps).
    pub(crate) fn became(&self, bytes: usize) -> Result<(), NoRoom> {
        self.flows();
        self.handed_on(0);
        self.keeps(bytes)
    }

    /// From now on what has come is handed on, message by message, and the handler says what it keeps.
    pub(crate) fn flows(&self) {
        self.counts().flows = true;
    }

    /// All that has come is handed on, but for the beginning of a message, if the request flows.
    pub(crate) fn handed_on(&self, beginning: usize) {
        let mut counts = self.counts();
        if counts.flows && counts.waiting != beginning {
            debug_assert!(beginning < counts.waiting, "more waits than has come");
            counts.waiting = beginning;
            self.settle(&mut counts);
        }
    }

    /// The handler keeps so many bytes now, in memory. They have come, so they are counted even where there is no room for them; that they are
    /// bounded for one request is the handler's business.
    ///
    /// # Errors
    /// There was no room for them: the request is to be refused, or has to wait.
    pub(crate) fn keeps(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut counts = self.counts();
        if counts.kept != bytes {
            counts.kept = bytes;
            self.settle(&mut counts);
        }
        let part = if counts.taken > FIRST_BYTES {
            &self.room.more
        } else {
            &self.room.first
        };
        if part.is_over() {
            return Err(NoRoom::new());
        }
        Ok(())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes or gives back room for what there is.
    fn settle(&self, counts: &mut Counts) {
        let bytes = counts.waiting.saturating_add(counts.kept);
        let taken = self.take(counts, bytes, false);
        debug_assert!(taken.is_ok(), "room was refused that was not asked for");
    }

    fn take(&self, counts: &mut Counts, bytes: usize, asked: bool) -> Result<(), NoRoom> {
        let (had, has) = (parts(counts.taken), parts(bytes));
        if !self.room.first.change(had.0, has.0, asked) {
            return Err(NoRoom::new());
        }
        if !self.room.more.change(had.1, has.1, asked) {
            self.room.first.change(has.0, had.0, false);
            return Err(NoRoom::new());
        }
        counts.taken = bytes;
        Ok(())
    }
}

/// How many of so many bytes are first ones, and how many are more.
const fn parts(bytes: usize) -> (usize, usize) {
    let more = bytes.saturating_sub(FIRST_BYTES);
    (bytes - more, more)
}

impl Drop for Brought {
    fn drop(&mut self) {
        let counts = self.counts.get_mut();
        let (first, more) = parts(counts.unwrap_or_else(PoisonError::into_inner).taken);
        self.room.first.change(first, 0, false);
        self.room.more.change(more, 0, false);
    }
}

impl NoRoom {
    fn new() -> Self {
        let text = "the server holds as many bytes of requests as it may; try again later";
        Self(Status::unavailable(text))
    }

    /// If that is why something failed.
    pub(crate) fn is_why(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message())
    }
}

impl Error for NoRoom {
    /// What a client of gRPC is told: tonic looks for it here.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl From<NoRoom> for Status {
    fn from(NoRoom(status): NoRoom) -> Self {
        status
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fmt;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use tonic::{Code, Status};

    use super::{FIRST_BYTES, FIRST_SHARE, NoRoom, Room};

    /// With room for the first bytes of two requests, and three times as many more.
    fn room() -> Arc<Room> {
        Arc::new(Room::new(2 * FIRST_SHARE * FIRST_BYTES))
    }

    const MORE: usize = 2 * (FIRST_SHARE - 1) * FIRST_BYTES;

    fn taken(room: &Room) -> (usize, usize) {
        let [first, more] = [&room.first, &room.more];
        let taken = |part: &super::Part| part.taken.load(Ordering::Relaxed);
        (taken(first), taken(more))
    }

    #[test]
    fn what_came_has_room_until_the_end() {
        let room = room();
        let (one, other) = (room.brought(), room.brought());
        one.came(100).unwrap();
        one.came(FIRST_BYTES).unwrap();
        assert_eq!(taken(&room), (FIRST_BYTES, 100));
        one.came(MORE - 200).unwrap();
        other.came(FIRST_BYTES + 101).unwrap_err();
        assert_eq!(taken(&room), (FIRST_BYTES, MORE - 100));
        other.came(FIRST_BYTES + 100).unwrap();
        assert_eq!(taken(&room), (2 * FIRST_BYTES, MORE));
        room.brought().came(1).unwrap_err();
        // One that does not flow hands nothing on before its end.
        one.handed_on(0);
        drop(one);
        assert_eq!(taken(&room), (FIRST_BYTES, 100));
        drop(other);
        assert_eq!(taken(&room), (0, 0));
    }

    /// Small ones do not wait for large ones.
    #[test]
    fn what_is_small_has_room_although_there_is_none_for_more() {
        let room = room();
        let (large, small) = (room.brought(), room.brought());
        large.came(FIRST_BYTES + MORE).unwrap();
        small.flows();
        small.came(100).unwrap();
        small.keeps(100).unwrap();
        small.keeps(FIRST_BYTES - 100).unwrap();
        small.keeps(FIRST_BYTES).unwrap_err();
    }

    #[test]
    fn what_flows_has_room_while_it_is_here() {
        let room = room();
        let brought = room.brought();
        brought.flows();
        brought.came(FIRST_BYTES + 900).unwrap();
        brought.handed_on(FIRST_BYTES + 10);
        assert_eq!(taken(&room), (FIRST_BYTES, 10));
        brought.keeps(500).unwrap();
        assert_eq!(taken(&room), (FIRST_BYTES, 510));
        let other = room.brought();
        other.came(FIRST_BYTES + MORE - 510).unwrap();
        brought.keeps(500).unwrap();
        brought.keeps(501).unwrap_err();
        assert_eq!(taken(&room), (2 * FIRST_BYTES, MORE + 1), "it is counted");
        brought.keeps(400).unwrap();
        brought.handed_on(0);
        assert_eq!(taken(&room), (FIRST_BYTES + 400, MORE - 510));
        drop((brought, other));
        assert_eq!(taken(&room), (0, 0));
    }

    #[test]
    fn a_client_of_grpc_is_told_to_try_again() {
        let error = room().brought().came(usize::MAX).unwrap_err();
        assert!(error.to_string().contains("try again"), "{error}");
        let status = Status::from_error(Box::new(error));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("try again"), "{status}");
    }

    #[test]
    fn it_is_found_among_the_causes_of_an_error() {
        #[derive(Debug)]
        struct Cut(Option<NoRoom>);

        impl fmt::Display for Cut {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cut")
            }
        }

        impl Error for Cut {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.0.as_ref().map(|why| why as _)
            }
        }

        assert!(NoRoom::is_why(&Cut(Some(NoRoom::new()))));
        assert!(!NoRoom::is_why(&Cut(None)));
    }
}

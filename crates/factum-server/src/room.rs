//! Room for what requests bring: the bytes of all requests that this server has taken in and not got rid of, up to a limit together.
//!
//! The first bytes of a request take no room: as many are lost with each request as it is, and small requests have to be served whatever large
//! ones there are. A request gives its room back when it is answered. One that goes on for long (`flows`) has room for what it has of an unfinished
//! message, and for what its handler says that it keeps. Never: waits for room: who sends slowly would make others wait.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_store::{AppendBatch, Change, StreamWrite};
use factum_types::NewEvent;
use http::Extensions;
use tonic::Status;

/// What a request may bring without taking room, in bytes.
const FREE_BYTES: usize = 8 << 10;
/// Where there is less room than this, a request that can wait does. It is more than comes at once.
const SPARE_BYTES: usize = 128 << 10;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Room {
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
    /// What the messages that have come became in memory, of one that does not flow.
    made: usize,
    /// Kept by the handler.
    kept: usize,
    /// What all that takes of the room.
    taken: usize,
    flows: bool,
    /// Whether what has been handed on is out of memory. Else it is as large as the largest message was.
    frees: bool,
}

/// There is no room for more.
#[derive(Debug)]
pub(crate) struct NoRoom(Status);

/// What events take in memory that have so many bytes.
pub(crate) const fn in_memory(bytes: usize, events: usize) -> usize {
    bytes.saturating_add(events.saturating_mul(size_of::<NewEvent>()))
}

/// What a write takes in memory, but for the bytes of its events.
pub(crate) fn write_in_memory(write: &StreamWrite) -> usize {
    const TAG_BYTES: usize = 48;
    let (events, tags) = match &write.change {
        Change::Events(events) => {
            let tags = events.iter().map(|event| event.tags.len());
            (events.len(), tags.sum())
        }
        _ => (0, 0_usize),
    };
    let name = size_of::<StreamWrite>() + write.stream.as_str().len();
    in_memory(name + tags * TAG_BYTES, events)
}

/// What a batch takes in memory that came in so many bytes.
pub(crate) fn batch_in_memory(batch: &AppendBatch, bytes: usize) -> usize {
    bytes + batch.writes.iter().map(write_in_memory).sum::<usize>()
}

/// The bytes of all events of a batch.
pub(crate) fn batch_bytes(batch: &AppendBatch) -> usize {
    let events = batch.writes.iter().filter_map(|write| match &write.change {
        Change::Events(events) => Some(events),
        _ => None,
    });
    events.flatten().map(NewEvent::byte_len).sum()
}

impl Room {
    /// For so many bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
        }
    }

    /// For one request.
    pub(crate) fn brought(self: &Arc<Self>) -> Arc<Brought> {
        Arc::new(Brought {
            room: Arc::clone(self),
            counts: Mutex::default(),
        })
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

    fn is_short(&self) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        taken.saturating_add(SPARE_BYTES) > self.limit
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
        let all = waiting
            .saturating_add(counts.made)
            .saturating_add(counts.kept);
        self.take(&mut counts, all, true)?;
        counts.waiting = waiting;
        Ok(())
    }

    /// A message became so much in memory. Of one that flows, its handler says it.
    pub(crate) fn made(&self, bytes: usize) {
        let mut counts = self.counts();
        if !counts.flows {
            counts.made = counts.made.saturating_add(bytes);
            self.settle(&mut counts);
        }
    }

    /// Whether it has brought so much that it takes room and is to be done with in time.
    pub(crate) fn takes_room(&self) -> bool {
        self.counts().taken > FREE_BYTES
    }

    /// All that has come is handed on, and the handler keeps so many bytes of it.
    ///
    /// # Errors
    /// As for [`keeps`](Self::keeps).
    pub(crate) fn became(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut counts = self.counts();
        (counts.flows, counts.waiting, counts.made) = (true, 0, 0);
        drop(counts);
        self.keeps(bytes)
    }

    /// From now on what has come is handed on, message by message, and the handler says what it keeps.
    pub(crate) fn flows(&self) {
        let mut counts = self.counts();
        (counts.flows, counts.made) = (true, 0);
    }

    /// Whether it does.
    pub(crate) fn is_flowing(&self) -> bool {
        self.counts().flows
    }

    /// What has been handed on is not in memory any more.
    pub(crate) fn frees(&self) {
        self.counts().frees = true;
    }

    /// All that has come is handed on, but for the beginning of a message, if the request flows. What it was read into has had so large a message.
    pub(crate) fn handed_on(&self, beginning: usize, largest: usize) {
        let mut counts = self.counts();
        let is_kept = !counts.frees && largest > FREE_BYTES;
        let waiting = if is_kept {
            beginning.max(largest)
        } else {
            beginning
        };
        if counts.flows && counts.waiting != waiting {
            counts.waiting = waiting;
            self.settle(&mut counts);
        }
    }

    /// The handler keeps so many bytes now, in memory. They have come, so they are counted even where there is no room for them; that they are
    /// bounded for one request is the handler's business.
    ///
    /// # Errors
    /// There is little room left: a request that takes room is to be refused, or has to wait.
    pub(crate) fn keeps(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut counts = self.counts();
        if counts.kept != bytes {
            counts.kept = bytes;
            self.settle(&mut counts);
        }
        if counts.taken > FREE_BYTES && self.room.is_short() {
            return Err(NoRoom::new());
        }
        Ok(())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes or gives back room for what there is.
    fn settle(&self, counts: &mut Counts) {
        let bytes = counts.waiting.saturating_add(counts.made);
        let taken = self.take(counts, bytes.saturating_add(counts.kept), false);
        debug_assert!(taken.is_ok(), "room was refused that was not asked for");
    }

    fn take(&self, counts: &mut Counts, bytes: usize, asked: bool) -> Result<(), NoRoom> {
        if !self
            .room
            .change(beyond_free(counts.taken), beyond_free(bytes), asked)
        {
            return Err(NoRoom::new());
        }
        counts.taken = bytes;
        Ok(())
    }
}

const fn beyond_free(bytes: usize) -> usize {
    bytes.saturating_sub(FREE_BYTES)
}

impl Drop for Brought {
    fn drop(&mut self) {
        let counts = self.counts.get_mut();
        let taken = counts.unwrap_or_else(PoisonError::into_inner).taken;
        self.room.change(beyond_free(taken), 0, false);
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

    use super::{FREE_BYTES, NoRoom, Room, SPARE_BYTES};

    const LIMIT: usize = 1 << 20;

    fn room() -> Arc<Room> {
        Arc::new(Room::new(LIMIT))
    }

    fn taken(room: &Room) -> usize {
        room.taken.load(Ordering::Relaxed)
    }

    #[test]
    fn what_came_has_room_until_the_end() {
        let room = room();
        let (one, other) = (room.brought(), room.brought());
        one.came(FREE_BYTES).unwrap();
        assert_eq!(taken(&room), 0);
        assert!(!one.takes_room());
        one.came(LIMIT - 200).unwrap();
        assert!(one.takes_room());
        other.came(FREE_BYTES + 201).unwrap_err();
        assert_eq!(taken(&room), LIMIT - 200);
        other.came(FREE_BYTES + 100).unwrap();
        one.made(100);
        one.made(50);
        assert_eq!(taken(&room), LIMIT + 50, "it is there already");
        other.came(1).unwrap_err();
        room.brought().came(FREE_BYTES).unwrap();
        // One that does not flow hands nothing on before its end.
        one.handed_on(0, 0);
        drop(one);
        assert_eq!(taken(&room), 100);
        drop(other);
        assert_eq!(taken(&room), 0);
    }

    /// Small ones do not wait for large ones.
    #[test]
    fn what_is_small_has_room_although_there_is_none_for_more() {
        let room = room();
        let (large, small) = (room.brought(), room.brought());
        large.came(FREE_BYTES + LIMIT).unwrap();
        small.flows();
        small.came(100).unwrap();
        small.keeps(100).unwrap();
        small.keeps(FREE_BYTES - 100).unwrap();
        small.keeps(FREE_BYTES).unwrap_err();
    }

    #[test]
    fn what_flows_has_room_while_it_is_here() {
        let room = room();
        let brought = room.brought();
        brought.flows();
        brought.came(FREE_BYTES + 900).unwrap();
        brought.made(10_000);
        brought.handed_on(FREE_BYTES + 10, 900);
        assert_eq!(taken(&room), 10);
        brought.keeps(500).unwrap();
        assert_eq!(taken(&room), 510);
        let other = room.brought();
        other.came(FREE_BYTES + LIMIT - SPARE_BYTES - 510).unwrap();
        brought.keeps(500).unwrap();
        brought.keeps(501).unwrap_err();
        assert_eq!(taken(&room), LIMIT - SPARE_BYTES + 1, "it is counted");
        // What comes at once has room, though.
        brought.came(SPARE_BYTES / 2).unwrap();
        brought.keeps(400).unwrap_err();
        brought.handed_on(0, FREE_BYTES);
        drop(other);
        assert_eq!(taken(&room), 0);
        brought.keeps(FREE_BYTES + 1).unwrap();
        // What a large message was read into is there until the end, or is not.
        brought.handed_on(0, 1_000 + FREE_BYTES);
        assert_eq!(taken(&room), 1_001 + FREE_BYTES);
        brought.frees();
        brought.handed_on(0, 1_000 + FREE_BYTES);
        assert_eq!(taken(&room), 1);
        drop(brought);
        assert_eq!(taken(&room), 0);
    }

    #[test]
    fn what_a_request_became_takes_the_place_of_what_came() {
        let room = room();
        let brought = room.brought();
        brought.came(FREE_BYTES + 10).unwrap();
        brought.made(1_000);
        brought.became(FREE_BYTES + 300).unwrap();
        assert_eq!(taken(&room), 300);
        assert!(brought.is_flowing());
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

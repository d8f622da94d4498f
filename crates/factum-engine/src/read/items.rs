//! The events of a read, one by one, out of pages.
//!
//! Pages are small at first, so that a short read costs little, and larger as it goes on. All pages of all reads have room together: when it
//! is taken, by readers who paused, further pages are small. So a read that nobody goes on with holds little, however many there are.
//! Never: holds a page for whoever has read all of it and waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use factum_store::StoreError;
use factum_types::{RecordKind, RecordedEvent};

use super::page::Page;
use super::{Chain, Cursor};
use crate::reader::Reader;

/// The first page, and the largest, in events and in bytes; each is so many times larger than the one before.
const FIRST: (usize, usize) = (64, 32 << 10);
const LARGEST: (usize, usize) = (2_048, 1 << 20);
const GROWTH: usize = 4;
/// A page has no less room than this in bytes, whatever others hold; and with no more it is kept while its reader waits for events.
const SMALL_BYTES: usize = 16 << 10;
/// A page of so few events and more than these bytes is given back with its last event, and not when the next one is wanted.
const FEW: usize = 4;
const LARGE_BYTES: usize = 256 << 10;
/// What all pages have room for together.
const ROOM_BYTES: usize = 32 << 20;
/// One page takes so much of what is left.
const SHARE: usize = 8;

/// What a read gives.
pub(crate) type Item = Result<RecordedEvent, StoreError>;

/// What the pages of all reads hold, in bytes.
#[derive(Debug, Default)]
pub(crate) struct PagesHeld(AtomicUsize);

impl PagesHeld {
    /// How large the next page may be.
    fn share(&self) -> usize {
        let left = ROOM_BYTES.saturating_sub(self.0.load(Ordering::Relaxed));
        (left / SHARE).max(SMALL_BYTES)
    }
}

/// The page of a read, and what of it has been given.
#[derive(Debug)]
pub(crate) struct Items {
    reader: Arc<Reader>,
    page: Page,
    /// The number in the page of what comes next.
    next: usize,
    /// What comes before that: an event behind a gap.
    held: Option<Item>,
    /// What the next page is wanted to have.
    want: (usize, usize),
    /// What is counted of this in [`PagesHeld`].
    counted: usize,
}

impl Items {
    pub(crate) fn new(reader: Arc<Reader>) -> Self {
        Self {
            reader,
            page: Page::default(),
            next: 0,
            held: None,
            want: FIRST,
            counted: 0,
        }
    }

    /// The next page, of at most so many records; says whether there are no more now.
    pub(crate) fn fetch(&mut self, cursor: &mut Cursor, most: usize) -> Result<bool, StoreError> {
        let (events, bytes) = self.want;
        let bytes = bytes.min(self.reader.pages.share());
        self.want = (
            LARGEST.0.min(events * GROWTH),
            LARGEST.1.min(self.want.1 * GROWTH),
        );
        self.clear(2 * bytes);
        let want = (events.min(most), bytes);
        let ended = cursor.fill(&self.reader.published, &mut self.page, want);
        self.page.share();
        self.count();
        ended
    }

    /// Whether nothing was fetched.
    pub(crate) fn is_empty(&self) -> bool {
        self.page.is_empty()
    }

    /// What comes next in the page, if it is young enough for its stream; `None` when all of it has been given.
    pub(crate) fn next(&mut self, chain: &mut Option<Chain>, oldest: Option<i64>) -> Option<Item> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        loop {
            let stream = chain.as_ref().map(Chain::stream);
            let item = self.page.recorded_at(self.next, stream)?;
            self.next += 1;
            if self.next == self.page.len() && self.next <= FEW && self.page.memory() > LARGE_BYTES
            {
                self.rest();
            }
            let gap = chain.as_mut().and_then(|chain| chain.follow(&item));
            let item = Some(item).filter(|item| is_shown(item, oldest));
            if let Some(gap) = gap {
                self.held = item;
                return Some(Err(gap));
            }
            if item.is_some() {
                return item;
            }
        }
    }

    /// Gives the memory of a large page back: its reader has read it, and waits.
    pub(crate) fn rest(&mut self) {
        self.clear(SMALL_BYTES);
        self.count();
    }

    fn clear(&mut self, most: usize) {
        self.next = 0;
        self.page.clear();
        if self.page.memory() > most {
            self.page = Page::default();
        }
    }

    fn count(&mut self) {
        let memory = self.page.memory();
        let PagesHeld(held) = &self.reader.pages;
        if memory > self.counted {
            held.fetch_add(memory - self.counted, Ordering::Relaxed);
        } else {
            held.fetch_sub(self.counted - memory, Ordering::Relaxed);
        }
        self.counted = memory;
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        let PagesHeld(held) = &self.reader.pages;
        held.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

/// Whether an item is young enough for its stream.
fn is_shown(item: &Item, oldest: Option<i64>) -> bool {
    match (item, oldest) {
        (Ok(event), Some(oldest)) if event.kind == RecordKind::Event => {
            event.time.as_micros() >= oldest
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use factum_io::Env;
    use factum_io::sim::SimEnv;
    use factum_store::{
        AppendBatch, EventStore, EventStream, ReadRequest, Source, SubscribeRequest, Subscription,
    };
    use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
    use futures_core::Stream;

    use super::{LARGEST, PagesHeld, ROOM_BYTES, SMALL_BYTES};
    use crate::{Engine, Options};

    const EVENTS: u64 = 3_000;
    const DATA_BYTES: usize = 1_000;

    fn filled() -> Engine {
        let mut env = SimEnv::new(7).env();
        env.spawner = Env::real().spawner;
        let store = Engine::open(Options::new(Path::new("/data")), env).unwrap();
        let events = (1..=EVENTS).map(|number| {
            let id = EventId::from_bytes(u128::from(number).to_be_bytes());
            let kind = EventType::new("Happened").unwrap();
            NewEvent::binary(id, kind, vec![7; DATA_BYTES])
        });
        let batch = AppendBatch::events(
            StreamName::new("s").unwrap(),
            ExpectedRevision::Any,
            events.collect(),
        );
        pollster::block_on(store.append(batch)).unwrap();
        store
    }

    fn held(store: &Engine) -> usize {
        let PagesHeld(held) = &store.reader().pages;
        held.load(Ordering::Relaxed)
    }

    /// Takes so many items, and pauses.
    fn take(items: &mut (impl Stream + Unpin), count: usize) {
        for _ in 0..count {
            let next =
                std::future::poll_fn(|context| std::pin::Pin::new(&mut *items).poll_next(context));
            assert!(pollster::block_on(next).is_some());
        }
    }

    fn follow(store: &Engine) -> Subscription {
        store.subscribe(SubscribeRequest::new(Source::All))
    }

    #[test]
    fn who_has_begun_to_read_holds_little_and_who_is_gone_nothing() {
        let store = filled();
        let mut readers: Vec<EventStream> =
            (0..100).map(|_| store.read(ReadRequest::all())).collect();
        readers.iter_mut().for_each(|reader| take(reader, 10));
        let mut followers: Vec<Subscription> = (0..100).map(|_| follow(&store)).collect();
        followers.iter_mut().for_each(|reader| take(reader, 10));
        let each = held(&store) / 200;
        assert!((10 * DATA_BYTES..96 << 10).contains(&each), "{each}");
        drop((readers, followers));
        assert_eq!(held(&store), 0);
        store.close().unwrap();
    }

    #[test]
    fn when_others_hold_much_further_pages_are_small() {
        let store = filled();
        let mut readers: Vec<EventStream> =
            (0..400).map(|_| store.read(ReadRequest::all())).collect();
        // As far as it takes for a page to be of the largest.
        readers.iter_mut().for_each(|reader| take(reader, 1_000));
        let most = ROOM_BYTES + readers.len() * 4 * SMALL_BYTES;
        assert!(most < readers.len() * LARGEST.1 / 2);
        assert!(held(&store) < most, "{} of {most}", held(&store));
        store.close().unwrap();
    }

    #[test]
    fn who_waits_for_more_holds_little() {
        let store = filled();
        let mut follower = follow(&store);
        // Every event, and that there are no more.
        take(&mut follower, usize::try_from(EVENTS).unwrap() + 1);
        let next = std::future::poll_fn(|context| {
            let polled = std::pin::Pin::new(&mut follower).poll_next(context);
            std::task::Poll::Ready(polled.is_pending())
        });
        assert!(pollster::block_on(next));
        assert!(held(&store) <= SMALL_BYTES, "{}", held(&store));
        store.close().unwrap();
    }
}

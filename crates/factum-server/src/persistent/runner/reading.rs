//! What a group takes from its feed. What is not for it is told before any link is followed.

use std::sync::Arc;

use factum_store::{Kind, StoreError};
use factum_types::RecordedEvent;
use futures_util::{FutureExt, StreamExt};

use super::Runner;
use super::trouble::Work;
use crate::filter::Filter;
use crate::persistent::checkpoint::OWN_STREAMS;
use crate::persistent::damage::Damage;
use crate::persistent::delivered::{Delivered, is_closed, resolve};
use crate::persistent::feed::{Feed, FeedItem};
use crate::persistent::settings::SourceName;

/// How many events are taken from the feed before something else has its turn.
const TAKEN_AT_ONCE: usize = 64;

/// What comes of an item of the feed.
pub(super) enum Read {
    /// An event for the group, at this point.
    Event(u64, Delivered),
    /// Nothing for it up to this point; `counted` when that is worth a checkpoint.
    Passed { point: u64, counted: bool },
    /// Everything there was has been given.
    Live,
}

/// What is for a group, and how it is to be given.
struct Reader {
    feed: Arc<dyn Feed>,
    damage: Arc<Damage>,
    of_all: bool,
    filter: Option<Filter>,
    resolve_links: bool,
}

impl Reader {
    async fn read(&self, item: FeedItem) -> Result<Read, StoreError> {
        Ok(match item {
            FeedItem::Passed(point) => Read::Passed {
                point,
                counted: false,
            },
            FeedItem::Live => Read::Live,
            FeedItem::Event(point, event) => match self.passes(&event) {
                Some(counted) => Read::Passed { point, counted },
                None => {
                    let resolved =
                        resolve(&*self.feed, event, self.resolve_links, &self.damage).await?;
                    Read::Event(point, resolved)
                }
            },
            // What is noted because of it would be the next.
            FeedItem::Link(point, _, target) if is_own(&target) => Read::Passed {
                point,
                counted: false,
            },
            FeedItem::Link(point, link, target) if self.resolve_links => {
                let hidden =
                    is_closed(&link.stream, &target.stream) || self.feed.is_gone(&target).await?;
                let target = Some(target).filter(|_| !hidden);
                Read::Event(point, Delivered::Link { link, target })
            }
            FeedItem::Link(point, link, _) => Read::Event(point, Delivered::Event(link)),
        })
    }

    /// Whether an event is not for the group, and if so whether that is worth a checkpoint.
    fn passes(&self, event: &RecordedEvent) -> Option<bool> {
        if !self.of_all {
            return None;
        }
        if is_own(event) {
            return Some(false);
        }
        // An event is not lost because a pattern takes too long on a name.
        let wanted = |filter: &Filter| filter.wants(event).unwrap_or(true);
        let is_wanted = self.filter.as_ref().is_none_or(wanted);
        (!is_wanted).then_some(true)
    }
}

/// Whether an event stands in a stream that a group keeps for itself.
fn is_own(event: &RecordedEvent) -> bool {
    event.stream.as_str().starts_with(OWN_STREAMS)
}

impl Runner {
    /// Begins to read after what was seen last.
    pub(super) fn follow(&mut self) {
        let items = self.around.feed.follow(&self.key.source, self.group.seen());
        let reader = Arc::new(Reader {
            feed: Arc::clone(&self.around.feed),
            damage: Arc::clone(&self.damage),
            of_all: self.key.source == SourceName::All,
            filter: self.config.filter.clone(),
            resolve_links: self.config.settings.resolve_links,
        });
        let read = items.then(move |item| {
            let reader = Arc::clone(&reader);
            async move { reader.read(item?).await }
        });
        self.feed = Some(read.boxed());
    }

    /// Takes from the feed what is there, as long as there is room.
    pub(super) fn take(&mut self, first: Option<Result<Read, StoreError>>) {
        self.take_one(first);
        for _ in 1..TAKEN_AT_ONCE {
            let has_room = self.group.room() > 0;
            let feed = self.feed.as_mut().filter(|_| has_room);
            let Some(next) = feed.and_then(|feed| feed.next().now_or_never()) else {
                return;
            };
            self.take_one(next);
        }
    }

    fn take_one(&mut self, item: Option<Result<Read, StoreError>>) {
        let read = match item {
            Some(Ok(read)) => read,
            Some(Err(error)) => return self.interrupted(&error),
            None => {
                let ended = "the subscription ended, and nobody had ended it";
                return self.interrupted(&StoreError::new(Kind::Unavailable, ended));
            }
        };
        self.troubles.end(Work::Reading);
        match read {
            Read::Event(point, delivered) => {
                let arrival = delivered.arrival(point, &self.config.settings);
                self.group.arrive(arrival);
            }
            Read::Passed { point, counted } => self.group.pass(point, counted),
            Read::Live => self.group.set_live(true),
        }
    }

    /// The feed gave an error: damage is passed over, the end of a stream is the end, and after anything else it is followed again.
    fn interrupted(&mut self, error: &StoreError) {
        match error.kind() {
            Kind::Corrupt => self.damage.pass_over(error),
            Kind::Deleted => {
                tracing::info!(group = %self.key, "the stream is closed for ever");
                self.troubles.end(Work::Reading);
                self.closed = true;
                self.feed = None;
            }
            _ => {
                self.troubles.begin(Work::Reading, error);
                self.group.set_live(false);
                self.feed = None;
                self.begin_pause();
            }
        }
    }
}

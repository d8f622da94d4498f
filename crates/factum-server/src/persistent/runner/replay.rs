//! Giving parked events again, a page at a time. What is replayed stays in the parked stream until it is done.

use factum_store::{Kind, ReadFrom, ReadRequest, StoreError};
use factum_types::{RecordedEvent, Revision, StreamName};

use super::jobs::{Done, or_pause};
use super::{Runner, Surroundings};
use crate::log::is_gone;
use crate::persistent::damage::Damage;
use crate::persistent::delivered::{Delivered, follow, resolve, size};
use crate::persistent::settings::PAGE_BYTES_MAX;

/// What is to be read of the parked stream.
struct Asked {
    stream: StreamName,
    /// The first revision, and the one before which to stop.
    from: u64,
    until: u64,
    /// How many revisions at most.
    limit: u64,
    resolve_links: bool,
}

/// Parked events with their targets, and the revision to go on from.
pub(super) struct Page {
    events: Vec<(Box<RecordedEvent>, Option<Box<RecordedEvent>>)>,
    next: u64,
}

impl Runner {
    pub(super) fn begin_page(&mut self) {
        let Some(until) = self.replay_until else {
            return;
        };
        if self.replay_next >= until {
            self.replay_until = None;
            return;
        }
        let room = self.group.replay_room();
        if self.busy.page || room == 0 {
            return;
        }
        self.busy.page = true;
        let around = self.around.clone();
        let damage = self.damage.clone();
        let asked = Asked {
            stream: self.streams.parked.clone(),
            from: self.replay_next,
            until,
            limit: u64::try_from(room).unwrap_or(u64::MAX),
            resolve_links: self.config.settings.resolve_links,
        };
        self.job(async move {
            let page = read(&around, &asked, &damage).await;
            Done::Page(or_pause(page).await)
        });
    }

    pub(super) fn replay(&mut self, page: Page) {
        for (link, target) in page.events {
            let revision = link.revision.number();
            if target.is_none() || revision < self.given_up {
                // What it points to is gone, so that there is nothing to give; or nobody wants it any more.
                self.group.pass_parked(revision);
                continue;
            }
            let delivered = Delivered::Link { link, target };
            let arrival = delivered.arrival(revision, &self.config.settings);
            self.group.replay(arrival);
        }
        if let Some(before) = page.next.checked_sub(1) {
            self.group.pass_parked(before);
        }
        self.replay_next = page.next.max(self.given_up);
    }
}

/// A page: as many revisions as were asked for, and no more bytes than there may be. What is damaged is passed over.
async fn read(around: &Surroundings, asked: &Asked, damage: &Damage) -> Result<Page, StoreError> {
    let end = asked.until.min(asked.from.saturating_add(asked.limit));
    let request = ReadRequest::stream(asked.stream.clone())
        .from(ReadFrom::Revision(Revision::new(asked.from)))
        .limit(end - asked.from);
    let mut links = around.store.read(request);
    let mut page = Page {
        events: Vec::new(),
        next: end,
    };
    let mut bytes = 0;
    while let Some(link) = links.next().await {
        let link = match link {
            Ok(link) => link,
            Err(error) if error.kind() == Kind::Corrupt => {
                damage.pass_over(&error);
                continue;
            }
            Err(error) if is_gone(&error) => {
                page.next = asked.until;
                break;
            }
            Err(error) => return Err(error),
        };
        let revision = link.revision.number();
        // What is before one that comes later was truncated.
        if revision >= end || bytes >= PAGE_BYTES_MAX {
            page.next = revision.min(asked.until);
            break;
        }
        let target = target(around, asked, &link, damage).await?;
        bytes += size(&link) + target.as_deref().map_or(0, size);
        page.events.push((Box::new(link), target));
    }
    Ok(page)
}

/// What is to be given for a parked event: what it points to, and what that points to where it is a link itself.
async fn target(
    around: &Surroundings,
    asked: &Asked,
    link: &RecordedEvent,
    damage: &Damage,
) -> Result<Option<Box<RecordedEvent>>, StoreError> {
    let feed = &*around.feed;
    let Some(event) = follow(feed, link, damage).await? else {
        return Ok(None);
    };
    let resolved = resolve(feed, Box::new(event), asked.resolve_links, damage).await?;
    Ok(match resolved {
        Delivered::Event(event) => Some(event),
        Delivered::Link { target, .. } => target,
    })
}

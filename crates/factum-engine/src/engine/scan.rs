//! Reading page by page, without copying events out.

use std::sync::Arc;

use factum_store::StoreError;

use crate::read::{Cursor, Page};
use crate::reader::Reader;

/// A read page by page.
#[derive(Debug)]
pub struct Scan {
    pub(super) reader: Arc<Reader>,
    pub(super) cursor: Cursor,
    pub(super) oldest: Option<i64>,
    pub(super) left: u64,
    pub(super) page: Page,
    pub(super) ended: bool,
}

impl Scan {
    /// The next page, `None` at the end of what is published. Events hidden by their age are left out by
    /// [`EventStore::read`](factum_store::EventStore::read) only; [`shows`](Scan::shows) tells.
    ///
    /// # Errors
    /// As files fail. A damaged event is an error in the page.
    pub fn next_page(&mut self) -> Result<Option<&Page>, StoreError> {
        // So little that it is still in a core's cache when its events are looked at.
        const PAGE_EVENTS: usize = 1_024;
        const PAGE_BYTES: usize = 256 << 10;
        self.page.clear();
        let want = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(PAGE_EVENTS);
        if self.ended || want == 0 {
            return Ok(None);
        }
        self.ended =
            self.cursor
                .fill(&self.reader.published, &mut self.page, (want, PAGE_BYTES))?;
        self.left = self.left.saturating_sub(self.page.len() as u64);
        Ok(Some(&self.page).filter(|page| !page.is_empty()))
    }

    /// Whether an event of this time is shown, given the greatest age of its stream.
    #[must_use]
    pub fn shows(&self, time: factum_types::Timestamp) -> bool {
        self.oldest.is_none_or(|oldest| time.as_micros() >= oldest)
    }
}

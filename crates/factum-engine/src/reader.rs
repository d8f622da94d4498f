//! What every reader shares: the published segments, the key secret, the clock, large buffers, and who waits for more.

use std::sync::Arc;

use factum_io::clock::Clock;

use crate::buffers::Buffers;
use crate::key::Keyer;
use crate::read::PagesHeld;
use crate::subscribe::Waiters;
use crate::view::Published;

/// What every reader shares.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) published: Published,
    pub(crate) keyer: Keyer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) waiters: Waiters,
    pub(crate) buffers: Arc<Buffers>,
    /// What the pages of all reads hold.
    pub(crate) pages: PagesHeld,
    /// Whether the last event of a stream that is left is taken for its last event, whatever was lost.
    pub(crate) accept_lost_tails: bool,
}

impl Reader {
    pub(crate) fn now(&self) -> i64 {
        self.clock.now_us()
    }
}

//! Reading: which records are meant, where they stand, and what they say.
//!
//! [`plan`] finds the ordinals of a source in one segment, with [`lists`] for single streams, [`doubt`] whether what is left of one is all; [`last`] answers for a stream's last event alone; [`page`] fetches and verifies records; [`cursor`] walks the segments; `items` gives their events one by one;
//! [`stream`] and [`crate::subscribe`] are the asynchronous edge. Relies on: a view never changes. Never: blocks the writer, shows
//! a record that is not published or does not verify.

pub(crate) mod chain;
pub(crate) mod cursor;
pub(crate) mod doubt;
pub(crate) mod event;
mod items;
mod last;
pub(crate) mod lists;
pub(crate) mod lookup;
pub(crate) mod page;
pub(crate) mod plan;
pub(crate) mod snapshots;
pub(crate) mod stream;

pub(crate) use chain::Chain;
pub(crate) use cursor::{Cursor, CursorStart};
pub use event::EventRef;
pub(crate) use items::{Item, Items, PagesHeld};
pub(crate) use lists::{Lists, Wanted};
pub use page::Page;
pub(crate) use plan::SourceKeys;

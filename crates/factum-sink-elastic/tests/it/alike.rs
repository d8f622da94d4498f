//! The rules of all sinks with tables.

use std::cell::RefCell;

use factum_projection::kit;
use pollster::block_on;

use super::support::{Swept, address, fresh_prefix, open};

#[test]
fn it_passes_what_every_sink_passes() {
    let Some(address) = address() else { return };
    let prefix = fresh_prefix();
    // One place after another; the one before is removed, for the server has no room for a thousand.
    let last = RefCell::new((u64::MAX, None));
    block_on(kit::check_sink(async |place, tables| {
        let prefix = format!("{prefix}{place}-");
        let mut last = last.borrow_mut();
        if last.0 != place {
            *last = (
                place,
                Some(Swept {
                    address: &address,
                    prefix: prefix.clone(),
                }),
            );
        }
        open(&address, &prefix, tables)
    }));
}

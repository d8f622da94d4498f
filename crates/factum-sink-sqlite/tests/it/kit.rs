//! The kit of factum-projection: what every sink with tables passes.

use factum_projection::{Table, kit};
use factum_sink_sqlite::SqliteSink;
use pollster::block_on;

#[test]
fn it_passes() {
    let folder = tempfile::tempdir().unwrap();
    block_on(kit::check_sink(async |place, tables: &[Table]| {
        let path = folder.path().join(format!("{place}.db"));
        SqliteSink::open(path, tables.to_vec()).unwrap()
    }));
}

#[test]
fn writes_at_random_are_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 2..8 {
        block_on(kit::check_random(
            async |place, tables: &[Table]| {
                let path = folder.path().join(format!("{seed}-{place}.db"));
                SqliteSink::open(path, tables.to_vec()).unwrap()
            },
            seed,
        ));
    }
}

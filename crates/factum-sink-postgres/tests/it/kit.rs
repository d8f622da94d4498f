//! The kit of factum-projection: what every sink with tables passes.

use factum_projection::{Table, kit};
use pollster::block_on;

use super::support::{fresh, servers};

#[test]
fn it_passes() {
    for server in servers("kit::it_passes") {
        let run = fresh("kit");
        let other = server.client();
        block_on(kit::check_sink(async |place, tables: &[Table]| {
            server.open(&format!("{run}_{place}"), tables)
        }));
        for schema in other.rows(&format!(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE '{run}\\_%'"
        )) {
            other.drop_schema(&schema);
        }
    }
}

#[test]
fn writes_at_random_are_those_in_memory() {
    for server in servers("kit::writes_at_random_are_those_in_memory") {
        for seed in 2..8 {
            let schema = fresh("random");
            block_on(kit::check_random(
                async |_, tables: &[Table]| server.open(&schema, tables),
                seed,
            ));
            server.client().drop_schema(&schema);
        }
    }
}

//! The kit of factum-projection: what every sink with tables passes.

use factum_projection::{Table, kit};
use pollster::block_on;

use super::support::{fresh, server, servers};

#[test]
fn it_passes_on_15() {
    passes("postgres15", "kit::it_passes_on_15");
}

#[test]
fn it_passes_on_18() {
    passes("postgres18", "kit::it_passes_on_18");
}

fn passes(name: &'static str, test: &str) {
    let Some(server) = server(name, test) else {
        return;
    };
    let run = fresh("kit");
    block_on(kit::check_sink(async |place, tables: &[Table]| {
        server.open(&format!("{run}_{place}"), tables)
    }));
    let other = server.client();
    let made = format!("SELECT nspname FROM pg_namespace WHERE nspname LIKE '{run}\\_%'");
    for schema in other.rows(&made) {
        other.drop_schema(&schema);
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

#[test]
fn writes_at_random_in_bulk_are_those_in_memory() {
    for server in servers("kit::writes_at_random_in_bulk_are_those_in_memory") {
        for seed in 2..12 {
            let schema = fresh("random");
            block_on(kit::check_random_bulk(
                async |_, tables: &[Table]| server.open(&schema, tables),
                seed,
            ));
            server.client().drop_schema(&schema);
        }
    }
}

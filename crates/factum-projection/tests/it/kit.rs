//! The memory sink passes the kit of sinks.

use std::cell::RefCell;
use std::collections::BTreeMap;

use factum_projection::{ColumnType, Kind, MemorySink, Table, kit};
use pollster::block_on;

#[test]
fn the_memory_sink_passes() {
    let places = RefCell::new(BTreeMap::new());
    block_on(kit::check_sink(async |place, tables: &[Table]| {
        let open = || MemorySink::new(tables.to_vec()).unwrap();
        places
            .borrow_mut()
            .entry(place)
            .or_insert_with(open)
            .clone()
    }));
}

#[test]
fn tables_are_well_formed() {
    let table = || Table::new("things").text("id").json("more").key(["id"]);
    for (tables, why) in [
        (vec![table(), table()], "table things is given twice"),
        (vec![table().text("id")], "has the column id twice"),
        (vec![table().key(["id", "id"])], "has id twice in its key"),
        (
            vec![table().key(["none"])],
            "has no column none, which is in its key",
        ),
        (
            vec![table().key(["more"])],
            "has more in its key, which holds JSON",
        ),
        (
            vec![table().index(["more"])],
            "has more in its index, which holds JSON",
        ),
        (
            vec![table().index(["id", "none"])],
            "has no column none, which is in its index",
        ),
        (vec![table().index([""; 0])], "has an index without columns"),
        (
            vec![table().column("A", ColumnType::Bool)],
            "\"A\" cannot name a table or column",
        ),
    ] {
        let error = MemorySink::new(tables).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(why), "{error}, not {why}");
    }
}

//! Files that are read, what they write, and files that are not read.

use std::collections::BTreeMap;
use std::sync::Arc;

use factum_store::{AppendBatch, EventStore, MemoryStore};
use factum_types::{EventId, ExpectedRevision, NewEvent};
use serde_json::json;

use super::*;
use crate::{Manage, MemorySink, Runner, Value};

const ORDERS: &str = r#"
format = 1
name = "order_details"
sink = "sqlite:orders.db"
from = { category = "order" }

[table]
id = "text primary key"
customer_id = "text not null index"
items = "json"
status = "text"
confirmed_at = "timestamp"
tracking_number = "text"

[on.OrderPlaced]
insert = { id = "$.orderId", customer_id = "$.customerId", items = "$.items", status = "'placed'" }
[on.OrderConfirmed]
update = { where = { id = "$.orderId" }, set = { status = "'confirmed'", confirmed_at = "@time" } }
[on.OrderShipped]
update = { where = { id = "$.orderId" }, set = { status = "'shipped'", tracking_number = "$.trackingNumber" } }
"#;

fn read(text: &str) -> Arc<Declared> {
    Arc::new(Declared::read(text).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

/// A store with these events, each appended by itself.
fn store(events: &[(&str, &str, u32, serde_json::Value)]) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for (n, (stream, name, version, data)) in events.iter().enumerate() {
        let id = EventId::from_bytes([u8::try_from(n).unwrap() + 1; 16]);
        let mut event = NewEvent::json(id, EventType::new(name).unwrap(), data.to_string());
        event.schema_version = *version;
        let stream = StreamName::new(stream).unwrap();
        let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
        pollster::block_on(store.append(batch)).unwrap();
    }
    store
}

/// The rows of a table after everything was applied, and how many events are parked.
fn run(declared: &Arc<Declared>, store: Arc<MemoryStore>) -> (MemorySink, Vec<String>) {
    let sink = MemorySink::new(declared.tables().cloned()).unwrap();
    let mut runner = Runner::new(store, sink.clone(), declared.rows().unwrap());
    pollster::block_on(runner.run_until_caught_up()).unwrap();
    let mut desk = sink.clone();
    let parked = pollster::block_on(desk.parked(declared.name(), 1, 100)).unwrap();
    (sink, parked.into_iter().map(|it| it.reason).collect())
}

fn column(sink: &MemorySink, table: &str, name: &str) -> Vec<Value> {
    let rows = sink.rows(table);
    rows.iter()
        .map(|row| row.get(name).cloned().unwrap_or(Value::Null))
        .collect()
}

#[test]
fn the_projector_of_the_design_keeps_orders() {
    let declared = read(ORDERS);
    let store = store(&[
        (
            "order-1",
            "OrderPlaced",
            1,
            json!({"orderId": "1", "customerId": "anna", "items": [{"sku": "tea"}]}),
        ),
        (
            "order-2",
            "OrderPlaced",
            1,
            json!({"orderId": "2", "customerId": "ben"}),
        ),
        ("order-1", "OrderConfirmed", 1, json!({"orderId": "1"})),
        (
            "order-1",
            "OrderShipped",
            1,
            json!({"orderId": "1", "trackingNumber": "T-7"}),
        ),
        ("order-3", "OrderPlaced", 1, json!({"orderId": "3"})),
        (
            "parcel-1",
            "OrderPlaced",
            1,
            json!({"orderId": "4", "customerId": "eve"}),
        ),
    ]);
    let (sink, parked) = run(&declared, store);
    assert_eq!(
        column(&sink, "order_details", "id"),
        ["1".into(), "2".into()]
    );
    assert_eq!(
        column(&sink, "order_details", "status"),
        ["shipped".into(), "placed".into()]
    );
    assert_eq!(
        column(&sink, "order_details", "tracking_number"),
        ["T-7".into(), Value::Null]
    );
    assert!(matches!(
        column(&sink, "order_details", "confirmed_at")[0],
        Value::Time(_)
    ));
    let items = Value::Json(r#"[{"sku":"tea"}]"#.to_owned());
    assert_eq!(
        column(&sink, "order_details", "items"),
        [items, Value::Null]
    );
    let [reason] = parked.as_slice() else {
        panic!("{parked:?}");
    };
    let expected =
        "OrderPlaced (line 15): column customer_id cannot be null, and $.customerId is not there";
    assert_eq!(reason, expected);
}

const SHOP: &str = r#"
format = 1
name = "shop"
from = "all"
[tables.orders]
id = "text primary key"
total = "integer"
note = "text"
[tables.customers]
key = ["country", "id"]
index = [["id", "orders"]]
country = "text"
id = "text"
orders = "integer"
spent = "integer"

[[on.Placed]]
version = 1
table = "orders"
insert = { id = "@stream", total = { from = "/total", as = "number" } }
[[on.Placed]]
version = [2, 3]
table = "orders"
upsert = { id = "@stream", total = "/sum", note = { from = "/note", missing = "keep" } }
[[on.Placed]]
table = "customers"
has = "/customer"
increment = { where = { country = { from = "/country", default = "DE" }, id = "/customer" }, by = { orders = 1, spent = "/sum" } }

[on.Returned]
table = "customers"
when = { "/reason" = ["broken", "late"] }
decrement = { where = { country = "'DE'", id = "/customer" }, by = { orders = 1 } }
[on.Gone]
table = "orders"
delete = { where = { id = "@stream" } }
"#;

#[test]
fn several_tables_versions_and_conditions() {
    let declared = read(SHOP);
    let store = store(&[
        (
            "order-1",
            "Placed",
            1,
            json!({"total": "30", "customer": "anna"}),
        ),
        (
            "order-2",
            "Placed",
            2,
            json!({"sum": 12, "customer": "anna", "note": "gift"}),
        ),
        ("order-2", "Placed", 3, json!({"sum": 13})),
        (
            "order-3",
            "Placed",
            2,
            json!({"sum": 5, "customer": "anna", "country": "FR"}),
        ),
        (
            "order-3",
            "Returned",
            1,
            json!({"reason": "late", "customer": "anna"}),
        ),
        (
            "order-3",
            "Returned",
            1,
            json!({"reason": "whim", "customer": "anna"}),
        ),
        ("order-1", "Gone", 1, json!({})),
        ("order-4", "Placed", 1, json!({"total": "thirty"})),
    ]);
    let (sink, parked) = run(&declared, store);
    assert_eq!(
        column(&sink, "orders", "id"),
        ["order-2".into(), "order-3".into()]
    );
    assert_eq!(
        column(&sink, "orders", "total"),
        [13_i64.into(), 5_i64.into()]
    );
    assert_eq!(
        column(&sink, "orders", "note"),
        ["gift".into(), Value::Null]
    );
    assert_eq!(
        column(&sink, "customers", "country"),
        ["DE".into(), "FR".into()]
    );
    assert_eq!(
        column(&sink, "customers", "orders"),
        [1_i64.into(), 1_i64.into()]
    );
    assert_eq!(
        column(&sink, "customers", "spent"),
        [12_i64.into(), 5_i64.into()]
    );
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert!(parked[0].contains("cannot be made a number"), "{parked:?}");
}

#[test]
fn everything_wrong_is_named_at_once() {
    let mistakes = Declared::read(
        r#"
format = 1
name = "Orders"
form = "all"
[table]
id = "text primary key"
total = "money"
status = "text not null"
[on.OrderPlaced]
insert = { id = "$.orderId", totl = "$.total", status = "placed" }
[on.OrderShipped]
update = { where = { status = "'x'" }, set = { id = "$.id" } }
[on.OrderPaid]
insert = { id = "@now", status = 5 }
delete = { where = { id = "$.id" } }
[on."Order Lost"]
inc = 1
"#,
    )
    .unwrap_err();
    let expected: &[(usize, &str)] = &[
        (3, "cannot name a table"),
        (4, "the key `form` is not known here"),
        (7, "\"money\" is no type of a column"),
        (10, "has no column totl; it has id, status"),
        (10, "\"placed\" is neither data"),
        (12, "status is not in it"),
        (12, "id is missing"),
        (12, "id is in the key, which is not changed"),
        (15, "`insert` and `delete` exclude each other"),
        (17, "`inc` is not known here"),
    ];
    for (line, what) in expected {
        let named = mistakes
            .iter()
            .any(|it| it.line == Some(*line) && it.what.contains(what));
        assert!(named, "line {line}: {what}\nin\n{mistakes}");
    }
    let lines: Vec<_> = mistakes.iter().map(|it| it.line).collect();
    assert!(lines.is_sorted());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn single_mistakes() {
    let check = |text: &str, expected: &str| {
        let file = format!("format = 1\nname = \"orders\"\n{text}");
        let mistakes = Declared::read(&file).unwrap_err().to_string();
        assert!(mistakes.contains(expected), "{file}\n{mistakes}");
    };
    let table = "[table]\nid = \"text primary key\"\nn = \"integer\"\n";
    let with = |rest: &str| format!("{table}{rest}");
    check("", "the file says nothing of [table]");
    check(table, "the key `on` is missing");
    check(&with("[on]\n"), "there is no handler");
    check(
        &with("[on.\"*\"]\ninsert = { id = \"@id\" }"),
        "which events are read",
    );
    check(
        &with("[on.A]\ninsert = { n = 1 }"),
        "column id cannot be null, and is not given",
    );
    check(
        &with("[on.A]\ninsert = { id = \"@id\", n = \"'x'\" }"),
        "line 7: column n: \"x\" is a text (\"x\"), not a whole number",
    );
    check(
        &with("[on.A]\ninsert = { id = \"@now\" }"),
        "built again from the events",
    );
    check(
        &with("[on.A]\npoint = { fields = { n = 1 } }"),
        "points need [points]",
    );
    check(
        &with("[on.A]\ntable = \"x\"\ndelete = { where = { id = \"@id\" } }"),
        "there is no table x",
    );
    check(
        &with("[on.A]\nincrement = { where = { id = \"@id\" }, by = { id = 1 } }"),
        "id is in the key",
    );
    check(
        &with("[points]\nfields = { n = \"integer\" }\n[on.A]\ninsert = { id = \"@id\" }"),
        "excludes `table`",
    );
    check(
        "[points]\nfields = { n = \"json\" }\n[on.A]\npoint = { fields = { n = 1 } }",
        "no bytes and no JSON",
    );
    check(
        "[points]\nfields = { n = \"integer\" }\n[on.A]\ninsert = { id = \"@id\" }",
        "points are only added",
    );
    check(
        "[table]\nid = \"text\"\n[on.A]\ninsert = { id = \"@id\" }",
        "has no key",
    );
    check(
        "[table]\nid = \"json primary key\"\n[on.A]\ninsert = { id = \"@id\" }",
        "which holds JSON",
    );
    check(
        "[sink]\nurl = \"postgres://x\"\npassword = \"p\"\n[table]\nid = \"text primary key\"\n[on.A]\ninsert = { id = \"@id\" }",
        "a secret does not stand in the file",
    );
    let from = |from: &str| format!("from = {from}\n{table}[on.A]\ninsert = {{ id = \"@id\" }}");
    check(&from("{ types = [\"B\"] }"), "A is never read");
    check(
        &from("{ category = \"a\", stream = \"b\" }"),
        "names one thing",
    );
    check(&from("{}"), "names nothing");
    check(&from("\"everything\""), "\"all\" is expected");
    assert!(
        Declared::read("x = [")
            .unwrap_err()
            .to_string()
            .starts_with("line 1: ")
    );
    assert!(
        Declared::read("")
            .unwrap_err()
            .to_string()
            .contains("format = 1")
    );
}

#[test]
fn the_version_is_that_of_the_rows() {
    let version = |text: &str| read(text).version().to_owned();
    let before = version(ORDERS);
    assert!(before.len() <= 64);
    assert_eq!(version(&format!("# a word\n{ORDERS}")), before);
    assert_eq!(
        version(&ORDERS.replace("sqlite:orders.db", "sqlite:other.db")),
        before
    );
    let swapped = ORDERS
        .replace("\nstatus = \"text\"\n", "\n")
        .replace("items = \"json", "status = \"text\"\nitems = \"json");
    let changes = [
        ORDERS.replace("'shipped'", "'sent'"),
        ORDERS.replace("category = \"order\"", "category = \"orders\""),
        ORDERS.replace("text not null index", "text index"),
        swapped,
    ];
    for changed in changes {
        assert_ne!(version(&changed), before, "{changed}");
    }
    // Kept with what was written, so it must be this one for ever.
    assert_eq!(before, "6a8a9b71-c19c-548d-a02a-612c1f633398");
}

/// The measurement, tags, number of fields, and whether a time was given, of each point.
#[derive(Default)]
struct Seen(Vec<(String, BTreeMap<String, String>, usize, bool)>);
impl crate::Points for Seen {
    fn point(
        &mut self,
        measurement: &str,
        tags: &[(&str, &str)],
        fields: &[crate::Cell<'_>],
        time: Option<factum_types::Timestamp>,
    ) -> Result<(), crate::Error> {
        crate::points::check_point(measurement, tags, fields)?;
        let tags = tags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.0.push((
            measurement.to_owned(),
            tags.collect(),
            fields.len(),
            time.is_some(),
        ));
        Ok(())
    }
}

#[test]
fn points_are_written_with_tags_and_fields() {
    let declared = read(
        r#"
format = 1
name = "sales"
[points]
tags = ["country", "channel"]
fields = { amount = "real", items = "integer" }
[on.Placed]
point = { tags = { country = "$.country", channel = "$.channel" }, fields = { amount = "$.total", items = { from = "$.items", missing = "keep" } }, time = "$.at" }
"#,
    );
    assert!(declared.rows().is_none());
    let store = store(&[
        (
            "order-1",
            "Placed",
            1,
            json!({"country": "DE", "total": 3.5, "at": "2026-01-01T00:00:00Z"}),
        ),
        (
            "order-2",
            "Placed",
            1,
            json!({"country": "FR", "channel": "web", "total": 1, "items": 2}),
        ),
    ]);
    let mut seen = Seen::default();
    let events = store.read(factum_store::ReadRequest::forward(Source::All));
    for event in pollster::block_on(events.collect()).unwrap() {
        crate::Projector::project(&declared.points().unwrap(), &event, &mut seen).unwrap();
        assert!(declared.probe(&event).unwrap());
    }
    let tags = |all: &[(&str, &str)]| {
        all.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    assert_eq!(
        seen.0,
        [
            ("sales".to_owned(), tags(&[("country", "DE")]), 1, true),
            (
                "sales".to_owned(),
                tags(&[("country", "FR"), ("channel", "web")]),
                2,
                false
            ),
        ]
    );
}

const TABLE: &str = "format = 1\nname = \"x\"\nfrom = \"all\"\n[table]\nid = \"text primary key\"\nn = \"integer not null\"\nt = \"text\"\n";

#[test]
fn a_column_that_is_never_null_keeps_nothing() {
    let check = |on: &str, expected: Option<&str>| {
        let read = Declared::read(&format!("{TABLE}{on}"));
        let said = read.map(drop).map_err(|mistakes| mistakes.to_string());
        match expected {
            None => assert_eq!(said, Ok(()), "{on}"),
            Some(what) => assert!(said.unwrap_err().contains(what), "{on}"),
        }
    };
    let keep = |value: &str| format!("{{ from = \"{value}\", missing = \"keep\" }}");
    for what in ["insert", "upsert"] {
        let on = format!("[on.A]\n{what} = {{ id = \"@id\", n = {} }}", keep("$.n"));
        check(
            &on,
            Some("n cannot be null, so there is not always something to keep"),
        );
        let on = format!("[on.A]\n{what} = {{ id = {}, n = 1 }}", keep("$.id"));
        check(&on, Some("id cannot be null, so"));
        let on = format!(
            "[on.A]\n{what} = {{ id = \"@id\", n = 1, t = {} }}",
            keep("$.t")
        );
        check(&on, None);
    }
    let by = |n: &str| {
        format!("[on.A]\nincrement = {{ where = {{ id = \"@id\" }}, by = {{ n = {n} }} }}")
    };
    check(&by(&keep("$.n")), Some("n cannot be null, so"));
    check(&by("1"), None);
    // A row that is there has something to keep; one that is not there is not made.
    let on = format!(
        "[on.A]\nupdate = {{ where = {{ id = \"@id\" }}, set = {{ n = {} }} }}",
        keep("$.n")
    );
    check(&on, None);
}

#[test]
fn handlers_are_applied_in_the_order_of_the_file_whatever_their_type() {
    let handler = |name: &str, t: &str| {
        format!("[[on.\"{name}\"]]\nupsert = {{ id = \"1\", n = 1, t = \"'{t}'\" }}\n")
            .replace("\"1\"", "\"'1'\"")
    };
    let between = format!(
        "{TABLE}{}{}{}",
        handler("A", "a"),
        handler("*", "b"),
        handler("A", "c")
    );
    let behind = format!(
        "{TABLE}{}{}{}",
        handler("A", "a"),
        handler("A", "c"),
        handler("*", "b")
    );
    let check = |text: &str, expected: &str| {
        let declared = read(text);
        let (sink, parked) = run(&declared, store(&[("s-1", "A", 1, json!({}))]));
        assert_eq!(parked, Vec::<String>::new());
        assert_eq!(column(&sink, "x", "t"), [expected.into()], "{text}");
        declared.version().to_owned()
    };
    assert_ne!(check(&between, "c"), check(&behind, "b"));
}

#[test]
fn the_whole_of_the_data_has_two_names() {
    let text = "format = 1\nname = \"x\"\n[table]\nid = \"text primary key\"\na = \"json\"\nb = \"json\"\nc = \"json\"\n\
                [on.A]\ninsert = { id = \"@id\", a = \"\", b = \"$\", c = { from = \"\" } }";
    let (sink, parked) = run(&read(text), store(&[("s-1", "A", 1, json!({"n": 1}))]));
    assert_eq!(parked, Vec::<String>::new());
    for name in ["a", "b", "c"] {
        assert_eq!(
            column(&sink, "x", name),
            [Value::Json("{\"n\":1}".to_owned())]
        );
    }
}

#[test]
fn a_mistake_is_not_followed_by_others() {
    let check = |on: &str, expected: usize| {
        let mistakes = Declared::read(&format!("{}{on}", TABLE.replace("from = \"all\"\n", "")));
        let mistakes = mistakes.unwrap_err();
        assert_eq!(mistakes.iter().count(), expected, "{mistakes}");
    };
    check("[on.A]\ninsrt = {}", 2);
    check(
        "[on.A]\nupdate = { where = { id = \"@id\" }, set = { nn = 1 } }",
        1,
    );
    check("[on.A]\ninsert = { id = \"@now\", n = 1 }", 1);
    check("[on.A]\n", 1);
}

#[test]
fn a_password_in_an_address_is_a_mistake_at_its_line() {
    for sink in [
        "sink = \"postgres://anna:geheim@h/db\"\n",
        "[sink]\nurl = \"influxdb://h/db?p=geheim\"\n",
    ] {
        let text = format!(
            "format = 1\nname = \"x\"\n{sink}[table]\nid = \"text primary key\"\n[on.A]\ninsert = {{ id = \"@id\" }}"
        );
        let mistakes = Declared::read(&text).unwrap_err();
        let line = if sink.starts_with('[') { 4 } else { 3 };
        let all: Vec<_> = mistakes.iter().map(|it| it.line).collect();
        assert_eq!(all, [Some(line)], "{mistakes}");
        let said = format!("{mistakes} {mistakes:?}");
        assert!(
            said.contains("password_env") && !said.contains("geheim"),
            "{said}"
        );
    }
}

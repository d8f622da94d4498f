//! Views over generations: what others built on them stays, or it is said what is in the way.

use std::sync::Arc;

use factum_projection::{Behind, Claim, Error, Kind, Manage, Obstacle, Runner, Sink, Table, Which};
use factum_sink_postgres::{Options, PostgresSink};
use factum_store::MemoryStore;
use pollster::block_on;

use super::orders::{Orders, orders, tables};
use super::own_server::OwnServer;
use super::support::{Other, Server, fresh, servers};

struct Place {
    server: Server,
    schema: String,
    store: Arc<MemoryStore>,
    other: Other,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.other.drop_schema(&self.schema);
        }
    }
}

fn places(test: &str) -> Vec<Place> {
    let of = |server: Server| Place {
        schema: fresh("generations"),
        store: orders(10),
        other: server.client(),
        server,
    };
    servers(test).into_iter().map(of).collect()
}

impl Place {
    fn run(&self, which: Which, tables: &[Table]) -> Result<(), Error> {
        self.run_on(&self.server, which, tables)
    }

    fn run_on(&self, server: &Server, which: Which, tables: &[Table]) -> Result<(), Error> {
        let sink = server.open(&self.schema, tables);
        let mut runner = Runner::new(Arc::clone(&self.store) as _, sink, Orders).generation(which);
        block_on(runner.run_until_caught_up()).map(drop)
    }

    /// A new generation with these tables, of which nothing is in it.
    fn run_less(&self, tables: &[Table]) {
        let mut sink = self.server.open(&self.schema, tables);
        let claim = Claim {
            projection: "orders",
            which: Which::New,
            version: "1",
            bulk: false,
        };
        block_on(sink.claim(claim)).unwrap();
    }

    fn switch(&self, generation: u32) -> Result<(), Error> {
        let mut desk = self.server.open(&self.schema, &[]);
        block_on(desk.switch("orders", generation, Behind::Allow))
    }

    fn sql(&self, sql: &str) {
        self.other.run(&sql.replace("{s}", &self.schema));
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        self.other.rows(&sql.replace("{s}", &self.schema))
    }
}

fn refused(done: Result<(), Error>, parts: &[&str]) {
    let error = done.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error}: not {part}");
    }
}

#[test]
fn a_reader_sees_rows_with_types() {
    for place in places("generations::a_reader_sees_rows_with_types") {
        place.run(Which::Live, &tables()).unwrap();
        let seen = place.rows(
            "SELECT id, customer, status, at IS NULL, items->>0, items->>1 FROM {s}.orders ORDER BY id LIMIT 3",
        );
        assert_eq!(
            seen,
            [
                "order-0|customer-0|placed|t|0|it's \"one\"",
                "order-1|customer-1|confirmed|f|1|it's \"one\"",
                "order-2|customer-2|shipped|f|2|it's \"one\"",
            ]
        );
        let counts = place.rows("SELECT count(*), sum(orders) FROM {s}.customers");
        assert_eq!(counts, ["7|10"]);
        let types = place.rows(
            "SELECT string_agg(data_type, ', ' ORDER BY ordinal_position) FROM information_schema.columns
             WHERE table_schema = '{s}' AND table_name = 'orders'",
        );
        assert_eq!(types, ["text, text, text, timestamp with time zone, jsonb"]);
        let indexes = place.rows(
            "SELECT indexname FROM pg_indexes WHERE schemaname = '{s}' AND tablename = 'orders__g1' ORDER BY 1",
        );
        assert_eq!(indexes, ["orders__g1_i0", "orders__g1_pkey"]);
    }
}

#[test]
fn what_others_built_on_a_view_stays() {
    for place in places("generations::what_others_built_on_a_view_stays") {
        place.run(Which::Live, &tables()).unwrap();
        place.sql("CREATE VIEW {s}.totals AS SELECT count(*) AS n, count(at) AS confirmed FROM {s}.orders");
        place.sql("GRANT SELECT ON {s}.orders TO PUBLIC");
        assert_eq!(place.rows("SELECT * FROM {s}.totals"), ["6|4"]);

        // More columns, in another order: views over it and rights stay.
        let [_, customers] = tables();
        let wider = Table::new("orders")
            .text("note")
            .json("items")
            .time("at")
            .text("status")
            .text("customer")
            .text("id")
            .key(["id"]);
        place.run(Which::New, &[wider, customers]).unwrap();
        place.switch(2).unwrap();
        assert_eq!(place.rows("SELECT * FROM {s}.totals"), ["6|4"]);
        let columns = "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns
             WHERE table_schema = '{s}' AND table_name = 'orders'";
        assert_eq!(place.rows(columns), ["id customer status at items note"]);
        let rights = "SELECT privilege_type FROM information_schema.table_privileges
             WHERE table_schema = '{s}' AND table_name = 'orders' AND grantee = 'PUBLIC'";
        assert_eq!(place.rows(rights), ["SELECT"]);

        // Back to fewer: refused while another view is built on it, and nothing is changed by that.
        let why = [
            "the view orders cannot be changed",
            "no column note of type text",
            "totals is built on it",
        ];
        refused(place.switch(1), &why);
        assert_eq!(place.rows(columns), ["id customer status at items note"]);
        place.sql("DROP VIEW {s}.totals");
        place.switch(1).unwrap();
        assert_eq!(place.rows(columns), ["id customer status at items"]);
        assert_eq!(place.rows(rights), ["SELECT"]);
        assert_eq!(place.rows("SELECT count(*) FROM {s}.orders"), ["6"]);

        // A table less.
        place.sql("CREATE VIEW {s}.who AS SELECT id FROM {s}.customers");
        let odd = Table::new("customers_now")
            .text("id")
            .integer("orders")
            .key(["id"]);
        let [orders, _] = tables();
        place.run_less(&[orders, odd]);
        let why = [
            "the view customers cannot be changed",
            "no such table",
            "who is built on it",
        ];
        refused(place.switch(3), &why);
        place.sql("DROP VIEW {s}.who");
        place.switch(3).unwrap();
        let views = "SELECT string_agg(viewname, ' ' ORDER BY viewname) FROM pg_views WHERE schemaname = '{s}'";
        assert_eq!(place.rows(views), ["customers_now orders"]);
        let mut desk = place.server.open(&place.schema, &[]);
        block_on(desk.drop_generation("orders", 2)).unwrap();
        assert!(place.rows("SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = '{s}' AND relname LIKE '%\\_\\_g2'").is_empty());
    }
}

#[test]
fn what_someone_else_made_is_named_and_left_alone() {
    for place in places("generations::what_someone_else_made_is_named_and_left_alone") {
        place.sql("CREATE SCHEMA {s}; CREATE TABLE {s}.orders (id text)");
        let why = [
            "a table orders of the role factum that no projection made",
            &place.schema,
        ];
        refused(place.run(Which::Live, &tables()), &why);
        assert_eq!(place.rows("SELECT count(*) FROM {s}.orders"), ["0"]);
        place.sql("DROP TABLE {s}.orders; CREATE TABLE {s}.orders__g1 (id text)");
        refused(
            place.run(Which::Live, &tables()),
            &["a table orders__g1 of the role"],
        );
        place.sql("DROP TABLE {s}.orders__g1; CREATE VIEW {s}.customers AS SELECT 1");
        refused(
            place.run(Which::Live, &tables()),
            &["a view customers of the role"],
        );
        place.sql("DROP VIEW {s}.customers");
        place.run(Which::Live, &tables()).unwrap();
        // Other columns than the generation was made with.
        let [_, customers] = tables();
        let other = Table::new("orders").text("id").key(["id"]);
        let error = place.run(Which::Live, &[other, customers]).unwrap_err();
        assert_eq!(error.kind(), Kind::Outdated, "{error}");
        let said = "table orders of projection orders has other columns in generation 1: build a new generation";
        assert_eq!(error.to_string(), said);
        // Nothing depends on a search path, nor on what others set.
        let settings =
            "-c%20search_path%3Dnowhere%20-c%20default_transaction_isolation%3Dserializable";
        let odd = Server {
            url: format!("{}?options={settings}", place.server.url),
            place: place.server.place.clone(),
        };
        assert_eq!(odd.client().rows("SHOW search_path"), ["nowhere"]);
        place.run_on(&odd, Which::New, &tables()).unwrap();
        let mut desk = odd.open(&place.schema, &[]);
        block_on(desk.switch("orders", 2, Behind::Allow)).unwrap();
    }
}

#[test]
fn what_stands_in_the_way_is_found_before() {
    for place in places("generations::what_stands_in_the_way_is_found_before") {
        let look = |projection: &str| {
            let mut sink = place.server.open(&place.schema, &tables());
            block_on(sink.inspect(projection)).unwrap()
        };
        let check = |projection: &str, part: &str| {
            let found = look(projection);
            let owned = found.iter().filter_map(|it| match it {
                Obstacle::Owned { what } => Some(what.as_str()),
                _ => None,
            });
            let all: Vec<&str> = owned.collect();
            assert!(
                all.iter().any(|what| what.contains(part)),
                "{found:?}, not {part}"
            );
        };
        assert_eq!(look("orders"), []);
        place.sql("CREATE SCHEMA {s}; CREATE TABLE {s}.orders (id text)");
        check(
            "orders",
            "a table orders of the role factum that no projection made",
        );
        place.sql("DROP TABLE {s}.orders");
        // No reader has seen it, so its names are no views yet.
        place.run(Which::New, &tables()).unwrap();
        assert_eq!(look("orders"), []);
        check(
            "others",
            "orders belongs to projection orders, not to others",
        );
        place.sql("CREATE TABLE {s}.orders (id text)");
        let part = "a table orders of the role factum that no projection made";
        check("orders", part);
        refused(place.run(Which::Number(1), &tables()), &[part]);
        place.sql("DROP TABLE {s}.orders; CREATE VIEW {s}.orders AS SELECT 1 AS id");
        let part = "a view orders of the role factum that no projection made";
        check("orders", part);
        refused(place.run(Which::Number(1), &tables()), &[part]);
        place.sql("DROP VIEW {s}.orders");
        place.run(Which::Live, &tables()).unwrap();
        place.sql("DROP TABLE {s}.customers__g2 CASCADE");
        let found = look("orders");
        let what = "the table customers__g2 of projection orders was removed".to_owned();
        let generation = 2;
        assert_eq!(found, [Obstacle::Differs { generation, what }]);
    }
}

/// Another role's schema: that we may not look is said as that, and not as that somebody has our table.
#[test]
fn a_role_that_may_not_look_is_told_so() {
    for like in servers("generations::a_role_that_may_not_look_is_told_so") {
        let own = OwnServer::start(&like);
        let admin = Other::new(&own.url());
        admin.run("CREATE ROLE stranger LOGIN; CREATE SCHEMA theirs");
        let open = |url: &str| {
            let options = Options::from_url(url).unwrap();
            PostgresSink::open(options.schema("theirs").unwrap(), tables()).unwrap()
        };
        let claim = Claim {
            projection: "orders",
            ..Claim::default()
        };
        block_on(open(&own.url()).claim(claim)).unwrap();
        let url = own.url().replace("//factum@", "//stranger@");
        for grant in ["", "GRANT USAGE ON SCHEMA theirs TO stranger"] {
            admin.run(grant);
            let error = block_on(open(&url).inspect("orders")).unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{error}");
            assert!(error.to_string().contains("permission denied"), "{error}");
            let error = block_on(open(&url).claim(claim)).unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{error}");
        }
        admin.run("GRANT SELECT ON ALL TABLES IN SCHEMA theirs TO stranger");
        assert_eq!(block_on(open(&url).inspect("orders")).unwrap(), []);
    }
}

#[test]
fn what_may_not_be_made_is_said() {
    for place in places("generations::what_may_not_be_made_is_said") {
        // The role may make schemas in its database, and nothing in the system's.
        let error = place
            .server
            .options("public")
            .schema("pg_catalog")
            .unwrap_err();
        assert!(
            error.to_string().contains("cannot name a schema"),
            "{error}"
        );
        let template = place.server.url.strip_suffix("factum").unwrap();
        let options = Options::from_url(&format!("{template}postgres"));
        let options = options.unwrap().schema("not_ours").unwrap();
        let sink = PostgresSink::open(options, tables()).unwrap();
        let mut runner = Runner::new(Arc::clone(&place.store) as _, sink, Orders);
        let error = block_on(runner.run_until_caught_up()).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        for part in [
            "cannot make the tables of the sink in the schema not_ours",
            "permission denied",
        ] {
            assert!(error.to_string().contains(part), "{error}: not {part}");
        }
    }
}

//! Declared projections by the binary in real servers: PostgreSQL, OpenSearch and InfluxDB, as `cargo xtask services up` starts them.
//!
//! What `project check` names, what the others end with, and that no password is seen anywhere.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use factum_http_client::{Client, Method, Options as Http, Request, encoded};
use serde_json::Value;

use crate::support::{Place, Ran, lines};

/// The variable that holds the password in these tests.
const PASSWORD: &str = "FACTUM_TEST_PASSWORD";
const EVENTS: usize = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    OpenSearch,
    Influx,
}

/// A server, and a place in it that no other test has; that is removed in the end.
struct Server {
    kind: Kind,
    /// As `services` says it, with user and password.
    url: String,
    /// What belongs to this test: a schema, the beginning of a name, or a database.
    name: String,
    user: String,
    password: String,
}

/// What a test checks against one server, in a place of its own with some events.
fn each(check: fn(&Server, &Place)) {
    for (kind, service) in [
        (Kind::Postgres, "postgres15"),
        (Kind::OpenSearch, "opensearch"),
        (Kind::Influx, "influxdb"),
    ] {
        let Some(server) = Server::find(kind, service) else {
            continue;
        };
        let place = Place::new();
        place.write("events.ndjson", lines(EVENTS));
        place.ok(&["import", "events.ndjson", "--data", "store", "-q"]);
        check(&server, &place);
    }
}

impl Server {
    /// A server, if it runs; with `CI=true` it must.
    fn find(kind: Kind, service: &str) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let services: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services");
        let Ok(url) = std::fs::read_to_string(services.join(service).join("url")) else {
            let needs = format!("these tests need {service}: cargo xtask services up");
            assert!(std::env::var_os("CI").is_none(), "{needs}");
            // Past the harness, which keeps what a test prints to itself.
            writeln!(std::io::stderr(), "NOT RUN: {needs}").unwrap();
            return None;
        };
        let url = url.trim().to_owned();
        let authority = url.split("://").nth(1).unwrap().split('/').next().unwrap();
        let login = authority.rsplit_once('@').map_or("", |(login, _)| login);
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        Some(Self {
            kind,
            name: format!(
                "cli{}x{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::SeqCst)
            ),
            user: user.to_owned(),
            password: decoded(password),
            url,
        })
    }

    /// `host:port`.
    fn host(&self) -> &str {
        let rest = self.url.split("://").nth(1).unwrap();
        let authority = rest.split('/').next().unwrap();
        authority.rsplit('@').next().unwrap()
    }

    /// The lines of a file that say where the read model is, as a person writes them: the password elsewhere.
    fn sink(&self, host: &str) -> String {
        let (user, name) = (&self.user, &self.name);
        match self.kind {
            Kind::Postgres => format!(
                "[sink]\nurl = \"postgres://{user}@{host}/factum?schema={name}\"\npassword_env = \"{PASSWORD}\"\n"
            ),
            Kind::OpenSearch => format!("[sink]\nurl = \"opensearch://{host}\"\n"),
            Kind::Influx => format!(
                "[sink]\nurl = \"influxdb://{host}/{name}\"\nuser = \"{user}\"\npassword_env = \"{PASSWORD}\"\n"
            ),
        }
    }

    /// The read model of a test.
    fn table(&self) -> String {
        match self.kind {
            Kind::OpenSearch => format!("{}_events", self.name),
            _ => "events".to_owned(),
        }
    }

    /// A file over the whole store; `[on]` is still to come. The name of the projection is not that of what it writes.
    fn file(&self, projection: &str, host: &str) -> String {
        let shape = match self.kind {
            Kind::Influx => {
                "[points]\nmeasurement = \"events\"\nfields = { n = \"integer\" }\n".to_owned()
            }
            _ => format!(
                "[tables.{}]\nid = \"text primary key\"\nn = \"integer\"\nt = \"text\"\n",
                self.table()
            ),
        };
        format!(
            "format = 1\nname = \"{}_{projection}\"\nfrom = \"all\"\n{}{shape}",
            self.name,
            self.sink(host)
        )
    }

    /// What is done for a type of events, with this as the value of a column.
    fn on(&self, event: &str, column: &str, value: &str) -> String {
        match self.kind {
            Kind::Influx => {
                format!("[on.\"{event}\"]\npoint = {{ fields = {{ {column} = \"{value}\" }} }}\n")
            }
            _ => format!("[on.\"{event}\"]\ninsert = {{ id = \"@id\", {column} = \"{value}\" }}\n"),
        }
    }

    fn run(&self, place: &Place, args: &[&str]) -> Ran {
        self.run_as(&self.password, place, args)
    }

    /// Runs the binary with the password where the file says; wherever it prints, nobody sees it.
    fn run_as(&self, password: &str, place: &Place, args: &[&str]) -> Ran {
        let mut command = place.command(args);
        let ran = Ran::of(command.env(PASSWORD, password).output().unwrap());
        if !password.is_empty() {
            let said = format!("{}{}", ran.out, ran.err);
            assert!(!said.contains(password), "{args:?}: {said}");
        }
        ran
    }

    /// What the binary ends with, and something that it says.
    fn check(&self, place: &Place, args: &[&str], code: i32, expected: &str) {
        let ran = self.run(place, args);
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, code, "{:?} {args:?}: {said}", self.kind);
        assert!(said.contains(expected), "{:?} {args:?}: {said}", self.kind);
    }

    fn json(&self, place: &Place, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.extend(["-o", "json"]);
        let ran = self.run(place, &args);
        assert_eq!(ran.code, 0, "{:?} {args:?}: {}", self.kind, ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// Something of this name that is not ours.
    fn take_name(&self) {
        match self.kind {
            Kind::Postgres => self.sql(&format!(
                "CREATE SCHEMA \"{0}\"; CREATE TABLE \"{0}\".events (mine text)",
                self.name
            )),
            Kind::OpenSearch => drop(self.http(Method::Put, &format!("/{}", self.table()))),
            Kind::Influx => unreachable!("a database there has no owner but ours"),
        }
    }

    fn give_name_back(&self) {
        match self.kind {
            Kind::Postgres => self.sql(&format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.name)),
            Kind::OpenSearch => {
                for index in ["", "-g1", "-g2", "-g3"] {
                    self.http(Method::Delete, &format!("/{}{index}", self.table()));
                }
            }
            Kind::Influx => {
                for number in 1..4 {
                    let statement = format!("DROP DATABASE \"{}_g{number}\"", self.name);
                    self.http(Method::Post, &format!("/query?q={}", encoded(&statement)));
                }
            }
        }
    }

    /// How many rows or points readers see of the type that the tests keep.
    fn count(&self, generation: u32) -> u64 {
        match self.kind {
            Kind::Postgres => unreachable!("it is asked by `query`"),
            Kind::OpenSearch => {
                let table = self.table();
                self.http(Method::Post, &format!("/{table}/_refresh"));
                self.http(Method::Get, &format!("/{table}/_count"))["count"]
                    .as_u64()
                    .unwrap()
            }
            Kind::Influx => {
                let (name, sql) = (&self.name, encoded("SELECT count(n) FROM events"));
                let path = format!("/query?db={name}_g{generation}&q={sql}");
                let found = self.http(Method::Get, &path);
                let count = found.pointer("/results/0/series/0/values/0/1");
                count.and_then(Value::as_u64).unwrap_or(0)
            }
        }
    }

    fn http(&self, method: Method, path: &str) -> Value {
        let client = Client::new(&Http::new(&self.url).unwrap()).unwrap();
        let answer = pollster::block_on(client.send(Request::new(method, path))).unwrap();
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn sql(&self, sql: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let connected = tokio_postgres::connect(&self.url, tokio_postgres::NoTls);
            let (client, connection) = connected.await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            client.batch_execute(sql).await.unwrap();
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.give_name_back();
        }
    }
}

/// A port of this machine where nobody listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A server that lets nobody in, for a server that asks for no password; it ends with the test.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let serve = move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut asked = [0; 4_096];
            if stream.read(&mut asked).is_ok() {
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a server for a test")]
    drop(std::thread::spawn(serve));
    address
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        plain.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
        plain.push_str(&part[2..]);
    }
    plain
}

const DATA: [&str; 2] = ["--data", "store"];

/// `project` and a word, over a file and the store.
fn project<'a>(word: &'a str, file: &'a str) -> Vec<&'a str> {
    [&["project", word, file][..], &DATA].concat()
}

#[test]
fn a_check_names_what_is_wrong_in_the_file() {
    each(|server, place| {
        let host = server.host();
        let check = |on: &str, code: i32, expected: &str| {
            place.write("a.toml", server.file("a", host) + on);
            server.check(place, &project("check", "a.toml"), code, expected);
        };
        let rest = server.on("T1", "n", "$.n") + &server.on("T2", "n", "$.n");
        check(&(server.on("T0", "n", "$.n") + &rest), 0, "no mistakes");
        let unknown = match server.kind {
            Kind::Influx => "has no field nn",
            _ => "has no column nn",
        };
        check(&(server.on("T0", "nn", "$.n") + &rest), 1, unknown);
        for (value, unfit) in [
            ("@user", "@user is text, not a whole number"),
            ("'u'", "is a text (\"u\"), not a whole number"),
        ] {
            check(&(server.on("T0", "n", value) + &rest), 1, unfit);
        }
        check(
            &(server.on("Nothing", "n", "$.n") + &server.on("T0", "n", "$.n") + &rest),
            1,
            "the store has no event of type Nothing",
        );
    });
}

#[test]
fn a_check_names_what_is_wrong_with_the_server() {
    each(|server, place| {
        let on = server.on("*", "n", "$.n");
        let check = |host: &str, code: i32, expected: &str| {
            place.write("a.toml", server.file("a", host) + &on);
            for word in ["check", "run"] {
                let mut args = project(word, "a.toml");
                args.extend((word == "run").then_some("--once"));
                // A run waits for a server that is down; a check does not.
                if word == "check" || code != 6 {
                    server.check(place, &args, code, expected);
                }
            }
        };
        check(&closed(), 6, "127.0.0.1");
        match server.kind {
            Kind::OpenSearch => check(&refusing(), 5, "refuses who we are"),
            _ => {
                place.write("a.toml", server.file("a", server.host()) + &on);
                let wrong = "gehaimnis";
                for word in ["check", "run", "info"] {
                    let ran = server.run_as(wrong, place, &project(word, "a.toml"));
                    assert_eq!(
                        ran.code, 5,
                        "{:?} {word}: {}{}",
                        server.kind, ran.out, ran.err
                    );
                    assert!(format!("{}{}", ran.out, ran.err).contains("password_env"));
                }
                let ran = place.run(&project("check", "a.toml"));
                assert!(
                    ran.out.contains(&format!("the variable {PASSWORD}")),
                    "{}",
                    ran.out
                );
            }
        }
    });
}

#[test]
fn a_name_that_someone_else_has_is_not_taken() {
    each(|server, place| {
        let host = server.host();
        let on = server.on("*", "n", "$.n");
        place.write("a.toml", server.file("a", host) + &on);
        place.write("thief.toml", server.file("thief", host) + &on);
        let once = |file| [project("run", file), vec!["--once"]].concat();
        if server.kind != Kind::Influx {
            server.take_name();
            let theirs = "no projection made";
            server.check(place, &project("check", "a.toml"), 1, theirs);
            server.check(place, &once("a.toml"), 1, theirs);
            server.give_name_back();
        }
        server.check(place, &once("a.toml"), 0, "30 events applied");
        let theirs = format!("belongs to projection {0}_a, not to {0}_thief", server.name);
        server.check(place, &project("check", "thief.toml"), 1, &theirs);
        server.check(place, &once("thief.toml"), 1, &theirs);
        server.check(place, &project("check", "a.toml"), 0, "no mistakes");
    });
}

#[test]
fn a_read_model_is_run_changed_rebuilt_and_rolled_back() {
    each(|server, place| {
        let host = server.host();
        let file = server.file("a", host);
        place.write("a.toml", file.clone() + &server.on("*", "n", "$.n"));
        let name = format!("{}_a", server.name);
        let once = [project("run", "a.toml"), vec!["--once"]].concat();
        let done = server.json(place, &once);
        assert_eq!((&done["applied"], &done["parked"]), (&30.into(), &0.into()));
        let info = server.json(place, &project("info", "a.toml"));
        assert_eq!(
            (&info["live"], &info["behind"]["records"]),
            (&1.into(), &0.into())
        );
        let all = server.json(place, &project("ls", "a.toml"));
        let mut named = all.as_array().unwrap().iter();
        assert!(named.any(|it| it["projection"] == *name), "{all}");

        // Another file, so another generation.
        place.write("a.toml", file + &server.on("T1", "n", "$.n"));
        server.check(place, &once, 4, "build a new generation");
        let check = server.run(place, &project("check", "a.toml"));
        assert!(check.out.contains("makes a new one"), "{}", check.out);
        let aside = [
            project("rebuild", "a.toml"),
            vec!["--no-switch", "--verify"],
        ]
        .concat();
        let done = server.json(place, &aside);
        // Points are folded again, and cannot be read back one by one.
        let compared = if server.kind == Kind::Influx { 0 } else { 10 };
        assert_eq!(
            (&done["generation"], &done["switched"]),
            (&2.into(), &false.into())
        );
        assert_eq!(
            (&done["parked"], &done["rows_compared"]),
            (&0.into(), &compared.into())
        );
        see(server, place, 1, 30);
        let switch = ["project", "switch", "a.toml", "-o", "json"];
        server.check(place, &switch, 0, "\"live\": 2");
        see(server, place, 2, 10);
        server.check(
            place,
            &["project", "rollback", "a.toml"],
            0,
            "generation 1 again",
        );
        see(server, place, 1, 30);
        let (dropped, live) = (["drop", "a.toml", "2"], ["drop", "a.toml", "1"]);
        let drop = |which: [&'static str; 3]| [&["project"][..], &which, &["--yes"]].concat();
        server.check(place, &drop(live), 1, "readers see generation 1");
        server.check(place, &drop(dropped), 0, "generation 2 dropped");
        server.check(place, &drop(dropped), 3, "no generation 2");
    });
}

#[test]
fn an_event_that_is_not_taken_is_parked_and_named() {
    each(|server, place| {
        let poison = "{\"n\":\"many\"}";
        let append = ["append", "order-9", "-t", "T9", "--data", poison, "-q"];
        place.ok(&[&DATA[..], &append].concat());
        place.write(
            "a.toml",
            server.file("a", server.host()) + &server.on("*", "n", "$.n"),
        );
        // Of this type all would be: more likely the file than the events.
        let tried = "1 of 1 event tried would be parked";
        server.check(place, &project("check", "a.toml"), 1, tried);
        let once = [project("run", "a.toml"), vec!["--once"]].concat();
        server.check(place, &once, 8, "1 event parked");
        let errors = ["project", "errors", "a.toml"];
        server.check(place, &errors, 0, "not a whole number");
        let skip = ["project", "skip", "a.toml", "30", "--yes"];
        server.check(place, &skip, 0, "position 30 skipped");
        server.check(place, &once, 0, "0 parked");
    });
}

/// Checks which generation readers see, and how much is in it.
fn see(server: &Server, place: &Place, generation: u32, count: u64) {
    let info = server.json(place, &["project", "info", "a.toml"]);
    assert_eq!(info["live"], generation);
    let ask =
        |sql: &'static str| [&["query", "--file", "a.toml", sql][..], &["-o", "json"]].concat();
    if server.kind != Kind::Postgres {
        let no_sql = "does not speak SQL";
        server.check(place, &ask("SELECT 1"), 1, no_sql);
        assert_eq!(server.count(generation), count);
        return;
    }
    let count_all = "SELECT count(*) AS a, max(n) AS a, NULL AS b FROM events";
    let found = server.run(place, &ask(count_all));
    assert_eq!(found.code, 0, "{}", found.err);
    let found: Value = serde_json::from_str(&found.out).unwrap();
    let expected =
        serde_json::json!([{"a": count, "a_2": if generation == 1 { 29 } else { 28 }, "b": null}]);
    assert_eq!(found, expected);
    for (sql, expected) in [
        ("SELEC 1", "syntax error"),
        (
            "SELECT nothing FROM events",
            "column \"nothing\" does not exist",
        ),
        ("DELETE FROM events", "only reads"),
        ("SELECT 1; SELECT 2", "multiple commands"),
    ] {
        server.check(place, &ask(sql), 1, expected);
    }
    let slow = [&ask("SELECT pg_sleep(20)")[..], &["--timeout", "1s"]].concat();
    server.check(place, &slow, 1, "--timeout");
}

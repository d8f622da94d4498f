//! `factum serve` and its settings, as a process.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Mortal, Place};

/// How long a server may take to say that it is ready, and to end.
const END: Duration = Duration::from_secs(60);

/// A server that ends with the test.
pub(crate) struct Serving {
    pub(crate) child: Mortal,
    pub(crate) id: Pid,
    /// What it said when it was ready.
    said: Value,
}

impl Serving {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (id, lines) = (Pid::from_child(&child), child.stdout.take().unwrap());
        let child = Mortal::new(child);
        let (send, first) = mpsc::channel();
        // A line that never comes would be waited for without end.
        #[expect(clippy::disallowed_methods, reason = "it ends with the child")]
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(lines).read_line(&mut line);
            drop(send.send(read.map(|_| line)));
        });
        let line = first.recv_timeout(END).expect("it is not ready in time");
        let said = serde_json::from_str(&line.unwrap()).unwrap();
        Self { child, id, said }
    }

    pub(crate) fn of(place: &Place, args: &[&str]) -> Self {
        let always = ["serve", "-o", "ndjson", "--listen", "127.0.0.1:0"];
        Self::start(place.command(&[&always[..], args].concat()))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.said["address"].as_str().unwrap()
    }

    /// Its memory as the system says it: now (`VmRSS:`) or the most that it had (`VmHWM:`), in bytes.
    pub(crate) fn memory(&self, which: &str) -> u64 {
        let status = format!("/proc/{}/status", self.id.as_raw_nonzero());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with(which));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() << 10
    }

    /// Ends it in order, and gives its exit code.
    pub(crate) fn end(self) -> Option<i32> {
        kill_process(self.id, Signal::TERM).unwrap();
        self.child.wait(END).status.code()
    }
}

#[test]
fn it_says_where_it_listens_and_ends_in_order() {
    let place = Place::new();
    for (flag, tls) in [("--dev", true), ("--insecure", false)] {
        let server = Serving::of(&place, &["--data", &flag[2..], flag]);
        let address = server.said["address"].as_str().unwrap();
        let (host, port) = address.rsplit_once(':').unwrap();
        assert_eq!(
            (host, server.said["tls"].as_bool()),
            ("127.0.0.1", Some(tls))
        );
        assert_ne!(port, "0");
        std::net::TcpStream::connect(address).unwrap();
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn without_a_certificate_it_says_what_to_give() {
    let place = Place::new();
    let ran = place.run(&["serve"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("there is no certificate"), "{}", ran.err);
    assert!(
        ran.err
            .contains("hint: give --tls-cert and --tls-key; or --dev"),
        "{}",
        ran.err
    );
    assert!(!place.path("factum-data").exists());
}

#[test]
fn passwords_that_everybody_knows_are_refused() {
    let place = Place::new();
    let secure = ["serve", "--no-tls", "--listen", "127.0.0.1:0"];
    let ran = place.run(&secure);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("FACTUM_ADMIN_PASSWORD"), "{}", ran.err);
    assert_eq!(Serving::of(&place, &["--dev"]).end(), Some(0));
    let ran = place.run(&secure);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err
            .contains("the user \"admin\" still has the default password"),
        "{}",
        ran.err
    );
}

#[test]
fn a_store_that_is_served_has_its_writer() {
    let place = Place::new();
    let server = Serving::of(&place, &["--insecure"]);
    for args in [
        &["serve", "--insecure", "--listen", "127.0.0.1:0"][..],
        &["append", "s-1", "-t", "T"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, 6, "{}", ran.err);
        let holder = format!("process {}", server.id.as_raw_nonzero());
        assert!(ran.err.contains(&holder), "{}", ran.err);
    }
    place.ok(&["read", "--all"]);
    assert_eq!(server.end(), Some(0));
    place.ok(&["append", "s-1", "-t", "T"]);
}

/// A port that is taken is told, and the store is let go.
#[test]
fn a_port_that_is_taken_is_told() {
    let place = Place::new();
    let server = Serving::of(&place, &["--insecure", "--data", "one"]);
    let address = server.said["address"].as_str().unwrap();
    let ran = place.run(&["serve", "--insecure", "--data", "two", "--listen", address]);
    assert_eq!(ran.code, 6, "{}", ran.err);
    assert!(
        ran.err.contains(&format!("cannot listen on {address}")),
        "{}",
        ran.err
    );
}

/// Value and origin of a setting.
fn shown(place: &Place, name: &str, args: &[&str], env: &[(&str, &str)]) -> (String, String) {
    let args = [&["config", "show", "--origin", "-o", "json"], args].concat();
    let mut command = place.command(&args);
    let output = command.envs(env.iter().copied()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{err}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let settings: Vec<Value> = serde_json::from_str(&text).unwrap();
    let setting = settings.iter().find(|of| of["setting"] == name).unwrap();
    let value = setting["value"].as_str().unwrap_or("null").to_owned();
    (value, setting["origin"].as_str().unwrap().to_owned())
}

#[test]
fn a_flag_is_stronger_than_a_variable_than_a_file_than_the_default() {
    let place = Place::new();
    let check = |name: &str, args: &[&str], env: &[(&str, &str)], expected: (&str, &str)| {
        let (value, origin) = shown(&place, name, args, env);
        assert_eq!(
            (value.as_str(), origin.as_str()),
            expected,
            "{name} {args:?} {env:?}"
        );
    };
    check("listen", &[], &[], ("127.0.0.1:2113", "default"));
    place.write(
        "factum.toml",
        "[serve]\nlisten = \"127.0.0.1:1\"\ndev = true\nlog = \"warn\"\ndata = \"here\"\n",
    );
    place.write("other.toml", "[serve]\n\nlisten = \"127.0.0.1:4\"\n");
    let variable = [("FACTUM_LISTEN", "127.0.0.1:2")];
    let flag = ["--listen", "127.0.0.1:3"];
    check("listen", &[], &[], ("127.0.0.1:1", "factum.toml:2"));
    check("listen", &[], &variable, ("127.0.0.1:2", "FACTUM_LISTEN"));
    check("listen", &flag, &variable, ("127.0.0.1:3", "--listen"));
    let other = ["--config", "other.toml"];
    check("listen", &other, &[], ("127.0.0.1:4", "other.toml:3"));
    check("dev", &other, &[], ("false", "default"));
    check("dev", &[], &[], ("true", "factum.toml:3"));
    check("dev", &[], &[("FACTUM_DEV", "0")], ("false", "FACTUM_DEV"));
    check(
        "insecure",
        &[],
        &[("FACTUM_INSECURE", "1")],
        ("true", "FACTUM_INSECURE"),
    );
    check("log", &[], &[], ("warn", "factum.toml:4"));
    check("data", &[], &[], ("here", "factum.toml:5"));
    check("data", &["--data", "there"], &[], ("there", "--data"));
    let password = [("FACTUM_ADMIN_PASSWORD", "hunter2")];
    check(
        "admin-password",
        &[],
        &password,
        ("(set)", "FACTUM_ADMIN_PASSWORD"),
    );
    check("admin-password", &[], &[], ("null", "default"));
}

#[test]
fn a_server_is_started_by_its_file() {
    let place = Place::new();
    place.write(
        "factum.toml",
        "[serve]\nlisten = \"127.0.0.1:0\"\ninsecure = true\ndata = \"here\"\n",
    );
    let server = Serving::start(place.command(&["serve", "-o", "ndjson"]));
    assert_eq!(server.said["tls"], false);
    assert_eq!(server.end(), Some(0));
    assert!(place.path("here").is_dir());
    let ran = place.run(&["serve", "--dev"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err.contains("dev and insecure exclude each other"),
        "{}",
        ran.err
    );
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    let place = Place::new();
    place.write(
        "factum.toml",
        "[serve]\nlisten = \"127.0.0.1:0\"\nlissen = \"x\"\n",
    );
    for args in [&["serve", "--dev"][..], &["config", "show"]] {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(
            ran.err
                .contains("factum.toml:3: there is no setting \"lissen\""),
            "{}",
            ran.err
        );
    }
    // Other commands have no settings there.
    place.ok(&["append", "s-1", "-t", "T"]);
    let ran = place.run(&["serve", "--dev", "--config", "nowhere.toml"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("nowhere.toml"), "{}", ran.err);
}

#[test]
fn commands_do_over_the_network_what_they_do_on_a_directory() {
    let place = Place::new();
    let server = Serving::of(&place, &["--data", "served", "--insecure"]);
    let url = format!("http://{}", server.said["address"].as_str().unwrap());
    let events = (0..20).map(|number| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"00000000-0000-4000-8000-{number:012}\",\"source\":\"x\",\"type\":\"Placed\",\
             \"subject\":\"order-{}\",\"data\":{{\"n\":{number}}}}}\n",
            number % 3
        )
    });
    std::fs::write(place.path("events.ndjson"), events.collect::<String>()).unwrap();
    let both = |args: &[&str]| {
        let remote = place.run(&[args, &["--url", &url]].concat());
        let local = place.run(&[args, &["--data", "local"]].concat());
        assert_eq!(
            (remote.code, local.code),
            (0, 0),
            "{args:?}: {} {}",
            remote.err,
            local.err
        );
        (remote.out, local.out)
    };
    both(&["import", "events.ndjson"]);
    for args in [
        &["read", "order-1", "-o", "ndjson"][..],
        &["read", "--all", "-o", "json"],
        &[
            "read",
            "--category",
            "order",
            "--backward",
            "-n",
            "3",
            "-o",
            "ndjson",
        ],
        &["stream", "ls", "-o", "ndjson"],
        &["stream", "info", "order-2", "-o", "json"],
        &["state", "order-1", "-o", "json"],
        &["export", "-"],
    ] {
        let (remote, local) = both(args);
        let times = |text: &str| {
            let lines = text
                .lines()
                .map(|line| line.split("\"time\"").next().unwrap_or_default().to_owned());
            lines.collect::<Vec<_>>()
        };
        assert!(!remote.is_empty());
        assert_eq!(times(&remote), times(&local), "{args:?}");
    }
    let refused = place.run(&[
        "append", "order-1", "--type", "Paid", "--data", "{}", "--expect", "none", "--url", &url,
    ]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    let refused = place.run(&["verify", "--url", &url]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(
        refused.err.contains("works on the files"),
        "{}",
        refused.err
    );
    assert_eq!(server.end(), Some(0));
    let gone = place.run(&["read", "--all", "--url", &url]);
    assert_eq!(gone.code, 6, "{}", gone.err);
}

#[test]
fn a_directory_that_is_named_is_stronger_than_a_variable_that_names_a_server() {
    let place = Place::new();
    let append = |variables: &[(&str, &str)], args: &[&str]| {
        let event = ["append", "order-1", "--type", "Placed", "--data", "{}"];
        let mut command = place.command(&[args, &event[..]].concat());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let nobody = ("FACTUM_URL", "http://127.0.0.1:9");
    assert_eq!(append(&[nobody], &["--data", "mine"]).0, Some(0));
    assert!(place.path("mine").exists());
    assert_eq!(append(&[nobody], &[]).0, Some(6));
    assert_eq!(append(&[("FACTUM_URL", "")], &[]).0, Some(0));
    let (code, said) = append(&[], &["--data", "mine", "--url", "http://127.0.0.1:9"]);
    assert_eq!(code, Some(2), "{said}");
    let password = ("FACTUM_PASSWORD", "hunter2");
    let (code, said) = append(&[nobody, password], &[]);
    assert!(code == Some(2) && said.contains("names no user"), "{said}");
}

#[test]
fn passwords_are_not_taken_from_the_command_line() {
    let place = Place::new();
    for args in [
        &["serve", "--dev", "--admin-password", "hunter2"][..],
        &["serve", "--dev", "--ops-password", "hunter2"],
        &["read", "--all", "--url-password", "hunter2"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert!(
            ran.err.contains("set FACTUM_") && !ran.err.contains("hunter2"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_variable_that_says_no_excludes_nothing() {
    let place = Place::new();
    let no = |args: &[&str], variable: &str| {
        let always = ["serve", "-o", "ndjson", "--listen", "127.0.0.1:0"];
        let mut command = place.command(&[&always[..], args].concat());
        command.env(variable, "0");
        assert_eq!(
            Serving::start(command).end(),
            Some(0),
            "{args:?} {variable}"
        );
    };
    no(&["--insecure"], "FACTUM_DEV");
    no(&["--dev"], "FACTUM_INSECURE");
    place.write("factum.toml", "[serve]\ninsecure = true\n");
    let both = place.run(&["serve", "--dev"]);
    assert_eq!(both.code, 2, "{}", both.err);
    assert!(both.err.contains("exclude each other"), "{}", both.err);
}

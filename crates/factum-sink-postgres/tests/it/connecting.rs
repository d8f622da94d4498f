//! Connections that cannot be made, and why.

use std::net::TcpListener;
use std::time::Duration;

use factum_projection::{Error, Kind};
use factum_sink_postgres::{Options, PostgresSink, Tls};
use pollster::block_on;

use super::support::{Server, server, servers};

fn connect(options: Options) -> Result<(), Error> {
    block_on(PostgresSink::open(options, []).unwrap().connect())
}

fn options(server: &Server) -> Options {
    Options::from_url(&server.url).unwrap()
}

fn check(options: Options, kind: Kind, parts: &[&str]) {
    let shown = format!("{options:?}");
    let error = connect(options).unwrap_err();
    assert_eq!(error.kind(), kind, "{shown}: {error}");
    for part in parts {
        assert!(
            error.to_string().contains(part),
            "{shown}: {error}, not {part}"
        );
    }
    let all = format!("{error} {error:?} {shown}");
    assert!(!all.contains("secret"), "{all}");
}

#[test]
fn what_is_wrong_is_named() {
    for server in servers("connecting::what_is_wrong_is_named") {
        connect(options(&server)).unwrap();
        let wrong = options(&server).password("a secret");
        check(wrong, Kind::Denied, &["wrong password for user factum at"]);
        let none = server.url.strip_suffix("factum").unwrap();
        let none = Options::from_url(&format!("{none}none")).unwrap();
        check(
            none,
            Kind::Invalid,
            &["there is no database none at", "127.0.0.1"],
        );
        let nobody = Options::from_url(&server.url.replace("//factum:", "//nobody_here:"));
        check(nobody.unwrap(), Kind::Denied, &["user nobody_here"]);
        let (_, address) = server.url.split_once('@').unwrap();
        let without = Options::from_url(&format!("postgres://factum@{address}")).unwrap();
        check(without, Kind::Invalid, &["password"]);
    }
}

#[test]
fn nobody_there_is_waited_for() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let url = format!("postgres://u:secret@127.0.0.1:{port}/d");
    // One that takes the connection and says nothing.
    let mute = Options::from_url(&url).unwrap();
    check(
        mute.answer_within(Duration::from_millis(300)),
        Kind::Unavailable,
        &["does not answer"],
    );
    drop(free);
    check(
        Options::from_url(&url).unwrap(),
        Kind::Unavailable,
        &["cannot connect to", "refused"],
    );
}

#[test]
fn tls_is_as_asked_for() {
    let test = "connecting::tls_is_as_asked_for";
    if let Some(server) = server("postgres15", test) {
        let roots = server.place.join("ca.pem");
        for (tls, roots) in [
            (Tls::Disable, None),
            (Tls::Prefer, None),
            (Tls::Require, None),
            (Tls::VerifyFull, Some(roots.as_path())),
        ] {
            let options = options(&server).with_tls(tls, roots).unwrap();
            connect(options).unwrap_or_else(|error| panic!("{tls:?}: {error}"));
        }
        // Another authority than the one that signed.
        let folder = tempfile::tempdir().unwrap();
        let other = server.place.join("server.pem");
        let mistrust = options(&server)
            .with_tls(Tls::VerifyFull, Some(&other))
            .unwrap();
        check(mistrust, Kind::Invalid, &["certificate"]);
        // A name that is not in the certificate.
        let elsewhere = server.url.replace("127.0.0.1", "db.example");
        let elsewhere = format!("{elsewhere}?hostaddr=127.0.0.1");
        let elsewhere = Options::from_url(&elsewhere).unwrap();
        connect(elsewhere.clone().with_tls(Tls::Require, None).unwrap()).unwrap();
        let renamed = elsewhere.with_tls(Tls::VerifyFull, Some(&roots));
        check(
            renamed.unwrap(),
            Kind::Invalid,
            &["certificate", "db.example"],
        );
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let nobody = options(&server)
            .with_tls(Tls::VerifyFull, Some(&empty))
            .unwrap();
        check(nobody, Kind::Invalid, &["has no certificate"]);
        let missing = folder.path().join("missing.pem");
        let missing = options(&server)
            .with_tls(Tls::VerifyFull, Some(&missing))
            .unwrap();
        check(missing, Kind::Invalid, &["cannot read", "missing.pem"]);
    }
    if let Some(server) = server("postgres18", test) {
        connect(options(&server).with_tls(Tls::Prefer, None).unwrap()).unwrap();
        let must = options(&server).with_tls(Tls::Require, None).unwrap();
        check(must, Kind::Invalid, &["does not support TLS"]);
    }
}

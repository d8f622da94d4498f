//! Who we are, whom we trust, and the three interfaces.

use factum_http_client::Credentials;
use factum_projection::{Claim, Kind, Manage, Obstacle, Sink};
use factum_sink_influx::{Api, InfluxSink, Options};
use pollster::block_on;

use super::killed::Server;
use super::support::{Place, address, ask, service};

const CLAIM: Claim<'static> = Claim {
    projection: "events",
    which: factum_projection::Which::Live,
    version: "1",
    bulk: false,
};

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    let Some(address) = address() else { return };
    let place = Place::new(&address);
    let mut options = place.options();
    options.http.credentials = Credentials::basic("factum", "opensesame");
    let shown = format!("{options:?}");
    let error = block_on(InfluxSink::new(options).unwrap().claim(CLAIM)).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.to_string().contains("refuses who we are"), "{error}");
    for text in [shown, error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("opensesame"), "{text}");
    }
    let mut nobody = InfluxSink::new(Options::new("http://127.0.0.1:9", "x").unwrap()).unwrap();
    let error = block_on(nobody.claim(CLAIM)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

#[test]
fn tls_is_spoken_to_whom_is_trusted() {
    if service("program").is_none() {
        return;
    }
    let services =
        std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/services/influxdb");
    let services = services.canonicalize().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = services.display();
    let http = format!(
        "  https-enabled = true\n  https-certificate = \"{path}/server.pem\"\n  https-private-key = \"{path}/server.key\"\n"
    );
    let server = Server::new(directory.path(), &http).unwrap();
    server.wait();
    let options =
        || Options::new(&format!("https://localhost:{}", server.port()), "events").unwrap();
    let mut trusting = options();
    trusting.http = trusting.http.authorities(services.join("ca.pem"));
    let mut sink = InfluxSink::new(trusting).unwrap();
    assert_eq!(block_on(sink.claim(CLAIM)).unwrap().epoch, 1);
    assert_eq!(block_on(sink.projections()).unwrap(), ["events"]);
    // What the system trusts does not have this one.
    let Ok(mut sink) = InfluxSink::new(options()) else {
        return;
    };
    let error = block_on(sink.claim(CLAIM)).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(
        error.to_string().to_lowercase().contains("certificate"),
        "{error}"
    );
}

#[test]
fn a_database_belongs_to_one_projection() {
    let Some(address) = address() else { return };
    let place = Place::new(&address);
    block_on(place.open().claim(CLAIM)).unwrap();
    let other = Claim {
        projection: "others",
        ..CLAIM
    };
    let error = block_on(place.open().claim(other)).unwrap_err();
    assert!(
        error.to_string().contains("belongs to projection events"),
        "{error}"
    );
    for bad in ["", "a b", "\"; DROP DATABASE x", "_internal"] {
        let options = Options::new(&address, bad).unwrap();
        assert_eq!(
            InfluxSink::new(options).unwrap_err().kind(),
            Kind::Invalid,
            "{bad}"
        );
    }
}

/// Of whom it is stands there before anything of a projection does, and is all there is after a claim that did not get further.
#[test]
fn a_database_has_an_owner_before_there_is_a_projection() {
    let Some(address) = address() else { return };
    let place = Place::new(&address);
    let inspect = |projection| block_on(place.open().inspect(projection)).unwrap();
    assert_eq!(inspect("others"), []);
    block_on(place.open().claim(CLAIM)).unwrap();
    let meta = format!("{}-meta", place.name);
    ask(&address, &meta, "DROP MEASUREMENT factum_projection");
    assert!(block_on(place.open().projections()).unwrap().is_empty());
    assert_eq!(inspect("events"), []);
    let found = inspect("others");
    let [Obstacle::Owned { what }] = found.as_slice() else {
        panic!("{found:?}")
    };
    let database = &place.name;
    let said = format!("database {database} belongs to projection events, not to others");
    assert_eq!(*what, said);
}

/// What is sent to each interface, to a server that only listens: InfluxDB 2 and 3 are not at hand.
#[test]
fn each_interface_is_asked_in_its_own_way() {
    for (api, expected) in [
        (Api::V1, ["POST /query HTTP/1.1", "authorization: Basic"]),
        (
            Api::V2 {
                organization: "my org".to_owned(),
            },
            [
                "GET /api/v2/orgs?org=my%20org HTTP/1.1",
                "authorization: Token secret",
            ],
        ),
        (
            Api::V3,
            [
                "POST /api/v3/configure/database HTTP/1.1",
                "authorization: Bearer secret",
            ],
        ),
    ] {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = format!("http://factum:secret@{}", listener.local_addr().unwrap());
        let heard = std::sync::mpsc::channel();
        let send = heard.0;
        let ear = move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            let mut bytes = [0; 4_096];
            while !text.contains("\r\n\r\n") {
                let count = stream.read(&mut bytes).unwrap();
                text.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            let answer =
                "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            send.send(text).unwrap();
        };
        let spawner: &dyn factum_io::Spawner = &factum_io::real::RealSpawner::new();
        let thread = spawner.spawn("ear", Box::new(ear)).unwrap();
        let mut options = Options::new(&address, "events").unwrap().api(api.clone());
        if api != Api::V1 {
            options = options.token("secret");
        }
        let error = block_on(InfluxSink::new(options).unwrap().claim(CLAIM)).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        let heard = heard.1.recv().unwrap();
        for expected in expected {
            assert!(heard.contains(expected), "{api:?}: {heard}");
        }
        thread.join().unwrap();
    }
}

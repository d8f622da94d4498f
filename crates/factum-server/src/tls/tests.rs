//! Handshakes in memory, and files that change.

use std::path::Path;

use factum_io::sim::SimEnv;
use factum_io::{Disk, DiskFileExt as _, Open};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

use super::*;

/// What a client saw.
struct Seen {
    protocol: Option<Vec<u8>>,
    certificate: Vec<u8>,
}

fn trusting(authority: &[u8], protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn shake(tls: &Tls, client: Arc<ClientConfig>, name: &str) -> Result<Seen, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client, name)?;
    let mut server = ServerConnection::new(tls.config())?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(client.alpn_protocol(), server.alpn_protocol());
    Ok(Seen {
        protocol: client.alpn_protocol().map(<[u8]>::to_vec),
        certificate: client.peer_certificates().unwrap()[0].to_vec(),
    })
}

#[test]
fn a_client_that_trusts_the_authority_reaches_the_server_under_each_name() {
    let tls = Tls::for_dev(
        &Env::real(),
        &["box.example".to_owned(), "localhost".to_owned()],
    )
    .unwrap();
    let authority = tls.authority().unwrap().as_bytes();
    for name in ["localhost", "127.0.0.1", "::1", "box.example"] {
        let seen = shake(&tls, trusting(authority, &[b"h2"]), name).unwrap();
        assert_eq!(seen.protocol.as_deref(), Some(&b"h2"[..]), "{name}");
    }
    let error = shake(&tls, trusting(authority, &[]), "other.example")
        .err()
        .unwrap();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    let other = Tls::for_dev(&Env::real(), &[]).unwrap();
    let stranger = trusting(other.authority().unwrap().as_bytes(), &[]);
    let error = shake(&tls, stranger, "localhost").err().unwrap();
    assert!(
        matches!(error, rustls::Error::InvalidCertificate(_)),
        "{error}"
    );
}

#[test]
fn both_versions_of_http_are_spoken_the_newer_one_rather() {
    let tls = Tls::for_dev(&Env::real(), &[]).unwrap();
    let authority = tls.authority().unwrap().as_bytes();
    let check = |offered: &[&[u8]], expected: Option<&[u8]>| {
        let seen = shake(&tls, trusting(authority, offered), "localhost").unwrap();
        assert_eq!(seen.protocol.as_deref(), expected);
    };
    check(&[b"http/1.1", b"h2"], Some(b"h2"));
    check(&[b"http/1.1"], Some(b"http/1.1"));
    check(&[], None);
}

#[test]
fn a_name_that_cannot_be_in_a_certificate_is_named() {
    let error = Tls::for_dev(&Env::real(), &["größe".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("größe"), "{error}");
}

/// A certificate that signs itself, and its key, in PEM.
fn pair(name: &str, until: i32) -> (String, String) {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn files() -> PairFiles {
    PairFiles {
        certificate: "/cert.pem".into(),
        key: "/key.pem".into(),
    }
}

fn put(disk: &dyn Disk, path: &Path, content: &str) {
    if disk.exists(path).unwrap() {
        disk.remove(path).unwrap();
    }
    let file = disk.open(path, Open::create_new()).unwrap();
    file.write_all_at(content.as_bytes(), 0).unwrap();
}

fn put_pair(env: &Env, certificate: &str, key: &str) {
    put(&*env.disk, &files().certificate, certificate);
    put(&*env.disk, &files().key, key);
}

/// The certificate that a new connection is shown.
fn shown(tls: &Tls) -> Vec<u8> {
    tls.shown.now().cert[0].to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn a_pair_from_files_is_shown() {
    let env = Env {
        clock: Env::real().clock,
        ..SimEnv::new(1).env()
    };
    let (certificate, key) = pair("localhost", 2090);
    put_pair(&env, &certificate, &key);
    let tls = Tls::of_files(env, files()).unwrap();
    let seen = shake(
        &tls,
        trusting(certificate.as_bytes(), &[b"h2"]),
        "localhost",
    )
    .unwrap();
    assert_eq!(seen.certificate, der(&certificate));
    assert_eq!(tls.authority(), None);
}

#[test]
fn what_is_wrong_with_files_is_named() {
    let (certificate, key) = pair("localhost", 2090);
    let (other, _) = pair("localhost", 2090);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let not_base64 = key.replace('\n', "\n!!");
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let junk_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let long = "x".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() + 1);
    for (certificate, key, expected) in [
        ("", &*key, "/cert.pem: there is no certificate in it"),
        (&*key, &*key, "/cert.pem: there is no certificate in it"),
        (&certificate[..100], &*key, "/cert.pem: it is not PEM"),
        (
            junk,
            &*key,
            "/cert.pem: the first certificate cannot be read",
        ),
        (&*long, &*key, "/cert.pem: 1048577 bytes are more"),
        (&*certificate, "", "/key.pem: there is no private key in it"),
        (
            &*certificate,
            encrypted,
            "/key.pem: the private key in it is encrypted",
        ),
        (&*certificate, &*not_base64, "/key.pem: it is not PEM"),
        (
            &*certificate,
            junk_key,
            "/key.pem: the private key cannot be used",
        ),
        (
            &*other,
            &*key,
            "the key in /key.pem is not that of the first certificate in /cert.pem",
        ),
    ] {
        let env = SimEnv::new(1).env();
        put_pair(&env, certificate, key);
        let error = Tls::of_files(env, files()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, not {expected}");
    }
    let error = Tls::of_files(SimEnv::new(1).env(), files()).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot read /cert.pem"),
        "{error}"
    );
}

#[test]
fn a_certificate_that_is_not_valid_now_is_taken_with_a_warning() {
    let world = SimEnv::new(1); // its clock stands at the beginning of 2024
    let (old, old_key) = pair("localhost", 2020);
    put_pair(&world.env(), &old, &old_key);
    let (read, _) = Pair::read(&world.env(), &files()).unwrap();
    let expected = "certificate 1 in /cert.pem has expired at 2020-01-01 00:00:00 UTC";
    assert_eq!(read.warnings, [expected]);
    world.clock.set_now_us(-1_000_000_000_000_000);
    let (read, _) = Pair::read(&world.env(), &files()).unwrap();
    assert!(
        read.warnings[0].contains("is not valid before"),
        "{:?}",
        read.warnings
    );
    world.clock.set_now_us(0x5_0000_0000_0000);
    let (certificate, key) = pair("localhost", 2090);
    put_pair(&world.env(), &certificate, &key);
    let (read, _) = Pair::read(&world.env(), &files()).unwrap();
    assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    Tls::of_files(world.env(), files()).unwrap();
}

#[test]
fn a_new_pair_is_taken_up_and_a_broken_one_is_left() {
    let env = SimEnv::new(1).env();
    let (first, first_key) = pair("localhost", 2090);
    put_pair(&env, &first, &first_key);
    let tls = Tls::of_files(env.clone(), files()).unwrap();
    assert!(!tls.reload().unwrap(), "nothing is new");

    let (second, second_key) = pair("localhost", 2090);
    put(&*env.disk, &files().certificate, &second);
    let error = tls.reload().unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
    assert_eq!(shown(&tls), der(&first));
    assert!(!tls.reload().unwrap(), "said once");

    put(&*env.disk, &files().key, &second_key);
    assert!(tls.reload().unwrap());
    assert_eq!(shown(&tls), der(&second));

    env.disk.remove(&files().key).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Read { .. })));
    put(&*env.disk, &files().key, &second_key);
    assert!(!tls.reload().unwrap());
    assert_eq!(shown(&tls), der(&second));

    put_pair(&env, &first, &first_key);
    assert!(tls.reload().unwrap(), "back to the first");
    assert_eq!(shown(&tls), der(&first));
}

#[tokio::test]
async fn files_are_watched_and_a_dev_certificate_is_not() {
    let env = SimEnv::new(1).env();
    let (first, first_key) = pair("localhost", 2090);
    put_pair(&env, &first, &first_key);
    let tls = Tls::of_files(env.clone(), files()).unwrap();
    let (second, second_key) = pair("localhost", 2090);
    put_pair(&env, &second, &second_key);
    let taken_up = async {
        while shown(&tls) != der(&second) {
            tokio::task::yield_now().await;
        }
    };
    let within = Duration::from_secs(60);
    let outcome = tokio::time::timeout(within, async {
        tokio::select! {
            () = tls.watch(Duration::from_millis(1)) => panic!("watching ended"),
            () = taken_up => (),
        }
    });
    outcome.await.unwrap();
    Tls::for_dev(&env, &[]).unwrap().watch(Duration::ZERO).await;
}

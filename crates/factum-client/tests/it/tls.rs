//! Encrypted connections: who is trusted, and who is not.

use std::sync::Arc;

use factum_client::{Client, ClientOptions};
use factum_store::{EventStore, Kind, MemoryStore};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::proxy::Proxy;
use crate::support::{Running, block_on};

/// A certificate for a name, as PEM, and what accepts connections with it.
fn certified(name: &str) -> (String, TlsAcceptor) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[test]
fn only_the_given_authorities_are_trusted() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let (pem, acceptor) = certified("localhost");
    let proxy = Proxy::new(server.address, Some(acceptor));
    let url = format!("https://localhost:{}", proxy.address.port());
    let connect = |url: &str, options| block_on(Client::connect(url, options));

    let trusting = ClientOptions::default().authorities(pem.clone());
    let client = connect(&url, trusting.clone()).unwrap();
    assert_eq!(block_on(client.head()).unwrap(), None);

    let (other, _) = certified("localhost");
    let error = connect(&url, ClientOptions::default().authorities(other)).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");

    let by_number = format!("https://{}", proxy.address);
    let error = connect(&by_number, trusting.clone()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let mut named = trusting;
    named.server_name = Some("localhost".to_owned());
    assert!(connect(&by_number, named).is_ok());

    let error = connect(&url, ClientOptions::default().authorities("nonsense")).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("no PEM"), "{error}");
}

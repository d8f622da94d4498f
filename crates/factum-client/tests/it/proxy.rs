//! Something between client and server that breaks connections, and can encrypt the client's side.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::{RUNTIME, within};

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// How often connections were cut.
    cuts: Arc<watch::Sender<u64>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// In front of a server, with a certificate of its own if there is one.
    pub(crate) fn new(server: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = within(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(watch::Sender::new(0));
        let watched = Arc::clone(&cuts);
        let accepting = RUNTIME.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (mut cut, tls) = (watched.subscribe(), tls.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(client, server, tls) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            cuts,
            accepting,
        }
    }

    /// Breaks every connection there is.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Until one side ends; errors are part of the game.
async fn pass(client: TcpStream, server: SocketAddr, tls: Option<TlsAcceptor>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    match tls {
        Some(tls) => match tls.accept(client).await {
            Ok(mut client) => both(&mut client, &mut server).await,
            Err(_refused) => {}
        },
        None => {
            let mut client = client;
            both(&mut client, &mut server).await;
        }
    }
}

async fn both(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    server: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    drop(copy_bidirectional(client, server).await);
}

//! The services that are measured, each in a process of its own: as for users, whose clients are not in the server's process.
//!
//! Relies on: this program itself, called with `serve`. Never: outlives the process that began it, whose end ends the input of this one.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use factum_engine::Engine;
use factum_io::Env;
use factum_server::auth::Mode;
use factum_server::{Options, Server};
use tokio::sync::Notify;

use crate::bare;
use crate::durable::Durable;

/// A service in a process of its own.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// A store in a directory that it makes, served.
    pub(crate) fn store(directory: &Path) -> Self {
        Self::begin(&["store", directory.to_str().unwrap()])
    }

    /// The service that stores nothing.
    pub(crate) fn bare() -> Self {
        Self::begin(&["bare"])
    }

    /// The service that only makes data durable, in a file that it makes.
    pub(crate) fn durable(file: &Path) -> Self {
        Self::begin(&["durable", file.to_str().unwrap()])
    }

    fn begin(what: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .args(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        Self { child, address }
    }

    /// Ends it, and waits until it has ended well.
    pub(crate) fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success(), "the service failed");
    }
}

/// What the other process does: serves, and says where, until the input ends.
pub(crate) async fn serve(service: &str, path: Option<&Path>) {
    if let ("store", Some(directory)) = (service, path) {
        let stop = Arc::new(Notify::new());
        let ended = tokio::spawn(serve_store(directory.to_owned(), Arc::clone(&stop)));
        input_ends().await;
        stop.notify_one();
        return ended.await.unwrap();
    }
    println!("{}", bare::begin(path.map(Durable::begin)).await);
    input_ends().await;
}

async fn serve_store(directory: std::path::PathBuf, stop: Arc<Notify>) {
    let env = Env::real();
    let created = factum_engine::Options::new(directory).create(true);
    let store = Engine::open(created, env.clone()).unwrap();
    let mut options = Options::default();
    options.address = SocketAddr::from(([127, 0, 0, 1], 0));
    options.auth.mode = Mode::Insecure;
    let server = Server::bind(Arc::new(store.clone()), options, env)
        .await
        .unwrap();
    println!("{}", server.address());
    server.run(async move { stop.notified().await }).await;
    store.close().unwrap();
}

async fn input_ends() {
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await.unwrap().unwrap();
}

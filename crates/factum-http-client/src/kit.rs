//! For tests of sinks: a proxy that cuts a connection at one request, before it reaches the server or after, or holds the request up.
//!
//! Relies on: one request at a time, with a length. Never: is needed outside of tests.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use factum_io::Spawner;
use factum_io::real::RealSpawner;

/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server does not hear the request.
    Before,
    /// The server does what it was asked for, and its answer is lost.
    After,
}

/// A proxy on loopback in front of a server on loopback. It ends with the program.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    requests: AtomicU64,
    at: AtomicU64,
    after: AtomicU64,
    hold: Mutex<Hold>,
    changed: Condvar,
}

/// A request that is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// None is to be.
    No,
    /// The one of this number.
    At(u64),
    /// One waits.
    Held,
}

impl Proxy {
    /// A proxy in front of what listens on this port, which cuts nothing yet.
    ///
    /// # Errors
    /// What the system says: no port, or no thread.
    pub fn new(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let own = listener.local_addr()?.port();
        let state = Arc::new(State {
            server: (Ipv4Addr::LOCALHOST, port).into(),
            requests: AtomicU64::new(0),
            at: AtomicU64::new(u64::MAX),
            after: AtomicU64::new(0),
            hold: Mutex::new(Hold::No),
            changed: Condvar::new(),
        });
        let shared = Arc::clone(&state);
        let serve = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever is cut off sees it, and nobody else has to.
                drop(shared.serve(stream));
            }
        };
        RealSpawner::new().spawn("proxy", Box::new(serve))?;
        Ok(Self { port: own, state })
    }

    /// The port that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How many requests there were since [`cut`](Self::cut).
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Counts from 0 again, and cuts at the request of this number; with [`u64::MAX`] at none.
    pub fn cut(&self, at: u64, cut: Cut) {
        let after = u64::from(cut == Cut::After);
        self.state.after.store(after, Ordering::SeqCst);
        self.state.requests.store(0, Ordering::SeqCst);
        self.state.at.store(at, Ordering::SeqCst);
    }

    /// Counts from 0 again, cuts none, and holds up the request of this number before it reaches the server, until it is [let
    /// go](Self::let_go). It waits for 30 seconds at most.
    pub fn hold(&self, at: u64) {
        self.cut(u64::MAX, Cut::Before);
        *self.state.held() = Hold::At(at);
    }

    /// Waits until a request is held up; says whether one is. Gives up after this long.
    #[must_use]
    pub fn wait_held(&self, patience: Duration) -> bool {
        let waiting = |hold: &mut Hold| *hold != Hold::Held;
        let waited = self
            .state
            .changed
            .wait_timeout_while(self.state.held(), patience, waiting);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == Hold::Held
    }

    /// Lets the request go that is held up, or holds none up.
    pub fn let_go(&self) {
        *self.state.held() = Hold::No;
        self.state.changed.notify_all();
    }
}

impl State {
    fn held(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits here if the request of this number is to be held up.
    fn hold_up(&self, number: u64) {
        let mut hold = self.held();
        if *hold != Hold::At(number) {
            return;
        }
        *hold = Hold::Held;
        self.changed.notify_all();
        let waiting = |hold: &mut Hold| *hold == Hold::Held;
        drop(self.changed.wait_timeout_while(hold, PATIENCE, waiting));
    }

    /// One request, one answer.
    fn serve(&self, mut client: TcpStream) -> Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let request = request(&mut client)?;
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let cut = number == self.at.load(Ordering::SeqCst);
        self.hold_up(number);
        let after = self.after.load(Ordering::SeqCst) == 1;
        if cut && !after {
            return Ok(());
        }
        let mut server = TcpStream::connect(self.server)?;
        server.set_read_timeout(Some(PATIENCE))?;
        server.write_all(&request)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        if cut {
            return Ok(());
        }
        // Not every server says that it hangs up.
        let end = answer
            .windows(2)
            .position(|two| two == b"\r\n")
            .unwrap_or(0);
        let (status, rest) = answer.split_at(end);
        client.write_all(&[status, b"\r\nConnection: close", rest].concat())
    }
}

/// A whole request, which asks the server to hang up after it.
fn request(client: &mut TcpStream) -> Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX || client.read(&mut byte)? == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: u64 = length
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0);
    head.truncate(head.len() - 2);
    head.extend(b"Connection: close\r\n\r\n");
    client.take(length).read_to_end(&mut head)?;
    Ok(head)
}

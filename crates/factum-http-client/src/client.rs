//! Requests and their answers.
//!
//! What lives here: [`Client`]. Relies on: one thread per client, which blocks in its place. Never: repeats a request by itself.

use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use factum_io::Spawner;
use factum_io::real::RealSpawner;
use factum_projection::{Error, Kind};
use futures_channel::oneshot;
use ureq::http;

use crate::options::Options;
use crate::tls;

/// How many requests may wait for their turn; more than that nobody waits for.
const QUEUE: usize = 64;
/// How much of an answer is told in an error.
const EXCERPT_BYTES: usize = 600;

/// What is done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Reads it; without a body.
    Get,
    /// Asks whether it is there; without a body.
    Head,
    /// Gives it something.
    Post,
    /// Makes it.
    Put,
    /// Removes it; without a body.
    Delete,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is done.
    pub method: Method,
    /// The path below the address of the server, from its slash on, with the query.
    pub path: String,
    /// What the body is; empty where it is not said.
    pub content: &'static str,
    /// What is sent.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            content: "",
            body: Vec::new(),
        }
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, content: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.content = content;
        self.body = body.into();
        self
    }
}

/// What a server said. Any status is an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// All of the body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is 2xx.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        matches!(self.status, 200..300)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]: it is none; whoever answered is not the server.
    pub fn json(&self) -> Result<serde_json::Value, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = format!(
                "the answer ({}) is not JSON: {}",
                self.status,
                self.excerpt()
            );
            Error::unavailable(what).because(error)
        })
    }

    /// The beginning of the body, for an error.
    #[must_use]
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let end = text.floor_char_boundary(EXCERPT_BYTES);
        let (shown, rest) = text.split_at(end);
        let more = if rest.is_empty() { "" } else { "…" };
        format!("{}{more}", shown.trim_end())
    }
}

/// Sends requests to one server, one after another.
///
/// A request whose future is dropped may be sent all the same, before those that are made later.
#[derive(Debug)]
pub struct Client {
    url: String,
    jobs: SyncSender<Job>,
}

#[derive(Debug)]
struct Job {
    request: Request,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

impl Client {
    /// A client of the server; nothing is sent yet.
    ///
    /// # Errors
    /// - [`Kind::Invalid`]: the certificates cannot be read.
    /// - [`Kind::Unavailable`]: the system has no thread left.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let (jobs, received) = sync_channel(QUEUE);
        let worker = Worker {
            agent: agent(options)?,
            url: options.url().to_owned(),
            authorization: options.credentials.header(),
            answer_bytes_max: options.answer_bytes_max,
        };
        let work = Box::new(move || worker.work(&received));
        // It ends with the last sender.
        let spawned = RealSpawner::new().spawn("factum-http", work);
        spawned.map_err(|error| Error::unavailable(error.to_string()).because(error))?;
        Ok(Self {
            url: options.url().to_owned(),
            jobs,
        })
    }

    /// The address of the server, without a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request.
    ///
    /// # Errors
    /// - [`Kind::Unavailable`]: there was no answer, or not in time; whether the request was carried out is not known.
    /// - [`Kind::Invalid`]: the certificate of the server is not trusted, the answer is too long, or it asks to be asked elsewhere.
    ///
    /// # Cancel safety
    /// When dropped, the request is carried out or not.
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let (giver, answered) = oneshot::channel();
        let job = Job {
            request,
            answer: giver,
        };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::unavailable("too many requests wait for the server"),
            TrySendError::Disconnected(_) => gone(),
        })?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Error {
    Error::unavailable("the thread of the client ended")
}

fn agent(options: &Options) -> Result<ureq::Agent, Error> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .tls_config(tls::config(options)?)
        .timeout_global(Some(options.timeout))
        .timeout_connect(Some(options.timeout_connect))
        .user_agent(concat!("factum/", env!("CARGO_PKG_VERSION")));
    Ok(ureq::Agent::new_with_config(config.build()))
}

/// What runs on the thread.
#[derive(Debug)]
struct Worker {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
    answer_bytes_max: u64,
}

impl Worker {
    fn work(&self, jobs: &Receiver<Job>) {
        while let Ok(Job { request, answer }) = jobs.recv() {
            // Whoever gave it up does not wait for it.
            drop(answer.send(self.answer(request)));
        }
    }

    fn answer(&self, request: Request) -> Result<Answer, Error> {
        let trouble = |error| self.trouble(error);
        let mut answer = self.send(request).map_err(trouble)?;
        let status = answer.status().as_u16();
        if (300..400).contains(&status) {
            let what = format!("{} asks to be asked elsewhere ({status})", self.url);
            return Err(Error::invalid(what));
        }
        let body = answer.body_mut().with_config().limit(self.answer_bytes_max);
        let body = body.read_to_vec().map_err(trouble)?;
        Ok(Answer { status, body })
    }

    fn send(&self, request: Request) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Head => http::Method::HEAD,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Delete => http::Method::DELETE,
        };
        let url = format!("{}{}", self.url, request.path);
        let mut head = http::Request::builder().method(method).uri(url);
        if let Some(authorization) = &self.authorization {
            head = head.header("authorization", authorization);
        }
        if matches!(request.method, Method::Post | Method::Put) {
            if !request.content.is_empty() {
                head = head.header("content-type", request.content);
            }
            return self.agent.run(head.body(request.body)?);
        }
        self.agent.run(head.body(())?)
    }

    fn trouble(&self, error: ureq::Error) -> Error {
        let why = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let what = format!("no answer from {}: {why}", self.url);
        Error::new(kind(&error), what).because(error)
    }
}

/// Whether waiting may help.
fn kind(error: &ureq::Error) -> Kind {
    let untrusted = |error: &rustls::Error| {
        matches!(
            error,
            rustls::Error::InvalidCertificate(_) | rustls::Error::UnsupportedNameType
        )
    };
    let wrong = match error {
        ureq::Error::Rustls(error) => untrusted(error),
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => error
            .get_ref()
            .and_then(|inner| inner.downcast_ref())
            .is_some_and(untrusted),
        ureq::Error::BodyExceedsLimit(_)
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::Tls(_)
        | ureq::Error::RequireHttpsOnly(_) => true,
        _ => false,
    };
    if wrong {
        Kind::Invalid
    } else {
        Kind::Unavailable
    }
}

/// Text as a part of a path or a query: everything but letters, digits and `-._~` as `%41`.
///
/// ```
/// assert_eq!(factum_http_client::encoded("a/b c"), "a%2Fb%20c");
/// ```
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

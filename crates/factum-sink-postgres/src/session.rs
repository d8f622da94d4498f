//! One connection at a time, with a transaction on it or not.
//!
//! What lives here: [`Session`], which connects when it is asked for something and again when the connection was lost. Relies on: a runtime
//! of its own on one thread, so that a runner may be polled by any executor. Never: sends anything on behind a transaction whose end is not known;
//! waits longer for an answer than the options say, but to make a key or an index, to analyse, and to load a table by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use factum_projection::{Error, Kind};
use futures_util::SinkExt;
use futures_util::future::{Either, select};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use crate::error::{Late, not_connected, said};
use crate::options::Options;
use crate::tls;

/// How long a lock may be waited for, unless told otherwise.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// After how long the server ends a transaction in which it hears nothing.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

/// A value and the type it is sent as.
pub(crate) type Bound<'a> = (&'a (dyn ToSql + Sync), Type);

/// Something that was sent, or will be.
pub(crate) type Sent<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

pub(crate) struct Session {
    options: Options,
    runtime: Background,
    link: Option<Link>,
    /// Something may have been begun on the link.
    open: bool,
}

struct Link {
    client: Client,
    driver: JoinHandle<()>,
    /// Why the connection ended, when it said so.
    ended: Arc<Mutex<Option<String>>>,
    copies: BTreeMap<String, Statement>,
}

/// A runtime that may be dropped anywhere, on another one's thread too.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A server that does not answer would be waited for.
        self.driver.abort();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("options", &self.options)
            .field("connected", &self.link.is_some())
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(options: Options) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("factum-postgres")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::unavailable(format!("cannot start a thread for PostgreSQL: {error}"))
                    .because(error)
            })?;
        Ok(Self {
            options,
            runtime: Background(Some(runtime)),
            link: None,
            open: false,
        })
    }

    /// Gives the connection away, with what runs it, and leaves none behind.
    pub(crate) fn leave(&mut self) -> Result<(Self, Handle), Error> {
        let Some(runtime) = &self.runtime.0 else {
            return Err(gone());
        };
        let handle = runtime.handle().clone();
        let left = Self {
            options: self.options.clone(),
            runtime: Background(None),
            link: None,
            open: false,
        };
        Ok((std::mem::replace(self, left), handle))
    }

    pub(crate) const fn options(&self) -> &Options {
        &self.options
    }

    /// The schema, as SQL takes it.
    pub(crate) fn schema(&self) -> String {
        crate::schema::quoted(self.options.schema_name())
    }

    /// Connects, unless it is connected, and takes back what was begun.
    pub(crate) async fn ready(&mut self) -> Result<(), Error> {
        self.link = self.link.take().filter(|link| !link.client.is_closed());
        if self.link.is_some() && self.open {
            self.roll_back().await;
        }
        if self.link.is_none() {
            self.link = Some(self.connect().await?);
            self.open = false;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Link, Error> {
        let address = self.options.to_string();
        let config = self.options.config()?;
        let connector = tls::connector(&self.options)?;
        let Some(runtime) = &self.runtime.0 else {
            return Err(gone());
        };
        let user = config.get_user().unwrap_or("of the system").to_owned();
        let database = config.get_dbname().unwrap_or(&user).to_owned();
        let ended = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&ended);
        let limit = self.options.answer_limit();
        // Sockets and timers belong to a runtime; everything later does not.
        let connecting = runtime.spawn(async move {
            let connected = tokio::time::timeout(limit, config.connect(connector)).await;
            let (client, connection) = match connected {
                Ok(connected) => connected.map_err(Some)?,
                Err(_) => return Err(None),
            };
            let driver = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    let why = error
                        .as_db_error()
                        .map_or_else(|| error.to_string(), |said| said.message().to_owned());
                    *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                }
            });
            Ok((client, driver))
        });
        match connecting.await {
            Ok(Ok((client, driver))) => Ok(Link {
                client,
                driver,
                ended,
                copies: BTreeMap::new(),
            }),
            Ok(Err(Some(error))) => Err(not_connected(&address, &user, &database, error)),
            Ok(Err(None)) => Err(Error::unavailable(format!(
                "{address} does not answer within {limit:?}"
            ))),
            Err(error) => Err(gone().because(error)),
        }
    }

    /// Begins a transaction, on a connection that is made when there is none.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        self.ready().await?;
        self.open = true;
        self.batch("cannot begin", &begin_sql(LOCK_WITHIN)).await
    }

    /// Marks that a transaction is being begun by what is sent next.
    pub(crate) const fn opened(&mut self) {
        self.open = true;
    }

    /// Ends the transaction as it went: commits, or takes back and gives the error.
    pub(crate) async fn end<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        self.end_by("COMMIT", done).await
    }

    /// The same by other words, which commit too.
    pub(crate) async fn end_by<T>(
        &mut self,
        commit: &str,
        done: Result<T, Error>,
    ) -> Result<T, Error> {
        match done {
            Ok(done) => {
                let committed = self.batch("cannot commit", commit).await;
                if let Err(error) = committed {
                    self.lose();
                    return Err(error);
                }
                self.open = false;
                Ok(done)
            }
            Err(error) => {
                if error.kind() == Kind::Unavailable {
                    self.lose();
                } else {
                    self.roll_back().await;
                }
                Err(error)
            }
        }
    }

    /// Takes back what was begun. What cannot be taken back is lost with the connection.
    pub(crate) async fn roll_back(&mut self) {
        if !self.open {
            return;
        }
        if self.batch("cannot roll back", "ROLLBACK").await.is_ok() {
            self.open = false;
        } else {
            self.lose();
        }
    }

    /// Gives the connection up; the server takes back what it had begun.
    pub(crate) fn lose(&mut self) {
        self.link = None;
        self.open = false;
    }

    fn client(&self) -> Result<&Client, Error> {
        let link = self.link.as_ref();
        link.map(|link| &link.client)
            .ok_or_else(|| Error::unavailable("not connected"))
    }

    /// Statements without values, which the server runs one after the other.
    pub(crate) async fn batch(&self, what: &str, sql: &str) -> Result<(), Error> {
        let sent = self.client()?.batch_execute(sql);
        self.within(what, Some(self.options.answer_limit()), sent)
            .await
    }

    /// The same, for as long as it takes.
    pub(crate) async fn batch_slow(&self, what: &str, sql: &str) -> Result<(), Error> {
        let sent = self.client()?.batch_execute(sql);
        self.within(what, None, sent).await
    }

    pub(crate) async fn query(
        &self,
        what: &str,
        sql: &str,
        values: &[Bound<'_>],
    ) -> Result<Vec<Row>, Error> {
        let client = self.client()?;
        let sent = async {
            let values: Vec<_> = values
                .iter()
                .map(|(value, of)| (*value, of.clone()))
                .collect();
            client.query_typed(sql, &values).await
        };
        self.within(what, Some(self.options.answer_limit()), sent)
            .await
    }

    /// The names of the columns that a statement gives.
    pub(crate) async fn columns(&self, what: &str, sql: &str) -> Result<Vec<String>, Error> {
        let client = self.client()?;
        let sent = async { client.prepare(sql).await };
        let limit = Some(self.options.answer_limit());
        let statement = self.within(what, limit, sent).await?;
        let names = statement.columns().iter().map(|it| it.name().to_owned());
        Ok(names.collect())
    }

    /// How many rows it changed.
    pub(crate) async fn execute(
        &self,
        what: &str,
        sql: &str,
        values: &[Bound<'_>],
    ) -> Result<u64, Error> {
        let client = self.client()?;
        let sent = async {
            let values: Vec<_> = values
                .iter()
                .map(|(value, of)| (*value, of.clone()))
                .collect();
            client.execute_typed(sql, &values).await
        };
        self.within(what, Some(self.options.answer_limit()), sent)
            .await
    }

    /// A COPY of so many rows into a table, of bytes that are framed already, within a limit if there is one.
    ///
    /// # Errors
    /// That of the first chunk that cannot be made; `Invalid` when another number of rows came into the table.
    pub(crate) async fn copy(
        &mut self,
        what: &str,
        sql: &str,
        limit: Option<Duration>,
        rows: usize,
        chunks: impl IntoIterator<Item = Result<Bytes, Error>, IntoIter: Send>,
    ) -> Result<(), Error> {
        if !self
            .link
            .as_ref()
            .is_some_and(|link| link.copies.contains_key(sql))
        {
            let prepared = self.client()?.prepare(sql);
            let prepared = self.within(what, limit, prepared).await?;
            if let Some(link) = &mut self.link {
                link.copies.insert(sql.to_owned(), prepared);
            }
        }
        let Some(link) = &self.link else {
            return Err(gone());
        };
        let Some(statement) = link.copies.get(sql) else {
            return Err(gone());
        };
        let chunks = chunks.into_iter();
        let sent = async move {
            let sink = link.client.copy_in(statement).await?;
            let mut sink = std::pin::pin!(sink);
            for chunk in chunks {
                match chunk {
                    Ok(chunk) => sink.feed(chunk).await?,
                    // The server takes back what it has when the COPY is not finished.
                    Err(error) => return Ok(Err(error)),
                }
            }
            sink.finish().await.map(Ok)
        };
        let loaded = self.within(what, limit, sent).await??;
        if loaded != rows as u64 {
            let more = format!("{loaded} of {rows} rows came into the table");
            return Err(Error::invalid(format!("{what}: {more}")));
        }
        Ok(())
    }

    /// Several steps within a limit.
    pub(crate) async fn within_all<T>(
        &mut self,
        limit: Duration,
        steps: impl AsyncFnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(runtime) = &self.runtime.0 else {
            return Err(gone());
        };
        let timer = {
            let _entered = runtime.enter();
            tokio::time::sleep(limit)
        };
        let steps = std::pin::pin!(steps(self));
        match select(steps, std::pin::pin!(timer)).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => {
                let what = format!("no answer was had within {limit:?}");
                Err(Error::invalid(what).because(Late::default()))
            }
        }
    }

    async fn within<T>(
        &self,
        what: &str,
        limit: Option<Duration>,
        sent: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let Some(limit) = limit else {
            return sent.await.map_err(|error| self.failed(what, error));
        };
        let Some(runtime) = &self.runtime.0 else {
            return Err(gone());
        };
        let timed = {
            let _entered = runtime.enter();
            tokio::time::timeout(limit, sent)
        };
        match timed.await {
            Ok(done) => done.map_err(|error| self.failed(what, error)),
            Err(_) => {
                let what = format!("{what}: {} does not answer within {limit:?}", self.options);
                Err(Error::unavailable(what).because(Late::default()))
            }
        }
    }

    fn failed(&self, what: &str, error: tokio_postgres::Error) -> Error {
        let ended = self.link.as_ref().and_then(|link| {
            let ended = link.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.clone()
        });
        match ended {
            Some(why) if error.as_db_error().is_none() => {
                said(format!("{what}: the connection ended: {why}"), error)
            }
            _ => said(what, error),
        }
    }
}

/// What begins a transaction. What others set as default does not count, no lock is waited for for ever, and the server ends what a runner
/// left that is not heard of any more; how long a statement may take is our affair.
pub(crate) fn begin_sql(lock_within: Duration) -> String {
    let (lock, idle) = (lock_within.as_millis(), IDLE_WITHIN.as_millis());
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {lock}; \
         SET LOCAL idle_in_transaction_session_timeout = {idle}; SET LOCAL statement_timeout = 0"
    )
}

/// Sends all of these before any is answered, in this order, and gives the answers in this order.
pub(crate) async fn pipeline<T>(mut sent: Vec<Sent<'_, T>>) -> Vec<Result<T, Error>> {
    let mut answers: Vec<Option<Result<T, Error>>> = sent.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut all = true;
        for (future, answer) in sent.iter_mut().zip(&mut answers) {
            if answer.is_some() {
                continue;
            }
            match future.as_mut().poll(context) {
                Poll::Ready(done) => *answer = Some(done),
                Poll::Pending => all = false,
            }
        }
        if all { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

fn gone() -> Error {
    Error::unavailable("the connection to PostgreSQL is gone")
}

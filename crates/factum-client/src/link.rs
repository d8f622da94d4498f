//! The connection: made when it is needed, again when it broke, shared by all that a client does.
//!
//! Relies on: tonic's channel. Never: is the reason why one reader that does not read holds up the others: the window of the connection is as
//! wide as HTTP/2 allows, and only those of its streams limit.

use std::sync::Arc;

use factum_io::Env;
use factum_proto::v1::store_client::StoreClient;
use factum_store::{Kind, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::address::Address;
use crate::background::{Background, Task};
use crate::errors::{Effect, late, of_status};
use crate::options::ClientOptions;
use crate::tls;

/// The calls of the protocol.
pub(crate) type Stub = StoreClient<InterceptedService<Channel, Introduce>>;

/// What may be on its way in one stream before it is read, in bytes.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
/// The widest window there is.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// Headers and trailers of an answer; an error stands in them.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// One message of an answer. Servers send less: it has the largest event, or the events of a conflict.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Says who we are, with each request.
#[derive(Clone)]
pub(crate) struct Introduce(Option<MetadataValue<Ascii>>);

impl Interceptor for Introduce {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(who) = &self.0 {
            request.metadata_mut().insert("authorization", who.clone());
        }
        Ok(request)
    }
}

/// The connection, and what is shared beside it.
pub(crate) struct Link {
    pub(crate) stub: Stub,
    pub(crate) background: Background,
    pub(crate) options: ClientOptions,
    pub(crate) env: Env,
    streams: Arc<Semaphore>,
}

impl Link {
    /// Prepares a connection; it is made with the first request.
    pub(crate) fn new(url: &str, options: ClientOptions, env: Env) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let introduce = introduce(&options, &address)?;
        let uri = address.uri;
        let secure = uri.scheme_str() == Some("https");
        let mut endpoint = Endpoint::from(uri)
            .connect_timeout(options.timeout_connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(options.keep_alive)
            .keep_alive_timeout(options.keep_alive)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_max_header_list_size(HEADER_BYTES_MAX);
        if secure {
            endpoint = endpoint
                .tls_config(tls::config(&options)?)
                .map_err(|error| {
                    let text = format!("the connection cannot be encrypted: {error}");
                    StoreError::invalid(text).because(error)
                })?;
        }
        let background = Background::start(&*env.spawner)?;
        let channel = {
            let _runtime = background.enter();
            endpoint.connect_lazy()
        };
        let stub = StoreClient::with_interceptor(channel, introduce)
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(usize::MAX);
        let streams = Arc::new(Semaphore::new(options.streams.min(Semaphore::MAX_PERMITS)));
        Ok(Self {
            stub,
            background,
            options,
            env,
            streams,
        })
    }

    /// A place for a read or a subscription.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|error| {
                let limit = self.options.streams;
                let text = format!("the client has {limit} reads and subscriptions already");
                StoreError::new(Kind::Unavailable, text).because(error)
            })
    }

    /// Makes a call on the client's thread, within the time for it.
    pub(crate) fn call<T, F>(
        &self,
        effect: Effect,
        call: impl FnOnce(Stub) -> F,
    ) -> Task<Result<T, StoreError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        let (answer, time) = (call(self.stub.clone()), self.options.timeout);
        self.background.spawn(async move {
            match tokio::time::timeout(time, answer).await {
                Ok(Ok(answer)) => Ok(answer.into_inner()),
                Ok(Err(status)) => Err(of_status(&status, effect)),
                Err(_) => Err(late(effect, time)),
            }
        })
    }
}

fn introduce(options: &ClientOptions, address: &Address) -> Result<Introduce, StoreError> {
    let given = options.credentials.clone();
    let Some(credentials) = given.or_else(|| address.credentials()) else {
        return Ok(Introduce(None));
    };
    // Base64 always is a header; the error, if there were one, would show it.
    let unfit = |_unsaid| StoreError::invalid("the credentials cannot be sent");
    let mut value = MetadataValue::try_from(credentials.header()).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(Introduce(Some(value)))
}

//! A store on a server, as a store: [`Client`] keeps the contract of factum-store over Factum's own protocol, `factum.v1`.
//!
//! What lives here: the client, its [`ClientOptions`] and [`Credentials`], the [`Address`] of a server. Relies on: one HTTP/2 connection, and a thread of the client's
//! own with a small runtime, so that it may be used from any executor or none. Never: shows a password, or says that nothing was written when
//! it cannot know.
//!
//! # How long it waits
//! Whatever is answered once is answered within [`ClientOptions::timeout`], or there is an error (a list of streams: each page of it). A read and a
//! subscription begin within that time too; then they wait for what comes next for as long as there is a server: one that has gone is found out
//! within twice [`ClientOptions::keep_alive`], but one that is there and silent is not.
//!
//! ```no_run
//! use factum_client::{Client, ClientOptions};
//! use factum_store::{EventStore, ReadRequest};
//! use factum_types::StreamName;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:2113", ClientOptions::default()).await?;
//! let mut events = client.read(ReadRequest::stream(StreamName::new("order-1")?));
//! while let Some(event) = events.next().await {
//!     println!("{:?}", event?.event_type);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//! What the server's store answers comes back as it was: kind, message, conflict, damage and the messages of the causes. Besides:
//!
//! | kind | what happened |
//! |---|---|
//! | [`Unavailable`](factum_store::Kind::Unavailable) | no connection, or it broke before an append was sent; nothing was written |
//! | [`Unknown`](factum_store::Kind::Unknown) | the connection broke, or time was up, after a write was sent: retry with the same ids |
//! | [`Invalid`](factum_store::Kind::Invalid) | the address, the certificate or the credentials are not right, or a request is too large |
//! | [`Internal`](factum_store::Kind::Internal) | the server answered what makes no sense |

mod address;
mod append;
mod background;
mod client;
mod errors;
mod link;
mod options;
mod read;
mod subscribe;
mod tls;

pub use address::Address;
pub use client::Client;
pub use options::{ClientOptions, Credentials};

//! What KurrentDB's clients send and expect.
//!
//! What lives here: the messages that all services of the first protocol share, and a module for each service. Relies on: the
//! descriptions in `proto/kurrent`. Never: gives a message a meaning.

tonic::include_proto!("event_store.client");

/// Reading, following and writing streams.
pub mod streams {
    tonic::include_proto!("event_store.client.streams");
}

/// What a server can do.
pub mod server_features {
    tonic::include_proto!("event_store.client.server_features");
}

/// Who is in the cluster.
pub mod gossip {
    tonic::include_proto!("event_store.client.gossip");
}

//! What KurrentDB's clients send and expect.
//!
//! What lives here: the messages that all services of the first protocol share, a module for each of these services, and the second
//! protocol in [`v2`] and [`rpc`]. Relies on: the descriptions in `proto/kurrent`. Never: gives a message a meaning.

tonic::include_proto!("event_store.client");

/// Reading, following and writing streams.
pub mod streams {
    tonic::include_proto!("event_store.client.streams");
}

/// Groups of consumers that share the events of a stream.
pub mod persistent_subscriptions {
    tonic::include_proto!("event_store.client.persistent_subscriptions");
}

/// Projections that run in the server.
pub mod projections {
    tonic::include_proto!("event_store.client.projections");
}

/// What a server can do.
pub mod server_features {
    tonic::include_proto!("event_store.client.server_features");
}

/// Who is in the cluster.
pub mod gossip {
    tonic::include_proto!("event_store.client.gossip");
}

/// Who may log in.
pub mod users {
    tonic::include_proto!("event_store.client.users");
}

/// Looking after a node.
pub mod operations {
    tonic::include_proto!("event_store.client.operations");
}

/// How a server fares.
pub mod monitoring {
    tonic::include_proto!("event_store.client.monitoring");
}

/// The second protocol.
pub mod v2 {
    /// Appending to many streams at once.
    pub mod streams {
        tonic::include_proto!("kurrentdb.protocol.v2.streams");

        /// What can go wrong with that.
        pub mod errors {
            tonic::include_proto!("kurrentdb.protocol.v2.streams.errors");
        }
    }
}

/// What can go wrong with any request of the second protocol.
pub mod rpc {
    tonic::include_proto!("kurrent.rpc");
}

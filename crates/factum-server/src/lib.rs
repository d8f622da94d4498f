//! Serves a store to clients: KurrentDB's protocol, Factum's own, and HTTP, all on one port.
//!
//! What lives here: connections, the meaning of requests, who may do what, persistent subscriptions.
//! Relies on: the store contract and factum-proto. Never: knows which store it serves.

//! Errors with details, as every gRPC library writes them.
//!
//! What lives here: what goes into the trailer `grpc-status-details-bin`. Relies on: `proto/google`. Never: decides what is an error.

/// Errors with details.
pub mod rpc {
    tonic::include_proto!("google.rpc");
}

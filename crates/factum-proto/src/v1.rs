//! `factum.v1`: the contract of factum-store over a wire.
//!
//! What lives here: its messages and the service `Store`. An append that is refused is answered with an [`Error`] in its response, and a
//! damaged event in a read with one in its place; every other error ends the call and is the one detail of the `google.rpc.Status` in the
//! trailer `grpc-status-details-bin`. Relies on: the descriptions in `proto/factum/v1`. Never: gives a message a meaning.

tonic::include_proto!("factum.v1");

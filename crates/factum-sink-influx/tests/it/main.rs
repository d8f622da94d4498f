//! The sink against a real server.

fn main() {}

//! Only the manifest matters: it names the client under test.

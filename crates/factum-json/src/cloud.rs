//! Events as CloudEvents 1.0.2 (structured JSON, one per line), in both directions.
//!
//! | attribute                                       | an event of ours            | an event that was imported             |
//! |-------------------------------------------------|-----------------------------|----------------------------------------|
//! | `id`                                            | the event's id              | as it was, also when it was not a UUID |
//! | `source`                                        | `/factum`                   | as it was                              |
//! | `type`, `subject`                               | type, stream                | the same                               |
//! | `time`                                          | when it was recorded        | as it was                              |
//! | `datacontenttype`, `dataschema`                 | by content type; none       | as they were                           |
//! | `data`, `data_base64`                           | the data: JSON exact, else base64 | the same                         |
//! | `correlationid` `causationid` `userid` `traceparent` | metadata               | the same                               |
//! | `tags`                                          | joined with `,`             | the same; as it was when it was no tags |
//! | `schemaversion`                                 | when it is not 1            | the same                               |
//! | `position`, `streamrevision`                    | where it stands             | where it stands in *this* store        |
//! | others                                          | custom metadata, if its members may be attributes; else `metadata`, as JSON in a string | as they were |
//!
//! What does not fit a field of the event is kept in its custom metadata, a JSON object that has `source`: that is how an imported
//! event is known. Relies on: `text`. Never: changes a byte of JSON data, except line breaks, which a line cannot hold.

pub mod bring;
mod custom;
mod tags;
pub mod write;

/// The source of events that were not imported.
pub const SOURCE: &str = "/factum";
/// The content type of JSON data.
pub(crate) const JSON: &str = "application/json";
/// The content type of data that is not JSON and came without one.
pub(crate) const OCTETS: &str = "application/octet-stream";

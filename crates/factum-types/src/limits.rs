//! Every maximum of the domain, with its unit.
//!
//! A limit is part of the contract: all stores refuse the same things, so that an application moves from one to another
//! without surprises.

/// Longest stream name, in bytes of UTF-8.
pub const STREAM_NAME_BYTES_MAX: usize = 512;
/// Longest event type, in bytes of UTF-8.
pub const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Longest tag (`key:value`), in bytes of UTF-8.
pub const TAG_BYTES_MAX: usize = 256;
/// Most tags on one event.
pub const EVENT_TAGS_MAX: usize = 32;
/// Largest `data` of one event, in bytes.
pub const EVENT_DATA_BYTES_MAX: usize = 4 << 20;
/// Largest custom metadata of one event, in bytes.
pub const EVENT_METADATA_BYTES_MAX: usize = 256 << 10;
/// Largest personal section (all sealed envelopes together) of one event, in bytes.
pub const EVENT_PERSONAL_BYTES_MAX: usize = 256 << 10;
/// Longest correlation, causation, user id or traceparent, in bytes of UTF-8.
pub const METADATA_FIELD_BYTES_MAX: usize = 256;
/// Most events in one append, over all its streams.
pub const BATCH_EVENTS_MAX: usize = 16_384;
/// Largest append, in bytes of names, tags, metadata and data together.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Most stream writes in one append.
pub const BATCH_WRITES_MAX: usize = 4_096;
/// Most conditions in one append.
pub const BATCH_CONDITIONS_MAX: usize = 256;
/// Most items (OR) in one query.
pub const QUERY_ITEMS_MAX: usize = 64;
/// Most types, and most tags, in one query item.
pub const QUERY_ITEM_TERMS_MAX: usize = 64;
/// Largest snapshot, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 4 << 20;
/// Longest key of a snapshot, in bytes of UTF-8.
pub const SNAPSHOT_KEY_BYTES_MAX: usize = 256;
/// Most data subjects that one snapshot lists.
pub const SNAPSHOT_SUBJECTS_MAX: usize = 1_024;
/// Longest data subject that a snapshot lists, in bytes of UTF-8.
pub const SNAPSHOT_SUBJECT_BYTES_MAX: usize = 256;
/// Most conflicting events carried by a conflict error.
pub const CONFLICT_EVENTS_MAX: usize = 32;

//! `factum append`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ArgAction;
use factum_json::text as json;
use factum_store::{AppendBatch, Kind, Receipt, StoreError};
use factum_types::{
    Bytes, ContentType, EventId, EventType, ExpectedRevision, Metadata, NewEvent, Revision,
    StreamName, Tag, limits,
};
use serde_json::json;

use super::append_many;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::store::{self, Access};
use crate::{files, time};

/// What to append.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Adds one event to a stream, or with --events several at once. When it prints the receipt, the events survive a \
power failure.\n\nThe same --id again is the same event: appending it again is answered with the first receipt, so that a retry is \
safe. --expect is the optimistic lock: `none` for a new stream, a number for the last revision you saw; if it does not hold, nothing \
is written and the exit code is 4.\n\nAfter `append`, --data is the event's data; name the store before it (`factum --data DIR append \
…`) or by FACTUM_DATA.",
    after_long_help = "Examples:\n  factum append order-1 --type OrderPlaced --data '{\"total\":42}' --expect none\n  \
factum append order-1 --type OrderShipped --expect 0 --tag order:1 --user-id anna\n  \
echo '{\"total\":42}' | factum append order-2 --type OrderPlaced --data -\n  \
factum append photo-7 --type PhotoTaken --binary --data @cat.jpg\n  \
factum append order-3 --events events.ndjson       # lines of {\"type\":…,\"data\":…}: all or none"
)]
pub(crate) struct AppendArgs {
    /// The stream; its name before the first dash is its category
    pub(crate) stream: StreamName,
    /// What happened: the event's type, in the past tense
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        required_unless_present = "events"
    )]
    pub(crate) event_type: Option<EventType>,
    /// The event's data: JSON, or @FILE, or - for standard input
    #[arg(short, long, value_name = "JSON|@FILE|-")]
    pub(crate) data: Option<String>,
    /// The data is not JSON: keep its bytes unchecked
    #[arg(long, requires = "data")]
    pub(crate) binary: bool,
    /// What the stream must be like: any, none, exists, or its last revision
    #[arg(short, long, value_name = "any|none|exists|N", default_value = "any")]
    pub(crate) expect: Expect,
    /// The event's id, a UUID [default: a new one, version 7]
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<EventId>,
    /// A tag; may be given again
    #[arg(short = 'g', long = "tag", value_name = "KEY:VALUE", action = ArgAction::Append)]
    pub(crate) tags: Vec<Tag>,
    /// Metadata of your own: a JSON object, or @FILE
    #[arg(short, long, value_name = "JSON|@FILE")]
    pub(crate) meta: Option<String>,
    /// The conversation that the event belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) correlation_id: Option<String>,
    /// The command or event that caused it
    #[arg(long, value_name = "ID")]
    pub(crate) causation_id: Option<String>,
    /// Who did it
    #[arg(long, value_name = "ID")]
    pub(crate) user_id: Option<String>,
    /// W3C trace context of the span that appends
    #[arg(long, value_name = "TRACEPARENT")]
    pub(crate) traceparent: Option<String>,
    /// Version of the shape of the type's data
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) schema_version: u32,
    /// When it happened, in RFC 3339; not before the store's last event [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = time::parse_rfc3339)]
    pub(crate) time: Option<factum_types::Timestamp>,
    /// Many events: a file of lines {"type":…,"data":…}, or - ; all of them are appended or none
    #[arg(
        long,
        value_name = "FILE|-",
        conflicts_with_all = ["event_type", "data", "id", "tags", "meta", "correlation_id", "causation_id", "user_id",
            "traceparent", "schema_version", "time"]
    )]
    pub(crate) events: Option<PathBuf>,
}

/// What a stream must be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expect(ExpectedRevision);

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self(ExpectedRevision::Any)),
            "none" => Ok(Self(ExpectedRevision::NoStream)),
            "exists" => Ok(Self(ExpectedRevision::StreamExists)),
            _ => text
                .parse()
                .map(|number| Self(ExpectedRevision::Exactly(Revision::new(number))))
                .map_err(|_not_a_number| "write any, none, exists or a revision".to_owned()),
        }
    }
}

/// Appends and prints the receipt.
pub(crate) fn run(args: AppendArgs, context: &mut Context) -> Outcome {
    let stream = args.stream.clone();
    let expected = args.expect.0;
    let events = match &args.events {
        Some(path) => append_many::read(path, context)?,
        None => vec![one(args, context)?],
    };
    let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    let batch = AppendBatch::events(stream.clone(), expected, events);
    batch.validate()?;
    let store = store::open(context, Access::Create)?;
    let receipt = pollster::block_on(store.events.append(batch));
    let receipt = receipt.map_err(|error| failed(error, &ids))?;
    print(&stream, &ids, &receipt, context)?;
    store.close()
}

/// Why nothing may have been appended; where that is not known, with the ids that may have been made here and that nobody else knows.
fn failed(error: StoreError, ids: &[String]) -> Failure {
    let is_unknown = error.kind() == Kind::Unknown;
    let failure = Failure::from(error);
    match ids {
        [id] if is_unknown => failure.hint(format!(
            "run it again with --id {id}: what was written is not written twice"
        )),
        ids if is_unknown => failure.hint(format!(
            "run it again with these ids in the lines, in their order, and what was written is not written twice: {}",
            ids.join(" ")
        )),
        _ => failure,
    }
}

fn one(args: AppendArgs, context: &Context) -> Outcome<NewEvent> {
    let content_type = if args.binary {
        ContentType::Binary
    } else {
        ContentType::Json
    };
    let data = match &args.data {
        None => Bytes::new(),
        Some(text) => data(text, content_type)?,
    };
    let event_type = args
        .event_type
        .ok_or_else(|| Failure::usage("the event has no --type"))?;
    Ok(NewEvent {
        id: args.id.unwrap_or_else(|| new_id(context)),
        event_type,
        data,
        content_type,
        schema_version: args.schema_version,
        tags: args.tags,
        metadata: Metadata {
            correlation_id: args.correlation_id,
            causation_id: args.causation_id,
            user_id: args.user_id,
            traceparent: args.traceparent,
            custom: args
                .meta
                .as_deref()
                .map(custom)
                .transpose()?
                .unwrap_or_default(),
        },
        personal: Bytes::new(),
        time: args.time,
    })
}

/// A new id, version 7.
pub(super) fn new_id(context: &Context) -> EventId {
    let mut random = [0; 10];
    context.env.random.fill(&mut random);
    let unix_ms = u64::try_from(context.env.clock.now_us() / 1_000).unwrap_or_default();
    EventId::v7(unix_ms, random)
}

fn data(text: &str, content_type: ContentType) -> Outcome<Bytes> {
    let bytes = given(text, limits::EVENT_DATA_BYTES_MAX)?;
    if content_type == ContentType::Binary {
        return Ok(bytes.into());
    }
    match json::value(&bytes) {
        Some(value) => Ok(Bytes::copy_from_slice(value.as_bytes())),
        None => Err(not_json("--data", &bytes)
            .hint("quote it for your shell: --data '{\"total\":42}', or use --binary")),
    }
}

fn custom(text: &str) -> Outcome<Bytes> {
    let bytes = given(text, limits::EVENT_METADATA_BYTES_MAX)?;
    let value = json::value(&bytes).ok_or_else(|| not_json("--meta", &bytes))?;
    if json::members(value.as_bytes()).is_err() {
        return Err(Failure::error("--meta is not a JSON object"));
    }
    let mut line = Vec::new();
    json::push_value(&mut line, value);
    Ok(line.into())
}

/// The bytes of an argument, of the file after an `@`, or of standard input.
fn given(text: &str, limit: usize) -> Outcome<Vec<u8>> {
    match text.strip_prefix('@') {
        Some(path) => files::read_whole(Path::new(path), limit),
        None if text == "-" => files::read_whole(Path::new("-"), limit),
        None => Ok(text.as_bytes().to_vec()),
    }
}

fn not_json(what: &str, bytes: &[u8]) -> Failure {
    let reason = serde_json::from_slice::<serde_json::Value>(bytes)
        .err()
        .map_or_else(|| "it is not UTF-8".to_owned(), |error| error.to_string());
    Failure::error(format!("{what} is not JSON: {reason}"))
}

fn print(stream: &StreamName, ids: &[String], receipt: &Receipt, context: &mut Context) -> Outcome {
    let last = receipt.writes.first().and_then(|write| write.last_revision);
    let count = ids.len() as u64;
    let done = if receipt.replayed {
        "already there"
    } else {
        "appended"
    };
    let where_to = last.map_or_else(String::new, |last| {
        let first = (last.number() + 1).saturating_sub(count);
        if count == 1 {
            format!(" at revision {last}, position {}", receipt.last)
        } else {
            format!(
                " at revisions {first} to {last}, positions {} to {}",
                receipt.first, receipt.last
            )
        }
    });
    let events = if count == 1 { "event" } else { "events" };
    let words = format!("{done}: {count} {events} in {stream}{where_to}");
    let answer = json!({
        "stream": stream.as_str(),
        "last_revision": last.map(|revision| revision.number()),
        "first_position": receipt.first.raw(),
        "last_position": receipt.last.raw(),
        "replayed": receipt.replayed,
        "ids": ids,
    });
    context.ui.answer(&words, &answer)
}

#[cfg(test)]
mod tests {
    use factum_store::{Kind, StoreError};

    use super::failed;

    #[test]
    fn ids_are_told_where_nobody_knows_whether_they_were_written() {
        let check = |kind, ids: &[&str], told: &[&str]| {
            let ids: Vec<_> = ids.iter().map(|id| (*id).to_owned()).collect();
            let failure = failed(StoreError::new(kind, "it broke"), &ids);
            let hint = failure.hint.unwrap();
            let told_of = ids.iter().filter(|id| hint.contains(id.as_str()));
            assert_eq!(told_of.collect::<Vec<_>>(), told, "{hint}");
            assert_eq!(hint.contains("--id"), told.len() == 1, "{hint}");
        };
        check(Kind::Unknown, &["one"], &["one"]);
        check(Kind::Unknown, &["one", "two"], &["one", "two"]);
        check(Kind::Unavailable, &["one"], &[]);
    }
}

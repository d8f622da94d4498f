//! Records, and the events they become.

use std::collections::BTreeMap;

use bytes::Bytes;
use factum_proto::kurrent::v2::streams::{AppendRecord, SchemaFormat, SchemaInfo};
use factum_types::limits::{EVENT_DATA_BYTES_MAX, EVENT_METADATA_BYTES_MAX};
use factum_types::{EventId, EventType, NewEvent, StreamName};
use prost_types::Value as WireValue;
use prost_types::value::Kind;
use serde_json::{Map, Value};
use tonic::Status;

use super::errors;
use crate::node::Node;
use crate::wire::event::correlate;

/// How deep a property may be nested.
const DEPTH_MAX: usize = 64;

/// The event that a record is.
///
/// # Errors
/// `INVALID_ARGUMENT`: there is no type, no format, an id that is no UUID, or the record is too large.
pub(super) fn event(
    node: &Node,
    stream: &StreamName,
    record: AppendRecord,
) -> Result<NewEvent, Status> {
    let id = match record.record_id.as_deref() {
        None => node.new_id(),
        Some(text) => record_id(text)?,
    };
    let schema = record
        .schema
        .ok_or_else(|| Status::invalid_argument("a record does not say what its data is"))?;
    let event_type = schema_name(&schema)?;
    let size = record.data.len();
    if size > EVENT_DATA_BYTES_MAX {
        return Err(errors::record_too_large(
            stream,
            &id.to_string(),
            size,
            EVENT_DATA_BYTES_MAX,
        ));
    }
    let data = Bytes::from(record.data);
    let mut event = match schema.format() {
        SchemaFormat::Unspecified => {
            return Err(Status::invalid_argument(
                "a record does not say what its data is written in",
            ));
        }
        SchemaFormat::Json => NewEvent::json(id, event_type, data),
        SchemaFormat::Protobuf | SchemaFormat::Avro | SchemaFormat::Bytes => {
            NewEvent::binary(id, event_type, data)
        }
    };
    let properties = properties(record.properties, &schema)?;
    if properties.len() > EVENT_METADATA_BYTES_MAX {
        let (size, limit) = (properties.len(), EVENT_METADATA_BYTES_MAX);
        return Err(errors::record_too_large(
            stream,
            &id.to_string(),
            size,
            limit,
        ));
    }
    correlate(&mut event, properties);
    Ok(event)
}

fn record_id(text: &str) -> Result<EventId, Status> {
    let id: EventId = text
        .parse()
        .map_err(|error| Status::invalid_argument(format!("{error}")))?;
    if id.as_u128() == 0 {
        return Err(Status::invalid_argument("the id of a record is empty"));
    }
    Ok(id)
}

fn schema_name(schema: &SchemaInfo) -> Result<EventType, Status> {
    let name = &schema.name;
    let allowed = |c: char| c.is_alphanumeric() || "_-.:$".contains(c);
    if let Some(wrong) = name.chars().find(|c| !allowed(*c)) {
        let text = format!(
            "the name {name:?} of a schema has {wrong:?} in it: letters, digits and _-.:$ are allowed"
        );
        return Err(Status::invalid_argument(text));
    }
    EventType::new(name).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Properties as the metadata that readers of the first protocol see.
fn properties(given: BTreeMap<String, WireValue>, schema: &SchemaInfo) -> Result<Bytes, Status> {
    let mut object = Map::new();
    for (name, value) in given {
        object.insert(name, json(value, 0)?);
    }
    let format = match schema.format() {
        SchemaFormat::Protobuf => "Protobuf",
        SchemaFormat::Avro => "Avro",
        SchemaFormat::Bytes => "Bytes",
        SchemaFormat::Json | SchemaFormat::Unspecified => "Json",
    };
    object.insert("$schema.format".to_owned(), format.into());
    object.insert("$schema.name".to_owned(), schema.name.as_str().into());
    if let Some(id) = &schema.id {
        object.insert("$schema.id".to_owned(), id.as_str().into());
    }
    serde_json::to_vec(&object)
        .map(Bytes::from)
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

fn json(value: WireValue, depth: usize) -> Result<Value, Status> {
    if depth > DEPTH_MAX {
        let text = format!("a property is nested more than {DEPTH_MAX} deep");
        return Err(Status::invalid_argument(text));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(value)) => number(value),
        Some(Kind::StringValue(value)) => Value::String(value),
        Some(Kind::ListValue(list)) => {
            let values = list.values.into_iter().map(|value| json(value, depth + 1));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(fields)) => {
            let fields = fields
                .fields
                .into_iter()
                .map(|(name, value)| Ok((name, json(value, depth + 1)?)));
            Value::Object(fields.collect::<Result<_, Status>>()?)
        }
    })
}

/// A number; one without a fraction is written without one.
fn number(value: f64) -> Value {
    /// Up to here every whole number is told apart from the next.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
        let whole = value as i64;
        return whole.into();
    }
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

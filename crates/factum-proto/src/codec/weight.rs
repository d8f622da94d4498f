//! What a message takes in memory, estimated from its encoding (Protocol Buffers, "Encoding": tags, varints and lengths).
//!
//! Relies on: the table of shapes that is generated beside the messages. Never: takes more memory than a call for each level.

use prost::encoding::{WireType, decode_key, decode_varint};

/// What a field that is a message takes, besides what is in it: the largest of ours, and its share in a list that has grown.
const MESSAGE_BYTES: usize = 320;
/// What a field that is a text or bytes takes, besides these.
const BYTES_BYTES: usize = 64;
/// Deeper than prost goes.
const DEPTH_MAX: usize = 128;

/// What a number in a list takes, and its share in a list that has grown.
const NUMBER_BYTES: usize = 16;

/// A message, which of its fields are messages, by their numbers and their places in the table, and which are lists of numbers.
struct Shape {
    name: &'static str,
    messages: &'static [(u32, usize)],
    numbers: &'static [u32],
}

static SHAPES: &[Shape] = &include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// The weight of a message of this name, in bytes, up to where it cannot be decoded any more. `None` if no such message is known, or it has what no
/// client of ours writes: groups, or messages in messages without end.
pub(super) fn weigh(name: &str, message: &[u8]) -> Option<usize> {
    let place = SHAPES.binary_search_by(|shape| shape.name.cmp(name)).ok()?;
    weigh_shape(&SHAPES[place], message, DEPTH_MAX)
}

fn weigh_shape(shape: &Shape, mut rest: &[u8], depth: usize) -> Option<usize> {
    let mut weight = 0;
    while let Some((number, value)) = next(&mut rest)? {
        let message = shape.messages.iter().find(|(field, _)| *field == number);
        let in_list = shape.numbers.contains(&number);
        weight += match (value, message) {
            (Value::Number, _) if in_list => NUMBER_BYTES,
            (Value::Number, _) => 0,
            (Value::Bytes(bytes), Some((_, place))) => {
                MESSAGE_BYTES + weigh_shape(&SHAPES[*place], bytes, depth.checked_sub(1)?)?
            }
            // One after the other, of a byte or more each.
            (Value::Bytes(bytes), None) if in_list => NUMBER_BYTES * bytes.len(),
            (Value::Bytes(bytes), None) => BYTES_BYTES + bytes.len(),
        };
    }
    Some(weight)
}

/// What a field has on the wire.
enum Value<'a> {
    /// A message, a text, or bytes.
    Bytes(&'a [u8]),
    Number,
}

/// The next field of a message, with its number; in it `None` where the message ends or cannot be decoded. `None` for a group.
#[expect(
    clippy::option_option,
    reason = "the end of a message is no reason to refuse it"
)]
fn next<'a>(rest: &mut &'a [u8]) -> Option<Option<(u32, Value<'a>)>> {
    if rest.is_empty() {
        return Some(None);
    }
    let Ok((number, kind)) = decode_key(rest) else {
        return Some(None);
    };
    let value = match kind {
        WireType::StartGroup | WireType::EndGroup => return None,
        WireType::Varint => decode_varint(rest).ok().map(|_| Value::Number),
        WireType::SixtyFourBit => rest.split_off(..8).map(|_| Value::Number),
        WireType::ThirtyTwoBit => rest.split_off(..4).map(|_| Value::Number),
        WireType::LengthDelimited => length(rest).map(Value::Bytes),
    };
    Some(value.map(|value| (number, value)))
}

fn length<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    rest.split_off(..length)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::{Message, Name};

    use super::{BYTES_BYTES, DEPTH_MAX, MESSAGE_BYTES, NUMBER_BYTES, SHAPES, weigh};
    use crate::kurrent::streams::BatchAppendReq;
    use crate::kurrent::streams::batch_append_req::ProposedMessage;
    use crate::v1;

    fn of<M: Message + Name>(message: &M) -> Option<usize> {
        weigh(&M::full_name(), &message.encode_to_vec())
    }

    #[test]
    fn every_message_is_found_by_its_name() {
        assert!(SHAPES.is_sorted_by(|one, other| one.name < other.name));
        for shape in SHAPES {
            assert_eq!(weigh(shape.name, &[]), Some(0), "{}", shape.name);
            for (_, place) in shape.messages {
                assert!(SHAPES.get(*place).is_some());
            }
        }
        assert_eq!(weigh("no.Message", &[]), None);
    }

    #[test]
    fn parts_of_parts_weigh() {
        assert_eq!(of(&BatchAppendReq::default()), Some(0));
        let empty = ProposedMessage::default();
        let proposed = ProposedMessage {
            metadata: BTreeMap::from([("k".to_owned(), "value".to_owned())]),
            data: "data".into(),
            ..ProposedMessage::default()
        };
        let request = BatchAppendReq {
            proposed_messages: vec![empty, proposed],
            ..BatchAppendReq::default()
        };
        // Two events, an entry of a map, its key and its value, and the data.
        assert_eq!(
            of(&request),
            Some(3 * MESSAGE_BYTES + 3 * BYTES_BYTES + 1 + 5 + 4)
        );
    }

    #[test]
    fn numbers_in_lists_weigh() {
        let has_numbers = |shape: &&super::Shape| !shape.numbers.is_empty();
        let shape = SHAPES.iter().find(has_numbers).unwrap();
        assert_eq!(
            (shape.name, shape.numbers),
            ("factum.v1.Checkpoint", &[1][..])
        );
        let checkpoint = v1::Checkpoint {
            positions: vec![1; 10],
        };
        assert_eq!(of(&checkpoint), Some(10 * NUMBER_BYTES));
        let one_by_one = [8, 1].repeat(10);
        assert_eq!(weigh(shape.name, &one_by_one), Some(10 * NUMBER_BYTES));
    }

    #[test]
    fn what_is_not_known_weighs_no_more_than_it_has() {
        // Field 100, of three bytes, is none of ours; it is passed over.
        let unknown = [0xa2, 0x06, 3, 1, 2, 3];
        let name = v1::AppendRequest::full_name();
        assert_eq!(weigh(&name, &unknown), Some(BYTES_BYTES + 3));
    }

    #[test]
    fn what_cannot_be_decoded_weighs_what_comes_before() {
        let name = v1::AppendRequest::full_name();
        let whole = v1::AppendRequest {
            writes: vec![v1::StreamWrite::default()],
            ..v1::AppendRequest::default()
        }
        .encode_to_vec();
        for end in [&[0x12_u8, 9, 1][..], &[0x12], &[0xff; 12], &[0x09, 1, 2]] {
            let cut = [&whole[..], end].concat();
            assert_eq!(weigh(&name, &cut), Some(MESSAGE_BYTES), "{end:?}");
            assert!(v1::AppendRequest::decode(&cut[..]).is_err());
        }
    }

    #[test]
    fn groups_and_messages_without_end_are_refused() {
        let name = v1::AppendRequest::full_name();
        // The beginning of a group, field 100.
        assert_eq!(weigh(&name, &[0xa3, 0x06]), None);
        let mut value = Vec::new();
        for _ in 0..=DEPTH_MAX {
            // A list in a value: field 6, whose field 1 is the next value.
            for field in [0x0a_u8, 0x32] {
                let mut longer = vec![field];
                prost::encoding::encode_varint(value.len() as u64, &mut longer);
                longer.extend(&value);
                value = longer;
            }
        }
        assert_eq!(weigh("google.protobuf.Value", &value), None);
        assert!(prost_types::Value::decode(&value[..]).is_err());
    }

    /// What an estimate is for: no message of ours takes more than its fields are said to.
    #[test]
    fn no_message_is_larger_than_a_message_is_said_to_be() {
        use crate::kurrent::v2::streams as second;
        let sizes = [
            size_of::<ProposedMessage>(),
            size_of::<BatchAppendReq>(),
            size_of::<crate::kurrent::streams::AppendReq>(),
            size_of::<crate::kurrent::streams::ReadReq>(),
            size_of::<crate::kurrent::persistent_subscriptions::ReadReq>(),
            size_of::<second::AppendRecord>(),
            size_of::<second::AppendRequest>(),
            size_of::<second::ConsistencyCheck>(),
            size_of::<v1::NewEvent>(),
            size_of::<v1::StreamWrite>(),
            size_of::<v1::Condition>(),
            size_of::<v1::QueryItem>(),
            size_of::<prost_types::Value>(),
        ];
        for size in sizes {
            assert!(size <= MESSAGE_BYTES, "{size}");
        }
    }
}

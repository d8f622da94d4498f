//! Everything that the contract can say comes back as it was, over its bytes; seeds are printed.

mod random;

use std::error::Error as _;
use std::fmt::Debug;

use factum_store::{
    AppendBatch, Checkpoint, Conflict, Kind, ReadRequest, Receipt, Snapshot, StoreError,
    StreamInfo, StreamsRequest, SubscribeRequest,
};
use factum_types::{ExpectedRevision, NewEvent, RecordedEvent, StreamSettings};
use prost::Message;
use prost::bytes::Bytes;

use super::error::{CONFLICT_BYTES_MAX, details, of_details};
use super::{read_item, subscription_item};
use crate::v1;
use random::Random;

const ROUNDS: u64 = 400;

/// A message after a trip as bytes.
fn sent<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

/// That what `make` makes is the same once it was a message.
fn round_trips<T, M>(make: impl Fn(&mut Random) -> T)
where
    T: Clone + Debug + PartialEq + TryFrom<M>,
    M: Message + Default + TryFrom<T>,
    <T as TryFrom<M>>::Error: Debug,
    <M as TryFrom<T>>::Error: Debug,
{
    for seed in 0..ROUNDS {
        let given = make(&mut Random::new(seed));
        let message = M::try_from(given.clone()).unwrap();
        let back = T::try_from(sent(&message)).unwrap();
        assert_eq!(back, given, "seed {seed}");
    }
}

#[test]
fn events() {
    round_trips::<NewEvent, v1::NewEvent>(Random::new_event);
    round_trips::<RecordedEvent, v1::RecordedEvent>(Random::recorded_event);
}

/// An event that waits for the store keeps nothing else of its message in memory.
#[test]
fn what_is_to_be_appended_is_copied_out_of_its_message() {
    let mut random = Random::new(7);
    let mut event = random.new_event();
    (event.data, event.personal) = ("data".into(), "personal".into());
    event.metadata.custom = "custom".into();
    let message: Bytes = v1::NewEvent::from(event).encode_to_vec().into();
    let within = message.as_ptr_range();
    let event = NewEvent::try_from(v1::NewEvent::decode(message.clone()).unwrap()).unwrap();
    for bytes in [&event.data, &event.personal, &event.metadata.custom] {
        assert!(!bytes.is_empty());
        assert!(!within.contains(&bytes.as_ptr()), "{bytes:?}");
    }
}

#[test]
fn appends() {
    round_trips::<AppendBatch, v1::AppendRequest>(Random::batch);
    round_trips::<Receipt, v1::Receipt>(Random::receipt);
}

#[test]
fn requests() {
    round_trips::<ReadRequest, v1::ReadRequest>(Random::read_request);
    round_trips::<SubscribeRequest, v1::SubscribeRequest>(Random::subscribe_request);
    round_trips::<StreamsRequest, v1::StreamsRequest>(Random::streams_request);
}

#[test]
fn state() {
    round_trips::<StreamInfo, v1::StreamInfo>(Random::stream_info);
    round_trips::<StreamSettings, v1::StreamSettings>(Random::settings);
    round_trips::<Snapshot, v1::Snapshot>(Random::snapshot);
    round_trips::<Checkpoint, v1::Checkpoint>(Random::checkpoint);
}

/// All that can be seen of an error.
fn seen(error: &StoreError) -> (Kind, String, Option<Conflict>, String, Vec<String>) {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    (
        error.kind(),
        error.to_string(),
        error.as_conflict().cloned(),
        format!("{:?}", error.as_damage()),
        causes.map(ToString::to_string).collect(),
    )
}

#[test]
fn errors_in_messages() {
    for seed in 0..ROUNDS {
        let given = Random::new(seed).error();
        let back = StoreError::from(sent(&v1::Error::from(&given)));
        assert_eq!(seen(&back), seen(&given), "seed {seed}");
    }
}

#[test]
fn errors_in_trailers_but_for_events() {
    for seed in 0..ROUNDS {
        let given = Random::new(seed).error();
        let back = of_details(&details(9, &given)).unwrap();
        let mut expected = seen(&given);
        if let Some(conflict) = &mut expected.2 {
            conflict.events.clear();
        }
        assert_eq!(seen(&back), expected, "seed {seed}");
    }
}

#[test]
fn items() {
    for seed in 0..ROUNDS {
        let random = &mut Random::new(seed);
        let given = random.recorded_event();
        let message = v1::ReadItem::try_from(Ok(given.clone())).unwrap();
        assert_eq!(read_item(sent(&message)).unwrap(), given, "seed {seed}");
        let given = random.subscription_item();
        let message = v1::SubscriptionItem::try_from(Ok(given.clone())).unwrap();
        let back = subscription_item(sent(&message)).unwrap();
        assert_eq!(back, given, "seed {seed}");
    }
}

#[test]
fn only_damage_has_a_place_among_items() {
    for seed in 0..ROUNDS {
        let given = Random::new(seed).error();
        let (read, followed) = (
            v1::ReadItem::try_from(Err(given.clone())),
            v1::SubscriptionItem::try_from(Err(given.clone())),
        );
        if given.kind() == Kind::Corrupt {
            let read = read_item(read.unwrap()).unwrap_err();
            let followed = subscription_item(followed.unwrap()).unwrap_err();
            assert_eq!((seen(&read), seen(&followed)), (seen(&given), seen(&given)));
        } else {
            assert_eq!(seen(&read.unwrap_err()), seen(&given), "seed {seed}");
            assert_eq!(seen(&followed.unwrap_err()), seen(&given), "seed {seed}");
        }
    }
}

#[test]
fn a_conflict_of_large_events_is_told_without_them() {
    let random = &mut Random::new(1);
    let mut conflict = random.conflict();
    let mut event = random.recorded_event();
    event.data = vec![7; CONFLICT_BYTES_MAX / 2].into();
    conflict.events = vec![event.clone()];
    let told = |conflict: &Conflict| {
        let message = v1::Error::from(&StoreError::conflict(conflict.clone()));
        StoreError::from(message).as_conflict().cloned().unwrap()
    };
    assert_eq!(told(&conflict), conflict);
    conflict.events = vec![event.clone(), event.clone(), event];
    let without = told(&conflict);
    assert_eq!((without.reason, without.events), (conflict.reason, vec![]));
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let error = StoreError::invalid("ß".repeat(40_000));
    let told = StoreError::from(v1::Error::from(&error)).to_string();
    assert!(
        error.to_string().starts_with(&told) && told.len() > 8_000,
        "{}",
        told.len()
    );
}

#[track_caller]
fn refused<T: Debug, M: TryInto<T, Error = StoreError>>(message: M, what: &str) {
    let error = message.try_into().unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let event = v1::NewEvent::from(Random::new(3).new_event());
    let without = |change: fn(&mut v1::NewEvent)| {
        let mut event = event.clone();
        change(&mut event);
        event
    };
    refused::<NewEvent, _>(without(|e| e.id = vec![1; 15].into()), "15 bytes, not 16");
    refused::<NewEvent, _>(without(|e| e.event_type.clear()), "event type is empty");
    refused::<NewEvent, _>(without(|e| e.content_type = 7), "7");
    refused::<NewEvent, _>(without(|e| e.tags = vec!["plain".to_owned()]), "key:value");
    refused::<ReadRequest, _>(v1::ReadRequest::default(), "no source of events");
    refused::<SubscribeRequest, _>(v1::SubscribeRequest::default(), "no source of events");
    let write = v1::StreamWrite {
        stream: "order-1".to_owned(),
        expected: Some(ExpectedRevision::Any.into()),
        change: None,
    };
    let batch = |write| v1::AppendRequest {
        writes: vec![write],
        ..v1::AppendRequest::default()
    };
    refused::<AppendBatch, _>(batch(write.clone()), "no change of a stream");
    let write = v1::StreamWrite {
        expected: None,
        change: Some(v1::stream_write::Change::Delete(
            v1::stream_write::Delete {},
        )),
        ..write
    };
    refused::<AppendBatch, _>(batch(write), "no expectation of a stream");
    let settings = v1::StreamSettings {
        max_age: Some(v1::Age {
            seconds: u64::MAX,
            nanoseconds: 1_000_000_000,
        }),
        ..v1::StreamSettings::default()
    };
    refused::<StreamSettings, _>(settings, "1000000000 nanoseconds");
    let snapshot = v1::Snapshot {
        stream: "order-1".to_owned(),
        keep: Some(0),
        ..v1::Snapshot::default()
    };
    refused::<Snapshot, _>(snapshot, "none is to be kept");
}

#[test]
fn details_of_others_are_none_of_ours() {
    assert!(of_details(b"").is_none());
    assert!(of_details(b"\xFF\xFF").is_none());
    let other = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
        value: Vec::new(),
    };
    let status = crate::google::rpc::Status {
        details: vec![other],
        ..crate::google::rpc::Status::default()
    };
    assert!(of_details(&status.encode_to_vec()).is_none());
}

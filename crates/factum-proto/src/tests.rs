//! What goes over the wire, byte by byte: the bytes are written by hand from the numbers that official clients use.

use std::collections::BTreeMap;

use prost::Message;

use crate::kurrent::{
    Empty, StreamIdentifier, Uuid, gossip, persistent_subscriptions as persistent, streams, uuid,
    v2,
};

#[track_caller]
fn goes_as<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M, parts: &[&[u8]]) {
    let bytes = parts.concat();
    assert_eq!(message.encode_to_vec(), bytes);
    assert_eq!(&M::decode(bytes.as_slice()).unwrap(), message);
}

fn name() -> Option<StreamIdentifier> {
    Some(StreamIdentifier {
        stream_name: "s".into(),
    })
}

fn id() -> Option<Uuid> {
    Some(Uuid {
        value: Some(uuid::Value::String("i".into())),
    })
}

fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("type".into(), "T".into())])
}

const NAME: &[u8] = b"\x0a\x03\x1a\x01s";
const ID: &[u8] = b"\x0a\x03\x12\x01i";
const ENTRY: &[u8] = b"\x09\x0a\x04type\x12\x01T";

#[test]
fn ids_and_names() {
    let structured = uuid::Structured {
        most_significant_bits: 1,
        least_significant_bits: -1,
    };
    let structured = Uuid {
        value: Some(uuid::Value::Structured(structured)),
    };
    goes_as(&structured, &[b"\x0a\x0d\x08\x01\x10", &[0xff; 9], &[1]]);
    goes_as(&id().unwrap(), &[b"\x12\x01i"]);
    goes_as(&name().unwrap(), &[b"\x1a\x01s"]);
}

#[test]
fn a_read_of_a_stream() {
    use streams::read_req::{Options, options};
    let from = options::StreamOptions {
        stream_identifier: name(),
        revision_option: Some(options::stream_options::RevisionOption::Start(Empty {})),
    };
    let options = Options {
        read_direction: options::ReadDirection::Backwards.into(),
        resolve_links: true,
        uuid_option: Some(options::UuidOption {
            content: Some(options::uuid_option::Content::String(Empty {})),
        }),
        control_option: Some(options::ControlOption { compatibility: 1 }),
        stream_option: Some(options::StreamOption::Stream(from)),
        count_option: Some(options::CountOption::Count(5)),
        filter_option: Some(options::FilterOption::NoFilter(Empty {})),
    };
    let request = streams::ReadReq {
        options: Some(options),
    };
    let rest = b"\x18\x01\x20\x01\x28\x05\x42\x00\x4a\x02\x12\x00\x52\x02\x08\x01";
    goes_as(&request, &[b"\x0a\x19\x0a\x07", NAME, b"\x1a\x00", rest]);
}

#[test]
fn a_filtered_subscription_to_all() {
    use streams::read_req::{Options, options};
    let position = options::Position {
        commit_position: 7,
        prepare_position: 6,
    };
    let prefix = options::filter_options::Expression {
        regex: String::new(),
        prefix: vec!["o".into()],
    };
    let filter = options::FilterOptions {
        checkpoint_interval_multiplier: 1,
        filter: Some(options::filter_options::Filter::EventType(prefix)),
        window: Some(options::filter_options::Window::Max(32)),
    };
    let options = Options {
        stream_option: Some(options::StreamOption::All(options::AllOptions {
            all_option: Some(options::all_options::AllOption::Position(position)),
        })),
        count_option: Some(options::CountOption::Subscription(
            options::SubscriptionOptions {},
        )),
        filter_option: Some(options::FilterOption::Filter(filter)),
        ..Options::default()
    };
    let request = streams::ReadReq {
        options: Some(options),
    };
    let all = b"\x12\x06\x0a\x04\x08\x07\x10\x06\x32\x00";
    let filter = b"\x3a\x09\x12\x03\x12\x01o\x18\x20\x28\x01";
    goes_as(&request, &[b"\x0a\x15", all, filter]);
}

#[test]
fn what_a_read_answers() {
    use streams::read_resp::{CaughtUp, Checkpoint, Content, ReadEvent, read_event};
    let event = read_event::RecordedEvent {
        id: id(),
        stream_identifier: name(),
        stream_revision: 2,
        prepare_position: 9,
        commit_position: 9,
        metadata: metadata(),
        custom_metadata: "m".into(),
        data: "d".into(),
    };
    let event = ReadEvent {
        event: Some(event),
        link: None,
        position: Some(read_event::Position::CommitPosition(9)),
    };
    let response = |content| streams::ReadResp {
        content: Some(content),
    };
    let numbers = b"\x12\x03\x1a\x01s\x18\x02\x20\x09\x28\x09";
    goes_as(
        &response(Content::Event(event)),
        &[
            b"\x0a\x25\x0a\x21",
            ID,
            numbers,
            b"\x32",
            ENTRY,
            b"\x3a\x01m\x42\x01d\x18\x09",
        ],
    );
    let checkpoint = Checkpoint {
        commit_position: 9,
        prepare_position: 9,
        timestamp: None,
    };
    goes_as(
        &response(Content::Checkpoint(checkpoint)),
        &[b"\x1a\x04\x08\x09\x10\x09"],
    );
    let caught_up = CaughtUp {
        timestamp: None,
        stream_revision: Some(4),
        position: None,
    };
    goes_as(
        &response(Content::CaughtUp(caught_up)),
        &[b"\x42\x02\x10\x04"],
    );
}

#[test]
fn an_append_and_its_answers() {
    use streams::append_req::{Content, Options, ProposedMessage, options};
    use streams::append_resp::{
        Position, Result, Success, WrongExpectedVersion, success, wrong_expected_version as wrong,
    };
    let options = Options {
        stream_identifier: name(),
        expected_stream_revision: Some(options::ExpectedStreamRevision::NoStream(Empty {})),
    };
    let request = |content| streams::AppendReq {
        content: Some(content),
    };
    goes_as(
        &request(Content::Options(options)),
        &[b"\x0a\x07", NAME, b"\x1a\x00"],
    );
    let event = ProposedMessage {
        id: id(),
        metadata: metadata(),
        custom_metadata: "m".into(),
        data: "d".into(),
    };
    goes_as(
        &request(Content::ProposedMessage(event)),
        &[b"\x12\x16", ID, b"\x12", ENTRY, b"\x1a\x01m\x22\x01d"],
    );

    let response = |result| streams::AppendResp {
        result: Some(result),
    };
    let success = Success {
        current_revision_option: Some(success::CurrentRevisionOption::CurrentRevision(3)),
        position_option: Some(success::PositionOption::Position(Position {
            commit_position: 9,
            prepare_position: 9,
        })),
    };
    goes_as(
        &response(Result::Success(success)),
        &[b"\x0a\x08\x08\x03\x1a\x04\x08\x09\x10\x09"],
    );
    let wrong = WrongExpectedVersion {
        current_revision_option_20_6_0: Some(
            wrong::CurrentRevisionOption2060::CurrentRevision2060(3),
        ),
        expected_revision_option_20_6_0: Some(
            wrong::ExpectedRevisionOption2060::ExpectedRevision2060(5),
        ),
        current_revision_option: Some(wrong::CurrentRevisionOption::CurrentRevision(3)),
        expected_revision_option: Some(wrong::ExpectedRevisionOption::ExpectedNoStream(Empty {})),
    };
    goes_as(
        &response(Result::WrongExpectedVersion(wrong)),
        &[b"\x12\x08\x08\x03\x18\x05\x30\x03\x5a\x00"],
    );
}

#[test]
fn one_of_many_appends_and_its_error() {
    use streams::batch_append_req::{Options, ProposedMessage, options};
    let options = Options {
        stream_identifier: name(),
        expected_stream_position: Some(options::ExpectedStreamPosition::Any(())),
        deadline_option: Some(options::DeadlineOption::Deadline(prost_types::Duration {
            seconds: 10,
            nanos: 0,
        })),
    };
    let event = ProposedMessage {
        id: id(),
        data: "d".into(),
        ..ProposedMessage::default()
    };
    let request = streams::BatchAppendReq {
        correlation_id: id(),
        options: Some(options),
        proposed_messages: vec![event],
        is_final: true,
    };
    let options = b"\x22\x00\x3a\x02\x08\x0a\x1a\x08";
    goes_as(
        &request,
        &[ID, b"\x12\x0b", NAME, options, ID, b"\x22\x01d\x20\x01"],
    );

    let error = streams::BatchAppendError {
        code: 6,
        message: "W".into(),
        details: Some(prost_types::Any {
            type_url: "t".into(),
            value: b"v".to_vec(),
        }),
    };
    let response = streams::BatchAppendResp {
        correlation_id: id(),
        stream_identifier: name(),
        result: Some(streams::batch_append_resp::Result::Error(error)),
        expected_stream_position: Some(
            streams::batch_append_resp::ExpectedStreamPosition::StreamPosition(5),
        ),
    };
    let error = b"\x12\x0d\x08\x06\x12\x01W\x1a\x06\x0a\x01t\x12\x01v";
    goes_as(&response, &[ID, error, b"\x22\x03\x1a\x01s\x28\x05"]);
}

#[test]
fn an_error_with_one_detail_is_the_same_in_both_protocols() {
    let detail = prost_types::Any {
        type_url: "t".into(),
        value: b"v".to_vec(),
    };
    let one = streams::BatchAppendError {
        code: 6,
        message: "W".into(),
        details: Some(detail.clone()),
    };
    let many = crate::google::rpc::Status {
        code: 6,
        message: "W".into(),
        details: vec![detail],
    };
    assert_eq!(one.encode_to_vec(), many.encode_to_vec());
}

#[test]
fn a_cluster_of_one_leader() {
    let member = gossip::MemberInfo {
        instance_id: id(),
        time_stamp: 7,
        state: gossip::member_info::VNodeState::Leader.into(),
        is_alive: true,
        http_end_point: Some(gossip::EndPoint {
            address: "h".into(),
            port: 2113,
        }),
    };
    let cluster = gossip::ClusterInfo {
        members: vec![member],
    };
    let rest = b"\x10\x07\x18\x08\x20\x01\x2a\x06\x0a\x01h\x10\xc1\x10";
    goes_as(&cluster, &[b"\x0a\x13", ID, rest]);
}

#[test]
fn persistent_settings_and_refusals() {
    use persistent::create_req::{ConsumerStrategy, Settings, settings};
    let settings = Settings {
        resolve_links: true,
        revision: 0,
        extra_statistics: true,
        max_retry_count: 10,
        min_checkpoint_count: 1,
        max_checkpoint_count: 2,
        max_subscriber_count: 3,
        live_buffer_size: 4,
        read_batch_size: 5,
        history_buffer_size: 6,
        named_consumer_strategy: ConsumerStrategy::RoundRobin.into(),
        message_timeout: Some(settings::MessageTimeout::MessageTimeoutTicks(7)),
        checkpoint_after: Some(settings::CheckpointAfter::CheckpointAfterTicks(8)),
        consumer_strategy: "P".into(),
    };
    let numbers = b"\x08\x01\x18\x01\x20\x07\x28\x0a\x30\x08\x38\x01\x40\x02\x48\x03\x50\x04";
    goes_as(
        &settings,
        &[numbers, b"\x58\x05\x60\x06\x68\x01\x82\x01\x01P"],
    );
    let in_milliseconds = Settings {
        message_timeout: Some(settings::MessageTimeout::MessageTimeoutMs(7)),
        checkpoint_after: Some(settings::CheckpointAfter::CheckpointAfterMs(8)),
        ..Settings::default()
    };
    goes_as(&in_milliseconds, &[b"\x70\x07\x78\x08"]);

    let nack = persistent::read_req::Nack {
        id: "n".into(),
        ids: id().into_iter().collect(),
        action: persistent::read_req::nack::Action::Park.into(),
        reason: "r".into(),
    };
    goes_as(&nack, &[b"\x0a\x01n\x12\x03\x12\x01i\x18\x01\x22\x01r"]);
}

#[test]
fn records_of_the_second_protocol() {
    use v2::streams::{AppendRecord, AppendRequest, SchemaFormat, SchemaInfo};
    let yes = prost_types::Value {
        kind: Some(prost_types::value::Kind::BoolValue(true)),
    };
    let record = AppendRecord {
        record_id: Some("i".into()),
        properties: BTreeMap::from([("k".into(), yes)]),
        schema: Some(SchemaInfo {
            format: SchemaFormat::Json.into(),
            name: "T".into(),
            id: None,
        }),
        data: "d".into(),
        stream: "s".into(),
    };
    let properties = b"\x0a\x01i\x12\x07\x0a\x01k\x12\x02\x20\x01";
    goes_as(
        &record,
        &[properties, b"\x1a\x05\x08\x01\x12\x01T\x22\x01d\x2a\x01s"],
    );
    let request = |expected_revision| AppendRequest {
        stream: "s".into(),
        records: Vec::new(),
        expected_revision,
    };
    goes_as(&request(None), &[b"\x0a\x01s"]);
    goes_as(&request(Some(-1)), &[b"\x0a\x01s\x18\x01"]);
    goes_as(&request(Some(3)), &[b"\x0a\x01s\x18\x06"]);
}

/// What was generated for a package.
macro_rules! generated {
    ($package:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $package, ".rs"))
    };
}

#[test]
fn methods_have_the_names_that_clients_call() {
    let services = [
        (
            generated!("event_store.client.streams"),
            "event_store.client.streams.Streams",
            "Read Append Delete Tombstone BatchAppend",
        ),
        (
            generated!("event_store.client.persistent_subscriptions"),
            "event_store.client.persistent_subscriptions.PersistentSubscriptions",
            "Create Update Delete Read GetInfo ReplayParked TruncateParked List RestartSubsystem",
        ),
        (
            generated!("event_store.client.projections"),
            "event_store.client.projections.Projections",
            "Create Update Delete Statistics Disable Enable Reset State Result RestartSubsystem",
        ),
        (
            generated!("event_store.client.server_features"),
            "event_store.client.server_features.ServerFeatures",
            "GetSupportedMethods",
        ),
        (
            generated!("event_store.client.gossip"),
            "event_store.client.gossip.Gossip",
            "Read",
        ),
        (
            generated!("event_store.client.users"),
            "event_store.client.users.Users",
            "Create Update Delete Disable Enable Details ChangePassword ResetPassword",
        ),
        (
            generated!("event_store.client.operations"),
            "event_store.client.operations.Operations",
            "StartScavenge StopScavenge Shutdown MergeIndexes ResignNode SetNodePriority RestartPersistentSubscriptions",
        ),
        (
            generated!("event_store.client.monitoring"),
            "event_store.client.monitoring.Monitoring",
            "Stats",
        ),
        (
            generated!("kurrentdb.protocol.v2.streams"),
            "kurrentdb.protocol.v2.streams.StreamsService",
            "AppendSession AppendRecords",
        ),
    ];
    for (generated, service, methods) in services {
        for method in methods.split(' ') {
            let path = format!("\"/{service}/{method}\"");
            assert!(generated.contains(&path), "{path} is not served");
        }
    }
}

//! Persistent subscriptions. The groups are not there, but for the one that is created and one that gives what links point to: those who may are
//! told so.

use bytes::Bytes;
use factum_proto::kurrent::Empty;
use factum_proto::kurrent::persistent_subscriptions as groups;
use tonic::Code;

use super::{ADMINS, Each, LEDGER_READ, OPERATORS, Row, USERS, call};
use crate::authorisation::ask::framed;
use crate::persistent::support::{creation, settings};
use crate::support::identifier;

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    let row = |method, about, body, each: Each| call("event_store.client.persistent_subscriptions.PersistentSubscriptions", method, about, body, each);
    vec![
        row("Create", "order-1", framed(&creation("order-1", "g", settings())), OPERATORS),
        row("Create", "ledger-1", framed(&creation("ledger-1", "g", settings())), OPERATORS),
        row("Update", "order-1", update("order-1"), OPERATORS).but(Code::NotFound),
        row("Delete", "order-1", delete("order-1"), OPERATORS).but(Code::NotFound),
        row("Read", "order-1", read("order-1"), USERS).but(Code::NotFound),
        row("Read", "ledger-1", read("ledger-1"), LEDGER_READ).but(Code::NotFound),
        row("Read", "$scratch-1", read("$scratch-1"), ADMINS).but(Code::NotFound),
        row("Read", "$ce-order", read("$ce-order"), USERS).but(Code::NotFound),
        row("Read", "$ce-order, what it points to", read_of("$ce-order", "linking"), ADMINS),
        row("Read", "$all", read("$all"), ADMINS).but(Code::NotFound),
        row("GetInfo", "order-1", info("order-1"), USERS).but(Code::NotFound),
        row("ReplayParked", "order-1", replay("order-1"), OPERATORS).but(Code::NotFound),
        row("TruncateParked", "order-1", truncate("order-1"), OPERATORS).but(Code::NotFound),
        row("List", "all", list(), USERS),
        row("RestartSubsystem", "", framed(&Empty {}), OPERATORS),
    ]
}

fn read(stream: &str) -> Bytes {
    read_of(stream, "g")
}

fn read_of(stream: &str, group: &str) -> Bytes {
    use groups::read_req::options::{StreamOption, UuidOption, uuid_option};
    use groups::read_req::{Content, Options};
    let stream = if stream == "$all" {
        StreamOption::All(Empty {})
    } else {
        StreamOption::StreamIdentifier(identifier(stream).unwrap())
    };
    framed(&groups::ReadReq {
        content: Some(Content::Options(Options {
            stream_option: Some(stream),
            group_name: group.to_owned(),
            buffer_size: 10,
            uuid_option: Some(UuidOption {
                content: Some(uuid_option::Content::String(Empty {})),
            }),
        })),
    })
}

fn update(stream: &str) -> Bytes {
    use groups::update_req::options::StreamOption;
    use groups::update_req::settings::{CheckpointAfter, MessageTimeout};
    use groups::update_req::stream_options::RevisionOption;
    use groups::update_req::{Options, Settings, StreamOptions};
    framed(&groups::UpdateReq {
        options: Some(Options {
            stream_option: Some(StreamOption::Stream(StreamOptions {
                stream_identifier: identifier(stream),
                revision_option: Some(RevisionOption::Start(Empty {})),
            })),
            group_name: "g".to_owned(),
            settings: Some(Settings {
                max_retry_count: 10,
                min_checkpoint_count: 10,
                max_checkpoint_count: 1_000,
                live_buffer_size: 500,
                read_batch_size: 20,
                history_buffer_size: 500,
                message_timeout: Some(MessageTimeout::MessageTimeoutMs(30_000)),
                checkpoint_after: Some(CheckpointAfter::CheckpointAfterMs(2_000)),
                ..Settings::default()
            }),
            ..Options::default()
        }),
    })
}

fn delete(stream: &str) -> Bytes {
    use groups::delete_req::Options;
    use groups::delete_req::options::StreamOption;
    framed(&groups::DeleteReq {
        options: Some(Options {
            stream_option: identifier(stream).map(StreamOption::StreamIdentifier),
            group_name: "g".to_owned(),
        }),
    })
}

fn info(stream: &str) -> Bytes {
    use groups::get_info_req::Options;
    use groups::get_info_req::options::StreamOption;
    framed(&groups::GetInfoReq {
        options: Some(Options {
            stream_option: identifier(stream).map(StreamOption::StreamIdentifier),
            group_name: "g".to_owned(),
        }),
    })
}

fn replay(stream: &str) -> Bytes {
    use groups::replay_parked_req::Options;
    use groups::replay_parked_req::options::{StopAtOption, StreamOption};
    framed(&groups::ReplayParkedReq {
        options: Some(Options {
            stream_option: identifier(stream).map(StreamOption::StreamIdentifier),
            group_name: "g".to_owned(),
            stop_at_option: Some(StopAtOption::NoLimit(Empty {})),
        }),
    })
}

fn truncate(stream: &str) -> Bytes {
    use groups::truncate_parked_req::Options;
    use groups::truncate_parked_req::options::{StopAtOption, StreamOption};
    framed(&groups::TruncateParkedReq {
        options: Some(Options {
            stream_option: identifier(stream).map(StreamOption::StreamIdentifier),
            group_name: "g".to_owned(),
            stop_at_option: Some(StopAtOption::NoLimit(Empty {})),
        }),
    })
}

fn list() -> Bytes {
    use groups::list_req::Options;
    use groups::list_req::options::ListOption;
    framed(&groups::ListReq {
        options: Some(Options {
            list_option: Some(ListOption::ListAllSubscriptions(Empty {})),
        }),
    })
}

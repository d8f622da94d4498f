//! The table: every method and path, what it is about, and what each caller is told.

mod groups;
mod http;
mod own;

use std::fmt;

use bytes::Bytes;
use factum_proto::kurrent::Empty;
use factum_proto::kurrent::monitoring::StatsReq;
use factum_proto::kurrent::operations::{
    SetNodePriorityReq, StartScavengeReq, StopScavengeReq, start_scavenge_req,
};
use factum_proto::kurrent::streams::append_req::{Content, Options as AppendOptions};
use factum_proto::kurrent::streams::batch_append_req::options::ExpectedStreamPosition;
use factum_proto::kurrent::streams::batch_append_req::{
    Options as BatchOptions, ProposedMessage as BatchMessage,
};
use factum_proto::kurrent::streams::read_req::options::CountOption;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::streams::{
    AppendReq, BatchAppendReq, DeleteReq, ReadReq, TombstoneReq, delete_req, tombstone_req,
};
use factum_proto::kurrent::users;
use factum_proto::kurrent::v2::streams::consistency_check::{StreamStateCheck, Type};
use factum_proto::kurrent::v2::streams::{
    AppendRecord, AppendRecordsRequest, AppendRequest, ConsistencyCheck, SchemaFormat, SchemaInfo,
};
use tonic::Code;

use super::ask::{Plain, framed};
use crate::support::{ANY, FOLLOW, id, identifier, of_all, of_stream, properties, proposed};

/// What one caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Allowed,
    Denied,
    Unauthenticated,
}
use Told::{Allowed as A, Denied as D, Unauthenticated as U};

/// What is told to nobody in particular, a user, a member of `$ops`, and an admin.
pub(super) type Each = [Told; 4];
const ANYONE: Each = [A, A, A, A];
const USERS: Each = [U, A, A, A];
const OPERATORS: Each = [U, D, A, A];
const ADMINS: Each = [U, D, D, A];
/// The user `anna`, by name.
const ANNA: Each = [U, A, D, A];

/// How a row is asked.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    /// A method with its messages.
    Call(String, Bytes),
    /// A path over plain HTTP.
    Plain(Plain),
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) ask: Ask,
    /// What it is about.
    pub(super) about: &'static str,
    pub(super) each: Each,
    /// What those who may are answered.
    pub(super) answer: Code,
}

impl Row {
    /// What those who may are answered, where that is not all well.
    const fn but(mut self, answer: Code) -> Self {
        self.answer = answer;
        self
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ask {
            Ask::Call(path, _) => write!(f, "{path} {}", self.about),
            Ask::Plain(plain) => write!(f, "{} {}", plain.method, plain.path),
        }
    }
}

fn call(service: &str, method: &str, about: &'static str, body: Bytes, each: Each) -> Row {
    Row {
        ask: Ask::Call(format!("/{service}/{method}"), body),
        about,
        each,
        answer: Code::Ok,
    }
}

/// Every row. A new method is one line or more.
///
/// `ledger-1` has an access control list: `$ops` read it, `anna` writes it and reads its metadata, nobody deletes it.
pub(super) fn rows() -> Vec<Row> {
    [
        streams(),
        second_streams(),
        groups::rows(),
        own::rows(),
        users(),
        node(),
        http::rows(),
    ]
    .concat()
}

const LEDGER_READ: Each = OPERATORS;
const LEDGER_WRITE: Each = ANNA;

#[rustfmt::skip]
fn streams() -> Vec<Row> {
    let row = |method, about, body, each| call("event_store.client.streams.Streams", method, about, body, each);
    vec![
        row("Read", "order-1", read("order-1"), USERS),
        row("Read", "ledger-1", read("ledger-1"), LEDGER_READ),
        row("Read", "$scratch-1", read("$scratch-1"), ADMINS),
        row("Read", "$user-anna", read("$user-anna"), ADMINS),
        row("Read", "$$order-1", read("$$order-1"), USERS),
        row("Read", "$$ledger-1", read("$$ledger-1"), ANNA),
        row("Read", "$$$scratch-1", read("$$$scratch-1"), ADMINS),
        row("Read", "$$$$order-1", read("$$$$order-1"), ADMINS),
        row("Read", "$ce-order", read("$ce-order"), USERS),
        row("Read", "$et-Placed", read("$et-Placed"), USERS),
        row("Read", "$et-$UserCreated", read("$et-$UserCreated"), ADMINS),
        row("Read", "$streams", read("$streams"), USERS),
        row("Read", "$$$ce-order", read("$$$ce-order"), USERS),
        row("Read", "$all", read_all(), ADMINS),
        row("Read", "follow order-1", follow("order-1"), USERS),
        row("Read", "follow ledger-1", follow("ledger-1"), LEDGER_READ),
        row("Read", "follow $scratch-1", follow("$scratch-1"), ADMINS),
        row("Read", "follow $$ledger-1", follow("$$ledger-1"), ANNA),
        row("Read", "follow $ce-order", follow("$ce-order"), USERS),
        row("Read", "follow $all", follow_all(), ADMINS),
        row("Append", "order-1", append("order-1"), USERS),
        row("Append", "new-1", append("new-1"), USERS),
        row("Append", "ledger-1", append("ledger-1"), LEDGER_WRITE),
        row("Append", "$scratch-1", append("$scratch-1"), ADMINS),
        row("Append", "$settings", append("$settings"), ADMINS),
        row("Append", "$$order-1", append("$$order-1"), USERS),
        row("Append", "$$ledger-1", append("$$ledger-1"), ADMINS),
        row("Append", "$$$scratch-1", append("$$$scratch-1"), ADMINS),
        row("Append", "$ce-order", append("$ce-order"), ADMINS).but(Code::InvalidArgument),
        row("Delete", "order-1", delete("order-1"), USERS),
        row("Delete", "ledger-1", delete("ledger-1"), ADMINS),
        row("Delete", "$scratch-1", delete("$scratch-1"), ADMINS),
        row("Tombstone", "order-1", tombstone("order-1"), USERS),
        row("Tombstone", "ledger-1", tombstone("ledger-1"), ADMINS),
        row("Tombstone", "$scratch-1", tombstone("$scratch-1"), ADMINS),
        row("BatchAppend", "order-1", batch("order-1"), USERS),
        row("BatchAppend", "ledger-1", batch("ledger-1"), LEDGER_WRITE),
        row("BatchAppend", "$scratch-1", batch("$scratch-1"), ADMINS),
        row("BatchAppend", "$$ledger-1", batch("$$ledger-1"), ADMINS),
    ]
}

#[rustfmt::skip]
fn second_streams() -> Vec<Row> {
    let row = |method, about, body, each| call("kurrentdb.protocol.v2.streams.StreamsService", method, about, body, each);
    vec![
        row("AppendSession", "order-1", session(&["order-1"]), USERS),
        row("AppendSession", "ledger-1", session(&["ledger-1"]), LEDGER_WRITE),
        row("AppendSession", "$scratch-1", session(&["$scratch-1"]), ADMINS),
        row("AppendSession", "order-1 and $scratch-1", session(&["order-1", "$scratch-1"]), ADMINS),
        row("AppendSession", "$$ledger-1", session(&["$$ledger-1"]), ADMINS),
        row("AppendRecords", "order-1", records(&["order-1"], None), USERS),
        row("AppendRecords", "ledger-1", records(&["ledger-1"], None), LEDGER_WRITE),
        row("AppendRecords", "order-1 and ledger-1", records(&["order-1", "ledger-1"], None), LEDGER_WRITE),
        row("AppendRecords", "order-1 if ledger-1", records(&["order-1"], Some("ledger-1")), LEDGER_READ),
        row("AppendRecords", "order-1 if $scratch-1", records(&["order-1"], Some("$scratch-1")), ADMINS),
    ]
}

#[rustfmt::skip]
fn users() -> Vec<Row> {
    let row = |method, about, body, each| call("event_store.client.users.Users", method, about, body, each);
    vec![
        row("Create", "bert", framed(&users::CreateReq { options: Some(users::create_req::Options {
            login_name: "bert".into(), password: "secret".into(), full_name: "Bert".into(), groups: vec!["$admins".into()] }) }), ADMINS),
        row("Update", "anna, by herself too", framed(&users::UpdateReq { options: Some(users::update_req::Options {
            login_name: "anna".into(), full_name: "Anna".into(), groups: vec!["$admins".into()], ..Default::default() }) }), ADMINS),
        row("Delete", "anna", framed(&users::DeleteReq { options: Some(users::delete_req::Options { login_name: "anna".into() }) }), ADMINS),
        row("Disable", "anna", framed(&users::DisableReq { options: Some(users::disable_req::Options { login_name: "anna".into() }) }), ADMINS),
        row("Enable", "anna", framed(&users::EnableReq { options: Some(users::enable_req::Options { login_name: "anna".into() }) }), ADMINS),
        row("Details", "anna", details("anna"), ANNA),
        row("Details", "admin", details("admin"), ADMINS),
        row("Details", "nobody", details("nobody"), ADMINS).but(Code::NotFound),
        row("Details", "all", details(""), ADMINS),
        row("ChangePassword", "anna", framed(&users::ChangePasswordReq { options: Some(users::change_password_req::Options {
            login_name: "anna".into(), current_password: "secret".into(), new_password: "other".into() }) }), ANNA),
        row("ResetPassword", "anna", framed(&users::ResetPasswordReq { options: Some(users::reset_password_req::Options {
            login_name: "anna".into(), new_password: "other".into() }) }), ADMINS),
    ]
}

#[rustfmt::skip]
fn node() -> Vec<Row> {
    let row = |method, body, each| call("event_store.client.operations.Operations", method, "", body, each);
    let empty = || framed(&Empty {});
    vec![
        row("StartScavenge", framed(&StartScavengeReq { options: Some(start_scavenge_req::Options { thread_count: 1, start_from_chunk: 0 }) }), OPERATORS),
        row("StopScavenge", framed(&StopScavengeReq { options: None }), OPERATORS).but(Code::NotFound),
        row("Shutdown", empty(), OPERATORS),
        row("MergeIndexes", empty(), OPERATORS),
        row("ResignNode", empty(), OPERATORS),
        row("SetNodePriority", framed(&SetNodePriorityReq { priority: 3 }), OPERATORS),
        row("RestartPersistentSubscriptions", empty(), OPERATORS),
        call("event_store.client.monitoring.Monitoring", "Stats", "", framed(&StatsReq::default()), USERS),
        call("event_store.client.gossip.Gossip", "Read", "", empty(), ANYONE),
        call("event_store.client.server_features.ServerFeatures", "GetSupportedMethods", "", empty(), ANYONE),
    ]
}

fn read_with(options: factum_proto::kurrent::streams::read_req::Options) -> Bytes {
    framed(&ReadReq {
        options: Some(options),
    })
}

fn read(stream: &str) -> Bytes {
    let start = RevisionOption::Start(Empty {});
    read_with(of_stream(stream, start, CountOption::Count(1)))
}

fn follow(stream: &str) -> Bytes {
    read_with(of_stream(stream, RevisionOption::Start(Empty {}), FOLLOW))
}

fn read_all() -> Bytes {
    read_with(of_all(AllOption::Start(Empty {}), CountOption::Count(1)))
}

fn follow_all() -> Bytes {
    read_with(of_all(AllOption::Start(Empty {}), FOLLOW))
}

fn append(stream: &str) -> Bytes {
    let options = Content::Options(AppendOptions {
        stream_identifier: identifier(stream),
        expected_stream_revision: Some(ANY),
    });
    let event = Content::ProposedMessage(proposed(77, "Row"));
    [options, event]
        .map(|content| {
            framed(&AppendReq {
                content: Some(content),
            })
        })
        .concat()
        .into()
}

fn batch(stream: &str) -> Bytes {
    framed(&BatchAppendReq {
        correlation_id: id(9),
        options: Some(BatchOptions {
            stream_identifier: identifier(stream),
            expected_stream_position: Some(ExpectedStreamPosition::Any(())),
            deadline_option: None,
        }),
        proposed_messages: vec![BatchMessage {
            id: id(77),
            metadata: properties("Row"),
            custom_metadata: Vec::new(),
            data: "{}".into(),
        }],
        is_final: true,
    })
}

fn delete(stream: &str) -> Bytes {
    framed(&DeleteReq {
        options: Some(delete_req::Options {
            stream_identifier: identifier(stream),
            expected_stream_revision: Some(delete_req::options::ExpectedStreamRevision::Any(
                Empty {},
            )),
        }),
    })
}

fn tombstone(stream: &str) -> Bytes {
    framed(&TombstoneReq {
        options: Some(tombstone_req::Options {
            stream_identifier: identifier(stream),
            expected_stream_revision: Some(tombstone_req::options::ExpectedStreamRevision::Any(
                Empty {},
            )),
        }),
    })
}

fn record(stream: &str) -> AppendRecord {
    AppendRecord {
        schema: Some(SchemaInfo {
            format: SchemaFormat::Json.into(),
            name: "Row".to_owned(),
            id: None,
        }),
        data: "{}".into(),
        stream: stream.to_owned(),
        ..AppendRecord::default()
    }
}

fn session(streams: &[&str]) -> Bytes {
    let requests = streams.iter().map(|stream| {
        framed(&AppendRequest {
            stream: (*stream).to_owned(),
            records: vec![record(stream)],
            expected_revision: None,
        })
    });
    requests.collect::<Vec<_>>().concat().into()
}

fn records(streams: &[&str], on: Option<&str>) -> Bytes {
    framed(&AppendRecordsRequest {
        records: streams.iter().map(|stream| record(stream)).collect(),
        checks: on
            .map(|stream| ConsistencyCheck {
                r#type: Some(Type::StreamState(StreamStateCheck {
                    stream: stream.to_owned(),
                    expected_state: 0,
                })),
            })
            .into_iter()
            .collect(),
    })
}

fn details(login: &str) -> Bytes {
    framed(&users::DetailsReq {
        options: Some(users::details_req::Options {
            login_name: login.to_owned(),
        }),
    })
}

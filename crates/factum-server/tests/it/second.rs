//! KurrentDB's second protocol: records for several streams, and checks of any.

use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::{DeleteReq, TombstoneReq, delete_req, tombstone_req};
use factum_proto::kurrent::v2::streams::consistency_check::{StreamStateCheck, Type};
use factum_proto::kurrent::v2::streams::streams_service_client::StreamsServiceClient;
use factum_proto::kurrent::v2::streams::{
    AppendRecord, AppendRecordsRequest, AppendRecordsResponse, ConsistencyCheck, SchemaFormat,
    SchemaInfo,
};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{ANY, Running, append, identifier, proposed};

const PATIENCE: Duration = Duration::from_secs(60);
const NO_EVENTS: i64 = -1;
const EVENTS: i64 = -4;
const DELETED: i64 = -5;
const CLOSED: i64 = -6;

fn record(number: u64, stream: &str) -> AppendRecord {
    AppendRecord {
        record_id: Some(format!("00000000-0000-4000-9000-{number:012x}")),
        schema: Some(SchemaInfo {
            format: SchemaFormat::Json.into(),
            name: "Happened".to_owned(),
            id: None,
        }),
        data: format!("{number}").into(),
        stream: stream.to_owned(),
        ..AppendRecord::default()
    }
}

fn check(stream: &str, expected_state: i64) -> ConsistencyCheck {
    ConsistencyCheck {
        r#type: Some(Type::StreamState(StreamStateCheck {
            stream: stream.to_owned(),
            expected_state,
        })),
    }
}

/// A server whose streams are in every state, and a client of it.
struct Second {
    server: Running,
    client: StreamsServiceClient<Channel>,
}

impl Second {
    /// `live` has one event; `deleted` had one; `closed` is for ever.
    async fn start() -> Self {
        let server = Running::start().await;
        let mut first = server.streams().await;
        for (number, stream) in ["live", "deleted", "closed"].into_iter().enumerate() {
            let event = vec![proposed(number as u64, "Happened")];
            append(&mut first, stream, ANY, event).await.unwrap();
        }
        let delete = delete_req::Options {
            stream_identifier: identifier("deleted"),
            expected_stream_revision: Some(delete_req::options::ExpectedStreamRevision::Any(
                Empty {},
            )),
        };
        let options = Some(delete);
        first.delete(DeleteReq { options }).await.unwrap();
        let close = tombstone_req::Options {
            stream_identifier: identifier("closed"),
            expected_stream_revision: Some(tombstone_req::options::ExpectedStreamRevision::Any(
                Empty {},
            )),
        };
        let options = Some(close);
        first.tombstone(TombstoneReq { options }).await.unwrap();
        let client = StreamsServiceClient::new(server.channel().await);
        Self { server, client }
    }

    async fn append(
        &mut self,
        records: Vec<AppendRecord>,
        checks: Vec<ConsistencyCheck>,
    ) -> Result<AppendRecordsResponse, Status> {
        let request = AppendRecordsRequest { records, checks };
        let answer = timeout(PATIENCE, self.client.append_records(request)).await;
        answer.unwrap().map(tonic::Response::into_inner)
    }
}

#[tokio::test]
async fn records_of_several_streams_land_together() {
    let mut second = Second::start().await;
    let records = vec![record(1, "a"), record(2, "b"), record(3, "a")];
    let answer = second.append(records, vec![]).await.unwrap();
    let revisions: Vec<_> = answer
        .revisions
        .iter()
        .map(|it| (it.stream.as_str(), it.revision))
        .collect();
    assert_eq!(revisions, [("a", 1), ("b", 0)]);
    let refused = second
        .append(vec![record(4, "a"), record(5, "closed")], vec![])
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    // Nothing of it was stored.
    let answer = second.append(vec![record(6, "a")], vec![]).await.unwrap();
    assert_eq!(answer.revisions[0].revision, 2);
    second.server.stop().await;
}

#[tokio::test]
async fn checks_hold_for_the_states_that_they_name_and_no_others() {
    let mut second = Second::start().await;
    let holding = [
        ("missing", NO_EVENTS),
        ("live", EVENTS),
        ("live", 0),
        ("deleted", NO_EVENTS),
        ("deleted", DELETED),
        ("closed", NO_EVENTS),
        ("closed", CLOSED),
    ];
    let mut number = 100;
    let mut stored = 0;
    for stream in ["missing", "live", "deleted", "closed"] {
        for state in [NO_EVENTS, EVENTS, DELETED, CLOSED, 0, 1] {
            number += 1;
            let checks = vec![check(stream, state)];
            let answer = second.append(vec![record(number, "to")], checks).await;
            // The revisions of a deleted stream go on.
            let holds = holding.contains(&(stream, state)) || (stream, state) == ("deleted", 0);
            match answer {
                Ok(answer) => {
                    assert!(holds, "{stream} is {state}");
                    assert_eq!(answer.revisions[0].revision, stored);
                    stored += 1;
                }
                Err(refused) => {
                    assert!(!holds, "{stream} is not {state}: {refused}");
                    assert_eq!(refused.code(), Code::FailedPrecondition, "{stream} {state}");
                }
            }
        }
    }
    assert_eq!(stored, 8);
    second.server.stop().await;
}

#[tokio::test]
async fn an_append_that_was_made_is_answered_as_it_was_although_its_checks_hold_no_more() {
    let mut second = Second::start().await;
    let request = || (vec![record(1, "to")], vec![check("deleted", DELETED)]);
    let (records, checks) = request();
    let answer = second.append(records, checks).await.unwrap();
    let live_again = second.append(vec![record(2, "deleted")], vec![]).await;
    live_again.unwrap();
    let (records, checks) = request();
    let again = second.append(records, checks).await.unwrap();
    assert_eq!(again, answer);
    let other = second
        .append(vec![record(3, "to")], vec![check("deleted", DELETED)])
        .await;
    assert_eq!(other.unwrap_err().code(), Code::FailedPrecondition);
    second.server.stop().await;
}

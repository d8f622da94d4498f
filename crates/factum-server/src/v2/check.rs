//! What must hold of streams for an append to any.

use factum_proto::kurrent::v2::streams::ConsistencyCheck;
use factum_proto::kurrent::v2::streams::consistency_check::Type;
use factum_proto::kurrent::v2::streams::errors::ConsistencyViolation;
use factum_proto::kurrent::v2::streams::errors::consistency_violation::{
    StreamStateViolation, Type as Violated,
};
use factum_store::{Condition, StoreError, StreamInfo, StreamState};
use factum_types::limits::BATCH_CONDITIONS_MAX;
use factum_types::{ExpectedRevision, StreamName};
use tonic::Status;

use super::{expectation, stream_name};
use crate::log::append::kept_by;
use crate::node::Node;
use crate::wire::expected::{EXISTS, NO_STREAM};
use crate::wire::position::signed;

/// States of a stream that no revision says.
const DELETED: i64 = -5;
const TOMBSTONED: i64 = -6;

/// One check.
#[derive(Debug)]
pub(super) struct Check {
    index: usize,
    stream: StreamName,
    expected: i64,
}

/// The checks of a request.
///
/// # Errors
/// `INVALID_ARGUMENT`: too many, a stream twice, or a state that none can have.
pub(super) fn parse(given: Vec<ConsistencyCheck>) -> Result<Vec<Check>, Status> {
    // A check may take two conditions of the store.
    if given.len() > BATCH_CONDITIONS_MAX / 2 {
        let text = format!("an append has at most {} checks", BATCH_CONDITIONS_MAX / 2);
        return Err(Status::invalid_argument(text));
    }
    let mut checks: Vec<Check> = Vec::with_capacity(given.len());
    for (index, check) in given.into_iter().enumerate() {
        let Some(Type::StreamState(state)) = check.r#type else {
            return Err(Status::invalid_argument(format!(
                "check {index} is of no kind that is known"
            )));
        };
        let stream = stream_name(&state.stream)?;
        let expected = state.expected_state;
        let known = matches!(expected, DELETED | TOMBSTONED) || expectation(expected).is_some();
        if !known {
            let text =
                format!("check {index}: {expected} is no state of a stream that can be checked");
            return Err(Status::invalid_argument(text));
        }
        let lower = stream.as_str().to_lowercase();
        if checks
            .iter()
            .any(|other| other.stream.as_str().to_lowercase() == lower)
        {
            return Err(Status::invalid_argument(format!(
                "stream {stream} is checked twice"
            )));
        }
        checks.push(Check {
            index,
            stream,
            expected,
        });
    }
    Ok(checks)
}

/// What became of the checks as things are now.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// What keeps the ones that hold so until the append; and what asks for the others all the same, because an append that was made
    /// before, and is sent again, is answered as it was then.
    pub(super) conditions: Vec<Condition>,
    /// What does not hold.
    pub(super) violations: Vec<ConsistencyViolation>,
}

/// Judges the checks as things are now.
///
/// # Errors
/// The store cannot say how a stream is.
pub(super) async fn judge(node: &Node, checks: &[Check]) -> Result<Judged, StoreError> {
    let mut judged = Judged::default();
    for check in checks {
        let info = node.store.stream_info(check.stream.clone()).await?;
        if let Some(kept) = check.judge(&info) {
            judged.conditions.extend(kept);
            continue;
        }
        if check.expected == EXISTS
            && let Some(kept) = kept_by(&*node.store, &info).await?
        {
            judged.conditions.push(kept);
            continue;
        }
        judged.violations.push(check.violation(&info));
        judged.conditions.extend(check.asked_all_the_same());
    }
    Ok(judged)
}

impl Check {
    pub(super) const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// What has to be asked of the store for the check to hold still, `None` when it does not hold now.
    fn judge(&self, info: &StreamInfo) -> Option<Vec<Condition>> {
        let condition = |expected| Condition::Stream {
            stream: self.stream.clone(),
            expected,
        };
        match (self.expected, info.state) {
            // A tombstone is for ever; nothing has to be asked.
            (TOMBSTONED, StreamState::Tombstoned) => Some(Vec::new()),
            (NO_STREAM, StreamState::Tombstoned) => Some(Vec::new()),
            (TOMBSTONED, _) | (_, StreamState::Tombstoned) => None,
            // Nothing to read, and revisions that go on from the last one.
            (DELETED, StreamState::Deleted) => {
                let last = info
                    .last_revision
                    .map(ExpectedRevision::Exactly)
                    .map(condition);
                Some(
                    [condition(ExpectedRevision::NoStream)]
                        .into_iter()
                        .chain(last)
                        .collect(),
                )
            }
            (DELETED, _) => None,
            (number, state) => {
                let expected = expectation(number)?;
                let holds = match expected {
                    ExpectedRevision::Any => true,
                    ExpectedRevision::NoStream => state != StreamState::Live,
                    ExpectedRevision::StreamExists => state == StreamState::Live,
                    ExpectedRevision::Exactly(revision) => info.last_revision == Some(revision),
                };
                holds.then(|| vec![condition(expected)])
            }
        }
    }

    /// What is asked of the store for a check that does not hold: for a state that it cannot be asked for, what never holds.
    fn asked_all_the_same(&self) -> Vec<Condition> {
        let expected = expectation(self.expected).map_or_else(
            || vec![ExpectedRevision::NoStream, ExpectedRevision::StreamExists],
            |expected| vec![expected],
        );
        let condition = |expected| Condition::Stream {
            stream: self.stream.clone(),
            expected,
        };
        expected.into_iter().map(condition).collect()
    }

    fn violation(&self, info: &StreamInfo) -> ConsistencyViolation {
        let actual_state = match info.state {
            StreamState::Deleted => DELETED,
            StreamState::Tombstoned => TOMBSTONED,
            StreamState::Missing | StreamState::Live => signed(info.last_revision),
        };
        ConsistencyViolation {
            check_index: i32::try_from(self.index).unwrap_or(i32::MAX),
            r#type: Some(Violated::StreamState(StreamStateViolation {
                stream: self.stream.to_string(),
                expected_state: self.expected,
                actual_state,
            })),
        }
    }
}

/// The first of these streams that was closed for ever.
pub(super) async fn tombstone_among(node: &Node, streams: &[StreamName]) -> Option<StreamName> {
    for stream in streams {
        if let Ok(info) = node.store.stream_info(stream.clone()).await
            && info.state == StreamState::Tombstoned
        {
            return Some(stream.clone());
        }
    }
    None
}

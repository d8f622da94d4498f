//! Who may do what with groups.

use std::fmt;

use futures_core::future::BoxFuture;
use http::Extensions;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::auth::{Caller, Operation, Target};
use crate::node::Node;
use crate::persistent::settings::SourceName;

/// What is done with groups, for who may do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupAction {
    /// Create one.
    Create,
    /// Change one.
    Update,
    /// Delete one.
    Delete,
    /// Consume one.
    Read,
    /// Consume one that gives what links point to.
    ReadTargets,
    /// Replay what one parked.
    Replay,
    /// Give up what one parked.
    Truncate,
    /// Look at one.
    Info,
    /// Look at many.
    List,
    /// Restart all.
    Restart,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asking {
    /// Under which name; empty for nobody.
    pub user: String,
    /// From which address.
    pub from: String,
}

/// Who may do what.
pub trait Gate: Send + Sync + fmt::Debug {
    /// Who asks, when they may do the action with groups of the source (`None`: of all).
    fn admit<'a>(
        &'a self,
        headers: &'a MetadataMap,
        extensions: &'a Extensions,
        action: GroupAction,
        source: Option<&'a SourceName>,
    ) -> BoxFuture<'a, Result<Asking, Status>>;
}

/// Everybody may do everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Gate for Open {
    fn admit<'a>(
        &'a self,
        _: &'a MetadataMap,
        _: &'a Extensions,
        _: GroupAction,
        _: Option<&'a SourceName>,
    ) -> BoxFuture<'a, Result<Asking, Status>> {
        Box::pin(std::future::ready(Ok(Asking::default())))
    }
}

/// As the server's policy has it; the caller was found out when the request came.
impl Gate for Node {
    fn admit<'a>(
        &'a self,
        _: &'a MetadataMap,
        extensions: &'a Extensions,
        action: GroupAction,
        source: Option<&'a SourceName>,
    ) -> BoxFuture<'a, Result<Asking, Status>> {
        Box::pin(async move {
            let caller = extensions.get::<Caller>().cloned().unwrap_or_default();
            let target = source.map_or(Target::Server, |source| Target::Stream(source.as_str()));
            self.allow(&caller, operation(action), target).await?;
            Ok(Asking {
                user: caller.login().unwrap_or_default().to_owned(),
                from: String::new(),
            })
        })
    }
}

const fn operation(action: GroupAction) -> Operation {
    match action {
        GroupAction::Create => Operation::CreateGroup,
        GroupAction::Update => Operation::UpdateGroup,
        GroupAction::Delete => Operation::DeleteGroup,
        GroupAction::Read => Operation::ReadGroup,
        GroupAction::ReadTargets => Operation::ReadGroupTargets,
        GroupAction::Replay => Operation::ReplayParked,
        GroupAction::Truncate => Operation::TruncateParked,
        GroupAction::Info => Operation::GroupInfo,
        GroupAction::List => Operation::ListGroups,
        GroupAction::Restart => Operation::RestartGroups,
    }
}

//! The one table of what somebody has to be allowed to do, and who may do it. What is open to all (gossip, health, what the server can do) is
//! never asked here.
//!
//! Never: looks at a store; what a stream's access control list says is looked up by `policy`.

use super::acl::Right;

/// Who may do an operation. Admins may do everything, whatever stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// Everybody who is authenticated.
    Authenticated,
    /// Members of `$ops`.
    Ops,
    /// Nobody else.
    Admins,
    /// The user whom it is about.
    Oneself,
    /// Whom the access control list of the stream names.
    Stream(Right),
    /// Whom the access control list of the stream names, where what its links point to is given without asking for each: a stream that is
    /// made of the index is then for those whom streams of the system are for.
    Targets(Right),
    /// Whom the access control list of `$all` names.
    All(Right),
}

macro_rules! operations {
    ($($(#[$doc:meta])* $operation:ident: $rule:expr,)+) => {
        /// What a call or a route does, as far as it matters to who may do it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Operation {
            $($(#[$doc])* $operation,)+
        }

        impl Operation {
            /// All of them.
            pub const EVERY: &'static [Self] = &[$(Self::$operation,)+];

            /// Who may do it.
            #[must_use]
            pub const fn rule(self) -> Rule {
                match self {
                    $(Self::$operation => $rule,)+
                }
            }
        }
    };
}

operations! {
    /// Reads a stream, forwards or backwards.
    ReadStream: Rule::Stream(Right::Read),
    /// Follows a stream.
    Subscribe: Rule::Stream(Right::Read),
    /// Appends to a stream; asked for each stream of an append to several, and for each that a condition is about with `ReadStream`.
    WriteStream: Rule::Stream(Right::Write),
    /// Deletes a stream or closes it for ever.
    DeleteStream: Rule::Stream(Right::Delete),
    /// Reads a stream's metadata; the target is the stream, not `$$…`.
    ReadMetadata: Rule::Stream(Right::ReadMetadata),
    /// Writes a stream's metadata; the target is the stream, not `$$…`.
    WriteMetadata: Rule::Stream(Right::WriteMetadata),
    /// Reads across streams: `$all`, filtered or not, and queries.
    ReadAll: Rule::All(Right::Read),
    /// Follows `$all`, filtered or not.
    SubscribeAll: Rule::All(Right::Read),

    /// Creates a persistent subscription.
    CreateGroup: Rule::Ops,
    /// Changes a persistent subscription.
    UpdateGroup: Rule::Ops,
    /// Deletes a persistent subscription.
    DeleteGroup: Rule::Ops,
    /// Consumes a persistent subscription; the target is its stream, which may be `$all`.
    ReadGroup: Rule::Stream(Right::Read),
    /// Consumes a persistent subscription that gives what links point to; the target is its stream.
    ReadGroupTargets: Rule::Targets(Right::Read),
    /// Replays what a persistent subscription parked.
    ReplayParked: Rule::Ops,
    /// Gives up what a persistent subscription parked.
    TruncateParked: Rule::Ops,
    /// Shows one persistent subscription.
    GroupInfo: Rule::Authenticated,
    /// Lists persistent subscriptions.
    ListGroups: Rule::Authenticated,
    /// Restarts all persistent subscriptions.
    RestartGroups: Rule::Ops,

    /// Creates a user.
    CreateUser: Rule::Admins,
    /// Changes a user's name and groups.
    UpdateUser: Rule::Admins,
    /// Deletes a user.
    DeleteUser: Rule::Admins,
    /// Lets a user log in.
    EnableUser: Rule::Admins,
    /// Lets a user not log in.
    DisableUser: Rule::Admins,
    /// Shows one user; the target is the login.
    UserDetails: Rule::Oneself,
    /// Shows all users.
    ListUsers: Rule::Admins,
    /// Changes a password, given the current one; the target is the login.
    ChangePassword: Rule::Oneself,
    /// Changes a password without the current one.
    ResetPassword: Rule::Admins,

    /// Starts a scavenge.
    StartScavenge: Rule::Ops,
    /// Stops a scavenge.
    StopScavenge: Rule::Ops,
    /// Stops the server.
    Shutdown: Rule::Ops,
    /// Merges indexes.
    MergeIndexes: Rule::Ops,
    /// Gives up being the leader.
    ResignNode: Rule::Ops,
    /// Changes a node's priority.
    SetNodePriority: Rule::Ops,

    /// Saves or loads the checkpoint of a consumer.
    KeepCheckpoint: Rule::Authenticated,

    /// Shows statistics, in numbers.
    Statistics: Rule::Authenticated,
    /// Shows metrics for Prometheus.
    Metrics: Rule::Authenticated,
}

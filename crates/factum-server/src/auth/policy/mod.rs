//! Who may do what: one table, and the access control lists of streams.
//!
//! Admins may do everything. For the rest, [`Operation::rule`] says who may; where that is up to a stream, its metadata does (`$acl`
//! with `$r`, `$w`, `$d`, `$mr`, `$mw`, each a role or a list), and what it does not mention, the stream `$settings`
//! (`$userStreamAcl`, `$systemStreamAcl`), and without that: streams are open to those who are authenticated, streams whose names begin
//! with `$` and `$all` to admins only, but for those that are made of the index, which are read like those of users (`$et-$…` excepted), unless a
//! persistent subscription gives what they point to. What cannot be read is for admins only. `$$s` is governed by `$mr` and `$mw` of `s`.
//! Relies on: `lookup`. Never: asks the store where the table alone decides.

mod acl;
mod lookup;
mod operation;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use factum_io::Clock;
use factum_store::{EventStore, StoreError};
use factum_types::StreamName;

pub use acl::Right;
pub use operation::{Operation, Rule};

use super::{Caller, Denied};
use crate::links::VirtualStream;
use lookup::Lookup;
pub(super) use lookup::METADATA_PREFIX;

/// The stream of all events, as clients name it.
const ALL_STREAM: &str = "$all";

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target<'a> {
    /// Nothing in particular.
    Server,
    /// A stream; `$all` and `$$…` are taken as what they stand for.
    Stream(&'a str),
    /// The user with this login.
    User(&'a str),
}

impl<'a> From<&'a StreamName> for Target<'a> {
    fn from(stream: &'a StreamName) -> Self {
        Self::Stream(stream.as_str())
    }
}

/// Who may do what.
pub struct Policy {
    lookup: Lookup,
    anonymous_streams: bool,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("anonymous_streams", &self.anonymous_streams)
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// A policy over the access control lists in `store`. With `anonymous_streams`, the role `$all` means everybody, without
    /// credentials too.
    pub fn new(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>, anonymous_streams: bool) -> Self {
        Self {
            lookup: Lookup::new(store, clock),
            anonymous_streams,
        }
    }

    /// Whether the caller may do the operation.
    ///
    /// An operation about a stream or a user that is asked about something else is for admins only.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use factum_io::Env;
    /// # use factum_server::auth::{Caller, Operation, Policy, Target};
    /// # use factum_store::MemoryStore;
    /// # async fn example() {
    /// let policy = Policy::new(Arc::new(MemoryStore::new()), Env::real().clock, false);
    /// let anna = Caller::user("anna", []);
    /// assert!(policy.check(&anna, Operation::ReadStream, Target::Stream("order-1")).await.is_ok());
    /// assert!(policy.check(&anna, Operation::ReadAll, Target::Server).await.is_err());
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Denied::Access`]: the caller may not.
    /// - [`Denied::Store`]: it could not be found out.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn check(
        &self,
        caller: &Caller,
        operation: Operation,
        target: Target<'_>,
    ) -> Result<(), Denied> {
        let allowed = caller.is_admin()
            || match operation.rule() {
                Rule::Authenticated => caller.is_authenticated(),
                Rule::Ops => caller.is_ops(),
                Rule::Admins => false,
                Rule::Oneself => is_oneself(caller, target),
                Rule::Stream(right) => self.has(caller, right, target, Index::ForUsers).await?,
                Rule::Targets(right) => self.has(caller, right, target, Index::ForSystem).await?,
                Rule::All(right) => {
                    let all = Target::Stream(ALL_STREAM);
                    self.has(caller, right, all, Index::ForUsers).await?
                }
            };
        if allowed {
            return Ok(());
        }
        Err(Denied::Access {
            anonymous: !caller.is_authenticated(),
        })
    }

    /// Forgets what is remembered about a stream that was written.
    pub(super) fn written(&self, stream: &str) {
        self.lookup.written(stream);
    }

    async fn has(
        &self,
        caller: &Caller,
        right: Right,
        target: Target<'_>,
        index: Index,
    ) -> Result<bool, Denied> {
        let Target::Stream(stream) = target else {
            return Ok(false);
        };
        if !caller.is_authenticated() && !self.anonymous_streams {
            return Ok(false);
        }
        let Some((stream, right)) = governed(stream, right) else {
            return Ok(false);
        };
        let allowed = self.is_allowed(caller, right, stream, index).await;
        allowed.map_err(Denied::Store)
    }

    async fn is_allowed(
        &self,
        caller: &Caller,
        right: Right,
        stream: &str,
        index: Index,
    ) -> Result<bool, StoreError> {
        let acl = self.lookup.acl(stream).await?;
        if let Some(roles) = acl.roles(right) {
            return Ok(acl::is_one_of(caller, roles, self.anonymous_streams));
        }
        let defaults = self.lookup.defaults().await?;
        let reads = matches!(right, Right::Read | Right::ReadMetadata);
        let is_for_users = reads && index == Index::ForUsers && is_for_all(stream);
        let default = if stream.starts_with('$') && !is_for_users {
            &defaults.system
        } else {
            &defaults.user
        };
        let roles = default.roles(right).unwrap_or_default();
        Ok(acl::is_one_of(caller, roles, self.anonymous_streams))
    }
}

/// Whose a stream that is made of the index is, where no list says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    /// Its links alone are shown, or what they point to to those who may read that.
    ForUsers,
    /// What its links point to is shown too.
    ForSystem,
}

/// Whether a stream of links may be read as those of users may. What its links point to has rights of its own.
fn is_for_all(stream: &str) -> bool {
    let name = StreamName::new(stream).ok();
    name.is_some_and(|name| VirtualStream::is_for_all(&name))
}

fn is_oneself(caller: &Caller, target: Target<'_>) -> bool {
    match target {
        Target::User(login) => caller.login() == Some(login),
        Target::Server | Target::Stream(_) => false,
    }
}

/// Which right on which stream is asked for: `$$s` is the metadata of `s`. What is about the metadata of metadata is for admins.
fn governed(stream: &str, right: Right) -> Option<(&str, Right)> {
    let Some(of) = stream.strip_prefix(METADATA_PREFIX) else {
        return Some((stream, right));
    };
    if of.is_empty() || of.starts_with(METADATA_PREFIX) {
        return None;
    }
    match right {
        Right::Read => Some((of, Right::ReadMetadata)),
        Right::Write | Right::Delete => Some((of, Right::WriteMetadata)),
        Right::ReadMetadata | Right::WriteMetadata => None,
    }
}

//! Who asks, and what they may do.
//!
//! [`Auth`] is what connections and handlers hold: [`Auth::authenticate`] turns a header into a [`Caller`], once per request;
//! [`Auth::check`] says whether that caller may do an [`Operation`]; [`Auth::users`] are the users; and whoever appends to a stream
//! for a client tells [`Auth::written`] afterwards, so that nothing stale is remembered.
//! Relies on: the store, in which users and access control lists are events. Never: depends on a message of the wire; lets somebody
//! do what it could not find out to be allowed.

mod basic;
mod bounded;
mod caller;
mod error;
pub mod limits;
mod password;
pub mod policy;
#[cfg(test)]
mod tests;
mod users;
mod verified;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use factum_io::{Clock, Random};
use factum_store::{EventStore, StoreError};
use factum_types::StreamName;

pub use caller::{ADMINS, ALL, Caller, OPS};
pub use error::{Denied, StartError, Unauthenticated, UserError};
pub use policy::{Operation, Policy, Target};
pub use users::{NewUser, UserDetails, Users};

use password::Passwords;
use policy::METADATA_PREFIX;
use users::record::STREAM_PREFIX;
use verified::Verified;

/// The password of KurrentDB's first users, which its clients' tests log in with.
pub const DEFAULT_PASSWORD: &str = "changeit";

/// How much a server protects itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Users log in; nobody has the default password unless it was given on purpose.
    #[default]
    Secure,
    /// Users log in; the first ones have the default password.
    Dev,
    /// Everybody may do everything.
    Insecure,
}

/// How callers are authenticated and authorised.
#[derive(Clone)]
pub struct Options {
    /// How much the server protects itself.
    pub mode: Mode,
    /// The password of `admin` where there are no users yet, and where `admin` still has the default password.
    pub admin_password: Option<String>,
    /// The same for `ops`. Without one, `ops` is made disabled in [`Mode::Secure`].
    pub ops_password: Option<String>,
    /// Whether those who are not authenticated belong to the role [`ALL`] of a stream's access control list.
    pub anonymous_streams: bool,
    /// Rounds of hashing of new passwords.
    pub password_iterations: NonZeroU32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Secure,
            admin_password: None,
            ops_password: None,
            anonymous_streams: false,
            password_iterations: limits::PASSWORD_ITERATIONS,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("mode", &self.mode)
            .field("anonymous_streams", &self.anonymous_streams)
            .finish_non_exhaustive()
    }
}

/// Who asks, and what they may do. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct Auth {
    mode: Mode,
    users: Users,
    verified: Arc<Verified>,
    policy: Arc<Policy>,
    #[cfg(test)]
    passwords: Arc<Passwords>,
}

impl Auth {
    /// Makes the first users if there are none and anybody is to log in. Must be called on a Tokio runtime, as all of it.
    ///
    /// # Errors
    /// - [`StartError::NoPassword`], [`StartError::DefaultPassword`]: a password has to be given.
    /// - [`StartError::Users`]: the store refused.
    pub async fn start(
        store: Arc<dyn EventStore>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        options: &Options,
    ) -> Result<Self, StartError> {
        let passwords = Passwords::new(Arc::clone(&random), options.password_iterations);
        let passwords = Arc::new(passwords);
        let verified = Arc::new(Verified::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            &*random,
            Arc::clone(&passwords),
        ));
        let policy = Policy::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            options.anonymous_streams,
        );
        let users = Users::new(
            store,
            clock,
            random,
            Arc::clone(&passwords),
            Arc::clone(&verified),
        );
        if options.mode != Mode::Insecure {
            users.begin(options).await?;
        }
        Ok(Self {
            mode: options.mode,
            users,
            verified,
            policy: Arc::new(policy),
            #[cfg(test)]
            passwords,
        })
    }

    /// Who sent this `authorization` header; without one, nobody in particular.
    ///
    /// In [`Mode::Insecure`] everybody is [`Caller::system`], whatever is sent. Credentials that were right are remembered for
    /// [`limits::VERIFIED_FOR`], after that as long as nothing was written about the user, and forgotten when the user is changed through this
    /// server.
    ///
    /// # Errors
    /// - [`Unauthenticated::Malformed`], [`Unauthenticated::Bearer`], [`Unauthenticated::Refused`]: other credentials are needed.
    /// - [`Unauthenticated::Busy`], [`Unauthenticated::Store`]: the same may do later.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn authenticate(&self, header: Option<&[u8]>) -> Result<Caller, Unauthenticated> {
        match (self.mode, header) {
            (Mode::Insecure, _) => Ok(Caller::system()),
            (_, None) => Ok(Caller::Anonymous),
            (_, Some(header)) => self.verified.verify(basic::parse(header)?).await,
        }
    }

    /// Whether the caller may do it; see [`Policy::check`].
    ///
    /// # Errors
    /// As for [`Policy::check`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn check(
        &self,
        caller: &Caller,
        operation: Operation,
        target: Target<'_>,
    ) -> Result<(), Denied> {
        self.policy.check(caller, operation, target).await
    }

    /// Whether the caller may read a stream: what a link points to is shown only then.
    ///
    /// # Errors
    /// It cannot be found out.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn may_read(
        &self,
        caller: &Caller,
        stream: &StreamName,
    ) -> Result<bool, StoreError> {
        let checked = self.check(caller, Operation::ReadStream, Target::from(stream));
        match checked.await {
            Ok(()) => Ok(true),
            Err(Denied::Access { .. }) => Ok(false),
            Err(Denied::Store(error)) => Err(error),
        }
    }

    /// The users.
    #[must_use]
    pub const fn users(&self) -> &Users {
        &self.users
    }

    /// Forgets what is remembered about a stream that was written, deleted or closed, whatever came of it: the access control list
    /// that `$$…` holds, the defaults of `$settings`, the credentials of the user of `$user-…`, whom metadata may delete. Cheap for every
    /// other stream.
    pub fn written(&self, stream: &StreamName) {
        let stream = stream.as_str();
        self.policy.written(stream);
        let of = stream.strip_prefix(METADATA_PREFIX).unwrap_or(stream);
        if let Some(login) = of.strip_prefix(STREAM_PREFIX) {
            self.verified.forget(login);
        }
    }

    /// How many passwords were hashed.
    #[cfg(test)]
    pub(crate) fn passwords_hashed(&self) -> u64 {
        self.passwords.hashed()
    }
}

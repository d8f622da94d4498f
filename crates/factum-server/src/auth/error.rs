//! What can go wrong with callers and users, for the layer of requests to put into its words.
//!
//! Never: says whether it was the login or the password that is wrong.

use factum_store::StoreError;

/// Why it is not known who asks.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// The header cannot be read.
    #[error("the authorization header cannot be read: {0}")]
    Malformed(&'static str),
    /// The header holds a token.
    #[error("Bearer tokens are not taken: send Basic credentials")]
    Bearer,
    /// There is no such user, it is disabled, or the password is another.
    #[error("the login or the password is wrong")]
    Refused,
    /// Too many passwords are being verified. Try again.
    #[error("too many passwords are being verified; try again")]
    Busy,
    /// The user could not be read.
    #[error("the user could not be read: {0}")]
    Store(#[source] StoreError),
}

impl Unauthenticated {
    /// Whether the caller may succeed with the same credentials later (`Unavailable`, not `Unauthenticated`).
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Busy | Self::Store(_))
    }
}

/// Why something is not allowed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The caller may not do it.
    #[error("access denied")]
    Access {
        /// Whether nobody in particular asked, so that credentials may help.
        anonymous: bool,
    },
    /// Who may do it could not be read, so that nobody may now but admins.
    #[error("the access control list could not be read: {0}")]
    Store(#[source] StoreError),
}

/// Why a user was not created, changed or shown.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// There is no such user.
    #[error("user {0:?} is not found")]
    NotFound(String),
    /// There is such a user already.
    #[error("user {0:?} exists already")]
    Conflict(String),
    /// Others change the user at the same time. Try again.
    #[error("user {0:?} is being changed by others; try again")]
    TryAgain(String),
    /// The current password is another.
    #[error("the current password of user {0:?} is another")]
    WrongPassword(String),
    /// The request cannot be carried out by anybody.
    #[error("{0}")]
    Invalid(String),
    /// What is stored is not a user: reset is impossible, deleting and creating it again is the way out.
    #[error("user {login:?} cannot be read: {reason}; delete it and create it again")]
    Damaged {
        /// Which user.
        login: String,
        /// What is wrong with what is stored.
        reason: String,
    },
    /// Too many passwords are being hashed. Try again.
    #[error("too many passwords are being hashed; try again")]
    Busy,
    /// The store refused.
    #[error("user {login:?}: {error}")]
    Store {
        /// Which user.
        login: String,
        /// How it refused.
        #[source]
        error: StoreError,
    },
}

/// Why a server does not start.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The first user has no password.
    #[error(
        "the store has no users yet, and no initial password for the user \"admin\" was given: set FACTUM_ADMIN_PASSWORD or name a file \
         by --admin-password-file; or, to try things out, start with --dev or --insecure"
    )]
    NoPassword,
    /// A user still has the default password.
    #[error(
        "the user {login:?} still has the default password: set FACTUM_{}_PASSWORD or name a file by --{login}-password-file to change it \
         now, or start with --insecure and change it",
        login.to_uppercase()
    )]
    DefaultPassword {
        /// Which user.
        login: &'static str,
    },
    /// The first users could not be made.
    #[error("the first users could not be made: {0}")]
    Users(#[from] UserError),
}

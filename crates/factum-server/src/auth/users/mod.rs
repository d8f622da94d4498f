//! Users, kept as events: the last event of `$user-<login>` is the user, and `$users` lists who was ever created.
//!
//! Types are those of KurrentDB (`$UserCreated`, `$UserUpdated`; `$User` in `$users`). A user's stream keeps one event, so that former
//! hashes go when the log is scavenged. Relies on: the store, `password`. Never: keeps a password, or a user in memory; lets a change
//! go on without the credentials that were verified before it being forgotten.

mod check;
mod first;
pub(super) mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use factum_io::{Clock, Random};
use factum_store::{
    AppendBatch, Change, Condition, EventStore, Kind, Receipt, StoreError, StreamState,
    StreamWrite, StreamsRequest,
};
use factum_types::{
    EventType, ExpectedRevision, NewEvent, Revision, StreamName, StreamSettings, Timestamp,
};

use super::DEFAULT_PASSWORD;
use super::error::UserError;
use super::limits::{CHANGE_ATTEMPTS, USERS_LISTED_MAX};
use super::password::{Busy, PasswordHash, Passwords};
use super::verified::Verified;
use crate::world::event_id;
use record::{Found, Record, STREAM_PREFIX, Stored, find, stream_of};

/// How many streams are listed at once.
const PAGE: usize = 500;

/// A user to be created.
#[derive(Clone, Default)]
pub struct NewUser {
    /// The name to log in with; no `:` in it, and no `$` at its beginning.
    pub login: String,
    /// The name to show.
    pub full_name: String,
    /// The groups, such as [`ADMINS`](super::ADMINS).
    pub groups: Vec<String>,
    /// The password.
    pub password: String,
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser")
            .field("login", &self.login)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// A user as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDetails {
    /// The name to log in with.
    pub login: String,
    /// The name to show.
    pub full_name: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Whether the user may not log in.
    pub disabled: bool,
    /// When the user was created or last changed.
    pub updated: Timestamp,
}

/// The users of a store. Cloning gives another handle.
///
/// Changes run to their end even when the future is dropped: who asked may be gone, what was verified before must be forgotten.
#[derive(Clone)]
pub struct Users {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    passwords: Arc<Passwords>,
    verified: Arc<Verified>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Users")
    }
}

impl Users {
    pub(super) fn new(
        store: Arc<dyn EventStore>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        passwords: Arc<Passwords>,
        verified: Arc<Verified>,
    ) -> Self {
        Self {
            store,
            clock,
            random,
            passwords,
            verified,
        }
    }

    /// Creates a user.
    ///
    /// # Errors
    /// - [`UserError::Conflict`]: there is one with this login.
    /// - [`UserError::Invalid`]: the login, a group or the password cannot be taken.
    /// - [`UserError::Busy`], [`UserError::Store`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the user was created.
    pub async fn create(&self, user: NewUser) -> Result<(), UserError> {
        let (login, record) = (user.login.clone(), self.new_record(user, false).await?);
        self.create_all(&login, &[record]).await
    }

    /// Gives a user another full name and other groups.
    ///
    /// # Errors
    /// - [`UserError::NotFound`], [`UserError::Damaged`], [`UserError::Invalid`], [`UserError::Store`].
    /// - [`UserError::TryAgain`]: others change the user at the same time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the user was changed. So it is for all changes.
    pub async fn update(
        &self,
        login: &str,
        full_name: &str,
        groups: &[String],
    ) -> Result<(), UserError> {
        check::full_name(full_name)?;
        check::groups(groups)?;
        self.change(login, None, |record| {
            full_name.clone_into(&mut record.full_name);
            record.groups = groups.to_vec();
        })
        .await
    }

    /// Lets a user log in again.
    ///
    /// # Errors
    /// As for [`update`](Self::update).
    pub async fn enable(&self, login: &str) -> Result<(), UserError> {
        self.change(login, None, |record| record.disabled = false)
            .await
    }

    /// Lets a user not log in any more. Calls that were authenticated before go on.
    ///
    /// # Errors
    /// As for [`update`](Self::update).
    pub async fn disable(&self, login: &str) -> Result<(), UserError> {
        self.change(login, None, |record| record.disabled = true)
            .await
    }

    /// Gives a user another password, if the current one is right.
    ///
    /// # Errors
    /// - [`UserError::WrongPassword`]: the current password is another. Also said of a user that does not exist, after as much work.
    /// - As for [`update`](Self::update), and [`UserError::Busy`].
    pub async fn change_password(
        &self,
        login: &str,
        current: &str,
        new: &str,
    ) -> Result<(), UserError> {
        let hash = self.hash(new).await?;
        let is_default = new == DEFAULT_PASSWORD;
        self.change(login, Some(current), |record| {
            record.set_password(&hash, is_default);
        })
        .await
    }

    /// Gives a user another password, whatever the current one is.
    ///
    /// # Errors
    /// As for [`update`](Self::update), and [`UserError::Busy`].
    pub async fn reset_password(&self, login: &str, new: &str) -> Result<(), UserError> {
        let hash = self.hash(new).await?;
        let is_default = new == DEFAULT_PASSWORD;
        self.change(login, None, |record| record.set_password(&hash, is_default))
            .await
    }

    /// Deletes a user. The login may be created again.
    ///
    /// # Errors
    /// [`UserError::NotFound`], [`UserError::Store`].
    pub async fn delete(&self, login: &str) -> Result<(), UserError> {
        let Some(stream) = stream_of(login) else {
            return Err(UserError::NotFound(login.to_owned()));
        };
        let exists = ExpectedRevision::StreamExists;
        let batch = AppendBatch::change(stream, exists, Change::Delete);
        match self.append(login, batch).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Deleted) => {
                Err(UserError::NotFound(login.to_owned()))
            }
            Err(error) => Err(stored(login, error)),
        }
    }

    /// One user.
    ///
    /// # Errors
    /// [`UserError::NotFound`], [`UserError::Damaged`], [`UserError::Store`].
    pub async fn details(&self, login: &str) -> Result<UserDetails, UserError> {
        self.user(login).await.map(|user| details(*user))
    }

    /// All users by login, at most [`USERS_LISTED_MAX`]. One that cannot be read is left out, and said in the log.
    ///
    /// # Errors
    /// [`UserError::Store`].
    pub async fn all(&self) -> Result<Vec<UserDetails>, UserError> {
        let mut users = Vec::new();
        for login in self.logins().await? {
            match self.user(&login).await {
                Ok(user) => users.push(details(*user)),
                Err(UserError::NotFound(_)) => (),
                Err(error @ UserError::Damaged { .. }) => tracing::warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(users)
    }

    /// The logins of the streams of users that can be read.
    async fn logins(&self) -> Result<Vec<String>, UserError> {
        let (mut logins, mut after) = (Vec::new(), None);
        while logins.len() < USERS_LISTED_MAX {
            let request = StreamsRequest {
                prefix: STREAM_PREFIX.to_owned(),
                after: after.take(),
                limit: PAGE,
            };
            let page = self.store.streams(request).await;
            let page = page.map_err(|error| stored("", error))?;
            after = page.last().map(|info| info.stream.clone());
            let is_last = page.len() < PAGE;
            let live = page.iter().filter(|info| info.state == StreamState::Live);
            let found = live.filter_map(|info| info.stream.as_str().strip_prefix(STREAM_PREFIX));
            logins.extend(found.map(str::to_owned));
            if is_last {
                break;
            }
        }
        logins.truncate(USERS_LISTED_MAX);
        Ok(logins)
    }

    async fn user(&self, login: &str) -> Result<Box<Stored>, UserError> {
        let found = find(&*self.store, login).await;
        match found.map_err(|error| stored(login, error))? {
            Found::User(user) => Ok(user),
            Found::Missing => Err(UserError::NotFound(login.to_owned())),
            Found::Damaged(reason) => Err(UserError::Damaged {
                login: login.to_owned(),
                reason,
            }),
        }
    }

    async fn hash(&self, password: &str) -> Result<PasswordHash, UserError> {
        check::password(password)?;
        let hash = self.passwords.hash(password).await;
        hash.map_err(|Busy| UserError::Busy)
    }

    async fn new_record(&self, user: NewUser, disabled: bool) -> Result<Record, UserError> {
        check::login(&user.login)?;
        check::full_name(&user.full_name)?;
        check::groups(&user.groups)?;
        let hash = self.hash(&user.password).await?;
        let mut record = Record {
            login_name: user.login,
            full_name: user.full_name,
            salt: String::new(),
            hash: String::new(),
            iterations: 0,
            disabled,
            groups: user.groups,
            default_password: false,
        };
        record.set_password(&hash, user.password == DEFAULT_PASSWORD);
        Ok(record)
    }

    /// Creates all or none; `login` is named in errors.
    async fn create_all(&self, login: &str, records: &[Record]) -> Result<(), UserError> {
        let mut batch = AppendBatch::default();
        for record in records {
            let stream = stream_of(&record.login_name)
                .ok_or_else(|| UserError::Invalid(format!("no user can be {login:?}")))?;
            let keep = StreamSettings {
                max_count: Some(1),
                ..StreamSettings::default()
            };
            let created = self.event("$UserCreated", &to_json(record)?)?;
            let (none, any) = (ExpectedRevision::NoStream, ExpectedRevision::Any);
            batch = batch
                .and(StreamWrite {
                    stream: stream.clone(),
                    expected: any,
                    change: Change::Settings(keep),
                })
                .and(StreamWrite::events(stream, none, vec![created]));
        }
        let mut listed = Vec::new();
        for record in records {
            listed.push(self.event("$User", record.login_name.as_bytes())?);
        }
        let users = name(StreamName::new("$users"))?;
        batch = batch.and(StreamWrite::events(users, ExpectedRevision::Any, listed));
        match self.append(login, batch).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Deleted) => {
                Err(UserError::Conflict(login.to_owned()))
            }
            Err(error) => Err(stored(login, error)),
        }
    }

    /// Changes what is stored of a user. With a `current` password, only if that is right.
    async fn change(
        &self,
        login: &str,
        current: Option<&str>,
        edit: impl Fn(&mut Record),
    ) -> Result<(), UserError> {
        for _ in 0..CHANGE_ATTEMPTS {
            let user = match current {
                None => self.user(login).await?,
                Some(password) => self.user_with(login, password).await?,
            };
            let mut record = user.record;
            edit(&mut record);
            match self.replace(&record, user.revision).await? {
                Replaced::Done => return Ok(()),
                Replaced::Stale => (),
            }
        }
        Err(UserError::TryAgain(login.to_owned()))
    }

    /// The user, if the password is right.
    async fn user_with(&self, login: &str, password: &str) -> Result<Box<Stored>, UserError> {
        let user = self.user(login).await;
        if let Err(error @ UserError::Store { .. }) = user {
            return Err(error);
        }
        let hash = user.as_ref().ok().map(|user| user.password.clone());
        let right = self.passwords.verify(password, hash).await;
        match (right.map_err(|Busy| UserError::Busy)?, user) {
            (true, Ok(user)) => Ok(user),
            _ => Err(UserError::WrongPassword(login.to_owned())),
        }
    }

    async fn replace(&self, record: &Record, at: Revision) -> Result<Replaced, UserError> {
        let login = record.login_name.as_str();
        let Some(stream) = stream_of(login) else {
            return Err(UserError::NotFound(login.to_owned()));
        };
        let updated = self.event("$UserUpdated", &to_json(record)?)?;
        let exactly = ExpectedRevision::Exactly(at);
        // The revision alone would bring back a user who was deleted since.
        let exists = Condition::Stream {
            stream: stream.clone(),
            expected: ExpectedRevision::StreamExists,
        };
        let batch = AppendBatch::events(stream, exactly, vec![updated]).on(exists);
        match self.append(login, batch).await {
            Ok(_) => Ok(Replaced::Done),
            Err(error) if error.kind() == Kind::Conflict => Ok(Replaced::Stale),
            Err(error) => Err(stored(login, error)),
        }
    }

    /// Appends, and forgets what was verified of the user, on a task of its own, so that the one is not done without the other.
    async fn append(&self, login: &str, batch: AppendBatch) -> Result<Receipt, StoreError> {
        let (store, verified) = (Arc::clone(&self.store), Arc::clone(&self.verified));
        let login = login.to_owned();
        let task = tokio::spawn(async move {
            let outcome = store.append(batch).await;
            verified.forget(&login);
            outcome
        });
        let stopped = |error| {
            StoreError::new(Kind::Unknown, "the server stopped during a change of users")
                .because(error)
        };
        task.await.map_err(stopped)?
    }

    fn event(&self, event_type: &str, data: &[u8]) -> Result<NewEvent, UserError> {
        let event_type = name(EventType::new(event_type))?;
        let id = event_id(&*self.clock, &*self.random);
        Ok(NewEvent::json(id, event_type, data.to_vec()))
    }
}

/// What came of a change.
enum Replaced {
    Done,
    /// Somebody else was faster.
    Stale,
}

fn details(user: Stored) -> UserDetails {
    UserDetails {
        login: user.record.login_name,
        full_name: user.record.full_name,
        groups: user.record.groups,
        disabled: user.record.disabled,
        updated: user.time,
    }
}

fn stored(login: &str, error: StoreError) -> UserError {
    let login = login.to_owned();
    UserError::Store { login, error }
}

fn to_json(record: &Record) -> Result<Vec<u8>, UserError> {
    serde_json::to_vec(record).map_err(|error| UserError::Invalid(error.to_string()))
}

fn name<T>(name: Result<T, factum_types::NameError>) -> Result<T, UserError> {
    name.map_err(|error| UserError::Invalid(error.to_string()))
}

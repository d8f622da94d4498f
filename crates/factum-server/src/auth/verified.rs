//! Verifying credentials, and remembering for a while which ones were right.
//!
//! Clients send their credentials with every request, and hashing a password takes a good part of a second. So what was found right
//! is remembered under a keyed hash of it, whose key is drawn when the process starts; and who sends what is being verified already
//! waits for that answer. After a while the user is read again, and the password hashed only if something was written there since: so
//! those who send wrong ones, and keep all hashing busy, lock nobody out who was let in before. Relies on: `password`, `users::record`.
//! Never: keeps a password; answers with what was found before a change of the user that is done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_io::{Clock, Random};
use factum_store::EventStore;
use factum_types::Revision;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use ring::hmac;
use tokio::sync::oneshot;

use super::basic::Credentials;
use super::bounded::Bounded;
use super::caller::Caller;
use super::error::Unauthenticated;
use super::limits::{VERIFICATIONS_MAX, VERIFIED_FOR, VERIFIED_MAX};
use super::password::{Busy, Passwords};
use super::users::record::{Found, Stored, find};

/// Stands for credentials; says nothing about them without the key.
type Tag = [u8; 32];
type Answer = Result<Caller, Unauthenticated>;
type Waiting = Shared<BoxFuture<'static, Answer>>;

/// Verifies credentials.
pub(super) struct Verified {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    passwords: Arc<Passwords>,
    key: hmac::Key,
    state: Mutex<State>,
}

/// Whose credentials were right, and what stood in the store then.
#[derive(Debug)]
struct Right {
    caller: Caller,
    revision: Revision,
}

struct State {
    right: Bounded<Tag, Right>,
    under_way: BTreeMap<Tag, Verification>,
    next: u64,
}

/// A verification that others may wait for.
struct Verification {
    number: u64,
    login: String,
    answer: Waiting,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verified")
    }
}

impl Verified {
    pub(super) fn new(
        store: Arc<dyn EventStore>,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        passwords: Arc<Passwords>,
    ) -> Self {
        let mut key = [0; 32];
        random.fill(&mut key);
        Self {
            store,
            clock,
            passwords,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            state: Mutex::new(State {
                right: Bounded::new(VERIFIED_MAX, VERIFIED_FOR),
                under_way: BTreeMap::new(),
                next: 0,
            }),
        }
    }

    /// Who has these credentials.
    pub(super) async fn verify(self: &Arc<Self>, credentials: Credentials) -> Answer {
        let tag = self.tag(&credentials);
        let (answer, mine) = {
            let mut state = self.state();
            if let Some(right) = state.right.get(&tag, self.clock.monotonic_ns()) {
                return Ok(right.caller.clone());
            }
            match state.under_way.get(&tag) {
                Some(verification) => (verification.answer.clone(), None),
                None => {
                    let (answer, mine) = self.begin(&mut state, tag, &credentials.login)?;
                    (answer, Some(mine))
                }
            }
        };
        if let Some((end, tell)) = mine {
            // On a task of its own it is there for all who wait, whoever of them gives up.
            let task = async move {
                let answer = end.verified.look(tag, &credentials).await;
                drop(end);
                // Nobody may wait any more.
                drop(tell.send(answer));
            };
            drop(tokio::spawn(task));
        }
        answer.await
    }

    /// Forgets all credentials of a user, also those that are being verified.
    pub(super) fn forget(&self, login: &str) {
        let mut state = self.state();
        state
            .right
            .forget(|_, right| right.caller.login() == Some(login));
        state
            .under_way
            .retain(|_, verification| verification.login != login);
    }

    /// Puts a verification on the list.
    fn begin(
        self: &Arc<Self>,
        state: &mut State,
        tag: Tag,
        login: &str,
    ) -> Result<(Waiting, (End, oneshot::Sender<Answer>)), Unauthenticated> {
        // There are no more of those that were right before than are remembered.
        if state.under_way.len() >= VERIFICATIONS_MAX && state.right.kept(&tag).is_none() {
            return Err(Unauthenticated::Busy);
        }
        let number = state.next;
        state.next += 1;
        let (tell, told) = oneshot::channel();
        // A task ends without an answer only when the runtime is shut down.
        let answer = async move { told.await.unwrap_or(Err(Unauthenticated::Busy)) };
        let answer = answer.boxed().shared();
        let verification = Verification {
            number,
            login: login.to_owned(),
            answer: answer.clone(),
        };
        state.under_way.insert(tag, verification);
        let verified = Arc::clone(self);
        let end = End {
            verified,
            tag,
            number,
        };
        Ok((answer, (end, tell)))
    }

    async fn look(&self, tag: Tag, credentials: &Credentials) -> Answer {
        let (epoch, before) = {
            let state = self.state();
            let before = state.right.kept(&tag).map(|right| right.revision);
            (state.right.epoch(), before)
        };
        let found = find(&*self.store, &credentials.login).await;
        let user = match found.map_err(Unauthenticated::Store)? {
            Found::User(user) => Some(user),
            Found::Missing => None,
            Found::Damaged(reason) => {
                tracing::warn!("user {:?} cannot log in: {reason}", credentials.login);
                None
            }
        };
        let is_as_before = user.as_ref().map(|user| user.revision) == before && before.is_some();
        let is_right = is_as_before
            || self
                .is_password(&credentials.password, user.as_deref())
                .await?;
        let user = user.filter(|user| is_right && !user.record.disabled);
        let Stored {
            record, revision, ..
        } = *user.ok_or(Unauthenticated::Refused)?;
        let caller = Caller::user(&record.login_name, record.groups);
        let right = Right {
            caller: caller.clone(),
            revision,
        };
        let now_ns = self.clock.monotonic_ns();
        self.state().right.insert(epoch, tag, right, now_ns);
        Ok(caller)
    }

    /// Whether that is the user's password. Nobody has none, and that takes as long.
    async fn is_password(
        &self,
        password: &str,
        user: Option<&Stored>,
    ) -> Result<bool, Unauthenticated> {
        let hash = user.map(|user| user.password.clone());
        let right = self.passwords.verify(password, hash).await;
        right.map_err(|Busy| Unauthenticated::Busy)
    }

    fn tag(&self, credentials: &Credentials) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        // The length keeps "a" with ":b" apart from "a:" with "b".
        context.update(&credentials.login.len().to_be_bytes());
        context.update(credentials.login.as_bytes());
        context.update(credentials.password.as_bytes());
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.state().right.len()
    }
}

/// Takes a verification off the list when it ends, however it ends.
struct End {
    verified: Arc<Verified>,
    tag: Tag,
    number: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.verified.state();
        let own = state.under_way.get(&self.tag);
        if own.is_some_and(|verification| verification.number == self.number) {
            state.under_way.remove(&self.tag);
        }
    }
}

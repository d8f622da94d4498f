//! What an event of a user's stream says, and how the last one is read.
//!
//! Relies on: the store. Never: takes what it cannot read for a user.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use factum_store::{EventStore, StoreError};
use factum_types::{RecordedEvent, Revision, StreamName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::auth::limits::{LOGIN_BYTES_MAX, PASSWORD_ITERATIONS_MAX};
use crate::auth::password::PasswordHash;
use crate::log::{Last, last_event};

/// What begins the names of users' streams.
pub(in crate::auth) const STREAM_PREFIX: &str = "$user-";

/// The JSON of a user's event; the last one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::auth) struct Record {
    pub(in crate::auth) login_name: String,
    #[serde(default)]
    pub(in crate::auth) full_name: String,
    pub(in crate::auth) salt: String,
    pub(in crate::auth) hash: String,
    pub(in crate::auth) iterations: u32,
    #[serde(default)]
    pub(in crate::auth) disabled: bool,
    #[serde(default)]
    pub(in crate::auth) groups: Vec<String>,
    /// Whether the password is the one that everybody knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::auth) default_password: bool,
}

impl Record {
    pub(in crate::auth) fn set_password(&mut self, hash: &PasswordHash, is_default: bool) {
        self.salt = BASE64.encode(&hash.salt);
        self.hash = BASE64.encode(&hash.hash);
        self.iterations = hash.iterations.get();
        self.default_password = is_default;
    }

    fn password(&self) -> Result<PasswordHash, String> {
        let decode = |what: &str, text: &str| {
            let bytes = BASE64.decode(text);
            bytes.map_err(|error| format!("its {what} is not Base64: {error}"))
        };
        let iterations = NonZeroU32::new(self.iterations)
            .filter(|rounds| rounds.get() <= PASSWORD_ITERATIONS_MAX)
            .ok_or_else(|| format!("{} rounds of hashing are out of range", self.iterations))?;
        Ok(PasswordHash {
            hash: decode("hash", &self.hash)?,
            salt: decode("salt", &self.salt)?,
            iterations,
        })
    }
}

/// A user as stored.
#[derive(Debug, Clone)]
pub(in crate::auth) struct Stored {
    pub(in crate::auth) record: Record,
    pub(in crate::auth) password: PasswordHash,
    pub(in crate::auth) revision: Revision,
    pub(in crate::auth) time: Timestamp,
}

/// What is found under a login.
#[derive(Debug, Clone)]
pub(in crate::auth) enum Found {
    Missing,
    User(Box<Stored>),
    /// Something that is not a user, and why.
    Damaged(String),
}

/// The stream of a user, `None` when nobody can have this login.
pub(in crate::auth) fn stream_of(login: &str) -> Option<StreamName> {
    let fits = !login.is_empty() && login.len() <= LOGIN_BYTES_MAX;
    fits.then(|| StreamName::new(format!("{STREAM_PREFIX}{login}")).ok())?
}

/// Reads a user.
pub(in crate::auth) async fn find(
    store: &dyn EventStore,
    login: &str,
) -> Result<Found, StoreError> {
    let Some(stream) = stream_of(login) else {
        return Ok(Found::Missing);
    };
    Ok(match last_event(store, stream).await? {
        Last::Missing | Last::Closed => Found::Missing,
        Last::Event(event) => match decode(login, &event) {
            Ok(stored) => Found::User(Box::new(stored)),
            Err(reason) => Found::Damaged(reason),
        },
    })
}

fn decode(login: &str, event: &RecordedEvent) -> Result<Stored, String> {
    let record: Record = serde_json::from_slice(&event.data)
        .map_err(|error| format!("its last event is not a user: {error}"))?;
    if record.login_name != login {
        return Err(format!("its last event is about {:?}", record.login_name));
    }
    Ok(Stored {
        password: record.password()?,
        revision: event.revision,
        time: event.time,
        record,
    })
}

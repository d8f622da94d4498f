//! What a user may be called, belong to, and take for a password.
//!
//! Never: looks at what is stored.

use crate::auth::error::UserError;
use crate::auth::limits::{FULL_NAME_BYTES_MAX, GROUP_BYTES_MAX, GROUPS_MAX, PASSWORD_BYTES_MAX};

use super::record::stream_of;

/// A login is part of a stream's name, is sent before a colon, and must not pass for a role of the system.
pub(super) fn login(login: &str) -> Result<(), UserError> {
    let wrong = |why: &str| Err(UserError::Invalid(format!("login {login:?} {why}")));
    if login.starts_with('$') {
        return wrong("begins with $");
    }
    if login.contains(':') {
        return wrong("has a colon");
    }
    if login.trim() != login {
        return wrong("begins or ends with a space");
    }
    if stream_of(login).is_none() {
        return wrong("is empty, too long, or has control characters");
    }
    Ok(())
}

pub(super) fn full_name(name: &str) -> Result<(), UserError> {
    at_most("full name", name.len(), FULL_NAME_BYTES_MAX)
}

pub(super) fn groups(groups: &[String]) -> Result<(), UserError> {
    at_most("number of groups", groups.len(), GROUPS_MAX)?;
    for group in groups {
        at_most("group's name", group.len(), GROUP_BYTES_MAX)?;
        if group.trim().is_empty() {
            return Err(UserError::Invalid("a group has no name".to_owned()));
        }
    }
    Ok(())
}

pub(super) fn password(password: &str) -> Result<(), UserError> {
    if password.is_empty() {
        return Err(UserError::Invalid("the password is empty".to_owned()));
    }
    at_most("password", password.len(), PASSWORD_BYTES_MAX)
}

fn at_most(what: &str, size: usize, limit: usize) -> Result<(), UserError> {
    if size <= limit {
        return Ok(());
    }
    let text = format!("the {what} is {size} long, more than the limit of {limit}");
    Err(UserError::Invalid(text))
}

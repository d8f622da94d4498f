//! Access control lists, as metadata and settings say them.
//!
//! Relies on: JSON. Never: opens what it cannot read: that is for admins only.

use serde_json::{Map, Value};

use crate::auth::limits::{ACL_BYTES_MAX, ACL_ROLES_MAX};
use crate::auth::{ALL, Caller};

/// What can be allowed on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To read it: `$r`.
    Read,
    /// To append to it: `$w`.
    Write,
    /// To delete it: `$d`.
    Delete,
    /// To read its metadata: `$mr`.
    ReadMetadata,
    /// To write its metadata: `$mw`.
    WriteMetadata,
}

impl Right {
    const EVERY: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Delete,
        Self::ReadMetadata,
        Self::WriteMetadata,
    ];

    const fn key(self) -> &'static str {
        match self {
            Self::Read => "$r",
            Self::Write => "$w",
            Self::Delete => "$d",
            Self::ReadMetadata => "$mr",
            Self::WriteMetadata => "$mw",
        }
    }
}

/// Who has which right; a right that is not mentioned is left to the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Acl([Option<Vec<String>>; 5]);

impl Acl {
    /// Nobody has any right. Admins need none.
    pub(super) fn closed() -> Self {
        Self([(); 5].map(|()| Some(Vec::new())))
    }

    /// Everybody who is authenticated has every right.
    pub(super) fn open() -> Self {
        Self([(); 5].map(|()| Some(vec![ALL.to_owned()])))
    }

    /// The list in a stream's metadata; nothing is mentioned where it has none.
    pub(super) fn of_metadata(data: &[u8]) -> Result<Self, String> {
        member(&object(data)?, "$acl")
    }

    /// What a role has to be for this right, `None` where it is not mentioned.
    pub(super) fn roles(&self, right: Right) -> Option<&[String]> {
        let [read, write, delete, read_metadata, write_metadata] = &self.0;
        let roles = match right {
            Right::Read => read,
            Right::Write => write,
            Right::Delete => delete,
            Right::ReadMetadata => read_metadata,
            Right::WriteMetadata => write_metadata,
        };
        roles.as_deref()
    }

    fn of(value: &Value) -> Result<Self, String> {
        let Value::Object(rights) = value else {
            return Err("the access control list is not an object".to_owned());
        };
        let mut acl = Self::default();
        let mut bytes = 0;
        for (roles, right) in acl.0.iter_mut().zip(Right::EVERY) {
            *roles = rights
                .get(right.key())
                .map_or(Ok(None), |value| roles_of(right, value))?;
            bytes += roles.iter().flatten().map(String::len).sum::<usize>();
        }
        if bytes > ACL_BYTES_MAX {
            let text =
                format!("the access control list has {bytes} bytes, more than {ACL_BYTES_MAX}");
            return Err(text);
        }
        Ok(acl)
    }
}

/// Whether the caller has one of the roles.
pub(super) fn is_one_of(caller: &Caller, roles: &[String], anonymous_streams: bool) -> bool {
    if !caller.is_authenticated() {
        return anonymous_streams && roles.iter().any(|role| role == ALL);
    }
    roles.iter().any(|role| caller.has_role(role))
}

/// What holds where a stream's own list says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) user: Acl,
    pub(super) system: Acl,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            user: Acl::open(),
            system: Acl::closed(),
        }
    }
}

impl Defaults {
    /// Everything is for admins only.
    pub(super) fn closed() -> Self {
        Self {
            user: Acl::closed(),
            system: Acl::closed(),
        }
    }

    /// What the last event of `$settings` says; a right that it does not mention stays as it is without.
    pub(super) fn of_settings(data: &[u8]) -> Result<Self, String> {
        let settings = object(data)?;
        let given = |key: &str, without: Acl| {
            let Acl(given) = member(&settings, key)?;
            let mut roles = without.0;
            for (role, given) in roles.iter_mut().zip(given) {
                if given.is_some() {
                    *role = given;
                }
            }
            Ok::<_, String>(Acl(roles))
        };
        let Self { user, system } = Self::default();
        Ok(Self {
            user: given("$userStreamAcl", user)?,
            system: given("$systemStreamAcl", system)?,
        })
    }
}

fn object(data: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(data) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

fn member(object: &Map<String, Value>, key: &str) -> Result<Acl, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(Acl::default()),
        Some(value) => Acl::of(value).map_err(|reason| format!("{key}: {reason}")),
    }
}

/// A role, or several.
fn roles_of(right: Right, value: &Value) -> Result<Option<Vec<String>>, String> {
    let wrong = || format!("{} is neither a role nor a list of roles", right.key());
    match value {
        Value::Null => Ok(None),
        Value::String(role) => Ok(Some(vec![role.clone()])),
        Value::Array(roles) if roles.len() > ACL_ROLES_MAX => {
            let (key, len) = (right.key(), roles.len());
            Err(format!("{key} has {len} roles, more than {ACL_ROLES_MAX}"))
        }
        Value::Array(roles) => {
            let roles = roles.iter().map(|role| role.as_str().map(str::to_owned));
            let roles: Option<Vec<_>> = roles.collect();
            roles.map(Some).ok_or_else(wrong)
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(data: &str, right: Right) -> Result<Option<Vec<String>>, String> {
        let acl = Acl::of_metadata(data.as_bytes())?;
        Ok(acl.roles(right).map(<[String]>::to_vec))
    }

    #[test]
    fn a_right_is_a_role_or_a_list() {
        let check = |data: &str, right: Right, expected: Option<&[&str]>| {
            let expected = expected.map(|of| of.iter().map(|role| (*role).to_owned()).collect());
            assert_eq!(roles(data, right), Ok(expected), "{data}");
        };
        let data =
            r#"{"$maxCount":3,"$acl":{"$r":"anna","$w":["anna","$ops"],"$d":[],"$mr":null,"x":7}}"#;
        check(data, Right::Read, Some(&["anna"]));
        check(data, Right::Write, Some(&["anna", "$ops"]));
        check(data, Right::Delete, Some(&[]));
        check(data, Right::ReadMetadata, None);
        check(data, Right::WriteMetadata, None);
        check("{}", Right::Read, None);
        check(r#"{"$acl":null}"#, Right::Read, None);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let check = |data: &str, expected: &str| {
            let error = roles(data, Right::Read).unwrap_err();
            assert!(error.contains(expected), "{data}: {error}");
        };
        check("", "not JSON");
        check("{", "not JSON");
        check("[]", "not a JSON object");
        check(
            r#"{"$acl":"$all"}"#,
            "$acl: the access control list is not an object",
        );
        check(r#"{"$acl":{"$w":7}}"#, "$w is neither");
        check(r#"{"$acl":{"$r":["a",7]}}"#, "$r is neither");
        let many = vec!["\"x\""; ACL_ROLES_MAX + 1].join(",");
        check(&format!(r#"{{"$acl":{{"$r":[{many}]}}}}"#), "more than 256");
        let long = "x".repeat(ACL_BYTES_MAX + 1);
        check(
            &format!(r#"{{"$acl":{{"$mw":"{long}"}}}}"#),
            "more than 8192",
        );
    }

    #[test]
    fn settings_replace_what_they_mention() {
        let defaults = Defaults::of_settings(br#"{"$userStreamAcl":{"$w":"writers"}}"#).unwrap();
        let all = ["$all".to_owned()];
        assert_eq!(
            defaults.user.roles(Right::Write),
            Some(&["writers".to_owned()][..])
        );
        assert_eq!(defaults.user.roles(Right::Read), Some(&all[..]));
        assert_eq!(defaults.system, Acl::closed());
        assert!(Defaults::of_settings(br#"{"$userStreamAcl":7}"#).is_err());
    }
}

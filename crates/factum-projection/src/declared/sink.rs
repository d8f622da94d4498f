//! Where a file says that its read model lives, and where the password is.
//!
//! Relies on: nothing; whoever opens a sink reads the secret. Never: holds a secret longer than it has to, or shows one.

use std::fmt;
use std::path::PathBuf;

use factum_framework::declared::{Entry, Table as Keys};

use super::mistake::Found;

/// Where a read model lives.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkPlace {
    /// `sqlite:orders.db`, `postgres://user@host/database`, and so on.
    pub url: String,
    /// Who logs in, where the address does not say it.
    pub user: Option<String>,
    /// Where the password is.
    pub password: Option<Secret>,
    /// Where a token is, for sinks that take one.
    pub token: Option<Secret>,
    /// The certificates that are trusted, in a PEM file; those of the system when there is none.
    pub ca_file: Option<PathBuf>,
    /// Which interface of the server is spoken, where there are several.
    pub api: Option<String>,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In this variable of the environment.
    Variable(String),
    /// In this file, relative to the one that names it; line breaks at the end do not count.
    File(PathBuf),
}

impl SinkPlace {
    /// A place by its address alone.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password: None,
            token: None,
            ca_file: None,
            api: None,
        }
    }

    /// The address without a password in it: for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return self.url.clone();
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let shown = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split_once(':').map_or(user, |(name, _)| name);
                format!("{scheme}://{user}@{host}{after}")
            }
            None => self.url.clone(),
        };
        // Parameters may hold secrets too.
        shown.split('?').next().unwrap_or_default().to_owned()
    }
}

impl fmt::Debug for SinkPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkPlace")
            .field("url", &self.shown())
            .finish_non_exhaustive()
    }
}

/// `sink = "sqlite:orders.db"`, or `[sink]` with `url` and more.
pub(super) fn read(entry: Entry<'_>, found: &mut Found) -> Option<SinkPlace> {
    if !entry.is_table() {
        return found.ok(entry.text()).map(SinkPlace::new);
    }
    let mut table = found.ok(entry.table())?;
    let url = found.ok(table.need(
        "url",
        "where it is, as in url = \"postgres://user@host/database\"",
    ));
    let mut text = |key| table.take(key).and_then(|entry| found.ok(entry.text()));
    let (user, api, ca_file) = (text("user"), text("api"), text("ca_file"));
    let password = secret(&mut table, ["password_env", "password_file"], found);
    let token = secret(&mut table, ["token_env", "token_file"], found);
    if let Some(plain) = table.take("password").or_else(|| table.take("token")) {
        let what = "a secret does not stand in the file: name a variable by `password_env`, or a file by `password_file`";
        found.at(plain.line(), what);
    }
    found.unknown(table);
    Some(SinkPlace {
        url: found.ok(url?.text())?,
        user,
        password,
        token,
        ca_file: ca_file.map(PathBuf::from),
        api,
    })
}

fn secret(
    table: &mut Keys<'_>,
    [env, file]: [&'static str; 2],
    found: &mut Found,
) -> Option<Secret> {
    let (env, file) = (table.take(env), table.take(file));
    match (env, file) {
        (Some(env), Some(file)) => {
            let what = format!("`{}` and `{}` exclude each other", env.key(), file.key());
            found.at(file.line(), what);
            None
        }
        (Some(env), None) => found.ok(env.text()).map(Secret::Variable),
        (None, Some(file)) => found.ok(file.text()).map(|path| Secret::File(path.into())),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::SinkPlace;

    #[test]
    fn no_password_is_shown() {
        let check = |url: &str, expected: &str| {
            let place = SinkPlace::new(url);
            assert_eq!(place.shown(), expected);
            assert!(!format!("{place:?}").contains("secret"), "{place:?}");
        };
        check("sqlite:orders.db", "sqlite:orders.db");
        check(
            "postgres://anna:secret@host:5432/db",
            "postgres://anna@host:5432/db",
        );
        check(
            "postgres://anna:se@secret@host/db",
            "postgres://anna@host/db",
        );
        check(
            "postgres://anna@host/db?password=secret",
            "postgres://anna@host/db",
        );
        check(
            "influxdb://host:8086/db?p=secret",
            "influxdb://host:8086/db",
        );
    }
}

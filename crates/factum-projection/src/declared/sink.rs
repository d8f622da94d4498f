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

    /// Whether it is an address and nothing more.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        *self == Self::new(&self.url)
    }

    /// The address without a password in it, whatever else is wrong with it: for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let server = |text: &str| text.split(['?', '#']).next().unwrap_or_default().to_owned();
        match Address::of(&self.url) {
            Address::Local => self.url.clone(),
            Address::Plain { scheme, user, rest } => {
                let user = user.map_or_else(String::new, |user| format!("{user}@"));
                format!("{scheme}://{user}{}", server(rest))
            }
            Address::Secret { before, rest } => format!("{before}…{}", server(rest)),
        }
    }

    /// Who logs in: by the key of the file, else by the address.
    #[must_use]
    pub fn login(&self) -> Option<&str> {
        let in_address = || match Address::of(&self.url) {
            Address::Plain { user, .. } => user,
            Address::Local | Address::Secret { .. } => None,
        };
        self.user.as_deref().or_else(in_address)
    }

    /// Why the address is not taken: a secret stands in it, where everyone can read it who lists processes or opens the file.
    ///
    /// # Errors
    /// What is wrong, and where the secret should be; without the secret.
    pub fn check(&self) -> Result<(), String> {
        let holds = match Address::of(&self.url) {
            Address::Local => false,
            Address::Secret { .. } => true,
            Address::Plain { rest, .. } => {
                let options = rest.split_once('?').map_or("", |(_, options)| options);
                options.split(['&', ';', '#']).any(is_secret)
            }
        };
        if !holds {
            return Ok(());
        }
        Err(format!(
            "a password does not stand in the address, {}: name a variable of the environment by `password_env`, or a file by \
             `password_file` (--password-env and --password-file on the command line); what is no password has @ and : written %40 and %3A",
            self.shown()
        ))
    }
}

/// What an address says, before anybody looks what kind of sink it is.
enum Address<'a> {
    /// A file, in whose name any character may be; or no address at all.
    Local,
    /// `scheme://user@rest`.
    Plain {
        scheme: &'a str,
        user: Option<&'a str>,
        rest: &'a str,
    },
    /// A password stands between the two, or what cannot be told from one.
    Secret { before: &'a str, rest: &'a str },
}

impl<'a> Address<'a> {
    fn of(url: &'a str) -> Self {
        let is_local = url.split(':').next() == Some("sqlite") || !url.contains(':');
        if is_local {
            return Self::Local;
        }
        let last = url.rfind('@');
        let Some((scheme, rest)) = url.split_once("://") else {
            // Perhaps `user:password@host`: nothing but the first word is sure.
            let colon = url.find(':').map_or(0, |at| at + 1);
            return last.map_or(Self::Local, |at| Self::secret(url, colon, at));
        };
        let begin = scheme.len() + "://".len();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        let name = rest.split([':', '/', '?', '#', '@']).next();
        let name = begin + name.unwrap_or_default().len();
        match (user, last) {
            (Some(user), Some(at)) if user.contains(':') => Self::secret(url, name, at),
            // A password with a slash in it ends the authority before its @.
            (None, Some(at)) if !is_option(rest) => Self::secret(url, name, at),
            _ if !server.split(',').all(has_port) => Self::secret(url, name, url.len()),
            _ => {
                let skipped = user.map_or(0, |user| user.len() + 1);
                let rest = rest.get(skipped..).unwrap_or_default();
                Self::Plain { scheme, user, rest }
            }
        }
    }

    fn secret(url: &'a str, begin: usize, end: usize) -> Self {
        Self::Secret {
            before: url.get(..begin).unwrap_or_default(),
            rest: url.get(end..).unwrap_or_default(),
        }
    }
}

/// Whether an @ stands in the value of an option only, behind a database: `host/database?name=a@b`.
fn is_option(rest: &str) -> bool {
    let (before, options) = rest.split_once('?').unwrap_or((rest, ""));
    let mut with_at = options.split('&').filter(|option| option.contains('@'));
    let is_value = |option: &str| {
        let (name, _) = option.split_once('@').unwrap_or_default();
        name.contains('=')
    };
    !before.contains('@') && before.contains('/') && with_at.all(is_value)
}

/// Whether a host has a number as its port, or none.
fn has_port(host: &str) -> bool {
    let behind = host.rsplit(']').next().unwrap_or(host);
    let port = behind.split_once(':').map_or("", |(_, port)| port);
    port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether an option of an address is a secret, by its name; a name that is written by codes is not looked into.
fn is_secret(option: &str) -> bool {
    let (name, _) = option.split_once('=').unwrap_or((option, ""));
    let name = name.to_ascii_lowercase();
    if name == "password_file" {
        return false;
    }
    let words = ["pass", "pwd", "token", "secret", "key", "%"];
    name == "p" || words.iter().any(|word| name.contains(word))
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
        let place = found.ok(entry.text()).map(SinkPlace::new)?;
        checked(&place, entry.line(), found);
        return Some(place);
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
    let url = url?;
    let place = SinkPlace {
        url: found.ok(url.text())?,
        user,
        password,
        token,
        ca_file: ca_file.map(PathBuf::from),
        api,
    };
    checked(&place, url.line(), found);
    Some(place)
}

fn checked(place: &SinkPlace, line: usize, found: &mut Found) {
    if let Err(what) = place.check() {
        found.at(line, what);
    }
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

    /// What is shown of an address, and whether it is taken.
    fn check(url: &str, shown: &str, taken: bool) {
        let place = SinkPlace::new(url);
        assert_eq!(place.shown(), shown);
        let checked = place.check();
        assert_eq!(checked.is_ok(), taken, "{url}: {checked:?}");
        for said in [format!("{place:?}"), format!("{checked:?}")] {
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn what_has_no_password_is_taken() {
        let check = |url, shown| check(url, shown, true);
        check("sqlite:orders.db", "sqlite:orders.db");
        check("sqlite:a:b@c/orders.db", "sqlite:a:b@c/orders.db");
        check("orders.db", "orders.db");
        check("oracle:orders", "oracle:orders");
        check("postgres://h/db", "postgres://h/db");
        check("postgres://anna@h:5432/db", "postgres://anna@h:5432/db");
        check(
            "postgres://anna@h:1,i:2/db?sslmode=require&schema=a@b:c&password_file=x",
            "postgres://anna@h:1,i:2/db",
        );
        check("postgres://h:1/db?schema=a@b", "postgres://h:1/db");
        check("influxdb://h:8086/db", "influxdb://h:8086/db");
        check("opensearch://[::1]:9200", "opensearch://[::1]:9200");
    }

    #[test]
    fn no_password_is_shown_and_none_is_taken() {
        let check = |url, shown| check(url, shown, false);
        check("postgres://anna:secret@h:5/db", "postgres://anna…@h:5/db");
        check("postgres://anna:se@secret@h/db", "postgres://anna…@h/db");
        check("postgres://anna:se/secret@h/db", "postgres://anna…@h/db");
        check("postgres://anna:se?secret@h/db", "postgres://anna…@h/db");
        check("postgres://anna:s/e?secret@h/db", "postgres://anna…@h/db");
        check("postgres://anna:x#secret@h/db", "postgres://anna…@h/db");
        check("postgres://anna:se@x/secret@h/db", "postgres://anna…@h/db");
        check("postgres://anna:secret/db", "postgres://anna…");
        check("postgres://:secret@h/db", "postgres://…@h/db");
        check("postgres:anna:secret@h/db", "postgres:…@h/db");
        check("oracle:anna/secret@h/db", "oracle:…@h/db");
        check("anna:secret@h", "anna:…@h");
        let base = "postgres://anna@h/db";
        check("postgres://anna@h/db?password=secret", base);
        check("postgres://anna@h/db?p%61ssword=secret", base);
        check("postgres://anna@h/db?sslmode=require&PASSWORD=secret", base);
        check("influxdb://h:8086/db?p=secret", "influxdb://h:8086/db");
        check("influxdb://h:8/db?u=a&token=secret", "influxdb://h:8/db");
    }

    #[test]
    fn who_logs_in_may_stand_in_the_address() {
        let mut place = SinkPlace::new("opensearch://anna@h:9200");
        assert_eq!(place.login(), Some("anna"));
        place.user = Some("ben".to_owned());
        assert_eq!(place.login(), Some("ben"));
        assert_eq!(SinkPlace::new("sqlite:a@b").login(), None);
    }
}

//! factum_client, as the rest of this crate sees it: the store of a server.

use std::sync::Arc;

use factum_client::{Client, ClientOptions, Credentials};
use factum_store::{EventStore, SnapshotStore};
use pollster::block_on;

use super::Store;
use crate::context::ServerAddress;
use crate::failure::{Failure, Outcome};

/// The store of a server.
pub(super) fn open(server: &ServerAddress) -> Outcome<Store> {
    let (url, user) = split(&server.url)?;
    let mut options = ClientOptions::default();
    if user.is_none() && server.password.is_some() {
        return Err(Failure::usage(
            "FACTUM_PASSWORD is set, and the address of the server names no user",
        )
        .hint("name the user before the host, as in https://admin@localhost:2113"));
    }
    if let Some(user) = user {
        let Some(password) = &server.password else {
            return Err(Failure::usage(format!("user {user} has no password"))
                .hint("set the variable FACTUM_PASSWORD"));
        };
        options = options.credentials(Credentials::new(&user, password));
    }
    if let Some(file) = &server.ca_file {
        let pem = std::fs::read(file).map_err(|error| Failure::io(file.display(), &error))?;
        options = options.authorities(pem);
    }
    let client = Arc::new(block_on(Client::connect(&url, options))?);
    Ok(Store {
        events: Arc::clone(&client) as Arc<dyn EventStore>,
        snapshots: Arc::clone(&client) as Arc<dyn SnapshotStore>,
        whole: client,
        is_live: true,
        close: None,
    })
}

/// An address without its user, and the user.
fn split(url: &str) -> Outcome<(String, Option<String>)> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok((url.to_owned(), None));
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest.get(..end).and_then(|authority| authority.rfind('@')) else {
        return Ok((url.to_owned(), None));
    };
    let (user, host) = rest.split_at(at);
    if user.contains(':') {
        // Not shown: it holds a password.
        return Err(
            Failure::usage("the address of the server has a password in it").hint(
                "set the variable FACTUM_PASSWORD; other users of this machine can read arguments",
            ),
        );
    }
    Ok((
        format!("{scheme}://{}", host.trim_start_matches('@')),
        Some(user.to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_user_is_taken_off_and_a_password_refused() {
        let split_is = |url: &str, rest: &str, user: Option<&str>| {
            let (found, who) = split(url).unwrap();
            assert_eq!((found.as_str(), who.as_deref()), (rest, user), "{url}");
        };
        split_is("http://localhost:2113", "http://localhost:2113", None);
        split_is(
            "https://anna@events:2113",
            "https://events:2113",
            Some("anna"),
        );
        split_is(
            "https://anna@example.org@events:2113",
            "https://events:2113",
            Some("anna@example.org"),
        );
        split_is("nonsense", "nonsense", None);
        let refused = split("https://anna:secret@events:2113").unwrap_err();
        assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
    }
}

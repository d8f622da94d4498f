//! factum_client, as the rest of this crate sees it: the store of a server.

use std::sync::Arc;

use factum_client::{Address, Client, ClientOptions, Credentials};
use factum_store::{EventStore, SnapshotStore};
use pollster::block_on;

use super::Store;
use crate::context::ServerAddress;
use crate::failure::{Failure, Outcome};

/// The store of a server.
pub(super) fn open(server: &ServerAddress) -> Outcome<Store> {
    let mut options = ClientOptions::default();
    let address = Address::parse(&server.url).map_err(|error| Failure::usage(error.to_string()))?;
    options.credentials = who(&address, server.password.as_deref())?;
    if let Some(file) = &server.ca_file {
        let pem = std::fs::read(file).map_err(|error| Failure::io(file.display(), &error))?;
        options = options.authorities(pem);
    }
    let client = Arc::new(block_on(Client::connect(&server.url, options))?);
    Ok(Store {
        events: Arc::clone(&client) as Arc<dyn EventStore>,
        snapshots: Arc::clone(&client) as Arc<dyn SnapshotStore>,
        whole: client,
        is_live: true,
        close: None,
    })
}

/// Who asks: the user in the address, with the password that stands elsewhere.
fn who(address: &Address, password: Option<&str>) -> Outcome<Option<Credentials>> {
    if address.has_password() {
        return Err(
            Failure::usage("the address of the server has a password in it").hint(
                "set the variable FACTUM_PASSWORD; other users of this machine can read arguments",
            ),
        );
    }
    match (address.user(), password) {
        (Some(user), Some(password)) => Ok(Some(Credentials::new(user, password))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Failure::usage(
            "FACTUM_PASSWORD is set, and the address of the server names no user",
        )
        .hint("name the user before the host, as in https://admin@localhost:2113")),
        (Some(user), None) => Err(Failure::usage(format!("user {user} has no password"))
            .hint("set the variable FACTUM_PASSWORD")),
    }
}

#[cfg(test)]
mod tests {
    use super::who;
    use factum_client::{Address, Credentials};

    #[test]
    fn the_user_is_taken_decoded_and_a_password_refused() {
        let who = |url: &str, password| who(&Address::parse(url).unwrap(), password);
        let check = |url: &str, user: &str| {
            let found = who(url, Some("secret")).unwrap();
            assert!(found == Some(Credentials::new(user, "secret")), "{url}");
        };
        assert!(who("http://localhost:2113", None).unwrap().is_none());
        check("https://anna@events:2113", "anna");
        check("https://anna%40example.org@events:2113", "anna@example.org");
        check("https://anna@example.org@events:2113", "anna@example.org");
        for (url, password, why) in [
            ("http://localhost:2113", Some("secret"), "names no user"),
            ("http://anna@localhost:2113", None, "anna has no password"),
            ("https://anna:secret@x", None, "has a password in it"),
            ("https://anna:secret@x", Some("s"), "has a password in it"),
        ] {
            let refused = format!("{:?}", who(url, password).unwrap_err());
            assert!(refused.contains(why), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}

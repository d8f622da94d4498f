//! How documents are kept: names, refresh, mappings.
//!
//! Relies on: [`factum_http_client::Options`] for how the server is reached. Never: knows a projection.

use std::collections::BTreeMap;

use factum_http_client::Options as Http;
use factum_projection::Error;
use serde_json::Value as Json;

/// When readers see what was committed. A reader who asks by id always sees it at once. A generation that is filled in bulk is not refreshed
/// before that is finished, whatever is chosen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Refresh {
    /// When the index is refreshed the next time, by default within a second. The fastest.
    #[default]
    Interval,
    /// Commits wait for the next refresh, so they take up to a second: a search at a checkpoint sees what belongs to it.
    Wait,
    /// Every commit refreshes. For tests, and for few events.
    Now,
}

impl Refresh {
    /// What is said about it in a request. While a generation is filled in bulk nothing is: nobody sees it, and an index that is not refreshed by
    /// itself would let a request wait for ever.
    pub(crate) const fn query(self, bulk: bool) -> &'static str {
        if bulk {
            return "";
        }
        match self {
            Self::Interval => "",
            Self::Wait => "?refresh=wait_for",
            Self::Now => "?refresh=true",
        }
    }
}

/// How a projection is kept in Elasticsearch or OpenSearch.
///
/// ```
/// use factum_sink_elastic::{Options, Refresh};
/// use serde_json::json;
///
/// let options = Options::new("https://factum:secret@localhost:9200")?
///     .refresh(Refresh::Wait)
///     .mapping("orders", "note", json!({"type": "text", "analyzer": "english"}));
/// # Ok::<(), factum_projection::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// How the server is reached: address, credentials, certificates, limits.
    pub http: Http,
    /// What the names of all indexes and aliases begin with. Default: nothing.
    pub prefix: String,
    /// When readers see what was committed.
    pub refresh: Refresh,
    /// How many shards a new index has. Default: what the server says.
    pub shards: Option<u32>,
    /// How many copies of each shard there are. Default: what the server says.
    pub replicas: Option<u32>,
    mappings: BTreeMap<(String, String), Json>,
}

impl Options {
    /// The server at this address.
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_projection::Kind::Invalid): it is no address.
    pub fn new(address: &str) -> Result<Self, Error> {
        Ok(Self::with(Http::new(address)?))
    }

    /// The server that is reached like this.
    #[must_use]
    pub const fn with(http: Http) -> Self {
        Self {
            http,
            prefix: String::new(),
            refresh: Refresh::Interval,
            shards: None,
            replicas: None,
            mappings: BTreeMap::new(),
        }
    }

    /// With this at the beginning of all names: lowercase letters, digits, `-` and `_`, a letter or digit first.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// When readers see what was committed.
    #[must_use]
    pub const fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }

    /// How many shards a new index has.
    #[must_use]
    pub const fn shards(mut self, shards: u32) -> Self {
        self.shards = Some(shards);
        self
    }

    /// How many copies of each shard there are.
    #[must_use]
    pub const fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// How a column is indexed, in place of what stands for its type, in the words of the server.
    #[must_use]
    pub fn mapping(mut self, table: &str, column: &str, mapping: Json) -> Self {
        let name = (table.to_owned(), column.to_owned());
        self.mappings.insert(name, mapping);
        self
    }

    pub(crate) fn mapping_of(&self, table: &str, column: &str) -> Option<&Json> {
        self.mappings.get(&(table.to_owned(), column.to_owned()))
    }

    pub(crate) fn mapped(&self) -> impl Iterator<Item = &(String, String)> {
        self.mappings.keys()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let prefix = &self.prefix;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let first = prefix.chars().next();
        let good = first.is_none_or(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && prefix.chars().all(plain)
            && prefix.len() <= 64;
        if good {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{prefix:?} cannot begin the name of an index: use at most 64 of a-z, 0-9, - and _, a letter or digit first"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::Refresh;

    #[test]
    fn nothing_is_waited_for_in_bulk() {
        assert_eq!(Refresh::Wait.query(false), "?refresh=wait_for");
        for refresh in [Refresh::Interval, Refresh::Wait, Refresh::Now] {
            assert_eq!(refresh.query(true), "");
        }
    }
}

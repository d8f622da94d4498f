//! Events as JSON text, in both directions: what files, the command line and HTTP share.
//!
//! What lives here: [`cloud`] is `CloudEvents` 1.0, [`plain`] is JSON of our own; [`text`] and [`time`] are what both are written with.
//! Relies on: `serde_json` for what is valid JSON. Never: reads or writes anything but memory; changes a byte of JSON data, except
//! line breaks between its parts, which a line cannot hold.

pub mod cloud;
pub mod plain;
pub mod text;
pub mod time;

use std::fmt;

/// What is wrong with the text of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Where in its line, in bytes from 1, if known.
    pub column: Option<usize>,
    /// What.
    pub message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self {
            column: None,
            message,
        }
    }
}

impl Wrong {
    /// What the parser says, without the line that it counted: the caller knows the true one.
    fn json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        Self {
            column: Some(error.column().max(1)),
            message: text
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

//! What stands behind the question mark: known names only, each value UTF-8.
//!
//! Relies on: percent-encoding. Never: takes a name that it does not know, which would be a mistake that nobody notices.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::problem::Problem;

/// Parameters of one request, at most: as many types and tags as a query may have, and the rest.
const PARAMETERS_MAX: usize = 160;
/// What need not be written with `%` (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The parameters of a request.
#[derive(Debug, Clone)]
pub(super) struct Given(Vec<(String, String)>);

impl Given {
    /// The parameters in `query`, all of which have to be among `known`.
    ///
    /// # Errors
    /// One is not, there are too many, or one is no UTF-8.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut given = Vec::new();
        for pair in query.unwrap_or_default().split('&') {
            if pair.is_empty() {
                continue;
            }
            if given.len() == PARAMETERS_MAX {
                let text = format!("there are more than {PARAMETERS_MAX} query parameters");
                return Err(Problem::invalid(text));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name, "a name")?, decoded(value, name)?);
            if !known.contains(&name.as_str()) {
                let text = format!(
                    "query parameter {name:?} is not known here; there are {}",
                    known.join(", ")
                );
                return Err(Problem::invalid(text).with("parameter", name));
            }
            given.push((name, value));
        }
        Ok(Self(given))
    }

    /// The value of a parameter that is given once at most.
    ///
    /// # Errors
    /// It is given twice.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(wrong(name, "is given twice")),
        }
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// The same from somewhere else on, behind a path.
    pub(super) fn from(&self, path: &str, from: u64) -> String {
        let mut text = format!("{path}?from={from}");
        for (name, value) in self.0.iter().filter(|(name, _)| name != "from") {
            text.push('&');
            text.push_str(name);
            text.push('=');
            text.extend(utf8_percent_encode(value, UNRESERVED));
        }
        text
    }
}

/// A part of a path as it has to be written.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// What is wrong with the value of a parameter.
pub(super) fn wrong(name: &'static str, what: impl std::fmt::Display) -> Problem {
    Problem::invalid(format!("query parameter {name}: {what}")).with("parameter", name)
}

/// A number of digits only: no sign, no space.
pub(super) fn digits(text: &str) -> Option<u64> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

/// The value of a parameter that is a number.
///
/// # Errors
/// It is none; the problem says what it should be.
pub(super) fn number(name: &'static str, text: &str, what: &str) -> Result<u64, Problem> {
    digits(text).ok_or_else(|| wrong(name, format!("{text:?} is not {what}")))
}

fn decoded(text: &str, of: &str) -> Result<String, Problem> {
    // A form writes a space as a plus.
    let text = text.replace('+', " ");
    match percent_decode_str(&text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(error) => Err(Problem::invalid(format!(
            "query parameter {of}: it is not UTF-8: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::Given;

    const KNOWN: &[&str] = &["from", "tag"];

    #[test]
    fn values_come_back_as_they_were() {
        let given = Given::parse(Some("tag=a%3A1&&from=7&tag=b:x+y%26%C3%A9"), KNOWN).unwrap();
        assert_eq!(given.one("from").unwrap(), Some("7"));
        assert_eq!(given.all("tag").collect::<Vec<_>>(), ["a:1", "b:x y&é"]);
        assert_eq!(
            given.from("/all", 9),
            "/all?from=9&tag=a%3A1&tag=b%3Ax%20y%26%C3%A9"
        );
        assert!(given.one("tag").is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |query: &str, expected: &str| {
            let problem = Given::parse(Some(query), KNOWN).unwrap_err().text();
            assert!(problem.contains(expected), "{query}: {problem}");
        };
        check("form=1", "form");
        check("from=%FF", "not UTF-8");
        check("%FF=1", "not UTF-8");
        check(&"tag=a:1&".repeat(161), "more than 160");
    }
}

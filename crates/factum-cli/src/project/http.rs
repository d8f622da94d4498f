//! How sinks that are reached over HTTP are connected to.
//!
//! Relies on: factum-http-client. Never: puts a secret into an address.

use std::path::Path;

use factum_http_client::{Credentials, Options as Http};
use factum_projection::declared::{Secret, SinkPlace};

use super::target::secret;
use crate::failure::{Failure, Outcome};

/// Longest file that holds a secret, in bytes.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// An Elasticsearch or OpenSearch.
#[cfg(feature = "elastic")]
pub(super) fn elastic(
    place: &SinkPlace,
    scheme: &str,
    base: &Path,
) -> Outcome<factum_sink_elastic::Options> {
    if place.api.is_some() {
        return Err(invalid(place, "`api` is for InfluxDB"));
    }
    let mut http = reached(place, &address(place, scheme), base)?;
    if let Some(token) = read(place, place.token.as_ref(), base)? {
        http = http.credentials(Credentials::scheme("Bearer", token));
    }
    Ok(factum_sink_elastic::Options::with(http))
}

/// An InfluxDB.
#[cfg(feature = "influx")]
pub(super) fn influx(
    place: &SinkPlace,
    scheme: &str,
    base: &Path,
) -> Outcome<factum_sink_influx::Options> {
    use factum_sink_influx::{Api, Options};
    let address = address(place, scheme);
    let (server, database) = address.rsplit_once('/').unwrap_or_default();
    if database.is_empty() || server.ends_with('/') {
        return Err(invalid(
            place,
            "the address names no database: influxdb://HOST:PORT/DATABASE",
        ));
    }
    let mut options = Options::with(reached(place, server, base)?, database);
    options = match place.api.as_deref() {
        None | Some("v1") => options,
        Some("v3") => options.api(Api::V3),
        Some(other) => match other.split_once(':') {
            Some(("v2", organization)) => options.api(Api::V2 {
                organization: organization.to_owned(),
            }),
            _ => return Err(invalid(place, "`api` is v1, v2:ORGANIZATION or v3")),
        },
    };
    match read(place, place.token.as_ref(), base)? {
        Some(token) => Ok(options.token(&token)),
        None => Ok(options),
    }
}

/// The address with the scheme of the web.
fn address(place: &SinkPlace, scheme: &str) -> String {
    let rest = place.url.split_once("://").map_or("", |(_, rest)| rest);
    format!("{scheme}://{rest}")
}

fn reached(place: &SinkPlace, address: &str, base: &Path) -> Outcome<Http> {
    let mut http = Http::new(address).map_err(|error| invalid(place, &error.to_string()))?;
    if let Some(file) = &place.ca_file {
        http = http.authorities(base.join(file));
    }
    match (place.login(), read(place, place.password.as_ref(), base)?) {
        (Some(user), password) => {
            let password = password.unwrap_or_default();
            http = http.credentials(Credentials::basic(user, &password));
        }
        (None, Some(_)) => return Err(invalid(place, "a password needs a `user`")),
        (None, None) => {}
    }
    Ok(http)
}

fn read(place: &SinkPlace, from: Option<&Secret>, base: &Path) -> Outcome<Option<String>> {
    match from {
        None => Ok(None),
        Some(Secret::Variable(name)) => secret(name, place).map(Some),
        Some(Secret::File(path)) => {
            let path = base.join(path);
            let bytes = crate::files::read_whole(&path, SECRET_BYTES_MAX)?;
            let text = String::from_utf8(bytes);
            let text = text.map_err(|_not_text| {
                invalid(place, &format!("{} holds no text", path.display()))
            })?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
    }
}

fn invalid(place: &SinkPlace, what: &str) -> Failure {
    Failure::usage(format!("{}: {what}", place.shown()))
}

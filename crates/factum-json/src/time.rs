//! Moments as RFC 3339 has them.

use factum_types::Timestamp;

/// In UTC with as many digits as needed; `None` outside the years that can be written.
///
/// ```
/// use factum_types::Timestamp;
///
/// let moment = Timestamp::from_micros(1_317_422_324_546_000);
/// assert_eq!(factum_json::time::rfc3339(moment).as_deref(), Some("2011-09-30T22:38:44.546Z"));
/// assert_eq!(factum_json::time::rfc3339(Timestamp::from_micros(i64::MAX)), None);
/// ```
#[must_use]
pub fn rfc3339(time: Timestamp) -> Option<String> {
    jiff::Timestamp::from_microsecond(time.as_micros())
        .ok()
        .map(|time| time.to_string())
}

/// The moment that a text names, cut to microseconds.
///
/// ```
/// let moment = factum_json::time::parse_rfc3339("2011-10-01T00:38:44+02:00")?;
/// assert_eq!(moment.as_micros(), 1_317_422_324_000_000);
/// assert!(factum_json::time::parse_rfc3339("yesterday").is_err());
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// It is no moment; the message has it.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|error| format!("time {text:?} is not RFC 3339: {error}"))?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}

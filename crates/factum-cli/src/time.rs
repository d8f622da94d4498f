//! Moments and durations as text: RFC 3339 and `30d`.

use std::time::Duration;

use factum_types::Timestamp;

pub(crate) use factum_json::time::{parse_rfc3339, rfc3339};

/// The same to the second, for columns.
pub(crate) fn short(time: Timestamp) -> String {
    rfc3339(time).map_or_else(
        || format!("{time:?}"),
        |text| match text.split_once('.') {
            Some((whole, _)) => format!("{whole}Z"),
            None => text,
        },
    )
}

/// A moment as people write it: RFC 3339, or a day, which begins at midnight UTC.
pub(crate) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    if text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok() {
        return parse_rfc3339(&format!("{text}T00:00:00Z"));
    }
    parse_rfc3339(text)
}

/// A duration such as `90s`, `15m`, `12h`, `30d` or `2w`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write a number and s, m, h, d or w: 30d");
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// A duration in its greatest whole unit: `30d`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, parse_duration, parse_rfc3339, rfc3339, short};

    #[test]
    fn moments_round_trip_with_the_digits_they_need() {
        let check = |text: &str, expected: &str| {
            let time = parse_rfc3339(text).unwrap();
            assert_eq!(rfc3339(time).as_deref(), Some(expected), "{text}");
        };
        check("2011-09-30T22:38:44.546Z", "2011-09-30T22:38:44.546Z");
        check("2011-10-01T00:38:44+02:00", "2011-09-30T22:38:44Z");
        check(
            "1969-12-31T23:59:59.123456789Z",
            "1969-12-31T23:59:59.123457Z",
        );
        assert_eq!(
            short(parse_rfc3339("2011-09-30T22:38:44.546Z").unwrap()),
            "2011-09-30T22:38:44Z"
        );
        assert!(
            parse_rfc3339("yesterday")
                .unwrap_err()
                .contains("yesterday")
        );
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for bad in [
            "",
            "30",
            "d",
            "-1d",
            "3 d",
            "30x",
            "99999999999999999w",
            "3é",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(duration(Duration::from_secs(2_592_000)), "30d");
        assert_eq!(duration(Duration::from_secs(90)), "90s");
    }
}

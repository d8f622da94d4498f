//! From when until when a certificate is valid (RFC 5280, section 4.1.2.5), for warnings only.
//!
//! ```text
//! Certificate     SEQUENCE
//!   tbsCertificate  SEQUENCE
//!     version         [0], may be absent
//!     serialNumber    INTEGER
//!     signature       SEQUENCE
//!     issuer          SEQUENCE
//!     validity        SEQUENCE of two times
//! ```
//! Relies on: nothing. Never: panics on bytes that are no certificate; decides whether one is trusted.

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;

/// From when until when, both included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Moment,
    pub(super) until: Moment,
}

/// A moment, in seconds since 1970 and as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) unix: i64,
    pub(super) text: String,
}

impl Validity {
    /// What a certificate says, `None` when it cannot be read.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = take(certificate, SEQUENCE)?;
        let (mut rest, _) = take(certificate, SEQUENCE)?;
        if rest.first() == Some(&VERSION) {
            (_, rest) = take(rest, VERSION)?;
        }
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, rest) = take(rest, tag)?;
        }
        let (validity, _) = take(rest, SEQUENCE)?;
        let (from, rest) = moment(validity)?;
        let (until, _) = moment(rest)?;
        Some(Self { from, until })
    }
}

/// The content of the element that is first, if it has this tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (len, mut rest) = rest.split_first()?;
    let mut len = usize::from(*len);
    if len >= 0x80 {
        let (digits, after) = rest.split_at_checked(len - 0x80)?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        len = 0;
        for digit in digits {
            len = (len << 8) | usize::from(*digit);
        }
        rest = after;
    }
    if *first != tag {
        return None;
    }
    rest.split_at_checked(len)
}

fn moment(bytes: &[u8]) -> Option<(Moment, &[u8])> {
    let tag = *bytes.first()?;
    let (digits, rest) = take(bytes, tag)?;
    let digits = digits.strip_suffix(b"Z")?;
    let (year, digits) = match tag {
        UTC_TIME => {
            let (year, digits) = number(digits, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, digits)
        }
        GENERALIZED_TIME => number(digits, 4)?,
        _ => return None,
    };
    let mut parts = [0; 5];
    let mut digits = digits;
    for part in &mut parts {
        (*part, digits) = number(digits, 2)?;
    }
    let [month, day, hour, minute, second] = parts;
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && digits.is_empty();
    let unix = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC");
    fits.then_some((Moment { unix, text }, rest))
}

fn number(bytes: &[u8], len: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(len)?;
    let mut number = 0;
    for digit in digits {
        number = number * 10 + i64::from(digit.is_ascii_digit().then_some(digit - b'0')?);
    }
    Some((number, rest))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, in years that begin in March, so that a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + leap_days + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_time(tag: u8, text: &str, expected: Option<(i64, &str)>) {
        let len = u8::try_from(text.len()).unwrap();
        let bytes = [&[tag, len], text.as_bytes()].concat();
        let found = moment(&bytes).map(|(moment, rest)| {
            assert!(rest.is_empty());
            (moment.unix, moment.text)
        });
        let expected = expected.map(|(unix, text)| (unix, text.to_owned()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn times_are_read() {
        check_time(
            UTC_TIME,
            "700101000000Z",
            Some((0, "1970-01-01 00:00:00 UTC")),
        );
        check_time(
            UTC_TIME,
            "491231235959Z",
            Some((2_524_607_999, "2049-12-31 23:59:59 UTC")),
        );
        check_time(
            UTC_TIME,
            "500101000000Z",
            Some((-631_152_000, "1950-01-01 00:00:00 UTC")),
        );
        check_time(
            UTC_TIME,
            "240229120000Z",
            Some((1_709_208_000, "2024-02-29 12:00:00 UTC")),
        );
        let far = Some((253_402_300_799, "9999-12-31 23:59:59 UTC"));
        check_time(GENERALIZED_TIME, "99991231235959Z", far);
        check_time(UTC_TIME, "701301000000Z", None);
        check_time(UTC_TIME, "7001010000Z", None);
        check_time(UTC_TIME, "700101000000+", None);
        check_time(UTC_TIME, "7001010000x0Z", None);
        check_time(0x16, "700101000000Z", None);
    }

    #[test]
    fn a_certificate_says_when_and_its_pieces_do_not_break_the_reader() {
        let mut parameters = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 2, 3);
        parameters.not_after = rcgen::date_time_ymd(2060, 4, 5);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let bytes = certificate.der();
        let validity = Validity::of(bytes).unwrap();
        assert_eq!(validity.from.text, "2020-02-03 00:00:00 UTC");
        assert_eq!(validity.until.text, "2060-04-05 00:00:00 UTC");
        assert_eq!(validity.from.unix, 1_580_688_000);
        for end in 0..bytes.len() {
            assert_eq!(Validity::of(&bytes[..end]), None, "the first {end} bytes");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0xFF;
            drop(Validity::of(&changed));
        }
    }
}

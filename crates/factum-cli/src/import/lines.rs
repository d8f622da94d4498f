//! Lines of a reader, of bounded length.

use std::io::{self, BufRead, BufReader, Read};

const BUFFER_BYTES: usize = 256 << 10;

/// Lines of a reader.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    limit: usize,
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line, without its end.
    Line,
    /// A line over the limit; it was passed over.
    TooLong,
    /// Nothing.
    End,
}

impl<R: Read> Lines<R> {
    /// The lines of `reader`, none longer than `limit` bytes.
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            limit,
        }
    }

    /// The next line into `line`; the last one needs no line break.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Next> {
        line.clear();
        let mut is_too_long = false;
        let mut is_begun = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            is_begun = true;
            let end = memchr::memchr(b'\n', available);
            let part = available
                .get(..end.unwrap_or(available.len()))
                .unwrap_or_default();
            if line.len() + part.len() > self.limit {
                is_too_long = true;
                line.clear();
            }
            if !is_too_long {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(match (is_begun, is_too_long) {
            (false, _) => Next::End,
            (true, true) => Next::TooLong,
            (true, false) => Next::Line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, Next};

    #[test]
    fn lines_end_and_long_ones_are_passed_over() {
        let text = format!("one\r\n\n{}\nlast", "x".repeat(9));
        let mut lines = Lines::new(text.as_bytes(), 8);
        let mut line = Vec::new();
        let mut check = |next: Next, expected: &str| {
            assert_eq!(lines.next(&mut line).unwrap(), next);
            assert_eq!(String::from_utf8_lossy(&line), expected);
        };
        check(Next::Line, "one");
        check(Next::Line, "");
        check(Next::TooLong, "");
        check(Next::Line, "last");
        check(Next::End, "");
    }
}

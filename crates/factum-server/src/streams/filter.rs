//! Which events of `$all` a client wants: by the name of their stream or of their type.

use factum_proto::kurrent::streams::read_req::options::FilterOptions;
use factum_proto::kurrent::streams::read_req::options::filter_options::{
    Expression, Filter as By, Window,
};
use factum_types::RecordedEvent;
use fancy_regex::Regex;
use tonic::Status;

/// Longest pattern, and most prefixes, that are taken.
const PATTERN_BYTES_MAX: usize = 8 << 10;
const PREFIXES_MAX: usize = 1_024;
/// What clients send to leave out the events of the system.
const NO_SYSTEM: [&str; 2] = [r"^[^\$].*", r"^[^$].*"];
/// How many events are looked at between two checkpoints where the client does not say.
const WINDOW_DEFAULT: u32 = 32;

/// A filter over `$all`.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    on: On,
    test: Test,
    /// After so many events that were looked at, a subscription is told where it is.
    pub(crate) checkpoint_every: u64,
}

#[derive(Debug, Clone, Copy)]
enum On {
    Stream,
    Type,
}

#[derive(Debug, Clone)]
enum Test {
    Prefixes(Vec<String>),
    NotSystem,
    Pattern(Regex),
}

impl Filter {
    /// The filter that a client asks for.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: there is nothing to filter by, or the pattern is none.
    pub(crate) fn parse(options: FilterOptions) -> Result<Self, Status> {
        let (on, expression) = match options.filter {
            Some(By::StreamIdentifier(expression)) => (On::Stream, expression),
            Some(By::EventType(expression)) => (On::Type, expression),
            None => {
                return Err(Status::invalid_argument(
                    "the filter names neither streams nor types",
                ));
            }
        };
        let window = match options.window {
            Some(Window::Max(0)) => {
                return Err(Status::invalid_argument(
                    "the window of the filter is 0 events",
                ));
            }
            Some(Window::Max(max)) => max,
            Some(Window::Count(_)) | None => WINDOW_DEFAULT,
        };
        let multiplier = u64::from(options.checkpoint_interval_multiplier);
        Ok(Self {
            on,
            test: Test::parse(expression)?,
            checkpoint_every: u64::from(window) * multiplier,
        })
    }

    /// Whether an event is wanted.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: the pattern takes too long on this name.
    pub(crate) fn wants(&self, event: &RecordedEvent) -> Result<bool, Status> {
        let name = match self.on {
            On::Stream => event.stream.as_str(),
            On::Type => event.event_type.as_str(),
        };
        match &self.test {
            Test::Prefixes(prefixes) => Ok(prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_str()))),
            Test::NotSystem => Ok(!name.starts_with('$')),
            Test::Pattern(pattern) => pattern.is_match(name).map_err(|error| {
                Status::invalid_argument(format!(
                    "the pattern of the filter fails on {name:?}: {error}"
                ))
            }),
        }
    }
}

impl Test {
    fn parse(expression: Expression) -> Result<Self, Status> {
        let Expression { regex, prefix } = expression;
        if !prefix.is_empty() {
            let bytes: usize = prefix.iter().map(String::len).sum();
            if prefix.len() > PREFIXES_MAX || bytes > PATTERN_BYTES_MAX {
                let text = format!("{} prefixes of {bytes} bytes are too many", prefix.len());
                return Err(Status::invalid_argument(text));
            }
            return Ok(Self::Prefixes(prefix));
        }
        if NO_SYSTEM.contains(&regex.as_str()) {
            return Ok(Self::NotSystem);
        }
        if regex.len() > PATTERN_BYTES_MAX {
            let text = format!("a pattern of {} bytes is too long", regex.len());
            return Err(Status::invalid_argument(text));
        }
        Regex::new(&regex).map(Self::Pattern).map_err(|error| {
            Status::invalid_argument(format!("the pattern {regex:?} of the filter: {error}"))
        })
    }
}

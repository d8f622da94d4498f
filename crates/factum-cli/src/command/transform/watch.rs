//! How far a transformation is, Ctrl-C, and examples of what becomes of events.

use std::collections::BTreeSet;

use factum_framework::transform::{Step as Reached, Watch};
use factum_types::{ContentType, NewEvent, RecordedEvent, StreamName};
use serde_json::{Value, json};

use crate::interrupt::Interrupt;
use crate::ui::progress::{Progress, Step};

/// Watches a run.
pub(super) struct Watcher {
    progress: Progress,
    interrupt: Interrupt,
    begun: bool,
    done: u64,
    examples_max: usize,
    types: BTreeSet<String>,
    examples: Vec<Value>,
}

impl Watcher {
    /// A watcher that keeps so many examples.
    pub(super) fn new(progress: Progress, interrupt: Interrupt, examples_max: usize) -> Self {
        Self {
            progress,
            interrupt,
            begun: false,
            done: 0,
            examples_max,
            types: BTreeSet::new(),
            examples: Vec::new(),
        }
    }

    /// Ends what is shown; gives the examples.
    pub(super) fn end(mut self, events: u64) -> Vec<Value> {
        let done = self.done;
        self.progress.end(Step { done, events });
        self.examples
    }
}

impl Watch for Watcher {
    fn step(&mut self, reached: &Reached) -> bool {
        if !self.begun {
            self.begun = true;
            self.progress
                .begin("transforming", Some(reached.end.number() + 1));
        }
        self.done = reached.position.number() + 1;
        self.progress.step(Step {
            done: self.done,
            events: reached.read,
        });
        !self.interrupt.came()
    }

    fn made(&mut self, before: &RecordedEvent, after: &[(StreamName, NewEvent)]) {
        let name = before.event_type.as_str();
        if self.examples.len() >= self.examples_max || self.types.contains(name) {
            return;
        }
        self.types.insert(name.to_owned());
        let event = |stream: &StreamName, name: &str, version: u32, data: Value| json!({ "stream": stream.as_str(), "type": name, "version": version, "data": data });
        let after = after.iter().map(|(stream, made)| {
            event(
                stream,
                made.event_type.as_str(),
                made.schema_version,
                data(made.content_type, &made.data),
            )
        });
        self.examples.push(json!({
            "position": before.position.raw(),
            "before": event(&before.stream, name, before.schema_version, data(before.content_type, &before.data)),
            "after": after.collect::<Vec<_>>(),
        }));
    }
}

fn data(content_type: ContentType, data: &[u8]) -> Value {
    let parsed = (content_type == ContentType::Json).then(|| serde_json::from_slice(data).ok());
    parsed
        .flatten()
        .unwrap_or_else(|| format!("({} bytes)", data.len()).into())
}

//! The demonstration: one shop, seven steps, a real store.
//!
//! The content is the same every time but for ids and times, so that documentation can show it.

mod shop;
mod story;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use factum_store::{AppendBatch, EventStore, Receipt, StoreError};
use factum_types::{
    EventId, EventType, ExpectedRevision, Metadata, NameError, NewEvent, RecordedEvent, StreamName,
    Tag,
};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::printer::shown;

/// The order that most of it is about.
pub(crate) const FIRST_STREAM: &str = "order-1";

/// The demonstration.
pub(crate) struct Demo<'a> {
    store: &'a Arc<dyn EventStore>,
    context: &'a mut Context,
}

/// A fact, before it has an id.
#[derive(Debug, Clone, Copy)]
struct Fact {
    order: &'static str,
    what: &'static str,
    data: &'static str,
    tags: &'static [&'static str],
}

impl<'a> Demo<'a> {
    /// A demonstration in a store that has none of its streams.
    pub(crate) fn new(store: &'a Arc<dyn EventStore>, context: &'a mut Context) -> Self {
        Self { store, context }
    }

    /// Shows everything.
    pub(crate) fn run(&mut self) -> Outcome {
        self.facts()?;
        self.one_story()?;
        self.many_views()?;
        self.time_travel()?;
        self.conflict()?;
        self.retry()?;
        self.live()
    }

    fn step(&mut self, title: &str, words: &str) -> Outcome {
        let title = self
            .context
            .ui
            .styled(AnsiColor::Cyan.on_default().bold(), title);
        writeln!(self.context.ui.out(), "\n{title}")?;
        self.words(words)
    }

    fn words(&mut self, words: &str) -> Outcome {
        Ok(writeln!(self.context.ui.out(), "{words}")?)
    }

    fn say(&mut self, line: &str) -> Outcome {
        Ok(writeln!(self.context.ui.out(), "    {line}")?)
    }

    fn show(&mut self, event: &RecordedEvent) -> Outcome {
        let what = self.context.ui.styled(
            Style::new().bold(),
            &format!("{:<14}", event.event_type.as_str()),
        );
        let line = format!(
            "{:>3}  {:<8} {:>2}  {what} {}",
            event.position.to_string(),
            event.stream.as_str(),
            event.revision.to_string(),
            shown(event)
        );
        self.say(line.trim_end())
    }

    fn new_event(&self, fact: &Fact) -> Outcome<NewEvent> {
        let mut random = [0; 10];
        self.context.env.random.fill(&mut random);
        let unix_ms = u64::try_from(self.context.env.clock.now_us() / 1_000).unwrap_or_default();
        let event_type = EventType::new(fact.what).map_err(named)?;
        let tags = fact
            .tags
            .iter()
            .map(Tag::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(named)?;
        let metadata = Metadata {
            user_id: Some("demo".to_owned()),
            ..Metadata::default()
        };
        Ok(
            NewEvent::json(EventId::v7(unix_ms, random), event_type, fact.data)
                .with_tags(tags)
                .with_metadata(metadata),
        )
    }

    fn append(
        &self,
        order: &str,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Outcome<Result<Receipt, StoreError>> {
        let stream = StreamName::new(order).map_err(named)?;
        let batch = AppendBatch::events(stream, expected, events);
        Ok(pollster::block_on(self.store.append(batch)))
    }
}

/// What to try next.
pub(crate) fn farewell(context: &mut Context, kept: Option<&Path>) -> Outcome {
    let title = context
        .ui
        .styled(AnsiColor::Cyan.on_default().bold(), "What to try next");
    let data = kept.map(|data| data.display().to_string());
    let out = context.ui.out();
    writeln!(out, "\n{title}")?;
    match data {
        Some(data) => {
            writeln!(out, "The store is in {data}; look around in it:")?;
            writeln!(out, "    factum --data {data} read --all -o table")?;
            writeln!(out, "    factum --data {data} stream ls -o table")?;
        }
        None => writeln!(
            out,
            "The store was in a temporary directory and is gone. Keep one with: factum demo --keep"
        )?,
    }
    writeln!(
        out,
        "    factum append order-1 --type OrderPlaced --data '{{\"total\":42}}'"
    )?;
    writeln!(
        out,
        "    factum import events.ndjson.gz     # CloudEvents, one per line"
    )?;
    writeln!(out, "    factum --help")?;
    Ok(())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
fn named(error: NameError) -> Failure {
    Failure::error(error.to_string())
}

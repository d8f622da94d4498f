//! `factum state`.

use std::io::Write as _;

use factum_framework::Origin;
use factum_framework::fold::{Fold, Folded};
use factum_framework::pointer::Pointer;
use factum_framework::travel::{Blame, Difference, difference};
use factum_types::{RecordedEvent, StreamName};
use serde_json::{Map, Value, json};

use crate::cli::Format;
use crate::context::Context;
use crate::event_time;
use crate::failure::{Failure, Outcome};
use crate::fold::{At, FoldArgs, Past};
use crate::store::{self, Access};
use crate::ui::escape;
use crate::ui::progress::counted;
use crate::ui::table::{self, Align, Column, Table};

/// Which state, and what about it.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Prints the state of a stream: its events, folded one after another. Nothing else is needed for that, so every past \
state is still there.\n\nWithout a file, the data of the events are merged in order: each field is as it was last said (JSON merge \
patch, RFC 7396). --fold names a file that says what each type of event does to the state; the tour in docs/cli.md shows one. Version n \
is the state after n events. The time of an event is the one that `factum read` prints: for imported events, the one they came \
with.\n\nA snapshot that fits is used, and the answer says so (`factum snapshot`).",
    after_long_help = "Examples:\n  factum state order-1                              now\n  \
factum state order-1 --at 3                       after its first three events\n  \
factum state order-1 --at 2026-03-01T12:00:00Z    as it was then\n  \
factum state order-1 --diff                       what the last event changed\n  \
factum state order-1 --diff --at 3                what the third event changed\n  \
factum state order-1 --since 2026-03-01           what changed since that day\n  \
factum state order-1 --blame /status              which event last changed a field\n  \
factum state order-1 --fold order.toml -o json | jq .state"
)]
pub(crate) struct StateArgs {
    /// The stream
    stream: StreamName,
    /// As it was: after so many events, or at a time (RFC 3339, or a day)
    #[arg(long, value_name = "VERSION|TIME")]
    at: Option<At>,
    /// What the last event changed, or the one that made the version of --at
    #[arg(long, conflicts_with = "blame")]
    diff: bool,
    /// What changed since then
    #[arg(long, value_name = "VERSION|TIME", conflicts_with = "blame")]
    since: Option<At>,
    /// Which event last changed this field, named by a JSON pointer such as /customer/name
    #[arg(long, value_name = "POINTER", value_parser = pointer)]
    blame: Option<Pointer>,
    #[command(flatten)]
    fold: FoldArgs,
    /// Fold all events, also when there is a snapshot
    #[arg(long)]
    no_snapshot: bool,
}

fn pointer(text: &str) -> Result<Pointer, String> {
    Pointer::new(text).map_err(|error| error.to_string())
}

const CHANGES: &[Column] = &[
    ("field", Align::Left),
    ("before", Align::Left),
    ("after", Align::Left),
];

/// Folds, and prints what was asked for.
pub(crate) fn run(args: &StateArgs, context: &mut Context) -> Outcome {
    let fold = args.fold.read()?;
    let store = store::open(context, Access::Read)?;
    pollster::block_on(async {
        let mut past = Past::of(&store, &args.stream).await?;
        if args.no_snapshot {
            past = past.without_snapshots();
        }
        let version = match args.at {
            Some(at) => at.version(&past).await?,
            None => past.last,
        };
        let asked = Asked {
            fold,
            past,
            version,
        };
        match (&args.blame, args.since) {
            (Some(pointer), _) => asked.blame(pointer, context).await,
            (None, Some(since)) => {
                asked
                    .since(since.version(&asked.past).await?, context)
                    .await
            }
            (None, None) if args.diff => asked.since(version.saturating_sub(1), context).await,
            (None, None) => asked.state(args, context).await,
        }
    })?;
    store.close()
}

struct Asked {
    fold: Fold,
    past: Past,
    version: u64,
}

impl Asked {
    async fn folded(&self, version: u64) -> Outcome<Folded> {
        let as_of = Some(version.into());
        Ok(self
            .past
            .repository
            .folded(&self.past.stream, &self.fold, as_of)
            .await?)
    }

    async fn state(&self, args: &StateArgs, context: &mut Context) -> Outcome {
        let folded = self.folded(self.version).await?;
        let time = self
            .past
            .event(self.version)
            .await?
            .map(|event| event_time::text(&event));
        let ui = &mut context.ui;
        if ui.answer_format() != Format::Table {
            let answer = json!({
                "stream": self.past.stream.as_str(),
                "version": self.version,
                "time": time,
                "state": folded.state,
                "loaded": loaded(&folded),
            });
            return ui.answer("", &answer);
        }
        let version = if self.version == self.past.last {
            self.version.to_string()
        } else {
            format!("{} of {}", self.version, self.past.last)
        };
        let facts = [
            ("stream", self.past.stream.to_string()),
            ("version", version),
            (
                "time",
                time.unwrap_or_else(|| "before its first event".to_owned()),
            ),
            ("folded by", args.fold.words()),
            ("loaded", loaded_words(&folded)),
        ];
        table::facts(ui, &facts)?;
        let pretty = format!("{:#}", folded.state);
        Ok(writeln!(ui.out(), "{}", escape::words(&pretty))?)
    }

    async fn since(&self, from: u64, context: &mut Context) -> Outcome {
        if from > self.version {
            let message = format!("version {from} comes after version {}", self.version);
            return Err(
                Failure::usage(message).hint("--since names the earlier point, --at the later one")
            );
        }
        let before = self.folded(from).await?;
        let after = self.folded(self.version).await?;
        let changes = difference(&before.state, &after.state);
        let event = self.past.event(self.version).await?;
        let ui = &mut context.ui;
        if ui.answer_format() != Format::Table {
            let time = self
                .past
                .event(from)
                .await?
                .map(|event| event_time::text(&event));
            let answer = json!({
                "stream": self.past.stream.as_str(),
                "from": { "version": from, "time": time },
                "to": { "version": self.version, "time": event.as_ref().map(event_time::text) },
                "event": event.as_ref().filter(|_| from + 1 == self.version).map(about),
                "changes": changes.iter().map(change).collect::<Vec<_>>(),
            });
            return ui.answer("", &answer);
        }
        let mut facts = vec![
            ("stream", self.past.stream.to_string()),
            ("versions", format!("{from} to {}", self.version)),
        ];
        if let Some(event) = event.filter(|_| from + 1 == self.version) {
            facts.extend(about_words(&event));
        }
        table::facts(ui, &facts)?;
        let mut rows = Table::new(CHANGES);
        for found in &changes {
            rows.row(
                ui,
                &[
                    &field(&found.pointer),
                    &shown(found.before.as_ref()),
                    &shown(found.after.as_ref()),
                ],
            )?;
        }
        rows.print(ui)?;
        if changes.is_empty() {
            ui.note("nothing changed");
        }
        Ok(())
    }

    async fn blame(&self, pointer: &Pointer, context: &mut Context) -> Outcome {
        let as_of = Some(self.version.into());
        let found =
            self.past
                .repository
                .blame_folded(&self.past.stream, &self.fold, pointer, as_of);
        let stream = &self.past.stream;
        let Some(found) = found.await? else {
            let message = format!(
                "no event of stream {stream} set {}",
                field(&pointer.to_string())
            );
            return Err(Failure::not_found(message)
                .hint(format!("`factum state {stream}` shows its fields")));
        };
        let Blame {
            event,
            before,
            after,
            ..
        } = &found;
        let ui = &mut context.ui;
        if ui.answer_format() != Format::Table {
            let mut answer = Map::new();
            answer.insert("stream".into(), stream.as_str().into());
            answer.insert("field".into(), pointer.to_string().into());
            answer.insert("event".into(), about(event));
            for (name, value) in [("before", before), ("after", after)] {
                answer.extend(value.clone().map(|value| (name.to_owned(), value)));
            }
            return ui.answer("", &Value::Object(answer));
        }
        let mut facts = vec![
            ("stream", stream.to_string()),
            ("field", field(&pointer.to_string())),
            ("before", shown(before.as_ref())),
            ("after", shown(after.as_ref())),
        ];
        facts.extend(about_words(event));
        Ok(table::facts(ui, &facts)?)
    }
}

/// A place in words: the whole has no name of its own.
fn field(pointer: &str) -> String {
    if pointer.is_empty() {
        "(all)".to_owned()
    } else {
        pointer.to_owned()
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(nothing)".to_owned(), Value::to_string)
}

/// A difference; what is not there is left out.
fn change(found: &Difference) -> Value {
    let mut change = Map::new();
    change.insert("field".into(), found.pointer.clone().into());
    for (name, value) in [("before", &found.before), ("after", &found.after)] {
        change.extend(value.clone().map(|value| (name.to_owned(), value)));
    }
    Value::Object(change)
}

/// An event that made a version.
fn about(event: &RecordedEvent) -> Value {
    json!({
        "id": event.id.to_string(),
        "type": event.event_type.as_str(),
        "version": event.revision.number() + 1,
        "position": event.position.raw(),
        "time": event_time::text(event),
        "user": event.metadata.user_id,
    })
}

fn about_words(event: &RecordedEvent) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("event", event.event_type.to_string()),
        ("id", event.id.to_string()),
        ("version", (event.revision.number() + 1).to_string()),
        ("time", event_time::text(event)),
    ];
    facts.extend(event.metadata.user_id.clone().map(|user| ("user", user)));
    facts
}

fn loaded(folded: &Folded) -> Value {
    let snapshot = match folded.origin {
        Origin::Snapshot(version) => Some(version),
        _ => None,
    };
    json!({ "snapshot": snapshot, "events": folded.folded })
}

fn loaded_words(folded: &Folded) -> String {
    let events = counted(folded.folded, "event");
    match folded.origin {
        Origin::Snapshot(version) => format!("from the snapshot of version {version} and {events}"),
        _ => format!("from {events}"),
    }
}

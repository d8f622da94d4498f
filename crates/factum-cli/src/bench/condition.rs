//! `factum bench condition`: appends that are made only if nothing relevant came in between.
//!
//! Every writer decides on what it knows, which is fresh: it was the last to write what its query finds. So every condition holds, and
//! what is measured is what asking costs.

use factum_engine::Engine;
use factum_store::{AppendBatch, Condition, EventStore};
use factum_types::{EventType, ExpectedRevision, Position, Query, StreamName, Tag};

use super::append::{Maker, in_bare_log, named, with_store};
use super::crowd::{self, Writer};
use super::place::Place;
use super::probe::Written;
use super::row::{Floor, Row, Unit};
use super::session::Session;
use crate::failure::Outcome;

const GROUP: &str = "condition";
const WRITERS: usize = 64;
/// How many writers share the second tag.
const SHARED_BY: usize = 8;
const FLOOR: Floor = Floor::of(100_000.0, 325_000.0);

/// What the query asks for.
#[derive(Debug, Clone, Copy)]
enum Asks {
    /// Two tags at once, one of them shared with other writers.
    Tags,
    /// A type.
    Type,
}

pub(super) fn measure(session: &mut Session<'_>) -> Outcome {
    let path = session.place.fresh("bare");
    let written = Written::new(&path, &session.env)?;
    for (asks, name, floor) in [
        (
            Asks::Tags,
            "64 writers, no event with both of two tags",
            Some(FLOOR),
        ),
        (Asks::Type, "64 writers, no event of a type", None),
    ] {
        if !session.wants(name) {
            continue;
        }
        let (limit, found) = session.between(
            name,
            |session| in_bare_log(session, &written, (WRITERS, 1)),
            |session| {
                let found = with_store(session, |session, engine| {
                    let writers: Outcome<Vec<_>> = (0..WRITERS)
                        .map(|n| Decider::new(session, engine, n, asks))
                        .collect();
                    crowd::run(session, "store-writers", writers?)
                })?;
                Ok(found.0)
            },
        )?;
        let row = Row::new(GROUP, name, Unit::Events, found.figure)
            .limit(
                limit.figure,
                "a bare group-commit loop with the same writers, without conditions",
            )
            .floor(floor)
            .rounds(&found, &limit)
            .times(&found.times)
            .spent(&found.spent, found.items);
        session.add(row.note(found.note));
    }
    drop(written);
    Place::remove_file(&path, &session.env)
}

#[derive(Debug)]
struct Decider {
    engine: Engine,
    maker: Maker,
    stream: StreamName,
    event_type: EventType,
    tags: Vec<Tag>,
    query: Query,
    known: Option<Position>,
}

impl Decider {
    fn new(session: &Session<'_>, engine: &Engine, number: usize, asks: Asks) -> Outcome<Self> {
        let tag = |text: String| Tag::new(text).map_err(named);
        let shared = number / SHARED_BY;
        let (event_type, tags) = match asks {
            Asks::Tags => (
                "Decided".to_owned(),
                vec![
                    tag(format!("student:{number}"))?,
                    tag(format!("course:{shared}"))?,
                ],
            ),
            Asks::Type => (format!("Decided{number}"), Vec::new()),
        };
        let event_type = EventType::new(event_type).map_err(named)?;
        let query = match asks {
            Asks::Tags => Query::of([], tags.clone()),
            Asks::Type => Query::event_type(event_type.clone()),
        };
        Ok(Self {
            engine: engine.clone(),
            maker: Maker::new(&session.env.clock, session.settings.payload, number as u64),
            stream: StreamName::new(format!("decider-{number:016}")).map_err(named)?,
            event_type,
            tags,
            query,
            known: None,
        })
    }
}

impl Writer for Decider {
    async fn write(&mut self) -> Outcome<u64> {
        let event = self
            .maker
            .event(&self.event_type)
            .with_tags(self.tags.iter().cloned());
        let condition = Condition::NoMatch {
            query: self.query.clone(),
            after: self.known,
        };
        let batch = AppendBatch::events(self.stream.clone(), ExpectedRevision::Any, vec![event]);
        let receipt = self.engine.append(batch.on(condition)).await?;
        self.known = Some(receipt.last);
        Ok(1)
    }
}

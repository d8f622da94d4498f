//! Reading: every source, from every edge, in both directions, with every limit, against the oracle.

use factum_store::{AppendBatch, Direction, Kind, ReadFrom, ReadRequest, Source, StoreError};
use factum_types::{ExpectedRevision, Position, Query, QueryItem, RecordedEvent, Revision, limits};

use crate::check::{Outcome, increasing, read_back, refused, same, that};
use crate::trial::Trial;
use crate::words::{category, query, stream, tag, typed, write};
use crate::world::{World, varied};

use ExpectedRevision::Any;

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

pub(crate) fn empty_store(t: &Trial) -> Outcome {
    let sources = [
        Source::All,
        Source::Category(category("order")),
        Source::Query(query(&["A"], &[])),
    ];
    for source in sources {
        for direction in DIRECTIONS {
            for from in [
                ReadFrom::Start,
                ReadFrom::End,
                ReadFrom::Position(Position::START),
            ] {
                let request = ReadRequest {
                    direction,
                    from,
                    ..ReadRequest::forward(source.clone())
                };
                same(format!("{request:?}"), t.read(request)?, vec![])?;
            }
        }
    }
    Ok(())
}

pub(crate) fn missing_stream(t: &Trial) -> Outcome {
    t.fill(&stream("order-1"), 1)?;
    let name = stream("order-2");
    let froms = [
        ReadFrom::Start,
        ReadFrom::End,
        ReadFrom::Position(Position::START),
        ReadFrom::Revision(Revision::FIRST),
    ];
    for from in froms {
        for direction in DIRECTIONS {
            for (control, limit) in [(false, None), (true, None), (false, Some(0))] {
                let source = Source::Stream(name.clone());
                let request = ReadRequest {
                    source,
                    from,
                    direction,
                    limit,
                    control,
                };
                refused(format!("{request:?}"), t.read(request), Kind::NotFound)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn all_table(t: &Trial) -> Outcome {
    World::make(t)?.compare_everywhere(t, &Source::All)
}

pub(crate) fn stream_table(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    for name in ["order-1", "plain"] {
        world.compare_everywhere(t, &Source::Stream(stream(name)))?;
    }
    Ok(())
}

pub(crate) fn category_table(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    for name in ["order", "item", "none"] {
        world.compare_everywhere(t, &Source::Category(category(name)))?;
    }
    Ok(())
}

pub(crate) fn query_table(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    let queries = [
        query(&["Placed"], &["customer:1"]),
        query(&[], &["region:north"]).or(query(&["Paid", "Shipped"], &[])),
    ];
    for query in queries {
        world.compare_everywhere(t, &Source::Query(query))?;
    }
    Ok(())
}

pub(crate) fn revision_table(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    for name in ["order-1", "order-2", "plain"] {
        let source = Source::Stream(stream(name));
        let count = world.expected(&ReadRequest::forward(source.clone())).len() as u64;
        for revision in (0..count + 2).chain([u64::MAX]) {
            let from = ReadFrom::Revision(Revision::new(revision));
            world.compare_from(t, &source, from)?;
        }
    }
    Ok(())
}

/// Batches of many sizes over many streams come back as they were given; `World::make` compares each event.
pub(crate) fn written_batches_come_back(t: &Trial) -> Outcome {
    let world = World::make(t)?;
    that("the world is worth reading", world.events.len() > 30)?;
    increasing("all", &world.events)?;
    let mut names: Vec<_> = world
        .events
        .iter()
        .map(|event| event.stream.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        world.compare(t, ReadRequest::stream(name))?;
    }
    Ok(())
}

/// Random worlds, random queries.
pub(crate) fn filters_agree_with_the_oracle(t: &Trial) -> Outcome {
    let mut random = t.random(1);
    let mut given = Vec::new();
    for _ in 0..60 {
        let name = stream(format!(
            "{}-{}",
            ["a", "b"][random.usize(..2)],
            random.u8(..4)
        ));
        let events: Vec<_> = (0..random.usize(1..4))
            .map(|_| varied(t, &mut random))
            .collect();
        given.extend(events.iter().map(|event| (name.clone(), event.clone())));
        t.append(AppendBatch::default().and(write(&name, Any, events)))?;
    }
    let world = World::check(t, &given)?;
    let edges = world.edges();
    for _ in 0..300 {
        let source = Source::Query(random_query(&mut random));
        let from = match random.u8(..4) {
            0 => ReadFrom::Start,
            1 => ReadFrom::End,
            _ => ReadFrom::Position(edges[random.usize(..edges.len())]),
        };
        let direction = DIRECTIONS[random.usize(..2)];
        let limit = random.bool().then(|| random.u64(..8));
        world.compare(
            t,
            ReadRequest {
                source,
                from,
                direction,
                limit,
                control: false,
            },
        )?;
    }
    Ok(())
}

fn random_query(random: &mut fastrand::Rng) -> Query {
    let types = ["Placed", "Paid", "Shipped", "Returned", "Never"];
    let tags = ["region:north", "customer:1", "customer:2", "never:1"];
    let items = (0..random.usize(1..4)).map(|_| {
        let types = (0..random.usize(..3)).map(|_| typed(types[random.usize(..types.len())]));
        let types = types.collect();
        let tags = (0..random.usize(..3))
            .map(|_| tag(tags[random.usize(..tags.len())]))
            .collect();
        QueryItem { types, tags }
    });
    Query {
        items: items.collect(),
    }
}

pub(crate) fn category_is_the_part_before_the_dash(t: &Trial) -> Outcome {
    let names = [
        "order-1",
        "order-a-b",
        "order-",
        "orders-1",
        "order",
        "-order",
        "Order-1",
        "größe-1",
    ];
    for name in names {
        t.fill(&stream(name), 1)?;
    }
    let check = |name: &str, expected: &[&str]| -> Outcome {
        let found = t.read(ReadRequest::category(category(name)))?;
        let found: Vec<_> = found.iter().map(|event| event.stream.as_str()).collect();
        same(name, found, expected.to_vec())
    };
    check("order", &["order-1", "order-a-b", "order-"])?;
    check("orders", &["orders-1"])?;
    check("Order", &["Order-1"])?;
    check("größe", &["größe-1"])?;
    check("order-a", &[])?;
    check("ord", &[])
}

pub(crate) fn empty_query(t: &Trial) -> Outcome {
    t.fill(&stream("order-1"), 3)?;
    let read = |query| t.read(ReadRequest::forward(Source::Query(query)));
    same("without items nothing", read(Query::default())?, vec![])?;
    let anything = Query {
        items: vec![QueryItem::default()],
    };
    same("without terms everything", read(anything)?, t.read_all()?)
}

pub(crate) fn overlapping_items_give_once(t: &Trial) -> Outcome {
    let event = t.event("A").with_tags([tag("x:1"), tag("y:1")]);
    let name = stream("order-1");
    t.add(&name, Any, vec![event.clone()])?;
    let overlapping = query(&["A"], &[])
        .or(query(&["A"], &["x:1"]))
        .or(query(&[], &["y:1", "x:1"]))
        .or(query(&["A", "A"], &["x:1", "x:1"]));
    for direction in DIRECTIONS {
        let source = Source::Query(overlapping.clone());
        let found = t.read(match direction {
            Direction::Forward => ReadRequest::forward(source),
            Direction::Backward => ReadRequest::backward(source),
        })?;
        read_back("once", &found, &name, 0, std::slice::from_ref(&event))?;
    }
    Ok(())
}

pub(crate) fn revision_needs_a_stream(t: &Trial) -> Outcome {
    t.fill(&stream("order-1"), 1)?;
    let sources = [
        Source::All,
        Source::Category(category("order")),
        Source::Query(query(&["A"], &[])),
    ];
    for source in sources {
        let from = ReadFrom::Revision(Revision::FIRST);
        let request = ReadRequest::forward(source).from(from);
        refused(format!("{request:?}"), t.read(request), Kind::Invalid)?;
    }
    Ok(())
}

pub(crate) fn limit_counts_what_is_given(t: &Trial) -> Outcome {
    let name = stream("order-1");
    for _ in 0..10 {
        t.fill(&name, 1)?;
        t.fill(&stream("noise"), 5)?;
    }
    for limit in [0, 1, 9, 10, 11] {
        let found = t
            .read(ReadRequest::stream(name.clone()).limit(limit))?
            .len() as u64;
        same(format!("stream, limit {limit}"), found, limit.min(10))?;
        let found = t
            .read(ReadRequest::category(category("order")).limit(limit))?
            .len() as u64;
        same(format!("category, limit {limit}"), found, limit.min(10))?;
    }
    Ok(())
}

/// A read that runs while others write gives what was there, may give what came, and never with a gap.
pub(crate) fn is_stable_while_writing(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let before = t.fill(&name, 50)?;
    let mut reading = t.store.read(ReadRequest::stream(name.clone()));
    let mut found: Vec<RecordedEvent> = Vec::new();
    let mut next = || -> Result<Option<RecordedEvent>, StoreError> {
        t.wait("the next event of a read", reading.next())?
            .transpose()
    };
    while let Some(event) = next()? {
        found.push(event);
        // Not for ever: a read may follow what is appended while it runs.
        if found.len() < 100 {
            t.fill(&name, 1)?;
        }
    }
    that("what was there is given", found.len() >= before.len())?;
    let revisions: Vec<_> = found.iter().map(|event| event.revision.number()).collect();
    same(
        "without a gap",
        revisions.clone(),
        (0..revisions.len() as u64).collect(),
    )
}

pub(crate) fn damaged_requests_are_refused(t: &Trial) -> Outcome {
    t.fill(&stream("order-1"), 1)?;
    let item = QueryItem {
        types: vec![typed("A")],
        tags: vec![],
    };
    let items = Query {
        items: vec![item; limits::QUERY_ITEMS_MAX + 1],
    };
    let many = vec![typed("A"); limits::QUERY_ITEM_TERMS_MAX + 1];
    let terms = Query {
        items: vec![QueryItem {
            types: many,
            tags: vec![],
        }],
    };
    for query in [items, terms] {
        let mut reading = t.store.read(ReadRequest::forward(Source::Query(query)));
        let first = t.wait("the first item", reading.next())?;
        refused("the first item", first.transpose(), Kind::Invalid)?;
        let second = t.wait("the second item", reading.next())?;
        that("the error ends the read", second.is_none())?;
    }
    Ok(())
}

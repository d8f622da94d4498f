//! Damage in pages: it is answered by itself, and says where to go on.

use std::future::ready;

use axum::http::HeaderMap;
use axum::http::header::LINK;
use factum_store::{Damage, EventStream, StoreError};
use factum_types::{
    ContentType, EventId, EventType, Metadata, Position, RecordKind, RecordedEvent, Revision,
    StreamName, Timestamp,
};

use super::{Events, Order, PAGE, Wanted};
use crate::metrics::Metrics;

fn event(position: u64) -> RecordedEvent {
    RecordedEvent {
        id: EventId::from_bytes([1; 16]),
        stream: StreamName::new("s").unwrap(),
        revision: Revision::new(position),
        position: Position::from_raw(position),
        time: Timestamp::default(),
        event_type: EventType::new("T").unwrap(),
        data: bytes::Bytes::new(),
        content_type: ContentType::Json,
        schema_version: 1,
        tags: Vec::new(),
        metadata: Metadata::default(),
        personal: bytes::Bytes::new(),
        kind: RecordKind::Event,
    }
}

fn damaged(first: u64, last: u64) -> StoreError {
    let damage = Damage {
        file: "segments/1.seg".to_owned(),
        offset: 4_096,
        length: 64,
        first: Position::from_raw(first),
        last: Position::from_raw(last),
    };
    StoreError::corrupt("checksum", damage)
}

/// The status of a page, and where it leads.
fn page(
    query: &str,
    order: Order,
    there: Option<(u64, u64)>,
    items: Vec<Result<RecordedEvent, StoreError>>,
) -> (u16, Option<String>) {
    let wanted = Wanted::parse("/x".to_owned(), Some(query), &PAGE, &HeaderMap::new()).unwrap();
    let mut events = Events::Stored(EventStream::of(items));
    let answered =
        pollster::block_on(wanted.page(&mut events, order, &Metrics::new(), ready(there)));
    let response = axum::response::IntoResponse::into_response(answered);
    let link = response
        .headers()
        .get(LINK)
        .map(|link| link.to_str().unwrap().to_owned());
    let next = link.map(|link| link[1..].split('>').next().unwrap().to_owned());
    (response.status().as_u16(), next)
}

#[test]
fn damage_ends_a_page_and_the_next_one_says_so() {
    let check = |query: &str, order, items, status: u16, next: Option<&str>| {
        assert_eq!(
            page(query, order, None, items),
            (status, next.map(str::to_owned)),
            "{query}"
        );
    };
    let forward = vec![Ok(event(3)), Err(damaged(4, 6)), Ok(event(7))];
    check(
        "from=3",
        Order::Position,
        forward.clone(),
        200,
        Some("/x?from=4"),
    );
    let rest = forward[1..].to_vec();
    check(
        "from=4",
        Order::Position,
        rest.clone(),
        500,
        Some("/x?from=7"),
    );
    check(
        "from=4",
        Order::Revision,
        rest.clone(),
        500,
        Some("/x?from=5"),
    );
    check("", Order::Revision, rest.clone(), 500, Some("/x?from=1"));
    let backward = vec![Ok(event(7)), Err(damaged(4, 6))];
    let query = "direction=backward";
    check(
        query,
        Order::Position,
        backward.clone(),
        200,
        Some("/x?from=6&direction=backward"),
    );
    check(
        query,
        Order::Position,
        backward[1..].to_vec(),
        500,
        Some("/x?from=3&direction=backward"),
    );
    check(query, Order::Revision, backward[1..].to_vec(), 500, None);
    check(query, Order::Position, vec![Err(damaged(0, 0))], 500, None);
}

#[test]
fn a_page_by_revision_leads_behind_damage_where_the_stream_has_events() {
    let check = |query: &str, next: Option<&str>| {
        let items = vec![Err(damaged(40, 60))];
        let found = page(query, Order::Revision, Some((3, 9)), items);
        assert_eq!(found, (500, next.map(str::to_owned)), "{query}");
    };
    check("", Some("/x?from=4"));
    check("from=1", Some("/x?from=4"));
    check("from=5", Some("/x?from=6"));
    let backward = "direction=backward";
    check(backward, Some("/x?from=8&direction=backward"));
    check(
        &format!("from=5&{backward}"),
        Some("/x?from=4&direction=backward"),
    );
    check(
        &format!("from=99&{backward}"),
        Some("/x?from=8&direction=backward"),
    );
}

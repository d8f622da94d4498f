//! Subscriptions as server-sent events (WHATWG HTML, section 9.2).
//!
//! | `event`      | `id`  | `data`                                                                   |
//! |--------------|-------|--------------------------------------------------------------------------|
//! | none         | place | the event                                                                |
//! | `caught-up`  | place | `{"position":…}`: all that is published is delivered; what follows is live |
//! | `checkpoint` | place | `{"position":…}`: nothing up to there is left, although no event came    |
//! | `problem`    | none  | a problem: damage in its place, or why the subscription ends             |
//!
//! The place is the position, in a virtual stream the number, and `start` where nothing was there yet; a client that comes back with it in
//! `Last-Event-ID` goes on behind it.
//! Relies on: the store's subscriptions, which hold nothing for a client that does not read. Never: takes an item before there is room
//! to send it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use factum_store::{Kind, Source, StoreError, StreamState, SubscribeFrom, SubscribeRequest};
use factum_types::{Position, StreamName};
use futures_util::{FutureExt, stream};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::format::{Format, Shown};
use super::page::{Viewer, within};
use super::problem::Problem;
use super::query::{Given, digits, number, wrong};
use super::source::{self, FILTERS};
use crate::auth::{Caller, Operation};
use crate::links::LinksAfter;
use crate::log::metadata;
use crate::metrics::Counted;
use crate::node::Node;
use crate::streams::{Item, Items};

/// The place before everything.
const START: &str = "start";
/// What a client sends that comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A chunk with this many bytes takes no more items; its last one may go beyond.
const CHUNK_BYTES_MAX: usize = 32 << 10;
/// What a subscription begins with: how long a client waits before it comes back, in milliseconds.
const BEGIN: &[u8] = b"retry: 1000\n\n";
/// What is sent when there is nothing to say, so that both sides notice when the other is gone.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Behind what a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Start,
    End,
    Place(u64),
}

/// What is followed: one stream, or across streams.
enum What {
    Stream(StreamName),
    Across(Source),
}

/// Follows a stream, or what filters leave of all events; what is appended once the answer's headers are there is missed by nobody.
pub(super) async fn subscribe(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = [&["stream", "after", "format"][..], &FILTERS[..]].concat();
    let given = Given::parse(uri.query(), &known)?;
    let what = What::of(&given)?;
    match &what {
        What::Stream(stream) => {
            source::may(&node, &caller, Operation::Subscribe, Some(stream)).await?;
        }
        What::Across(_) => source::may(&node, &caller, Operation::SubscribeAll, None).await?,
    }
    let after = After::of(&given, &headers)?;
    let format = Format::of_event(&given)?;
    let asked = match after {
        After::Place(place) => Some(place),
        After::Start | After::End => None,
    };
    let items = within(&node, items(&node, &what, after)).await?;
    let following = Following::new(node, caller, (items, asked), format);
    let chunks = stream::unfold(following, async |mut following| {
        let chunk = following.next().await?;
        Some((Ok::<_, Infallible>(chunk), following))
    });
    let kind = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((kind, Body::from_stream(chunks)).into_response())
}

impl What {
    fn of(given: &Given) -> Result<Self, Problem> {
        let across = source::filtered(given)?;
        match (given.one("stream")?, across) {
            (None, across) => Ok(Self::Across(across)),
            (Some(text), Source::All) => StreamName::new(text)
                .map(Self::Stream)
                .map_err(|error| wrong("stream", error)),
            (Some(_), _) => Err(wrong("stream", "a stream cannot be filtered")),
        }
    }
}

impl After {
    /// The header is later than the address, which a client keeps when it comes back.
    fn of(given: &Given, headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(value) = headers.get(LAST_EVENT_ID) {
            let text = String::from_utf8_lossy(value.as_bytes());
            if text == START {
                return Ok(Self::Start);
            }
            return digits(&text).map(Self::Place).ok_or_else(|| {
                Problem::invalid(format!(
                    "header Last-Event-ID: {text:?} is no id of an event here"
                ))
            });
        }
        match given.one("after")? {
            None | Some(START) => Ok(Self::Start),
            Some("end") => Ok(Self::End),
            Some(text) => Ok(Self::Place(number(
                "after",
                text,
                "start, end or a number",
            )?)),
        }
    }
}

/// What is followed, from there on; a stream that is closed for ever is an answer by itself, or clients would come back for ever.
async fn items(node: &Node, what: &What, after: After) -> Result<Items, Problem> {
    let source = match what {
        What::Across(source) => source.clone(),
        What::Stream(stream) => {
            if let Some(links) = node.links.named(stream) {
                let after = match after {
                    After::Start => LinksAfter::Start,
                    After::End => LinksAfter::End,
                    After::Place(number) => LinksAfter::Number(number),
                };
                let links = links.subscribe(after).await;
                let links = links.map_err(|error| Problem::store(&error))?;
                return Ok(Items::Links(Box::new(links)));
            }
            let refused =
                |error: &StoreError| Problem::store(error).with("stream", stream.as_str());
            let open = metadata::must_be_open(&*node.store, stream).await;
            open.map_err(|error| refused(&error))?;
            let info = node.store.stream_info(stream.clone()).await;
            if info.is_ok_and(|info| info.state == StreamState::Tombstoned) {
                let text = format!("stream {stream} was closed for ever");
                let error = StoreError::new(Kind::Deleted, text);
                return Err(refused(&error));
            }
            Source::Stream(stream.clone())
        }
    };
    let request = SubscribeRequest::new(source).from(match after {
        After::Start => SubscribeFrom::Start,
        After::End => SubscribeFrom::End,
        After::Place(position) => SubscribeFrom::After(Position::from_raw(position)),
    });
    request.validate().map_err(|error| Problem::store(&error))?;
    Ok(Items::Events(node.store.subscribe(request)))
}

/// One subscription, between two chunks.
struct Following {
    viewer: Viewer,
    items: Items,
    /// The place behind which it began, if one was given. Whoever comes back is not to be sent what is before it.
    asked: Option<u64>,
    format: Format,
    /// What is to be sent next.
    chunk: Vec<u8>,
    keep_alive: Interval,
    /// Ready when the server stops.
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    _open: Counted,
}

/// What a subscription waits for.
enum Next {
    Item(Option<Result<Item, StoreError>>),
    Quiet,
    Stop,
}

impl Following {
    fn new(
        node: Arc<Node>,
        caller: Caller,
        (items, asked): (Items, Option<u64>),
        format: Format,
    ) -> Self {
        let mut keep_alive = interval(node.options.limits.keep_alive);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        keep_alive.reset();
        let watched = Arc::clone(&node);
        Self {
            items,
            asked,
            format,
            chunk: BEGIN.to_vec(),
            keep_alive,
            stopping: Box::pin(async move { watched.stopping().await }),
            is_over: false,
            _open: Counted::new(&node.metrics.subscriptions),
            viewer: Viewer { node, caller },
        }
    }

    /// The next chunk: all that is ready, up to a size; waits until there is something.
    async fn next(&mut self) -> Option<Bytes> {
        if self.chunk.is_empty() && !self.is_over {
            let next = tokio::select! {
                biased;
                () = &mut self.stopping => Next::Stop,
                item = self.items.next() => Next::Item(item),
                _ = self.keep_alive.tick() => Next::Quiet,
            };
            match next {
                Next::Stop => self.end(&Problem::stopping()),
                Next::Quiet => self.chunk.extend_from_slice(KEEP_ALIVE),
                Next::Item(item) => {
                    self.take(item).await;
                    self.gather().await;
                }
            }
            self.keep_alive.reset();
        }
        let chunk = std::mem::take(&mut self.chunk);
        (!chunk.is_empty()).then(|| chunk.into())
    }

    async fn gather(&mut self) {
        while !self.is_over && self.chunk.len() < CHUNK_BYTES_MAX {
            let Some(item) = self.items.next().now_or_never() else {
                break;
            };
            self.take(item).await;
        }
    }

    async fn take(&mut self, item: Option<Result<Item, StoreError>>) {
        let shown = match item {
            None => return self.end(&Problem::unavailable("the store ended the subscription")),
            Some(Err(error)) => Err(error),
            Some(Ok(Item::Event(event))) => {
                let place = event.position.raw();
                Ok((place, Shown::from(*event)))
            }
            Some(Ok(Item::Link(link))) => {
                let number = link.number;
                self.viewer.show(*link).await.map(|shown| (number, shown))
            }
            Some(Ok(Item::CaughtUp(at, number))) => {
                // Of a virtual stream the number counts, and the position is not known.
                let at = at.map(Position::raw);
                let place = at.or(number).max(self.asked);
                // Without a place, a client that asked for the end would miss what comes while it is away.
                let id = place.map_or_else(|| START.to_owned(), |place| place.to_string());
                return self.place("caught-up", at, Some(&id));
            }
            Some(Ok(Item::Checkpoint(at))) => {
                let id = at.raw().to_string();
                let id = matches!(self.items, Items::Events(_)).then_some(id.as_str());
                return self.place("checkpoint", Some(at.raw()), id);
            }
        };
        match shown {
            Ok((place, shown)) => self.event(place, &shown),
            Err(error) if error.kind() == Kind::Corrupt => {
                self.say("problem", None, &Problem::store(&error).text());
            }
            Err(error) => self.end(&Problem::store(&error)),
        }
    }

    fn event(&mut self, place: u64, shown: &Shown) {
        self.chunk.extend(format!("id: {place}\ndata: ").bytes());
        self.format.write(&mut self.chunk, shown);
        self.chunk.extend_from_slice(b"\n\n");
        self.viewer.node.metrics.read_events.inc();
    }

    fn place(&mut self, event: &str, position: Option<u64>, id: Option<&str>) {
        let position = position.map_or_else(|| "null".to_owned(), |at| at.to_string());
        self.say(event, id, &format!("{{\"position\":{position}}}"));
    }

    /// Says something that is no event; `data` is on one line.
    fn say(&mut self, event: &str, id: Option<&str>, data: &str) {
        self.chunk.extend(format!("event: {event}\n").bytes());
        if let Some(id) = id {
            self.chunk.extend(format!("id: {id}\n").bytes());
        }
        self.chunk.extend(format!("data: {data}\n\n").bytes());
    }

    fn end(&mut self, why: &Problem) {
        self.say("problem", None, &why.text());
        self.is_over = true;
    }
}

//! Pages of events: of a stream, or across streams.
//!
//! A page is made whole before it is sent, so that its header can say where the next one begins; that is why it is small. A client
//! that does not read holds one page, and no more. Relies on: the order of the store. Never: leaves out what it cannot read without
//! saying so: damage ends a page, and is answered by itself.

use std::future::ready;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue, LINK, VARY};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use factum_store::{Direction, EventStream, Kind, ReadFrom, ReadRequest, Source, StoreError};
use factum_types::{Position, Revision, StreamName};
use futures_util::{StreamExt, stream};

use super::format::{Format, Shown};
use super::problem::Problem;
use super::query::{Given, encoded, number, wrong};
use super::source::{self, FILTERS};
use crate::auth::{Caller, Operation};
use crate::links::{Link, LinkReader, LinkStream, LinksFrom};
use crate::log::metadata;
use crate::metrics::Metrics;
use crate::node::Node;

/// Events of a page, where the request does not say, and at most.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 4_096;
/// A page with this many bytes takes no more; its last event may go beyond.
const PAGE_BYTES_MAX: usize = 128 << 10;

/// The parameters of every page.
const PAGE: [&str; 4] = ["from", "limit", "direction", "format"];

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Start,
    End,
    Number(u64),
}

/// What is asked for.
struct Wanted {
    given: Given,
    /// The path of the next page.
    path: String,
    start: From,
    direction: Direction,
    limit: u64,
    format: Format,
}

/// A stream, oldest or newest first.
pub(super) async fn stream(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = source::stream(path)?;
    source::may(&node, &caller, Operation::ReadStream, Some(&stream)).await?;
    let path = format!("/streams/{}", encoded(stream.as_str()));
    let wanted = Wanted::parse(path, uri.query(), &PAGE, &headers)?;
    let viewer = Viewer {
        node: Arc::clone(&node),
        caller,
    };
    let filling = async {
        if let Some(links) = node.links.named(&stream) {
            return links_of(viewer, &wanted, &stream, &links).await;
        }
        let ready = metadata::before_read(&*node.store, &stream, node.new_id()).await;
        ready.map_err(|error| Problem::store(&error))?;
        let request = ReadRequest {
            from: match wanted.start {
                From::Start => ReadFrom::Start,
                From::End => ReadFrom::End,
                From::Number(number) => ReadFrom::Revision(Revision::new(number)),
            },
            ..wanted.request(Source::Stream(stream.clone()))
        };
        let mut events = Events::Stored(node.store.read(request));
        let there = there(&node, &stream);
        wanted
            .page(&mut events, Order::Revision, &node.metrics, there)
            .await
    };
    within(&node, filling)
        .await
        .map_err(|problem| problem.with("stream", stream.as_str()))
}

/// Events across streams, filtered or not.
pub(super) async fn all(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    source::may(&node, &caller, Operation::ReadAll, None).await?;
    let known = [&PAGE[..], &FILTERS[..]].concat();
    let wanted = Wanted::parse("/all".to_owned(), uri.query(), &known, &headers)?;
    let request = ReadRequest {
        from: match wanted.start {
            From::Start => ReadFrom::Start,
            From::End => ReadFrom::End,
            From::Number(number) => ReadFrom::Position(Position::from_raw(number)),
        },
        ..wanted.request(source::filtered(&wanted.given)?)
    };
    let mut events = Events::Stored(node.store.read(request));
    within(
        &node,
        wanted.page(&mut events, Order::Position, &node.metrics, ready(None)),
    )
    .await
}

/// What takes no longer than an answer may.
///
/// # Errors
/// As it has, or it takes longer.
pub(super) async fn within<T>(
    node: &Node,
    answer: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let time = node.options.limits.answer;
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Problem::late(time)),
    }
}

/// A page of a stream that is made of the index; it is not there when it never had an event.
async fn links_of(
    viewer: Viewer,
    wanted: &Wanted,
    stream: &StreamName,
    reader: &LinkReader,
) -> Result<Response, Problem> {
    let from = match wanted.start {
        From::Start => LinksFrom::Start,
        From::End => LinksFrom::End,
        From::Number(number) => LinksFrom::Number(number),
    };
    let told = |error: StoreError| Problem::store(&error);
    let mut links = reader.read(from, wanted.direction, Some(wanted.limit + 1));
    let first = links.next().await;
    // Whether there is any is asked only when it is not plain: all of the stream is counted for it.
    if first.is_none() && reader.last_number().await.map_err(told)?.is_none() {
        let text = format!("stream {stream} has no events");
        return Err(Problem::store(&StoreError::new(Kind::NotFound, text)));
    }
    let node = Arc::clone(&viewer.node);
    let links = stream::iter(first).chain(links);
    let mut events = Events::Made(Box::pin(links), viewer);
    let page = wanted.page(&mut events, Order::Number, &node.metrics, ready(None));
    page.await
}

/// The first and the last revision of what a stream keeps, where they are known.
async fn there(node: &Node, stream: &StreamName) -> Option<(u64, u64)> {
    let info = node.store.stream_info(stream.clone()).await.ok()?;
    let last = info.last_revision?.number();
    let kept = info.settings.max_count.unwrap_or(u64::MAX);
    let newest = last.saturating_add(1).saturating_sub(kept);
    let from = info.settings.truncate_before.map_or(0, Revision::number);
    Some((newest.max(from), last))
}

/// What a page goes on by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Position,
    Revision,
    /// The number in a virtual stream.
    Number,
}

impl Order {
    fn place(self, shown: &Shown) -> u64 {
        match (self, &shown.link) {
            (Self::Position, _) => shown.event.position.raw(),
            (Self::Number, Some((_, number))) => *number,
            _ => shown.event.revision.number(),
        }
    }
}

/// Events as they are read.
enum Events {
    Stored(EventStream),
    Made(LinkStream, Viewer),
}

impl Events {
    async fn next(&mut self) -> Option<Result<Shown, StoreError>> {
        match self {
            Self::Stored(events) => Some(events.next().await?.map(Shown::from)),
            Self::Made(links, viewer) => match links.next().await? {
                Ok(link) => Some(viewer.show(link).await),
                Err(error) => Some(Err(error)),
            },
        }
    }
}

impl Wanted {
    fn parse(
        path: String,
        query: Option<&str>,
        known: &[&str],
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let given = Given::parse(query, known)?;
        let direction = match given.one("direction")? {
            None | Some("forward") => Direction::Forward,
            Some("backward") => Direction::Backward,
            Some(other) => {
                let what = format!("{other:?} is neither forward nor backward");
                return Err(wrong("direction", what));
            }
        };
        let start = match (given.one("from")?, direction) {
            (None | Some("start"), Direction::Forward) => From::Start,
            (None | Some("end"), Direction::Backward) | (Some("end"), Direction::Forward) => {
                From::End
            }
            // Event 0 is where a stream starts, and a page includes it whichever way it goes, if it is still there.
            (Some("start"), Direction::Backward) => From::Number(0),
            (Some(text), _) => From::Number(number("from", text, "start, end or a number")?),
        };
        let limit = match given.one("limit")? {
            None => LIMIT,
            Some(text) => number("limit", text, "a number")?,
        };
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(wrong(
                "limit",
                format!("{limit} is not from 1 to {LIMIT_MAX}"),
            ));
        }
        let format = Format::of_page(&given, headers)?;
        Ok(Self {
            given,
            path,
            start,
            direction,
            limit,
            format,
        })
    }

    /// One more event than wanted: whether there is a next page.
    fn request(&self, source: Source) -> ReadRequest {
        ReadRequest {
            direction: self.direction,
            limit: Some(self.limit + 1),
            ..ReadRequest::forward(source)
        }
    }

    async fn page(
        &self,
        events: &mut Events,
        order: Order,
        metrics: &Metrics,
        there: impl Future<Output = Option<(u64, u64)>>,
    ) -> Result<Response, Problem> {
        let (mut page, mut count, mut last) = (Vec::new(), 0, None);
        let mut more = false;
        while let Some(item) = events.next().await {
            let shown = match (item, last) {
                (Ok(shown), _) => shown,
                (Err(error), None) => return Err(self.unreadable(&error, order, there).await),
                (Err(_), Some(_)) => {
                    // The next page begins with it, and says so.
                    more = true;
                    break;
                }
            };
            if count == usize::try_from(self.limit).unwrap_or(usize::MAX)
                || page.len() >= PAGE_BYTES_MAX
            {
                more = true;
                break;
            }
            self.format.add(&mut page, count, &shown);
            last = Some(order.place(&shown));
            count += 1;
        }
        self.format.end(&mut page, count);
        metrics
            .read_events
            .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        let next = last
            .filter(|_| more)
            .and_then(|last| self.behind(last, last));
        let kind = HeaderValue::from_static(self.format.content_type());
        let mut response = ([(CONTENT_TYPE, kind)], page).into_response();
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("accept"));
        headers.extend(
            next.and_then(|next| self.link(next))
                .map(|link| (LINK, link)),
        );
        Ok(response)
    }

    /// The place behind those from `first` to `last`, whichever way the page goes.
    const fn behind(&self, first: u64, last: u64) -> Option<u64> {
        match self.direction {
            Direction::Forward => last.checked_add(1),
            Direction::Backward => first.checked_sub(1),
        }
    }

    /// The place behind the one that the page begins with, where what is there goes from a first place to a last.
    fn behind_start(&self, there: Option<(u64, u64)>) -> Option<u64> {
        let at = match (self.start, self.direction, there) {
            (From::Number(number), Direction::Forward, Some((first, _))) => number.max(first),
            (From::Number(number), Direction::Backward, Some((_, last))) => number.min(last),
            (From::Number(number), _, None) => number,
            (From::Start, _, there) => there.map_or(0, |(first, _)| first),
            (From::End, _, there) => there?.1,
        };
        self.behind(at, at)
    }

    fn link(&self, next: u64) -> Option<HeaderValue> {
        let target = self.given.from(&self.path, next);
        HeaderValue::from_str(&format!("<{target}>; rel=\"next\"")).ok()
    }

    /// The first event of a page cannot be read; where to go on behind it, if that is known.
    async fn unreadable(
        &self,
        error: &StoreError,
        order: Order,
        there: impl Future<Output = Option<(u64, u64)>>,
    ) -> Problem {
        let problem = Problem::store(error);
        let Some(damage) = error.as_damage() else {
            return problem;
        };
        let next = match order {
            Order::Position => self.behind(damage.first.raw(), damage.last.raw()),
            Order::Revision | Order::Number => self.behind_start(there.await),
        };
        let Some(next) = next else { return problem };
        let target = self.given.from(&self.path, next);
        let link = self.link(next).into_iter();
        link.fold(problem.with("next", target), |problem, link| {
            problem.header(LINK, link)
        })
    }
}

/// Shows links to one caller. Cloned by reference.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub(super) node: Arc<Node>,
    pub(super) caller: Caller,
}

impl Viewer {
    /// What a link points to, with the place of the link; the link itself where the caller may not read that, or it is gone.
    ///
    /// # Errors
    /// It cannot be found out who may read it, or whether it is there.
    pub(super) async fn show(&self, link: Link) -> Result<Shown, StoreError> {
        let auth = &self.node.auth;
        let shown = auth.may_read(&self.caller, &link.target.stream).await?
            && !self.node.links.is_gone(&link.target).await?;
        let event = (!shown).then(|| link.as_event());
        let Link {
            stream,
            number,
            target,
        } = link;
        Ok(Shown {
            event: event.unwrap_or(target),
            link: Some((stream, number)),
        })
    }
}

#[cfg(test)]
mod tests;

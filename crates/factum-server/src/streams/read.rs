//! Reads that end: of a stream, or of `$all`.

use std::sync::Arc;

use factum_proto::kurrent::streams::ReadResp;
use factum_proto::kurrent::streams::read_resp::{Content, StreamNotFound};
use factum_store::{EventStream, Kind, ReadRequest, Source, StoreError};
use factum_types::{RecordKind, RecordedEvent, StreamName};
use futures_util::{StreamExt, stream};
use tonic::Status;

use super::Answers;
use super::links::Viewer;
use super::request::{Filtered, From, Target, Wanted};
use crate::auth::Caller;
use crate::links::LinkReader;
use crate::log::metadata;
use crate::node::Node;
use crate::wire::{errors, identifier};

/// An event of more bytes is not kept for a client that may never read.
const LARGE_BYTES: usize = 64 << 10;

/// Reads at most `count` events.
///
/// # Errors
/// The stream has a tombstone, or its first event cannot be read; a stream that is not there is an answer.
pub(super) async fn read(
    node: Arc<Node>,
    caller: Caller,
    wanted: Wanted,
    count: u64,
) -> Result<Answers<ReadResp>, Status> {
    let counted = Arc::clone(&node);
    let viewer = Viewer {
        node: Arc::clone(&node),
        caller,
        shape: wanted.shape,
        resolve: wanted.resolve_links,
    };
    let answers = match wanted.target {
        Target::Stream(ref stream) => {
            let stream = stream.clone();
            if let Some(links) = node.links.named(&stream) {
                return read_links(viewer, &wanted, &stream, &links, count).await;
            }
            read_stream(viewer, wanted, stream, count).await?
        }
        Target::All(ref filter) => {
            let filter = filter.clone();
            read_all(viewer, &wanted, filter, count)
        }
    };
    Ok(Box::pin(answers.inspect(move |answer| {
        let event = |answer: &ReadResp| matches!(answer.content, Some(Content::Event(_)));
        if answer.as_ref().is_ok_and(event) {
            counted.metrics.read_events.inc();
        }
    })))
}

pub(super) const fn answer(content: Content) -> ReadResp {
    ReadResp {
        content: Some(content),
    }
}

async fn read_stream(
    viewer: Viewer,
    wanted: Wanted,
    stream: StreamName,
    count: u64,
) -> Result<Answers<ReadResp>, Status> {
    let node = &viewer.node;
    let refused = |error: &StoreError| errors::store(error, Some(&stream));
    let ready = metadata::before_read(&*node.store, &stream, node.new_id()).await;
    ready.map_err(|error| refused(&error))?;
    let request = ReadRequest {
        source: Source::Stream(stream.clone()),
        from: wanted.from.read(wanted.direction),
        direction: wanted.direction,
        limit: Some(count),
        control: false,
    };
    let mut events = node.store.read(request.clone());
    let first = match events.next().await {
        Some(Err(error)) if error.kind() == Kind::NotFound => return Ok(not_found(&stream)),
        Some(Err(error)) => return Err(refused(&error)),
        Some(Ok(event)) => Some(event),
        None => None,
    };
    let (before, after) = if wanted.positions {
        positions(node, &wanted, &stream, first.as_ref()).await?
    } else {
        (None, None)
    };
    // It waits until the client takes something. A large one is read again then.
    let (first, events) = match first {
        Some(event) if event.data.len() > LARGE_BYTES => (None, node.store.read(request)),
        first => (first, events),
    };
    let events = resolved(viewer, Some(stream), first, events);
    let said = |content: Option<Content>| stream::iter(content.map(|content| Ok(answer(content))));
    Ok(Box::pin(said(before).chain(events).chain(said(after))))
}

/// Reads a stream that is made of the index.
async fn read_links(
    viewer: Viewer,
    wanted: &Wanted,
    stream: &StreamName,
    reader: &LinkReader,
    count: u64,
) -> Result<Answers<ReadResp>, Status> {
    let told = |error: &StoreError| errors::store(error, None);
    let mut links = reader.read(wanted.from.links(), wanted.direction, Some(count));
    let first = links
        .next()
        .await
        .transpose()
        .map_err(|error| told(&error))?;
    let last = if first.is_none() || wanted.positions {
        reader.last_number().await.map_err(|error| told(&error))?
    } else {
        None
    };
    if first.is_none() && last.is_none() {
        return Ok(not_found(stream));
    }
    let events = stream::iter(first.map(Ok)).chain(links).then(move |link| {
        let viewer = viewer.clone();
        async move {
            let told = |error: StoreError| errors::store(&error, None);
            let event = viewer.link(link.map_err(told)?).await.map_err(told)?;
            viewer.node.metrics.read_events.inc();
            Ok(answer(Content::Event(event)))
        }
    });
    let after = last
        .filter(|_| wanted.positions)
        .map(Content::LastStreamPosition);
    let after = stream::iter(after.map(|content| Ok(answer(content))));
    Ok(Box::pin(events.chain(after)))
}

/// Where the stream begins, when that is after where it was asked from, and where it ends.
async fn positions(
    node: &Node,
    wanted: &Wanted,
    stream: &StreamName,
    first: Option<&RecordedEvent>,
) -> Result<(Option<Content>, Option<Content>), Status> {
    let info = node
        .store
        .stream_info(stream.clone())
        .await
        .map_err(|error| errors::store(&error, Some(stream)))?;
    let asked = match wanted.from {
        From::Revision(revision) => revision,
        _ => 0,
    };
    let forward = wanted.direction == factum_store::Direction::Forward;
    let begins = first
        .map(|event| event.revision.number())
        .filter(|begins| forward && *begins > asked)
        .map(Content::FirstStreamPosition);
    let ends = info
        .last_revision
        .map(|last| Content::LastStreamPosition(last.number()));
    Ok((begins, ends))
}

fn not_found(stream: &StreamName) -> Answers<ReadResp> {
    let content = Content::StreamNotFound(StreamNotFound {
        stream_identifier: Some(identifier(stream)),
    });
    Box::pin(stream::iter([Ok(answer(content))]))
}

/// Events one after the other, links followed where that is wanted.
fn resolved(
    viewer: Viewer,
    about: Option<StreamName>,
    first: Option<RecordedEvent>,
    rest: EventStream,
) -> Answers<ReadResp> {
    let events = stream::iter(first.map(Ok)).chain(rest);
    if !viewer.resolve {
        return Box::pin(events.map(move |event| match event {
            Ok(event) => Ok(answer(Content::Event(viewer.shape.event(event)))),
            Err(error) => Err(errors::store(&error, about.as_ref())),
        }));
    }
    Box::pin(events.then(move |event| {
        let (viewer, about) = (viewer.clone(), about.clone());
        async move {
            let told = |error: StoreError| errors::store(&error, about.as_ref());
            let event = viewer.event(event.map_err(told)?).await;
            Ok(answer(Content::Event(event.map_err(told)?)))
        }
    }))
}

fn read_all(
    viewer: Viewer,
    wanted: &Wanted,
    filter: Option<Filtered>,
    count: u64,
) -> Answers<ReadResp> {
    let request = ReadRequest {
        source: Source::All,
        from: wanted.from.read(wanted.direction),
        direction: wanted.direction,
        limit: None,
        control: true,
    };
    let passed = Passed {
        events: viewer.node.store.read(request),
        filter,
        count: 0,
    };
    let events = stream::unfold(passed, async |mut passed| {
        let next = passed.next().await?;
        Some((next, passed))
    });
    let answers = events
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .then(move |event| {
            let viewer = viewer.clone();
            async move {
                let event = viewer
                    .event(event?)
                    .await
                    .map_err(|error| errors::store(&error, None))?;
                Ok(answer(Content::Event(event)))
            }
        });
    Box::pin(answers)
}

/// Events of `$all` that are shown, and how many others came before.
struct Passed {
    events: EventStream,
    filter: Option<Filtered>,
    count: u32,
}

impl Passed {
    async fn next(&mut self) -> Option<Result<RecordedEvent, Status>> {
        loop {
            let event = match self.events.next().await? {
                Ok(event) => event,
                Err(error) => return Some(Err(errors::store(&error, None))),
            };
            if let Some(shown) = shown(&event, self.filter.as_ref()) {
                return Some(shown.map(|()| event));
            }
            pass(&mut self.count).await;
        }
    }
}

/// Counts an event that nobody wants; after some, others are given a chance to run.
pub(super) async fn pass(count: &mut u32) {
    /// A store that has them at hand gives events without ever waiting.
    const PASSED_MAX: u32 = 1_024;
    *count += 1;
    if *count >= PASSED_MAX {
        *count = 0;
        tokio::task::yield_now().await;
    }
}

/// Whether `$all` shows an event: of control records only tombstones, and of those only what the filter wants.
pub(super) fn shown(
    event: &RecordedEvent,
    filter: Option<&Filtered>,
) -> Option<Result<(), Status>> {
    if !matches!(event.kind, RecordKind::Event | RecordKind::Tombstone) {
        return None;
    }
    match filter.map(|filter| filter.wants(event)) {
        Some(Ok(false)) => None,
        Some(Err(status)) => Some(Err(status)),
        Some(Ok(true)) | None => Some(Ok(())),
    }
}

//! Reads and subscriptions.

use factum_store::{
    Direction, Kind, ReadFrom, ReadRequest, Source, StoreError, SubscribeFrom, SubscribeRequest,
    SubscriptionItem,
};
use factum_types::{Position, RecordedEvent, Revision};

use super::event::{category, stream_name};
use super::{given, unfit, unheard_of};
use crate::v1;

impl TryFrom<Source> for v1::Source {
    type Error = StoreError;

    fn try_from(source: Source) -> Result<Self, StoreError> {
        use v1::source::{All, Source as Message};
        let source = match source {
            Source::All => Message::All(All {}),
            Source::Stream(stream) => Message::Stream(stream.as_str().to_owned()),
            Source::Category(category) => Message::Category(category.as_str().to_owned()),
            Source::Query(query) => Message::Query(query.into()),
            _ => return Err(unheard_of("source of events")),
        };
        Ok(Self {
            source: Some(source),
        })
    }
}

fn source(message: Option<v1::Source>) -> Result<Source, StoreError> {
    use v1::source::Source as Message;
    let source = message.and_then(|message| message.source);
    Ok(match given(source, "source of events")? {
        Message::All(_) => Source::All,
        Message::Stream(text) => Source::Stream(stream_name(&text)?),
        Message::Category(text) => Source::Category(category(&text)?),
        Message::Query(query) => Source::Query(query.try_into()?),
    })
}

impl TryFrom<ReadRequest> for v1::ReadRequest {
    type Error = StoreError;

    fn try_from(request: ReadRequest) -> Result<Self, StoreError> {
        use v1::read_request::{End, From, Start};
        let from = match request.from {
            ReadFrom::Start => From::Start(Start {}),
            ReadFrom::End => From::End(End {}),
            ReadFrom::Position(position) => From::Position(position.raw()),
            ReadFrom::Revision(revision) => From::Revision(revision.number()),
            _ => return Err(unheard_of("start of a read")),
        };
        let direction = match request.direction {
            Direction::Forward => v1::Direction::Forward,
            Direction::Backward => v1::Direction::Backward,
        };
        Ok(Self {
            source: Some(request.source.try_into()?),
            from: Some(from),
            direction: direction.into(),
            limit: request.limit,
            control: request.control,
        })
    }
}

impl TryFrom<v1::ReadRequest> for ReadRequest {
    type Error = StoreError;

    fn try_from(request: v1::ReadRequest) -> Result<Self, StoreError> {
        use v1::read_request::From;
        let direction = match v1::Direction::try_from(request.direction).map_err(unfit)? {
            v1::Direction::Forward => Direction::Forward,
            v1::Direction::Backward => Direction::Backward,
        };
        Ok(Self {
            source: source(request.source)?,
            from: match request.from {
                None | Some(From::Start(_)) => ReadFrom::Start,
                Some(From::End(_)) => ReadFrom::End,
                Some(From::Position(raw)) => ReadFrom::Position(Position::from_raw(raw)),
                Some(From::Revision(number)) => ReadFrom::Revision(Revision::new(number)),
            },
            direction,
            limit: request.limit,
            control: request.control,
        })
    }
}

impl TryFrom<SubscribeRequest> for v1::SubscribeRequest {
    type Error = StoreError;

    fn try_from(request: SubscribeRequest) -> Result<Self, StoreError> {
        use v1::subscribe_request::{End, From, Start};
        let from = match request.from {
            SubscribeFrom::Start => From::Start(Start {}),
            SubscribeFrom::End => From::End(End {}),
            SubscribeFrom::After(position) => From::After(position.raw()),
            SubscribeFrom::AfterRevision(revision) => From::AfterRevision(revision.number()),
            _ => return Err(unheard_of("start of a subscription")),
        };
        Ok(Self {
            source: Some(request.source.try_into()?),
            from: Some(from),
            control: request.control,
        })
    }
}

impl TryFrom<v1::SubscribeRequest> for SubscribeRequest {
    type Error = StoreError;

    fn try_from(request: v1::SubscribeRequest) -> Result<Self, StoreError> {
        use v1::subscribe_request::From;
        Ok(Self {
            source: source(request.source)?,
            from: match request.from {
                None | Some(From::Start(_)) => SubscribeFrom::Start,
                Some(From::End(_)) => SubscribeFrom::End,
                Some(From::After(raw)) => SubscribeFrom::After(Position::from_raw(raw)),
                Some(From::AfterRevision(number)) => {
                    SubscribeFrom::AfterRevision(Revision::new(number))
                }
            },
            control: request.control,
        })
    }
}

impl TryFrom<Result<RecordedEvent, StoreError>> for v1::ReadItem {
    type Error = StoreError;

    /// An event, or damage in its place; any other error does not belong into a message.
    fn try_from(item: Result<RecordedEvent, StoreError>) -> Result<Self, StoreError> {
        use v1::read_item::Item;
        let item = match item {
            Ok(event) => Item::Event(event.try_into()?),
            Err(error) if error.kind() == Kind::Corrupt => Item::Damaged((&error).into()),
            Err(error) => return Err(error),
        };
        Ok(Self { item: Some(item) })
    }
}

/// What stands in the place of an item of a read.
///
/// # Errors
/// The damage, or [`Kind::Invalid`] for what is no item.
pub fn read_item(item: v1::ReadItem) -> Result<RecordedEvent, StoreError> {
    use v1::read_item::Item;
    match given(item.item, "item of a read")? {
        Item::Event(event) => event.try_into(),
        Item::Damaged(error) => Err(error.into()),
    }
}

impl TryFrom<Result<SubscriptionItem, StoreError>> for v1::SubscriptionItem {
    type Error = StoreError;

    /// An item, or damage in its place; any other error does not belong into a message.
    fn try_from(item: Result<SubscriptionItem, StoreError>) -> Result<Self, StoreError> {
        use v1::subscription_item::{CaughtUp, Item};
        let item = match item {
            Ok(SubscriptionItem::Event(event)) => Item::Event((*event).try_into()?),
            Ok(SubscriptionItem::CaughtUp(position)) => Item::CaughtUp(CaughtUp {
                position: position.map(Position::raw),
            }),
            Ok(SubscriptionItem::Checkpoint(position)) => Item::Checkpoint(position.raw()),
            Ok(_) => return Err(unheard_of("item of a subscription")),
            Err(error) if error.kind() == Kind::Corrupt => Item::Damaged((&error).into()),
            Err(error) => return Err(error),
        };
        Ok(Self { item: Some(item) })
    }
}

/// What stands in the place of an item of a subscription.
///
/// # Errors
/// The damage, or [`Kind::Invalid`] for what is no item.
pub fn subscription_item(item: v1::SubscriptionItem) -> Result<SubscriptionItem, StoreError> {
    use v1::subscription_item::Item;
    Ok(match given(item.item, "item of a subscription")? {
        Item::Event(event) => SubscriptionItem::Event(Box::new(event.try_into()?)),
        Item::CaughtUp(caught_up) => {
            SubscriptionItem::CaughtUp(caught_up.position.map(Position::from_raw))
        }
        Item::Checkpoint(position) => SubscriptionItem::Checkpoint(Position::from_raw(position)),
        Item::Damaged(error) => return Err(error.into()),
    })
}

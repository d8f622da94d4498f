//! What processes and reactors listen to: the events of one type or of several, wherever they are stored.
//!
//! Relies on: the names that events are stored under, and the index over them. Never: reads the notes of the framework as an input.

use factum_types::{EventType, QueryItem, RecordedEvent};

use crate::codec::tag;
use crate::error::Error;
use crate::event::{self, Event};
use crate::note::Note;
use crate::versions::RawStep;

/// Events that something listens to. Every [`Event`] is such, alone; [`inputs!`](crate::inputs!) puts several together.
///
/// ```
/// use factum_framework::Inputs;
/// # use factum_framework::Event;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # enum OrderEvent {
/// #     #[event(name = "OrderPlaced")]
/// #     Placed { #[tag] customer: String },
/// #     #[event(name = "OrderPaid")]
/// #     Paid { #[tag] customer: String, cents: u64 },
/// # }
///
/// // One type of event, or an enum of several made by `inputs!`.
/// assert_eq!(OrderEvent::names(), ["OrderPaid", "OrderPlaced"]);
/// ```
pub trait Inputs: Sized + Clone + Send + Sync + 'static {
    /// The names that the events are stored under.
    fn names() -> Vec<&'static str>;

    /// What a stored event is read as; nothing when it is none of these, or when raw steps make nothing of it.
    ///
    /// # Errors
    /// [`Kind::Decode`](crate::Kind::Decode), naming stream and revision.
    fn read(event: &RecordedEvent) -> Result<Vec<Self>, Error>;
}

impl<E: Event> Inputs for E {
    fn names() -> Vec<&'static str> {
        let kinds = E::KINDS.iter().map(|kind| kind.name);
        let mut names: Vec<_> = kinds.chain(E::STEPS.iter().map(RawStep::name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn read(event: &RecordedEvent) -> Result<Vec<Self>, Error> {
        Ok(match event::read(event)? {
            event::Events::One(event) => vec![event],
            event::Events::Many(events) => events,
        })
    }
}

/// Makes an enum of several types of events, to listen to all of them.
///
/// An event is read as the first of the types that knows its name.
///
/// ```
/// use factum_framework::{Event, Inputs, inputs};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "OrderPlaced")]
/// struct Placed { total: u64 }
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "PaymentReceived")]
/// struct Paid { amount: u64 }
///
/// inputs! {
///     /// What fulfilment listens to.
///     pub enum Heard { Placed(Placed), Paid(Paid) }
/// }
///
/// assert_eq!(Heard::names(), ["OrderPlaced", "PaymentReceived"]);
/// ```
#[macro_export]
macro_rules! inputs {
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident { $($variant:ident($event:ty)),+ $(,)? }) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        $visibility enum $name {
            $(
                #[doc = concat!("An event of `", stringify!($event), "`.")]
                $variant($event),
            )+
        }

        impl $crate::Inputs for $name {
            fn names() -> Vec<&'static str> {
                let mut names = Vec::new();
                $(names.extend(<$event as $crate::Inputs>::names());)+
                names.sort_unstable();
                names.dedup();
                names
            }

            fn read(event: &$crate::RecordedEvent) -> Result<Vec<Self>, $crate::Error> {
                $(
                    if <$event as $crate::Inputs>::names().contains(&event.event_type.as_str()) {
                        let read = <$event as $crate::Inputs>::read(event)?;
                        return Ok(read.into_iter().map(Self::$variant).collect());
                    }
                )+
                Ok(Vec::new())
            }
        }
    };
}

/// A query for events of these names, with this tag.
pub(crate) fn item<'a>(
    names: impl IntoIterator<Item = &'a str>,
    with: Option<(&str, &str)>,
) -> Result<QueryItem, Error> {
    let types = names
        .into_iter()
        .map(EventType::new)
        .collect::<Result<_, _>>()?;
    let tags = with
        .into_iter()
        .map(|(key, value)| tag(key, value))
        .collect::<Result<_, _>>()?;
    Ok(QueryItem { types, tags })
}

/// The events that something listens to, in queries of a size that stores take.
pub(crate) fn items<I: Inputs>() -> Result<Vec<QueryItem>, Error> {
    let names = I::names();
    if names.is_empty() {
        return Err(Error::invalid("the inputs name no type of event"));
    }
    names
        .chunks(factum_types::limits::QUERY_ITEM_TERMS_MAX)
        .map(|names| item(names.iter().copied(), None))
        .collect()
}

/// What is noted of an input: where it is, which of those that the event was read as, and what that said unless it is long.
pub(crate) fn received(event: &RecordedEvent, index: usize) -> Note {
    /// Longer data are looked up where they are.
    const DATA_BYTES_MAX: usize = 64 << 10;
    let short = event.data.len() <= DATA_BYTES_MAX;
    Note::InputReceived {
        input: event.id.to_string(),
        stream: event.stream.to_string(),
        revision: event.revision.number(),
        event_type: event.event_type.to_string(),
        version: event.schema_version,
        position: Some(event.position.raw()),
        index,
        data: short
            .then(|| serde_json::from_slice(&event.data).ok())
            .flatten(),
        rejected: None,
    }
}

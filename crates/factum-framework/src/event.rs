//! Events: how a Rust type is stored and read.
//!
//! What lives here: the trait [`Event`] and the description of one kind of event. Relies on: serde_json for the data. Never: takes a
//! stored name from the name of a Rust type.

use factum_types::{RecordedEvent, Tag};

use crate::codec::hash;
use crate::error::Error;
use crate::note::is_note;
use crate::versions::{self, RawStep};

/// What is stored of one kind of event: its name, its version, and its shape.
///
/// ```
/// use factum_framework::EventKind;
///
/// const PLACED: EventKind = EventKind::new("OrderPlaced", 2, "{ order: String, coupon?: Option<String> }");
/// assert_eq!(PLACED.line(), "OrderPlaced v2 { order: String, coupon?: Option<String> }");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventKind {
    /// The name it is stored under, for ever.
    pub name: &'static str,
    /// Which version of the shape is written.
    pub version: u32,
    /// The fields and their types as text; a field marked `?` may be missing.
    pub shape: &'static str,
}

impl EventKind {
    /// A kind of event.
    #[must_use]
    pub const fn new(name: &'static str, version: u32, shape: &'static str) -> Self {
        Self {
            name,
            version,
            shape,
        }
    }

    /// The line that stands for it in a lock file.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} v{} {}", self.name, self.version, self.shape)
    }

    /// A number that changes with the name, the version or the shape.
    #[must_use]
    pub fn shape_hash(&self) -> u64 {
        hash(self.line().as_bytes())
    }
}

/// A fact of the domain, or a choice of such facts.
///
/// Derived, or written by hand. This derive
///
/// ```
/// use factum_framework::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// enum OrderEvent {
///     #[event(name = "OrderPlaced")]
///     Placed { #[tag] customer: String, total: u64 },
///     #[event(name = "OrderShipped")]
///     Shipped,
/// }
/// ```
///
/// writes what is written here, but for the enum's serde form, which by hand is chosen freely:
///
/// ```
/// use factum_framework::{Error, Event, EventKind, Tag, codec};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq)]
/// enum OrderEvent {
///     Placed(Placed),
///     Shipped,
/// }
///
/// #[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
/// struct Placed { customer: String, total: u64 }
///
/// impl Event for OrderEvent {
///     const KINDS: &'static [EventKind] = &[
///         EventKind::new("OrderPlaced", 1, "{ customer: String, total: u64 }"),
///         EventKind::new("OrderShipped", 1, "{}"),
///     ];
///     fn kind(&self) -> &'static EventKind {
///         match self { Self::Placed(_) => &Self::KINDS[0], Self::Shipped => &Self::KINDS[1] }
///     }
///     fn tags(&self) -> Result<Vec<Tag>, Error> {
///         match self {
///             Self::Placed(placed) => Ok(vec![codec::tag("customer", &placed.customer)?]),
///             Self::Shipped => Ok(vec![]),
///         }
///     }
///     fn encode(&self) -> Result<Vec<u8>, Error> {
///         match self { Self::Placed(placed) => codec::encode(placed), Self::Shipped => Ok(b"{}".to_vec()) }
///     }
///     fn decode(name: &str, version: u32, data: &[u8]) -> Result<Self, Error> {
///         match (name, version) {
///             ("OrderPlaced", 1) => codec::decode(name, version, data).map(Self::Placed),
///             ("OrderShipped", 1) => Ok(Self::Shipped),
///             _ => Err(Error::unknown_event(name, Self::KINDS)),
///         }
///     }
/// }
///
/// let shipped = OrderEvent::decode("OrderShipped", 1, b"{}")?;
/// assert_eq!(shipped.kind().name, "OrderShipped");
/// # Ok::<(), Error>(())
/// ```
pub trait Event: Sized + Clone + Send + Sync + 'static {
    /// All kinds of events that the type stands for, as they are written now.
    const KINDS: &'static [EventKind];

    /// Steps on raw JSON that bring old events up, before anything is decoded; see [`versions`].
    const STEPS: &'static [RawStep] = &[];

    /// Whether it stands for the framework's own notes too.
    #[doc(hidden)]
    const NOTES: bool = false;

    /// Which of the kinds this is.
    fn kind(&self) -> &'static EventKind;

    /// What it is found by.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): a value cannot be part of a tag.
    fn tags(&self) -> Result<Vec<Tag>, Error> {
        Ok(Vec::new())
    }

    /// The data, as JSON.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): a value has no form in JSON.
    fn encode(&self) -> Result<Vec<u8>, Error>;

    /// The event with this name, version and data, brought up to the newest version.
    ///
    /// # Errors
    /// [`Kind::Decode`](crate::Kind::Decode): a name, a version or a shape that the type does not know.
    fn decode(name: &str, version: u32, data: &[u8]) -> Result<Self, Error>;
}

/// Reads a stored event; raw steps may make many of it, or none. Nothing is made of what the framework noted for itself.
///
/// # Errors
/// [`Kind::Decode`](crate::Kind::Decode), naming stream and revision.
pub fn read<E: Event>(event: &RecordedEvent) -> Result<Events<E>, Error> {
    let name = event.event_type.as_str();
    if !E::NOTES && is_note(name) {
        return Ok(Events::Many(Vec::new()));
    }
    let read = if versions::has_step(E::STEPS, name, event.schema_version) {
        versions::bring_up(E::STEPS, name, event.schema_version, &event.data)
            .and_then(|raws| raws.iter().map(versions::Raw::decode).collect())
            .map(Events::Many)
    } else {
        E::decode(name, event.schema_version, &event.data).map(Events::One)
    };
    read.map_err(|error| error.at(event))
}

/// What one stored event is read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events<E> {
    /// The usual case.
    One(E),
    /// What raw steps made of it: many, or none.
    Many(Vec<E>),
}

impl<E> Events<E> {
    /// The events, in order.
    pub fn as_slice(&self) -> &[E] {
        match self {
            Self::One(event) => std::slice::from_ref(event),
            Self::Many(events) => events,
        }
    }
}

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
    /// The fields that are about a person. A map and nothing else: the fields are stored as they are.
    pub personal: &'static [PersonalField],
}

/// A field that is about a person.
///
/// The derive takes it from `#[personal(subject = customer, category = "contact")]`, gives the event a tag for its subject (see
/// [`SUBJECT_TAG`]), so that all events about someone can be found, and puts the map into the lock file, so that a change of it is seen.
/// **Nothing is hidden or encrypted by it**: the data are stored as they are written.
///
/// ```
/// use factum_framework::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "OrderPlaced")]
/// struct Placed {
///     customer: u64,
///     #[personal(subject = customer, category = "contact")]
///     address: String,
/// }
///
/// let personal = Placed::KINDS[0].personal[0];
/// assert_eq!((personal.field, personal.subject, personal.category), ("address", "customer", "contact"));
/// let placed = Placed { customer: 7, address: "1 Main St".into() };
/// assert_eq!(placed.tags()?[0].as_str(), "factum-subject:7");
/// # Ok::<(), factum_framework::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PersonalField {
    /// The field.
    pub field: &'static str,
    /// The field of the same event that says whom it is about: an id that says nothing by itself.
    pub subject: &'static str,
    /// What kind of data it is, `contact`: what is kept and erased together.
    pub category: &'static str,
}

impl PersonalField {
    /// A field that is about whom another field names.
    #[must_use]
    pub const fn new(field: &'static str, subject: &'static str, category: &'static str) -> Self {
        Self {
            field,
            subject,
            category,
        }
    }
}

/// The key of the tags that say whom an event is about, `factum-subject:7`.
pub const SUBJECT_TAG: &str = "factum-subject";

impl EventKind {
    /// A kind of event.
    #[must_use]
    pub const fn new(name: &'static str, version: u32, shape: &'static str) -> Self {
        Self {
            name,
            version,
            shape,
            personal: &[],
        }
    }

    /// The same with fields that are about a person.
    #[must_use]
    pub const fn with_personal(mut self, personal: &'static [PersonalField]) -> Self {
        self.personal = personal;
        self
    }

    /// The line that stands for it in a lock file.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{} v{} {}", self.name, self.version, self.shape);
        if !self.personal.is_empty() {
            let field = |p: &PersonalField| format!("{}: {} of {}", p.field, p.category, p.subject);
            let fields: Vec<_> = self.personal.iter().map(field).collect();
            line.push_str(&format!(" #personal({})", fields.join(", ")));
        }
        line
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
///
/// A name may stand for several versions, each with a variant of its own, so that the fold handles both: see
/// [`versions`].
pub trait Event: Sized + Clone + Send + Sync + 'static {
    /// All kinds of events that the type stands for. One name may be there in several versions, each handled by itself.
    const KINDS: &'static [EventKind];

    /// The text of the lock file, where there is one: `#[event(lock = LOCK)]`.
    const LOCK: Option<&'static str> = None;

    /// Golden samples, where there are some: `#[event(golden = GOLDEN)]`; see [`check_golden`](crate::kit::check_golden).
    const GOLDEN: Option<&'static str> = None;

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

/// The names of kinds, each once: a name may be there in several versions.
pub(crate) fn names(kinds: &[EventKind]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for kind in kinds {
        if !names.contains(&kind.name) {
            names.push(kind.name);
        }
    }
    names
}

/// Reads a stored event; raw steps may make many of it, or none. Nothing is made of what the framework noted for itself.
///
/// # Errors
/// [`Kind::Decode`](crate::Kind::Decode), naming stream and revision.
///
/// ```
/// use factum_framework::{event, kit};
/// # use factum_framework::Event;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # enum OrderEvent {
/// #     #[event(name = "OrderPaid")]
/// #     Paid { customer: String, cents: u64 },
/// # }
///
/// let stored = kit::recorded(&[OrderEvent::Paid { customer: "ann".into(), cents: 5 }])?;
/// let events = event::read::<OrderEvent>(&stored[0])?;
/// assert_eq!(events.as_slice().len(), 1);
/// # Ok::<(), factum_framework::Error>(())
/// ```
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

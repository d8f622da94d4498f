//! Versions of events: how what was stored long ago becomes what the code knows today.
//!
//! What lives here: typed upcasting ([`UpcastFrom`]), steps on raw JSON ([`RawStep`]), and [`Rest`] for fields that nobody knows.
//! Relies on: nothing stored; all of it happens when reading. Never: changes what is stored.
//!
//! **Typed**, while the old shape still has a Rust type: each version names the one before it, and a hole does not compile.
//!
//! ```
//! use factum_framework::{Event, UpcastFrom};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
//! #[event(name = "OrderPlaced", version = 1)]
//! struct PlacedV1 { total: u64 }
//!
//! #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
//! enum OrderEvent {
//!     #[event(name = "OrderPlaced", version = 2, upcast_from = PlacedV1)]
//!     Placed { total: u64, currency: String },
//! }
//!
//! impl UpcastFrom<PlacedV1> for OrderEvent {
//!     fn upcast(old: PlacedV1) -> Self {
//!         Self::Placed { total: old.total, currency: "EUR".into() }
//!     }
//! }
//!
//! let event = OrderEvent::decode("OrderPlaced", 1, br#"{"total":42}"#)?;
//! assert_eq!(event, OrderEvent::Placed { total: 42, currency: "EUR".into() });
//! # Ok::<(), factum_framework::Error>(())
//! ```
//!
//! **Raw**, when the old type is gone, when an event is renamed, split in many, or retired:
//!
//! ```
//! use factum_framework::Event;
//! use factum_framework::versions::{Raw, RawStep};
//! use serde::{Deserialize, Serialize};
//!
//! const STEPS: &[RawStep] = &[RawStep::new("OrderFinished", 1, |old| Ok(vec![
//!     Raw::new("OrderShipped", 1, serde_json::json!({ "carrier": old.data["carrier"] })),
//!     Raw::new("OrderClosed", 1, serde_json::json!({})),
//! ]))];
//!
//! #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
//! #[event(steps = STEPS)]
//! enum OrderEvent {
//!     #[event(name = "OrderShipped")]
//!     Shipped { carrier: String },
//!     #[event(name = "OrderClosed")]
//!     Closed,
//! }
//! # assert_eq!(OrderEvent::STEPS.len(), 1);
//! ```
//!
//! **Weak schema**, when a field is added: `#[serde(default)]` or `Option` reads old events; what is unknown is passed over, or kept in
//! a [`Rest`], and then written again with the event.
//!
//! **Several handlers**, when the versions mean different things: each version has a variant of its own, chosen by name and version, and
//! the fold says what each does. Version 2 wants no upcaster then, and no event is changed on the way.
//!
//! ```
//! use factum_framework::Event;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
//! enum AccountEvent {
//!     /// In whole euros, and the fee was included.
//!     #[event(name = "MoneyPaidIn", version = 1)]
//!     PaidInEuros { amount: u64 },
//!     /// In cents, with the fee beside it.
//!     #[event(name = "MoneyPaidIn", version = 2)]
//!     PaidIn { cents: u64, fee: u64 },
//! }
//!
//! fn balance(cents: u64, event: &AccountEvent) -> u64 {
//!     match event {
//!         AccountEvent::PaidInEuros { amount } => cents + amount * 100,
//!         AccountEvent::PaidIn { cents: more, fee } => cents + more - fee,
//!     }
//! }
//!
//! let old = AccountEvent::decode("MoneyPaidIn", 1, br#"{"amount":3}"#)?;
//! let new = AccountEvent::decode("MoneyPaidIn", 2, br#"{"cents":250,"fee":50}"#)?;
//! assert_eq!(balance(balance(0, &old), &new), 500);
//! # Ok::<(), factum_framework::Error>(())
//! ```
//!
//! By hand it is a `match` on `(name, version)` in [`decode`](Event::decode), and a line for each version in [`KINDS`](Event::KINDS).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::Error;
use crate::event::{Event, EventKind};

/// How the shape before becomes this one.
///
/// ```
/// use factum_framework::UpcastFrom;
///
/// struct PlacedV1 { total: u64 }
/// struct PlacedV2 { cents: u64 }
///
/// impl UpcastFrom<PlacedV1> for PlacedV2 {
///     fn upcast(old: PlacedV1) -> Self { Self { cents: old.total * 100 } }
/// }
///
/// assert_eq!(PlacedV2::upcast(PlacedV1 { total: 20 }).cents, 2_000);
/// ```
///
/// How versions name each other, so that a hole does not compile, is in the [module](self).
pub trait UpcastFrom<Old> {
    /// The event in this shape.
    fn upcast(old: Old) -> Self;
}

/// Fields that the code does not know, kept so that writing the event again loses nothing: `#[serde(flatten)] rest: Rest`.
///
/// Each struct keeps its own: one inside another wants a `Rest` as well. An upcaster hands them on, `rest: old.rest`. Fields stand in order
/// of their names, after those that are known, and numbers are kept as 64 bits hold them.
///
/// ```
/// use factum_framework::{Event, versions::Rest};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "OrderShipped")]
/// struct Shipped {
///     #[serde(default)]
///     carrier: String,
///     #[serde(flatten)]
///     rest: Rest,
/// }
///
/// let shipped = Shipped::decode("OrderShipped", 1, br#"{"parcels":3}"#)?;
/// assert_eq!(shipped.encode()?, br#"{"carrier":"","parcels":3}"#);
/// # Ok::<(), factum_framework::Error>(())
/// ```
pub type Rest = BTreeMap<String, Value>;

/// An event that is not decoded yet.
///
/// ```
/// use factum_framework::versions::Raw;
/// use serde_json::json;
///
/// let raw = Raw::new("OrderShipped", 2, json!({ "carrier": "post" }));
/// assert_eq!((&*raw.name, raw.version), ("OrderShipped", 2));
/// assert_eq!(raw.data["carrier"], "post");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Raw {
    /// The name it is stored under.
    pub name: String,
    /// Which version of the shape the data have.
    pub version: u32,
    /// The data.
    pub data: Value,
}

impl Raw {
    /// An event that is not decoded yet.
    #[must_use]
    pub fn new(name: impl Into<String>, version: u32, data: Value) -> Self {
        Self {
            name: name.into(),
            version,
            data,
        }
    }

    pub(crate) fn decode<E: Event>(&self) -> Result<E, Error> {
        let data = crate::codec::encode(&self.data)?;
        E::decode(&self.name, self.version, &data)
    }
}

/// What one version of one event becomes: one event, many, or none.
///
/// ```
/// use factum_framework::versions::{Raw, RawStep, bring_up};
/// use serde_json::json;
///
/// const STEPS: &[RawStep] = &[
///     RawStep::new("OrderShipped", 1, |old| {
///         Ok(vec![Raw::new("OrderShipped", 2, json!({ "carrier": old.data["company"] }))])
///     }),
///     // Nobody wants to know any more.
///     RawStep::new("OrderPageViewed", 1, |_| Ok(vec![])),
/// ];
///
/// let shipped = bring_up(STEPS, "OrderShipped", 1, br#"{"company":"post"}"#)?;
/// assert_eq!(shipped, [Raw::new("OrderShipped", 2, json!({ "carrier": "post" }))]);
/// assert!(bring_up(STEPS, "OrderPageViewed", 1, b"{}")?.is_empty());
/// # Ok::<(), factum_framework::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RawStep {
    name: &'static str,
    version: u32,
    apply: fn(Raw) -> Result<Vec<Raw>, Error>,
}

impl RawStep {
    /// A step for events of this name and version. What it gives may be taken up by further steps.
    #[must_use]
    pub const fn new(
        name: &'static str,
        version: u32,
        apply: fn(Raw) -> Result<Vec<Raw>, Error>,
    ) -> Self {
        Self {
            name,
            version,
            apply,
        }
    }

    /// The name of the events that it takes.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn takes(&self, name: &str, version: u32) -> bool {
        self.name == name && self.version == version
    }
}

/// How many steps may follow one another: more is a circle.
const STEPS_MAX: usize = 64;

pub(crate) fn has_step(steps: &[RawStep], name: &str, version: u32) -> bool {
    steps.iter().any(|step| step.takes(name, version))
}

/// Applies steps until none takes what is there.
///
/// # Errors
/// [`Kind::Decode`](crate::Kind::Decode): the data are not JSON, a step fails, or the steps go in a circle.
pub fn bring_up(
    steps: &[RawStep],
    name: &str,
    version: u32,
    data: &[u8],
) -> Result<Vec<Raw>, Error> {
    let value = crate::codec::decode(name, version, data)?;
    let mut done = Vec::new();
    let mut waiting = vec![(0, Raw::new(name, version, value))];
    while let Some((depth, raw)) = waiting.pop() {
        let Some(step) = steps.iter().find(|step| step.takes(&raw.name, raw.version)) else {
            done.push(raw);
            continue;
        };
        if depth == STEPS_MAX {
            let what = format!("{name} version {version}: the raw steps go in a circle");
            return Err(Error::decode(what));
        }
        let next = (step.apply)(raw)?;
        waiting.extend(next.into_iter().rev().map(|raw| (depth + 1, raw)));
    }
    Ok(done)
}

/// Whether these are the kinds of one event with this name and version; the derive asks it when the code is compiled.
#[must_use]
pub const fn is_kind(kinds: &[EventKind], name: &str, version: u32) -> bool {
    let [kind] = kinds else { return false };
    kind.version == version && crate::lock::is_same(kind.name.as_bytes(), name.as_bytes())
}

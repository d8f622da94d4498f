//! A view, fed with events.
//!
//! Relies on: the view's own scope. Never: needs a store.

use std::fmt::Debug;

use factum_types::{QueryItem, RecordedEvent};

use super::record::recorded;
use crate::decision::{View, Views};

/// A view that is fed with events, those in its scope, as a store would give them.
///
/// ```
/// use factum_framework::{Event, Scope, View, kit};
/// use factum_types::{Position, RecordedEvent};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "Sold")]
/// struct Sold { #[tag] shop: String, cents: u64 }
///
/// #[derive(Default, Clone, Debug, PartialEq)]
/// struct Takings { cents: u64, upto: Option<Position> }
///
/// impl View for Takings {
///     type Event = Sold;
///     fn scope(&self) -> Scope { Scope::of::<Sold>().tag("shop", "north") }
///     fn evolve(&mut self, event: &Sold, recorded: &RecordedEvent) {
///         // What came before is not counted again.
///         if self.upto < Some(recorded.position) {
///             self.cents += event.cents;
///             self.upto = Some(recorded.position);
///         }
///     }
/// }
///
/// let sold = |shop: &str, cents| Sold { shop: shop.into(), cents };
/// kit::projection::<Takings>()
///     .given([sold("north", 5), sold("south", 9), sold("north", 7)])
///     .each_twice()
///     .then(|takings| takings.cents == 12);
/// ```
#[derive(Debug, Clone)]
#[must_use = "say what is expected: then, or each_twice"]
pub struct Projection<V> {
    fresh: V,
    fed: V,
    items: Vec<QueryItem>,
    events: Vec<RecordedEvent>,
}

/// A view as it begins.
#[track_caller]
pub fn projection<V: View + Default + Clone>() -> Projection<V> {
    project(V::default())
}

/// This view, which begins with more than nothing: the id of what it is about, as a rule.
///
/// See [`View`] for an example.
#[track_caller]
pub fn project<V: View + Clone>(view: V) -> Projection<V> {
    let items = match view.items() {
        Ok(items) => items,
        Err(error) => panic!("the view has no scope: {error}"),
    };
    Projection {
        fed: view.clone(),
        fresh: view,
        items,
        events: Vec::new(),
    }
}

impl<V: View + Clone> Projection<V> {
    /// These events happened, in this order. What is not in the view's scope is not shown to it.
    #[track_caller]
    pub fn given(mut self, events: impl IntoIterator<Item = V::Event>) -> Self {
        let events: Vec<_> = events.into_iter().collect();
        self.events = match recorded(&events) {
            Ok(recorded) => recorded,
            Err(error) => panic!("what is given cannot be stored: {error}"),
        };
        let mut fed = self.fresh.clone();
        for event in &self.events {
            self.show(&mut fed, event);
        }
        self.fed = fed;
        self
    }

    /// Each event came twice in a row, as happens when a consumer stops between doing and noting what it did: the view is the same as if
    /// each came once.
    ///
    /// A view that is read for a decision is fed once with each event and need not stand this; one that is kept elsewhere must.
    ///
    /// # Panics
    /// It is not, and which event makes the difference.
    #[track_caller]
    pub fn each_twice(self) -> Self
    where
        V: Debug + PartialEq,
    {
        let (mut once, mut twice) = (self.fresh.clone(), self.fresh.clone());
        for event in &self.events {
            self.show(&mut once, event);
            self.show(&mut twice, event);
            self.show(&mut twice, event);
            assert_eq!(
                once, twice,
                "event {}, {}, makes a difference when it comes twice",
                event.revision, event.event_type
            );
        }
        self
    }

    /// The view is as it should be.
    #[track_caller]
    pub fn then(self, expected: impl FnOnce(&V) -> bool)
    where
        V: Debug,
    {
        assert!(expected(&self.fed), "not as expected: {:?}", self.fed);
    }

    /// The view, to be looked at.
    #[must_use]
    pub fn view(self) -> V {
        self.fed
    }

    #[track_caller]
    fn show(&self, view: &mut V, event: &RecordedEvent) {
        if let Err(error) = Views::fold(view, &self.items, event) {
            panic!("the view cannot take up an event: {error}");
        }
    }
}

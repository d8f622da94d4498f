//! The shop: its facts, and what an order looks like after some of them.

use factum_types::RecordedEvent;
use serde_json::Value;

use super::Fact;

/// What happened before we came.
pub(super) const FACTS: &[Fact] = &[
    Fact {
        order: "order-1",
        what: "OrderPlaced",
        data: r#"{"customer":"anna","total":30}"#,
        tags: &["order:1", "customer:anna"],
    },
    Fact {
        order: "order-1",
        what: "ItemAdded",
        data: r#"{"item":"teapot","price":12}"#,
        tags: &["order:1", "customer:anna"],
    },
    Fact {
        order: "order-2",
        what: "OrderPlaced",
        data: r#"{"customer":"ben","total":8}"#,
        tags: &["order:2", "customer:ben"],
    },
    Fact {
        order: "order-1",
        what: "OrderConfirmed",
        data: r#"{"by":"clerk"}"#,
        tags: &["order:1", "customer:anna"],
    },
    Fact {
        order: "order-2",
        what: "OrderCancelled",
        data: r#"{"reason":"too late"}"#,
        tags: &["order:2", "customer:ben"],
    },
    Fact {
        order: "order-3",
        what: "OrderPlaced",
        data: r#"{"customer":"anna","total":5}"#,
        tags: &["order:3", "customer:anna"],
    },
];

/// The fact both clerks want to write.
pub(super) const SHIPPED: Fact = Fact {
    order: "order-1",
    what: "OrderShipped",
    data: r#"{"parcel":"P-1"}"#,
    tags: &["order:1", "customer:anna"],
};

/// The fact that comes too late.
pub(super) const CANCELLED: Fact = Fact {
    order: "order-1",
    what: "OrderCancelled",
    data: r#"{"reason":"changed my mind"}"#,
    tags: &["order:1", "customer:anna"],
};

/// The fact that a subscriber sees come.
pub(super) const LIVE: Fact = Fact {
    order: "order-4",
    what: "OrderPlaced",
    data: r#"{"customer":"cleo","total":99}"#,
    tags: &["order:4", "customer:cleo"],
};

/// An order: nothing but what its events say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Order {
    pub(super) status: &'static str,
    pub(super) total: i64,
}

impl Order {
    /// The order after one more event.
    pub(super) fn evolve(mut self, event: &RecordedEvent) -> Self {
        let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let number = |name: &str| data.get(name).and_then(Value::as_i64).unwrap_or_default();
        match event.event_type.as_str() {
            "OrderPlaced" => (self.status, self.total) = ("placed", number("total")),
            "ItemAdded" => self.total += number("price"),
            "OrderConfirmed" => self.status = "confirmed",
            "OrderShipped" => self.status = "shipped",
            "OrderCancelled" => self.status = "cancelled",
            _ => {}
        }
        self
    }
}

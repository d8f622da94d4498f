//! Weak schema: what is missing takes a default, what is unknown is passed over, or kept and written again.

use factum_framework::kit::{Chance, check_rest, random_seed};
use factum_framework::versions::{Raw, RawStep, Rest};
use factum_framework::{Event, Kind, UpcastFrom};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Item {
    sku: String,
    #[serde(default)]
    count: u64,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(steps = STEPS)]
enum Order {
    #[event(name = "OrderPlaced", version = 2, upcast_from = PlacedV1)]
    Placed {
        item: Item,
        coupon: Option<String>,
        #[serde(flatten)]
        rest: Rest,
    },
    #[event(name = "OrderPacked")]
    Packed(Item),
    /// Keeps nothing that it does not know.
    #[event(name = "OrderShipped")]
    Shipped {
        #[serde(default)]
        parcels: u64,
    },
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "OrderPlaced", version = 1)]
struct PlacedV1 {
    sku: String,
    #[serde(flatten)]
    rest: Rest,
}

impl UpcastFrom<PlacedV1> for Order {
    fn upcast(old: PlacedV1) -> Self {
        Self::Placed {
            item: Item {
                sku: old.sku,
                count: 1,
                rest: Rest::new(),
            },
            coupon: None,
            rest: old.rest,
        }
    }
}

/// A raw step has the data as they are, so it keeps what it does not touch.
const STEPS: &[RawStep] = &[RawStep::new("ItemPacked", 1, |old| {
    Ok(vec![Raw::new("OrderPacked", 1, old.data)])
})];

const GOLDEN: &str = r#"
{"type": "OrderPlaced", "version": 1, "data": {"sku": "book"}}
{"type": "OrderPlaced", "version": 2, "data": {"item": {"sku": "book", "count": 2}, "coupon": null}}
{"type": "OrderPacked", "version": 1, "data": {"sku": "book", "count": 2}}
{"type": "ItemPacked", "version": 1, "data": {"sku": "book"}}
"#;

fn again(name: &str, version: u32, data: &Value) -> Value {
    let event = Order::decode(name, version, data.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&event.encode().unwrap()).unwrap()
}

#[test]
fn what_is_missing_takes_a_default() {
    let check = |name: &str, version, data: Value, expected: Value| {
        assert_eq!(again(name, version, &data), expected);
    };
    check("OrderShipped", 1, json!({}), json!({"parcels": 0}));
    check(
        "OrderPlaced",
        2,
        json!({"item": {"sku": "book"}}),
        json!({"item": {"sku": "book", "count": 0}, "coupon": null}),
    );
}

#[test]
fn what_is_unknown_is_passed_over_unless_it_is_kept() {
    let shipped = json!({"parcels": 2, "carrier": "post"});
    assert_eq!(again("OrderShipped", 1, &shipped), json!({"parcels": 2}));
    check_rest::<Order>(GOLDEN).unwrap();
    let shipped = r#"{"type": "OrderShipped", "version": 1, "data": {}}"#;
    let error = check_rest::<Order>(shipped).unwrap_err().to_string();
    assert!(error.contains("OrderShipped v1 loses"), "{error}");
    assert!(error.contains("serde(flatten)"), "{error}");
}

#[test]
fn samples_without_a_field_to_compare_are_no_check() {
    let check = |samples: &str| {
        let error = check_rest::<Named>(samples).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{samples}");
        assert!(error.to_string().contains("nothing was checked"), "{error}");
    };
    check("");
    check("\n\n");
    // A sample that is no object has no place for a field, and one of a retired event is read as none.
    check(r#"{"type": "OrderNamed", "version": 1, "data": "books"}"#);
    check(r#"{"type": "OrderViewed", "version": 1, "data": {"page": 3}}"#);
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "OrderNamed", steps = NAMED_STEPS)]
struct Named(String);

const NAMED_STEPS: &[RawStep] = &[RawStep::new("OrderViewed", 1, |_| Ok(vec![]))];

/// Any JSON, not too deep.
fn any(chance: &mut Chance, depth: u64) -> Value {
    match chance.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => Value::from(chance.once_in(2)),
        2 => Value::from(chance.number()),
        3 => Value::from(chance.number().cast_signed()),
        4 => Value::from(f64::from(u32::try_from(chance.below(1 << 32)).unwrap()) / 8.0),
        5 => Value::from(format!("\u{e9}\"\\{}", chance.word())),
        6 => (0..chance.below(4))
            .map(|_| any(chance, depth - 1))
            .collect(),
        _ => Value::Object(fields(chance, depth - 1)),
    }
}

fn fields(chance: &mut Chance, depth: u64) -> Map<String, Value> {
    let names = 0..chance.below(4);
    names
        .map(|number| (format!("x{number} {}", chance.word()), any(chance, depth)))
        .collect()
}

/// Whatever else stands in an event, in the struct or in one inside it, is there again when it is written.
#[test]
fn unknown_fields_of_any_kind_are_written_again() {
    let seed = random_seed();
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    for _ in 0..500 {
        let mut item = json!({"sku": "book", "count": 2});
        item.as_object_mut().unwrap().extend(fields(&mut chance, 2));
        assert_eq!(again("OrderPacked", 1, &item), item);
        let mut placed = json!({"item": item, "coupon": "x"});
        placed
            .as_object_mut()
            .unwrap()
            .extend(fields(&mut chance, 2));
        assert_eq!(again("OrderPlaced", 2, &placed), placed);
        let unknown = fields(&mut chance, 2);
        let mut old = json!({"sku": "book"});
        old.as_object_mut().unwrap().extend(unknown.clone());
        let new = again("OrderPlaced", 1, &old);
        for (name, value) in &unknown {
            assert_eq!(new.get(name), Some(value), "{name} through the upcaster");
        }
    }
}

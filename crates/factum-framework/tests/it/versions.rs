//! Several versions of one event in one type, each with a handler of its own; by the derive and by hand.

use factum_framework::kit::{check, check_golden};
use factum_framework::{
    Decider, Emit, Env, Error, Event, EventKind, Kind, Scope, Snapshots, UpcastFrom, View, codec,
    lock,
};
use factum_types::RecordedEvent;
use serde::{Deserialize, Serialize};

const LOCK: &str = "\
MoneyPaidIn v1 { note: String }
MoneyPaidIn v2 { euros: u64 }
MoneyPaidIn v3 { cents: u64, fee: u64 }
AccountClosed v1 {}
";

const GOLDEN: &str = r#"
{"type": "MoneyPaidIn", "version": 1, "data": {"note": "7"}}
{"type": "MoneyPaidIn", "version": 2, "data": {"euros": 3}}
{"type": "MoneyPaidIn", "version": 3, "data": {"cents": 250, "fee": 50}}
{"type": "AccountClosed", "version": 1, "data": {}}
"#;

/// Version 1 is brought up to version 2; versions 2 and 3 mean different things, and the fold handles both.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(lock = LOCK, golden = GOLDEN)]
enum Did {
    #[event(name = "MoneyPaidIn", version = 3)]
    PaidIn { cents: u64, fee: u64 },
    #[event(name = "AccountClosed")]
    Closed,
    #[event(name = "MoneyPaidIn", version = 2, upcast_from = PaidInV1)]
    PaidInEuros { euros: u64 },
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "MoneyPaidIn", version = 1)]
struct PaidInV1 {
    note: String,
}

impl UpcastFrom<PaidInV1> for Did {
    fn upcast(old: PaidInV1) -> Self {
        Self::PaidInEuros {
            euros: old.note.parse().unwrap_or(0),
        }
    }
}

#[derive(Default, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    cents: u64,
    closed: bool,
}

impl Decider for Account {
    type Command = u64;
    type Event = Did;
    type Error = String;

    fn evolve(&mut self, event: &Did, _: &RecordedEvent) {
        match event {
            Did::PaidIn { cents, fee } => self.cents += cents - fee,
            Did::PaidInEuros { euros } => self.cents += euros * 100,
            Did::Closed => self.closed = true,
        }
    }

    fn decide(&self, cents: u64, _: &mut Env) -> Result<Emit<Did>, String> {
        Ok(Did::PaidIn { cents, fee: 0 }.into())
    }
}

impl Snapshots for Account {
    fn samples() -> Vec<Did> {
        vec![
            Did::PaidInEuros { euros: 3 },
            Did::PaidIn {
                cents: 250,
                fee: 50,
            },
            Did::Closed,
        ]
    }
}

#[test]
fn each_version_has_its_handler() {
    let read = |version, data: &str| Did::decode("MoneyPaidIn", version, data.as_bytes());
    let three = read(3, r#"{"cents":250,"fee":50}"#).unwrap();
    assert_eq!(
        three,
        Did::PaidIn {
            cents: 250,
            fee: 50
        }
    );
    assert_eq!(
        (three.kind().name, three.kind().version),
        ("MoneyPaidIn", 3)
    );
    let two = read(2, r#"{"euros":3}"#).unwrap();
    assert_eq!(two, Did::PaidInEuros { euros: 3 });
    assert_eq!(two.kind().version, 2);
    assert_eq!(two.encode().unwrap(), br#"{"euros":3}"#);
    let one = read(1, r#"{"note":"7"}"#).unwrap();
    assert_eq!(one, Did::PaidInEuros { euros: 7 });
    let error = read(4, "{}").unwrap_err();
    assert_eq!(error.kind(), Kind::Decode);
    assert!(error.to_string().contains("knows up to 3"), "{error}");
    let error = Did::decode("MoneyLost", 1, b"{}").unwrap_err().to_string();
    assert!(error.ends_with(": MoneyPaidIn, AccountClosed"), "{error}");
}

#[test]
fn every_version_is_checked() {
    check::<Account>();
    check_golden::<Did>(GOLDEN, LOCK).unwrap();
    let two_are_missing = "{\"type\": \"AccountClosed\", \"version\": 1, \"data\": {}}";
    let error = check_golden::<Did>(two_are_missing, LOCK).unwrap_err();
    assert!(error.to_string().contains("MoneyPaidIn v1"), "{error}");
}

/// Two versions are one type in a query.
#[derive(Default)]
struct Payments(u32);

impl View for Payments {
    type Event = Did;

    fn scope(&self) -> Scope {
        Scope::of::<Did>().only(&["MoneyPaidIn"])
    }

    fn evolve(&mut self, _: &Did, _: &RecordedEvent) {
        self.0 += 1;
    }
}

#[test]
fn a_view_sees_all_versions() {
    use factum_framework::Views;
    let items = Payments::default().items().unwrap();
    assert_eq!(items[0].types.len(), 1);
    let mut view = Payments::default();
    let samples = factum_framework::kit::recorded(&Account::samples()).unwrap();
    for event in &samples {
        view.fold(&items, event).unwrap();
    }
    assert_eq!(view.0, 2);
}

/// The same by hand.
#[derive(Clone, Debug, PartialEq)]
enum ByHand {
    PaidIn(PaidIn),
    PaidInEuros(PaidInEuros),
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct PaidIn {
    cents: u64,
    fee: u64,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct PaidInEuros {
    euros: u64,
}

impl Event for ByHand {
    const KINDS: &'static [EventKind] = &[
        EventKind::new("MoneyPaidIn", 3, "{ cents: u64, fee: u64 }"),
        EventKind::new("MoneyPaidIn", 2, "{ euros: u64 }"),
    ];

    fn kind(&self) -> &'static EventKind {
        match self {
            Self::PaidIn(_) => &Self::KINDS[0],
            Self::PaidInEuros(_) => &Self::KINDS[1],
        }
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::PaidIn(paid) => codec::encode(paid),
            Self::PaidInEuros(paid) => codec::encode(paid),
        }
    }

    fn decode(name: &str, version: u32, data: &[u8]) -> Result<Self, Error> {
        match (name, version) {
            ("MoneyPaidIn", 3) => codec::decode(name, version, data).map(Self::PaidIn),
            ("MoneyPaidIn", 2) => codec::decode(name, version, data).map(Self::PaidInEuros),
            ("MoneyPaidIn", 1) => {
                let old: PaidInV1 = codec::decode(name, version, data)?;
                let euros = old.note.parse().unwrap_or(0);
                Ok(Self::PaidInEuros(PaidInEuros { euros }))
            }
            ("MoneyPaidIn", _) => Err(Error::unknown_version(name, version, 3)),
            _ => Err(Error::unknown_event(name, Self::KINDS)),
        }
    }
}

#[test]
fn by_hand_it_is_a_match() {
    for event in Account::samples() {
        let kind = event.kind();
        if kind.name != "MoneyPaidIn" {
            continue;
        }
        let data = event.encode().unwrap();
        let read = ByHand::decode(kind.name, kind.version, &data).unwrap();
        assert_eq!(read.kind().line(), kind.line());
        assert_eq!(read.encode().unwrap(), data);
    }
    lock::check::<ByHand>(LOCK).unwrap();
    let old = ByHand::decode("MoneyPaidIn", 1, br#"{"note":"7"}"#).unwrap();
    assert_eq!(old, ByHand::PaidInEuros(PaidInEuros { euros: 7 }));
}

/// Events by hand, as those of `tests/compile/changed_shape.rs` are by the derive.
#[derive(Clone)]
struct Shop;

impl Event for Shop {
    const KINDS: &'static [EventKind] = &[
        EventKind::new("OrderPlaced", 1, "{ total: String }"),
        EventKind::new("OrderShipped", 1, "{}"),
    ];

    fn kind(&self) -> &'static EventKind {
        &Self::KINDS[0]
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        Ok(b"{}".to_vec())
    }

    fn decode(_: &str, _: u32, _: &[u8]) -> Result<Self, Error> {
        Ok(Self)
    }
}

/// What the build says is kept in a file and checked against the compiler; a test beside events by hand says the same, but for the
/// upcaster as code.
#[test]
fn by_hand_and_by_the_derive_the_advice_is_the_same() {
    let plain = |text: &str| -> Vec<String> {
        let lines = text.lines();
        lines
            .map(|line| {
                line.trim()
                    .trim_start_matches("error[E0080]: evaluation panicked: ")
            })
            .map(|line| line.trim_end_matches(['.', ':']).to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    };
    let derived = plain(include_str!("../compile/changed_shape.stderr"));
    let check = |lock: &str, expected: &[&str]| {
        let by_hand = lock::check::<Shop>(lock).unwrap_err().to_string();
        let by_hand = plain(&by_hand);
        for line in &by_hand {
            assert!(derived.contains(line), "the derive does not say: {line}");
        }
        for words in expected {
            let said = by_hand.iter().any(|line| line.contains(words));
            assert!(said, "{words:?} is not in {by_hand:?}");
        }
    };
    let changed = "OrderPlaced v1 { total: u64 }\n";
    let whole = [
        "Either put",
        "Only if old events still decode",
        "OrderPlaced v1 { total: String }",
    ];
    check(changed, &whole);
    check(
        "OrderPlaced v1 { total: String }\n",
        &["add this line", "OrderShipped v1 {}"],
    );
}

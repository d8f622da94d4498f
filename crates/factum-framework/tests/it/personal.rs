//! Personal data: the map of it, tags for whom it is about, and snapshots that say whose data are inside; and how many are kept.

use std::num::NonZeroU32;
use std::sync::Arc;

use factum_framework::{
    Decider, Emit, Env, Event, EventKind, Origin, Policy, Repository, Snapshots, kit, lock,
};
use factum_store::{EventStore, MemoryStore, Snapshot, SnapshotStore};
use factum_types::{RecordedEvent, StreamName};
use pollster::block_on;
use serde::{Deserialize, Serialize};

use crate::account::world;

const LOCK: &str = "\
OrderPlaced v1 { customer: u64, friend: u64, total: u64, address: String, greeting: String } \
#personal(address: contact of customer, greeting: message of friend)
OrderPaid v1 {}
";

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(lock = LOCK)]
enum Did {
    #[event(name = "OrderPlaced")]
    Placed {
        #[tag]
        customer: u64,
        friend: u64,
        total: u64,
        #[personal(subject = customer, category = "contact")]
        address: String,
        #[personal(subject = friend, category = "message")]
        greeting: String,
    },
    #[event(name = "OrderPaid")]
    Paid,
}

fn placed(customer: u64, friend: u64) -> Did {
    Did::Placed {
        customer,
        friend,
        total: 7,
        address: "1 Main St".into(),
        greeting: "hello".into(),
    }
}

#[test]
fn the_map_is_in_the_kind_and_in_the_lock() {
    let personal = |kind: &EventKind| -> Vec<_> {
        let fields = kind.personal.iter();
        fields
            .map(|field| (field.field, field.subject, field.category))
            .collect()
    };
    assert_eq!(
        personal(&Did::KINDS[0]),
        [
            ("address", "customer", "contact"),
            ("greeting", "friend", "message")
        ]
    );
    assert_eq!(personal(&Did::KINDS[1]), []);
    lock::check::<Did>(LOCK).unwrap();
    let unmarked = LOCK.replace(" #personal", "\n# personal");
    let error = lock::check::<Did>(&unmarked).unwrap_err().to_string();
    assert!(error.contains("#personal(address: contact"), "{error}");
}

#[test]
fn subjects_are_tags() {
    let tags = |event: Did| -> Vec<_> {
        let tags = event.tags().unwrap().into_iter();
        tags.map(|tag| tag.as_str().to_owned()).collect()
    };
    assert_eq!(
        tags(placed(3, 4)),
        ["customer:3", "factum-subject:3", "factum-subject:4"]
    );
    assert_eq!(tags(placed(3, 3)), ["customer:3", "factum-subject:3"]);
    assert_eq!(tags(Did::Paid), Vec::<String>::new());
}

/// Nothing is hidden: what the map says is stored as it is, until something encrypts it.
#[test]
fn the_data_are_stored_as_they_are() {
    let data = String::from_utf8(placed(3, 4).encode().unwrap()).unwrap();
    assert!(data.contains("1 Main St"), "{data}");
}

#[derive(Default, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: Option<u64>,
    address: String,
    paid: u64,
}

impl Decider for Order {
    type Command = Did;
    type Event = Did;
    type Error = String;

    fn evolve(&mut self, event: &Did, _: &RecordedEvent) {
        match event {
            Did::Placed {
                customer, address, ..
            } => {
                self.customer = Some(*customer);
                self.address.clone_from(address);
            }
            Did::Paid => self.paid += 1,
        }
    }

    fn decide(&self, event: Did, _: &mut Env) -> Result<Emit<Did>, String> {
        Ok(event.into())
    }
}

impl Snapshots for Order {
    fn samples() -> Vec<Did> {
        vec![placed(3, 4), Did::Paid]
    }

    fn subjects(&self) -> Vec<String> {
        self.customer.iter().map(ToString::to_string).collect()
    }
}

fn repository(store: &MemoryStore, policy: Policy) -> Repository {
    Repository::new(Arc::new(store.clone()))
        .with_world(world())
        .with_cache(0)
        .with_snapshot_store(Arc::new(store.clone()))
        .with_snapshots::<Order>(policy)
        .unwrap()
}

fn listed(store: &MemoryStore, stream: &str) -> Vec<(u64, Vec<String>)> {
    let stream = StreamName::new(stream).unwrap();
    let all = block_on(store.list_snapshots(stream)).unwrap();
    all.into_iter().map(|s| (s.version, s.subjects)).collect()
}

#[test]
fn erasing_someone_finds_the_snapshots_and_drops_them() {
    block_on(async {
        let store = MemoryStore::new();
        let repository = repository(&store, Policy::every(1));
        for (stream, customer) in [("order-1", 3), ("order-2", 3), ("order-3", 5)] {
            let place = placed(customer, 4);
            repository.run::<Order>(stream, place).await.unwrap();
        }
        // One that other code took, under another key.
        let stream = StreamName::new("order-1").unwrap();
        let other = Snapshot::new(stream.clone(), "of other code", 1, "{}");
        let other = other.with_subjects(vec!["3".into()]);
        store.save_snapshot(other).await.unwrap();
        assert_eq!(listed(&store, "order-3"), [(1, vec!["5".to_owned()])]);
        assert_eq!(repository.drop_snapshots_about("3").await.unwrap(), 3);
        assert_eq!(listed(&store, "order-1"), []);
        assert_eq!(listed(&store, "order-2"), []);
        assert_eq!(listed(&store, "order-3"), [(1, vec!["5".to_owned()])]);
        let loaded = repository.load::<Order>("order-1").await.unwrap();
        assert_eq!(
            (loaded.origin, loaded.state.customer),
            (Origin::Replay, Some(3))
        );
        // Friends are in the events, but not in the state.
        assert_eq!(repository.drop_snapshots_about("4").await.unwrap(), 0);
        let nowhere = Repository::new(Arc::new(store) as Arc<dyn EventStore>);
        assert!(nowhere.drop_snapshots_about("3").await.is_err());
    });
}

#[test]
fn the_last_n_are_kept() {
    let versions = |policy: Policy| -> Vec<u64> {
        let store = MemoryStore::new();
        let repository = repository(&store, policy);
        block_on(async {
            for _ in 0..15 {
                repository.run::<Order>("order-1", Did::Paid).await.unwrap();
            }
            let past = repository.load::<Order>("order-1").as_of(3).await.unwrap();
            assert_eq!(past.state.paid, 3);
        });
        listed(&store, "order-1").into_iter().map(|s| s.0).collect()
    };
    let keep = |n| NonZeroU32::new(n).unwrap();
    assert_eq!(versions(Policy::every(1).keeping(keep(2))), [15, 14]);
    assert_eq!(
        versions(Policy::every(1)).len(),
        10,
        "unless said otherwise"
    );
    let both = Policy::every(1)
        .keeping(keep(2))
        .or(Policy::every(7).keeping(keep(3)));
    assert_eq!(versions(both), [15, 14, 13]);
}

#[test]
fn the_domain_is_sound() {
    kit::check::<Order>();
}

const RAW_LOCK: &str = "\
Delivered v1 { type: String, match: u64, loop: String } #personal(loop: r#ing of match)
";

/// Names that are keywords, and a category that looks like one.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "Delivered", lock = RAW_LOCK)]
struct Delivered {
    #[tag]
    r#type: String,
    r#match: u64,
    #[personal(subject = r#match, category = "r#ing")]
    r#loop: String,
}

#[test]
fn keywords_are_stored_as_they_are_read() {
    let event = Delivered {
        r#type: "parcel".into(),
        r#match: 3,
        r#loop: "ann".into(),
    };
    let tags = event.tags().unwrap().into_iter();
    let tags: Vec<_> = tags.map(|tag| tag.as_str().to_owned()).collect();
    assert_eq!(tags, ["type:parcel", "factum-subject:3"]);
    let data = event.encode().unwrap();
    assert_eq!(data, br#"{"type":"parcel","match":3,"loop":"ann"}"#);
    let personal = Delivered::KINDS[0].personal[0];
    let personal = (personal.field, personal.subject, personal.category);
    assert_eq!(personal, ("loop", "match", "r#ing"));
    lock::check::<Delivered>(RAW_LOCK).unwrap();
}

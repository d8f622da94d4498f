//! Indexes that are not refreshed while they are filled in bulk, and are afterwards, whatever happened.

use factum_http_client::Method;
use factum_projection::{Claim, Obstacle, Sink, Which, kit};
use factum_sink_elastic::ElasticSink;
use pollster::block_on;
use serde_json::{Value as Json, json};

use super::support::{Swept, address, ask, fresh_prefix, open};

const CLAIM: Claim<'static> = Claim {
    projection: "kit_orders",
    which: Which::New,
    version: "1",
    bulk: true,
};

struct Place<'a> {
    swept: Swept<'a>,
}

impl<'a> Place<'a> {
    fn new(address: &'a str) -> Self {
        let prefix = fresh_prefix();
        let swept = Swept { address, prefix };
        Self { swept }
    }

    fn open(&self) -> ElasticSink {
        open(
            self.swept.address,
            &self.swept.prefix,
            &kit::orders_tables(),
        )
    }

    fn path(&self) -> String {
        format!("/{}kit_counts-g1/_settings", self.swept.prefix)
    }

    fn interval(&self) -> Option<String> {
        let settings = ask(self.swept.address, Method::Get, &self.path(), None).json();
        let settings = settings.unwrap();
        let index = settings.as_object().unwrap().values().next();
        let interval = index.unwrap().pointer("/settings/index/refresh_interval");
        interval.and_then(Json::as_str).map(str::to_owned)
    }

    fn set(&self, interval: &str) {
        let body = json!({"index": {"refresh_interval": interval}});
        let answer = ask(self.swept.address, Method::Put, &self.path(), Some(&body));
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn every_claim_but_for_a_bulk_lets_an_index_be_refreshed() {
    let Some(address) = address() else { return };
    let place = Place::new(&address);
    block_on(async {
        let first = place.open().claim(CLAIM).await.unwrap();
        assert_eq!(place.interval().as_deref(), Some("-1"));
        let again = Claim {
            which: Which::Number(first.generation),
            bulk: false,
            ..CLAIM
        };
        // The one that filled it was killed.
        place.open().claim(again).await.unwrap();
        assert_eq!(place.interval(), None);
        // It sent this before, and it comes now: the head says no more that it is a bulk.
        place.set("-1");
        place.open().claim(again).await.unwrap();
        assert_eq!(place.interval(), None);
        // What somebody else said is left as it is.
        place.set("30s");
        place.open().claim(again).await.unwrap();
        assert_eq!(place.interval().as_deref(), Some("30s"));
    });
}

#[test]
fn writes_at_random_in_bulk_are_those_in_memory() {
    let Some(address) = address() else { return };
    for seed in 1..=2 {
        let prefix = fresh_prefix();
        let swept = Swept {
            address: &address,
            prefix,
        };
        block_on(kit::check_random_bulk(
            async |_, tables| open(&address, &swept.prefix, tables),
            seed,
        ));
    }
}

#[test]
fn what_stands_in_the_way_is_named() {
    let Some(address) = address() else { return };
    let place = Place::new(&address);
    block_on(async {
        assert_eq!(place.open().inspect("kit_orders").await.unwrap(), []);
        let theirs = format!("/{}theirs", place.swept.prefix);
        assert_eq!(ask(&address, Method::Put, &theirs, None).status, 200);
        let alias = format!("{theirs}/_alias/{}kit_counts", place.swept.prefix);
        assert_eq!(ask(&address, Method::Put, &alias, None).status, 200);
        let found = place.open().inspect("kit_orders").await.unwrap();
        let [Obstacle::Owned { what }] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(what.contains("theirs, which no projection made"), "{what}");
        let refused = place.open().claim(CLAIM).await.unwrap_err();
        assert_eq!(refused.to_string(), *what);
    });
}

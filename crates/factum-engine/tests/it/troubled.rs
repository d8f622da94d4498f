//! One writer behind a log that makes trouble.

use factum_engine::Engine;
use factum_store::{EventStore, ReadRequest};
use factum_types::ExpectedRevision;

use crate::support::{append, event, read};

#[test]
fn every_append_lands_once_and_in_order() {
    for seed in 1..40 {
        let store = Engine::troubled(factum_io::Env::real(), seed, [40, 25, 25]).unwrap();
        for number in 0..60 {
            let receipt = append(&store, "a", ExpectedRevision::Any, vec![event(number)]).unwrap();
            let head = pollster::block_on(store.head()).unwrap();
            assert_eq!(head, Some(receipt.last), "seed {seed}, append {number}");
            let all = read(&store, ReadRequest::all());
            assert_eq!(all.len() as u64, number + 1, "seed {seed}");
        }
    }
}

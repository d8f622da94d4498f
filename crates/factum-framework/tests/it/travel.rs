//! Time travel: a state as it was, what changed, and who changed it.

use factum_framework::Kind;
use factum_store::MemoryStore;
use pollster::block_on;
use serde_json::json;

use crate::account::{Account, AccountCommand as Do, open, over};

const STREAM: &str = "account-1";

#[test]
fn a_state_is_loaded_as_it_was() {
    block_on(async {
        let repository = over(MemoryStore::new());
        open(&repository, STREAM, 50).await;
        let then = repository
            .load::<Account>(STREAM)
            .await
            .unwrap()
            .time
            .unwrap();
        repository
            .run::<Account>(STREAM, Do::PayOut(20))
            .user("eve")
            .await
            .unwrap();
        for (version, balance) in [(0, 0), (1, 0), (2, 50), (3, 30), (9, 30)] {
            let past = repository
                .load::<Account>(STREAM)
                .as_of(version)
                .await
                .unwrap();
            assert_eq!(
                (past.state.balance, past.version),
                (balance, version.min(3))
            );
        }
        let past = repository
            .load::<Account>(STREAM)
            .as_of(then)
            .await
            .unwrap();
        assert_eq!((past.state.balance, past.version), (50, 2));
    });
}

#[test]
fn differences_are_found_and_blamed() {
    block_on(async {
        let repository = over(MemoryStore::new());
        open(&repository, STREAM, 50).await;
        let pay = repository.run::<Account>(STREAM, Do::PayOut(20));
        pay.user("eve").await.unwrap();
        let diff = repository.diff::<Account>(STREAM, 1, 3).await.unwrap();
        assert_eq!(diff.len(), 1);
        assert_eq!(
            (diff[0].pointer.as_str(), &diff[0].after),
            ("/balance", &Some(json!(30)))
        );

        let blame = repository
            .blame::<Account>(STREAM, "/balance")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(blame.event.metadata.user_id.as_deref(), Some("eve"));
        assert_eq!(
            (blame.before, blame.after),
            (Some(json!(50)), Some(json!(30)))
        );
        let blame = repository
            .blame::<Account>(STREAM, "/owner")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(blame.event.event_type.as_str(), "AccountOpened");
        assert_eq!(
            repository
                .blame::<Account>(STREAM, "/colour")
                .await
                .unwrap(),
            None
        );
        assert_eq!(
            repository
                .blame::<Account>("account-2", "/owner")
                .await
                .unwrap(),
            None
        );
        for no_pointer in ["owner", "/a~2", &"/x".repeat(65)] {
            let blame = repository.blame::<Account>(STREAM, no_pointer);
            let error = blame.await.unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{no_pointer}");
        }
    });
}

#[test]
fn fields_come_and_go() {
    use factum_framework::travel::difference;
    let before = json!({"a": 1, "b/c": [1], "d": null});
    let after = json!({"b/c": [1, 2], "d": null, "e": {"f": 1}});
    let found: Vec<_> = difference(&before, &after)
        .into_iter()
        .map(|d| d.pointer)
        .collect();
    assert_eq!(found, ["/a", "/b~1c", "/e"]);
}

#[test]
fn a_stream_without_a_type_is_merged() {
    block_on(async {
        let repository = over(MemoryStore::new());
        open(&repository, STREAM, 50).await;
        repository
            .run::<Account>(STREAM, Do::PayOut(20))
            .await
            .unwrap();
        let now = repository.merged(STREAM, None).await.unwrap();
        assert_eq!(
            (now.state, now.version),
            (json!({"owner": "ann", "amount": 20}), 3)
        );
        let then = repository.merged(STREAM, Some(2.into())).await.unwrap();
        assert_eq!(
            (then.state, then.version),
            (json!({"owner": "ann", "amount": 50}), 2)
        );
        let none = repository.merged("account-2", None).await.unwrap();
        assert_eq!((none.state, none.version, none.time), (json!({}), 0, None));
    });
}

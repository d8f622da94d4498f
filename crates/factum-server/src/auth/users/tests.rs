//! Users: what each operation does, and what it refuses.

use super::*;
use crate::auth::tests::{World, log_in};

fn anna() -> NewUser {
    NewUser {
        login: "anna".to_owned(),
        full_name: "Anna".to_owned(),
        groups: vec!["readers".to_owned()],
        password: "a-secret".to_owned(),
    }
}

#[tokio::test]
async fn a_user_is_created_shown_changed_and_deleted() {
    let auth = World::new().dev().await;
    let users = auth.users();
    users.create(anna()).await.unwrap();
    let created = users.details("anna").await.unwrap();
    assert_eq!(
        (created.full_name.as_str(), created.disabled),
        ("Anna", false)
    );
    users
        .update("anna", "Anna B.", &["writers".to_owned()])
        .await
        .unwrap();
    users.disable("anna").await.unwrap();
    let changed = users.details("anna").await.unwrap();
    let expected = UserDetails {
        login: "anna".to_owned(),
        full_name: "Anna B.".to_owned(),
        groups: vec!["writers".to_owned()],
        disabled: true,
        updated: changed.updated,
    };
    assert_eq!(changed, expected);
    assert!(changed.updated > created.updated);
    users.delete("anna").await.unwrap();
    let error = users.details("anna").await.unwrap_err();
    assert!(matches!(error, UserError::NotFound(login) if login == "anna"));
}

#[tokio::test]
async fn a_login_is_taken_once_and_may_come_back_after_it_was_deleted() {
    let world = World::new();
    let auth = world.dev().await;
    let users = auth.users();
    users.create(anna()).await.unwrap();
    let error = users.create(anna()).await.unwrap_err();
    assert!(matches!(error, UserError::Conflict(login) if login == "anna"));
    users.delete("anna").await.unwrap();
    let again = NewUser {
        password: "b-secret".to_owned(),
        ..anna()
    };
    users.create(again).await.unwrap();
    assert_eq!(log_in(&auth, "anna", "a-secret").await, None);
    assert!(log_in(&auth, "anna", "b-secret").await.is_some());
    let seen = world.store.events("$user-anna").await;
    assert_eq!(seen.len(), 1, "the hash from before is not seen");
}

#[tokio::test]
async fn all_are_listed_by_login() {
    let world = World::new();
    let auth = world.dev().await;
    let users = auth.users();
    users.create(anna()).await.unwrap();
    users.delete("ops").await.unwrap();
    world.store.put("$user-broken", "{}").await;
    let all = users.all().await.unwrap();
    let logins: Vec<_> = all.iter().map(|user| user.login.as_str()).collect();
    assert_eq!(logins, ["admin", "anna"]);
}

#[tokio::test]
async fn more_than_a_page_is_listed() {
    let auth = World::new().dev().await;
    for number in 0..PAGE {
        let login = format!("user-{number}");
        auth.users()
            .create(NewUser { login, ..anna() })
            .await
            .unwrap();
    }
    assert_eq!(auth.users().all().await.unwrap().len(), PAGE + 2);
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it() {
    let auth = World::new().dev().await;
    let users = auth.users();
    users.create(anna()).await.unwrap();
    for login in ["anna", "nobody"] {
        let before = auth.passwords_hashed();
        let error = users
            .change_password(login, "wrong", "new")
            .await
            .unwrap_err();
        assert!(matches!(error, UserError::WrongPassword(_)), "{error}");
        assert_eq!(auth.passwords_hashed() - before, 2, "{login}");
    }
    users
        .change_password("anna", "a-secret", "new")
        .await
        .unwrap();
    assert_eq!(log_in(&auth, "anna", "a-secret").await, None);
    assert!(log_in(&auth, "anna", "new").await.is_some());
}

#[tokio::test]
async fn former_hashes_are_hidden() {
    let world = World::new();
    let auth = world.dev().await;
    auth.users().reset_password("ops", "a").await.unwrap();
    auth.users().reset_password("ops", "b").await.unwrap();
    let seen = world.store.events("$user-ops").await;
    assert_eq!((seen.len(), seen[0].revision), (1, Revision::new(2)));
    assert_eq!(seen[0].event_type.as_str(), "$UserUpdated");
}

#[tokio::test]
async fn who_is_not_there_is_not_changed() {
    let auth = World::new().dev().await;
    let users = auth.users();
    let missing = |done: Result<(), UserError>| {
        assert!(matches!(done, Err(UserError::NotFound(_))), "{done:?}");
    };
    missing(users.update("nobody", "", &[]).await);
    missing(users.enable("nobody").await);
    missing(users.disable("nobody").await);
    missing(users.reset_password("nobody", "x").await);
    missing(users.delete("nobody").await);
    missing(users.delete("a\u{1}").await);
    missing(users.delete("").await);
}

#[tokio::test]
async fn a_change_does_not_bring_back_who_was_deleted() {
    let auth = World::new().dev().await;
    let users = auth.users();
    users.create(anna()).await.unwrap();
    let before = users.user("anna").await.unwrap();
    users.delete("anna").await.unwrap();
    let done = users
        .replace(&before.record, before.revision)
        .await
        .unwrap();
    assert!(matches!(done, Replaced::Stale));
    assert!(matches!(
        users.details("anna").await,
        Err(UserError::NotFound(_))
    ));
}

#[tokio::test]
async fn changes_at_the_same_time_are_both_made() {
    let auth = World::new().dev().await;
    let users = auth.users();
    let groups = ["x".to_owned()];
    let (one, two) = tokio::join!(users.disable("ops"), users.update("ops", "O", &groups));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    let ops = users.details("ops").await.unwrap();
    assert_eq!((ops.disabled, ops.full_name.as_str()), (true, "O"));
}

#[tokio::test]
async fn what_is_not_a_user_is_said_to_be_damaged() {
    let world = World::new();
    let auth = world.dev().await;
    let anna = r#"{"loginName":"anna","hash":"AA==","salt":"AA==","iterations":1}"#;
    let check = async |data: &str, expected: &str| {
        world.store.put("$user-bob", data).await;
        match auth.users().details("bob").await {
            Err(UserError::Damaged { login, reason }) => {
                assert_eq!(login, "bob");
                assert!(reason.contains(expected), "{data}: {reason}");
            }
            other => panic!("{data}: {other:?}"),
        }
        assert_eq!(log_in(&auth, "bob", "").await, None);
    };
    check("{", "not a user").await;
    check(
        r#"{"loginName":"bob","hash":"AA==","salt":"AA=="}"#,
        "iterations",
    )
    .await;
    check(anna, "about \"anna\"").await;
    check(
        &anna.replace("anna", "bob").replace(":1}", ":0}"),
        "0 rounds",
    )
    .await;
    check(
        &anna.replace("anna", "bob").replace(":1}", ":4000000000}"),
        "rounds",
    )
    .await;
    check(
        &anna.replace("anna", "bob").replace("AA==", "%"),
        "not Base64",
    )
    .await;
    auth.users().delete("bob").await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_a_user_is_refused() {
    let auth = World::new().dev().await;
    let check = async |user: NewUser, expected: &str| {
        let shown = format!("{user:?}");
        assert!(!shown.contains("a-secret"), "{shown}");
        match auth.users().create(user).await {
            Err(UserError::Invalid(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("{shown}: {other:?}"),
        }
    };
    for (login, expected) in [
        ("", "empty"),
        ("a:b", "colon"),
        ("$admins", "begins with $"),
        (" a", "space"),
        ("a\u{7}", "control"),
        (&*"x".repeat(129), "too long"),
    ] {
        let login = login.to_owned();
        check(NewUser { login, ..anna() }, expected).await;
    }
    let password = String::new();
    check(NewUser { password, ..anna() }, "password is empty").await;
    let password = "x".repeat(1_025);
    check(NewUser { password, ..anna() }, "more than the limit").await;
    let groups = vec!["x".to_owned(); 65];
    check(NewUser { groups, ..anna() }, "groups").await;
    let groups = vec![" ".to_owned()];
    check(NewUser { groups, ..anna() }, "no name").await;
    let full_name = "x".repeat(257);
    check(
        NewUser {
            full_name,
            ..anna()
        },
        "full name",
    )
    .await;
}

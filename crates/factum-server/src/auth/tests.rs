//! Starting, and authenticating.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use factum_io::sim::SimEnv;
use factum_store::{
    AppendBatch, EventStore, EventStream, Kind, MemoryStore, ReadRequest, Receipt, StoreError,
    StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{
    EventId, EventType, ExpectedRevision, NewEvent, Position, RecordedEvent, StreamName,
};
use futures_core::future::BoxFuture;
use futures_util::future::join_all;

use super::limits::{VERIFIED_FOR, VERIFIED_MAX};
use super::*;

/// A store that can be told to fail reads.
#[derive(Debug, Clone, Default)]
pub(super) struct TestStore {
    pub(super) inner: MemoryStore,
    pub(super) fails: Arc<AtomicBool>,
}

impl TestStore {
    /// Appends an event, as another server would.
    pub(super) async fn put(&self, stream: &str, data: &str) {
        let id = uuid::Uuid::from_u128(
            self.inner
                .head()
                .await
                .unwrap()
                .map_or(0, |head| u128::from(head.raw()) + 1),
        );
        let id = EventId::from_bytes(id.into_bytes());
        let event = NewEvent::json(id, EventType::new("$test").unwrap(), data.to_owned());
        let stream = StreamName::new(stream).unwrap();
        let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
        self.append(batch).await.unwrap();
    }

    pub(super) async fn events(&self, stream: &str) -> Vec<RecordedEvent> {
        let request = ReadRequest::stream(StreamName::new(stream).unwrap());
        self.read(request).collect().await.unwrap()
    }
}

impl EventStore for TestStore {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        self.inner.append(batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        if self.fails.load(Ordering::Relaxed) {
            return EventStream::of([Err(StoreError::new(Kind::Unavailable, "told to fail"))]);
        }
        self.inner.read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.inner.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.inner.head()
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        self.inner.stream_info(stream)
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        self.inner.streams(request)
    }
}

/// A server's part that is tested, and the world around it.
pub(super) struct World {
    pub(super) store: TestStore,
    pub(super) sim: SimEnv,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            store: TestStore::default(),
            sim: SimEnv::new(7),
        }
    }

    pub(super) async fn start(&self, options: Options) -> Result<Auth, StartError> {
        let options = Options {
            password_iterations: NonZeroU32::MIN,
            ..options
        };
        let (store, env) = (Arc::new(self.store.clone()), self.sim.env());
        Auth::start(store, env.clock, env.random, &options).await
    }

    pub(super) async fn dev(&self) -> Auth {
        self.start(of(Mode::Dev, None, None)).await.unwrap()
    }
}

fn of(mode: Mode, admin: Option<&str>, ops: Option<&str>) -> Options {
    Options {
        mode,
        admin_password: admin.map(str::to_owned),
        ops_password: ops.map(str::to_owned),
        ..Options::default()
    }
}

fn header(login: &str, password: &str) -> Vec<u8> {
    let encoded = BASE64.encode(format!("{login}:{password}"));
    format!("Basic {encoded}").into_bytes()
}

/// Who logs in like this, `None` when refused.
pub(super) async fn log_in(auth: &Auth, login: &str, password: &str) -> Option<Caller> {
    match auth.authenticate(Some(&header(login, password))).await {
        Ok(caller) => Some(caller),
        Err(Unauthenticated::Refused) => None,
        Err(error) => panic!("{login}: {error}"),
    }
}

async fn assert_login(auth: &Auth, login: &str, password: &str, expected: bool) {
    let found = log_in(auth, login, password).await;
    assert_eq!(found.is_some(), expected, "{login} with {password}");
}

#[tokio::test]
async fn a_secure_server_does_not_start_without_a_password() {
    let world = World::new();
    let error = world.start(Options::default()).await.unwrap_err();
    assert!(matches!(error, StartError::NoPassword), "{error}");
    assert!(
        error.to_string().contains("FACTUM_ADMIN_PASSWORD"),
        "{error}"
    );
    assert_eq!(
        world.store.head().await.unwrap(),
        None,
        "nothing was written"
    );
}

#[tokio::test]
async fn the_first_users_have_the_given_passwords_and_keep_them() {
    let world = World::new();
    let auth = world
        .start(of(Mode::Secure, Some("a-secret"), Some("o-secret")))
        .await
        .unwrap();
    let admin = log_in(&auth, "admin", "a-secret").await.unwrap();
    assert_eq!(admin, Caller::user("admin", ["$admins".to_owned()]));
    let ops = log_in(&auth, "ops", "o-secret").await.unwrap();
    assert_eq!(ops, Caller::user("ops", ["$ops".to_owned()]));
    let auth = world
        .start(of(Mode::Secure, Some("another"), None))
        .await
        .unwrap();
    assert_login(&auth, "admin", "a-secret", true).await;
    assert_login(&auth, "admin", "another", false).await;
}

#[tokio::test]
async fn ops_without_a_password_is_disabled() {
    let world = World::new();
    let auth = world
        .start(of(Mode::Secure, Some("a-secret"), None))
        .await
        .unwrap();
    assert!(auth.users().details("ops").await.unwrap().disabled);
    assert_login(&auth, "ops", DEFAULT_PASSWORD, false).await;
    auth.users()
        .reset_password("ops", "o-secret")
        .await
        .unwrap();
    assert_login(&auth, "ops", "o-secret", false).await;
    auth.users().enable("ops").await.unwrap();
    assert_login(&auth, "ops", "o-secret", true).await;
}

#[tokio::test]
async fn a_default_password_must_be_changed_before_a_secure_start() {
    let world = World::new();
    let auth = world.dev().await;
    assert_login(&auth, "admin", DEFAULT_PASSWORD, true).await;
    assert_login(&auth, "ops", DEFAULT_PASSWORD, true).await;
    let refused = |started: Result<Auth, StartError>, expected: &str| match started {
        Err(error @ StartError::DefaultPassword { login }) => {
            let variable = format!("FACTUM_{}_PASSWORD", expected.to_uppercase());
            assert_eq!(login, expected);
            assert!(error.to_string().contains(&variable), "{error}");
        }
        other => panic!("{other:?}"),
    };
    refused(world.start(of(Mode::Secure, None, None)).await, "admin");
    refused(
        world.start(of(Mode::Secure, Some("a-secret"), None)).await,
        "ops",
    );
    let auth = world
        .start(of(Mode::Secure, Some("a-secret"), Some("o-secret")))
        .await
        .unwrap();
    assert_login(&auth, "admin", DEFAULT_PASSWORD, false).await;
    assert_login(&auth, "admin", "a-secret", true).await;
    assert_login(&auth, "ops", "o-secret", true).await;
    world.start(of(Mode::Secure, None, None)).await.unwrap();
}

#[tokio::test]
async fn a_default_password_that_was_set_by_hand_counts_too() {
    let world = World::new();
    let auth = world
        .start(of(Mode::Secure, Some("a-secret"), None))
        .await
        .unwrap();
    auth.users()
        .change_password("admin", "a-secret", DEFAULT_PASSWORD)
        .await
        .unwrap();
    assert!(world.start(of(Mode::Secure, None, None)).await.is_err());
    world
        .start(of(Mode::Secure, Some(DEFAULT_PASSWORD), None))
        .await
        .unwrap();
}

#[tokio::test]
async fn two_servers_that_start_at_once_make_the_first_users_once() {
    let world = World::new();
    let (one, two) = tokio::join!(world.dev(), world.dev());
    assert_login(&one, "admin", DEFAULT_PASSWORD, true).await;
    assert_login(&two, "ops", DEFAULT_PASSWORD, true).await;
    assert_eq!(world.store.events("$users").await.len(), 2);
}

#[tokio::test]
async fn users_are_events_under_the_names_that_clients_know() {
    let world = World::new();
    world.dev().await;
    let users = world.store.events("$users").await;
    let listed: Vec<_> = users
        .iter()
        .map(|event| (event.event_type.as_str(), &*event.data))
        .collect();
    assert_eq!(listed, [("$User", &b"admin"[..]), ("$User", &b"ops"[..])]);
    let admin = world.store.events("$user-admin").await;
    assert_eq!(admin[0].event_type.as_str(), "$UserCreated");
    let data: serde_json::Value = serde_json::from_slice(&admin[0].data).unwrap();
    assert_eq!(data["loginName"], "admin");
    assert_eq!(data["groups"], serde_json::json!(["$admins"]));
    assert_eq!(data["disabled"], false);
    assert_eq!(data["iterations"], 1);
    assert!(!String::from_utf8_lossy(&admin[0].data).contains(DEFAULT_PASSWORD));
}

#[tokio::test]
async fn everybody_is_the_system_in_insecure_mode() {
    let world = World::new();
    let auth = world.start(of(Mode::Insecure, None, None)).await.unwrap();
    for sent in [
        None,
        Some(&header("admin", "wrong")[..]),
        Some(b"Bearer x"),
        Some(b"\xff"),
    ] {
        assert_eq!(auth.authenticate(sent).await.unwrap(), Caller::system());
    }
}

#[tokio::test]
async fn headers_that_cannot_be_read_are_refused_and_none_is_anonymous() {
    let auth = World::new().dev().await;
    assert_eq!(auth.authenticate(None).await.unwrap(), Caller::Anonymous);
    let error = auth.authenticate(Some(b"Bearer x")).await.unwrap_err();
    assert!(matches!(error, Unauthenticated::Bearer) && !error.is_passing());
    let error = auth.authenticate(Some(b"Basic \xff")).await.unwrap_err();
    assert!(matches!(error, Unauthenticated::Malformed(_)), "{error}");
}

#[tokio::test]
async fn every_failure_costs_as_much() {
    let world = World::new();
    let auth = world.dev().await;
    auth.users().disable("ops").await.unwrap();
    world.store.put("$user-broken", "{").await;
    let long = "x".repeat(500);
    for login in [
        "admin", "nobody", "ops", "broken", "", "$x", "a\u{1}b", &long,
    ] {
        let before = auth.passwords_hashed();
        assert_login(&auth, login, "wrong", false).await;
        assert_eq!(auth.passwords_hashed() - before, 1, "{login:?}");
    }
    let before = auth.passwords_hashed();
    assert_login(&auth, "ops", DEFAULT_PASSWORD, false).await;
    assert_eq!(auth.passwords_hashed() - before, 1, "disabled, and right");
}

#[tokio::test]
async fn right_credentials_are_remembered_for_a_while() {
    let world = World::new();
    let auth = world.dev().await;
    let check = async |what: &str, password: &str, right: bool, hashes: u64| {
        let before = auth.passwords_hashed();
        assert_login(&auth, "admin", password, right).await;
        assert_eq!(auth.passwords_hashed() - before, hashes, "{what}");
    };
    check("first", DEFAULT_PASSWORD, true, 1).await;
    check("again", DEFAULT_PASSWORD, true, 0).await;
    check("wrong", "wrong", false, 1).await;
    check("wrong again", "wrong", false, 1).await;
    world
        .sim
        .clock
        .advance(VERIFIED_FOR - Duration::from_nanos(1));
    check("just before the end", DEFAULT_PASSWORD, true, 0).await;
    world.sim.clock.advance(Duration::from_nanos(1));
    check(
        "after it, and the user is the same",
        DEFAULT_PASSWORD,
        true,
        0,
    )
    .await;
    // As another server writes it, with nothing changed.
    let user = world.store.events("$user-admin").await.pop().unwrap();
    let user = String::from_utf8(user.data.to_vec()).unwrap();
    world.store.put("$user-admin", &user).await;
    check("not looked at yet", DEFAULT_PASSWORD, true, 0).await;
    world.sim.clock.advance(VERIFIED_FOR);
    check("written since", DEFAULT_PASSWORD, true, 1).await;
    let disabled = user.replace(r#""disabled":false"#, r#""disabled":true"#);
    world.store.put("$user-admin", &disabled).await;
    world.sim.clock.advance(VERIFIED_FOR);
    check("disabled elsewhere", DEFAULT_PASSWORD, false, 1).await;
}

/// Those who send wrong passwords have all hashing busy, and everything that may wait for it waits.
#[tokio::test]
async fn wrong_passwords_lock_nobody_out_who_was_let_in() {
    let world = World::new();
    let auth = world.dev().await;
    assert_login(&auth, "admin", DEFAULT_PASSWORD, true).await;
    world.sim.clock.advance(VERIFIED_FOR);
    let held = auth.passwords.hold().await;
    let wrong: Vec<_> = (0..limits::VERIFICATIONS_MAX)
        .map(|number| header("admin", &number.to_string()))
        .collect();
    let attack = join_all(wrong.iter().map(|header| auth.authenticate(Some(header))));
    let honest = async {
        tokio::task::yield_now().await;
        assert_login(&auth, "admin", DEFAULT_PASSWORD, true).await;
        let header = header("ops", DEFAULT_PASSWORD);
        let new = auth.authenticate(Some(&header)).await;
        assert!(new.unwrap_err().is_passing(), "the attack fills it");
        drop(held);
    };
    tokio::join!(attack, honest);
}

#[tokio::test]
async fn a_login_and_a_password_do_not_run_into_each_other() {
    let auth = World::new().dev().await;
    let user = NewUser {
        login: "ann".to_owned(),
        password: "a:x".to_owned(),
        ..NewUser::default()
    };
    auth.users().create(user).await.unwrap();
    assert_login(&auth, "ann", "a:x", true).await;
    assert_login(&auth, "anna", ":x", false).await;
    assert_login(&auth, "anna", "x", false).await;
}

#[tokio::test]
async fn many_who_log_in_alike_at_once_are_verified_once() {
    let auth = World::new().dev().await;
    let before = auth.passwords_hashed();
    let header = header("admin", DEFAULT_PASSWORD);
    let callers = join_all((0..500).map(|_| auth.authenticate(Some(&header)))).await;
    assert!(
        callers
            .iter()
            .all(|caller| caller.as_ref().is_ok_and(Caller::is_admin))
    );
    assert_eq!(auth.passwords_hashed() - before, 1);
}

#[tokio::test]
async fn a_verification_goes_on_when_who_asked_is_gone() {
    let auth = World::new().dev().await;
    let (before, held) = (auth.passwords_hashed(), auth.passwords.hold().await);
    let header = header("admin", DEFAULT_PASSWORD);
    let first = tokio::time::timeout(Duration::ZERO, auth.authenticate(Some(&header)));
    assert!(first.await.is_err());
    drop(held);
    assert_login(&auth, "admin", DEFAULT_PASSWORD, true).await;
    assert_eq!(auth.passwords_hashed() - before, 1);
}

#[tokio::test]
async fn only_so_many_are_remembered() {
    let auth = World::new().dev().await;
    for number in 0..=VERIFIED_MAX {
        let user = NewUser {
            login: format!("user-{number}"),
            password: "x".to_owned(),
            ..NewUser::default()
        };
        auth.users().create(user).await.unwrap();
    }
    for number in 0..=VERIFIED_MAX {
        assert_login(&auth, &format!("user-{number}"), "x", true).await;
    }
    assert_eq!(auth.verified.remembered(), VERIFIED_MAX);
}

#[tokio::test]
async fn one_more_than_can_wait_is_told_to_come_again() {
    let auth = World::new().dev().await;
    let held = auth.passwords.hold().await;
    let headers: Vec<_> = (0..=limits::HASHES_PENDING_MAX)
        .map(|number| header("admin", &number.to_string()))
        .collect();
    let all = join_all(headers.iter().map(|header| auth.authenticate(Some(header))));
    let release = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    let (answers, ()) = tokio::join!(all, release);
    let passing = answers
        .iter()
        .filter(|answer| answer.as_ref().is_err_and(Unauthenticated::is_passing));
    assert_eq!(passing.count(), 1);
}

#[tokio::test]
async fn what_the_store_cannot_answer_is_not_taken_for_wrong() {
    let world = World::new();
    let auth = world.dev().await;
    world.store.fails.store(true, Ordering::Relaxed);
    let answer = auth
        .authenticate(Some(&header("admin", DEFAULT_PASSWORD)))
        .await;
    assert!(answer.unwrap_err().is_passing());
    world.store.fails.store(false, Ordering::Relaxed);
    assert_login(&auth, "admin", DEFAULT_PASSWORD, true).await;
}

#[tokio::test]
async fn a_change_of_a_user_is_noticed_at_once() {
    let world = World::new();
    let auth = world.dev().await;
    let users = auth.users();
    assert_login(&auth, "ops", DEFAULT_PASSWORD, true).await;
    users
        .change_password("ops", DEFAULT_PASSWORD, "o-1")
        .await
        .unwrap();
    assert_login(&auth, "ops", DEFAULT_PASSWORD, false).await;
    assert_login(&auth, "ops", "o-1", true).await;
    users.reset_password("ops", "o-2").await.unwrap();
    assert_login(&auth, "ops", "o-1", false).await;
    assert_login(&auth, "ops", "o-2", true).await;
    users
        .update("ops", "Ops", &["$admins".to_owned()])
        .await
        .unwrap();
    assert!(log_in(&auth, "ops", "o-2").await.unwrap().is_admin());
    users.disable("ops").await.unwrap();
    assert_login(&auth, "ops", "o-2", false).await;
    users.enable("ops").await.unwrap();
    assert_login(&auth, "ops", "o-2", true).await;
    users.delete("ops").await.unwrap();
    assert_login(&auth, "ops", "o-2", false).await;
}

#[tokio::test]
async fn a_user_written_as_a_stream_is_noticed_when_told() {
    let world = World::new();
    let auth = world.dev().await;
    assert_login(&auth, "ops", DEFAULT_PASSWORD, true).await;
    world.store.put("$user-ops", "{}").await;
    auth.written(&StreamName::new("$user-admin").unwrap());
    assert_login(&auth, "ops", DEFAULT_PASSWORD, true).await;
    auth.written(&StreamName::new("$user-ops").unwrap());
    assert_login(&auth, "ops", DEFAULT_PASSWORD, false).await;
}

#[tokio::test]
async fn a_user_deleted_by_metadata_is_noticed_when_told() {
    let world = World::new();
    let auth = world.dev().await;
    assert_login(&auth, "ops", DEFAULT_PASSWORD, true).await;
    let user = StreamName::new("$user-ops").unwrap();
    let delete = factum_store::Change::Delete;
    let batch = AppendBatch::change(user, ExpectedRevision::Any, delete);
    world.store.append(batch).await.unwrap();
    auth.written(&StreamName::new("$$$user-ops").unwrap());
    assert_login(&auth, "ops", DEFAULT_PASSWORD, false).await;
}

#[tokio::test]
async fn what_is_verified_while_the_user_changes_is_not_remembered() {
    let auth = World::new().dev().await;
    let held = auth.passwords.hold().await;
    let before = {
        let auth = auth.clone();
        tokio::spawn(async move { log_in(&auth, "ops", DEFAULT_PASSWORD).await })
    };
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    auth.users().disable("ops").await.unwrap();
    let after = log_in(&auth, "ops", DEFAULT_PASSWORD);
    let release = async {
        tokio::task::yield_now().await;
        drop(held);
    };
    let (after, ()) = tokio::join!(after, release);
    assert!(
        before.await.unwrap().is_some(),
        "it began before the change"
    );
    assert_eq!(after, None, "it does not wait for the answer from before");
    assert_login(&auth, "ops", DEFAULT_PASSWORD, false).await;
}

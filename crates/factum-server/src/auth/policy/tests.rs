//! Who may do what, asserted from one table, and what access control lists change.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use factum_io::sim::SimEnv;

use super::Operation as O;
use super::*;
use crate::auth::limits::{ACLS_FOR, ACLS_MAX};
use crate::auth::tests::TestStore;

const USER_STREAM: Target<'_> = Target::Stream("order-1");
const SYSTEM_STREAM: Target<'_> = Target::Stream("$stats-1");
const METADATA: Target<'_> = Target::Stream("$$order-1");
const SYSTEM_METADATA: Target<'_> = Target::Stream("$$$stats-1");
const OF_METADATA: Target<'_> = Target::Stream("$$$$order-1");
const INDEX: Target<'_> = Target::Stream("$ce-order");
const ALL_EVENTS: Target<'_> = Target::Stream("$all");
const ANNA: Target<'_> = Target::User("anna");
const OTHER: Target<'_> = Target::User("bob");
const SERVER: Target<'_> = Target::Server;

/// Anonymous, the user anna, ops, admin: a letter for who may, a dash for who may not. Nothing is stored.
#[rustfmt::skip]
const TABLE: &[(Operation, Target<'_>, &str)] = &[
    (O::ReadStream, USER_STREAM, "-uoa"),
    (O::ReadStream, SYSTEM_STREAM, "---a"),
    (O::ReadStream, METADATA, "-uoa"),
    (O::ReadStream, SYSTEM_METADATA, "---a"),
    (O::ReadStream, OF_METADATA, "---a"),
    (O::ReadStream, ALL_EVENTS, "---a"),
    (O::ReadStream, Target::Stream("$$"), "---a"),
    (O::ReadStream, SERVER, "---a"),
    (O::ReadStream, ANNA, "---a"),
    (O::Subscribe, USER_STREAM, "-uoa"),
    (O::Subscribe, SYSTEM_STREAM, "---a"),
    (O::Subscribe, METADATA, "-uoa"),
    (O::Subscribe, INDEX, "-uoa"),
    (O::WriteStream, USER_STREAM, "-uoa"),
    (O::WriteStream, SYSTEM_STREAM, "---a"),
    (O::WriteStream, METADATA, "-uoa"),
    (O::WriteStream, SYSTEM_METADATA, "---a"),
    (O::WriteStream, Target::Stream("$settings"), "---a"),
    (O::WriteStream, Target::Stream("$user-anna"), "---a"),
    (O::WriteStream, ALL_EVENTS, "---a"),
    (O::DeleteStream, USER_STREAM, "-uoa"),
    (O::DeleteStream, SYSTEM_STREAM, "---a"),
    (O::DeleteStream, METADATA, "-uoa"),
    (O::ReadMetadata, USER_STREAM, "-uoa"),
    (O::ReadMetadata, SYSTEM_STREAM, "---a"),
    (O::ReadMetadata, METADATA, "---a"),
    (O::WriteMetadata, USER_STREAM, "-uoa"),
    (O::WriteMetadata, SYSTEM_STREAM, "---a"),
    (O::WriteMetadata, METADATA, "---a"),
    (O::ReadAll, SERVER, "---a"),
    (O::ReadAll, USER_STREAM, "---a"),
    (O::SubscribeAll, SERVER, "---a"),
    (O::CreateGroup, USER_STREAM, "--oa"),
    (O::UpdateGroup, USER_STREAM, "--oa"),
    (O::DeleteGroup, USER_STREAM, "--oa"),
    (O::ReadGroup, USER_STREAM, "-uoa"),
    (O::ReadGroup, ALL_EVENTS, "---a"),
    (O::ReadGroup, INDEX, "-uoa"),
    (O::ReadGroupTargets, USER_STREAM, "-uoa"),
    (O::ReadGroupTargets, INDEX, "---a"),
    (O::ReadGroupTargets, ALL_EVENTS, "---a"),
    (O::ReplayParked, USER_STREAM, "--oa"),
    (O::TruncateParked, USER_STREAM, "--oa"),
    (O::GroupInfo, USER_STREAM, "-uoa"),
    (O::ListGroups, SERVER, "-uoa"),
    (O::RestartGroups, SERVER, "--oa"),
    (O::CreateUser, SERVER, "---a"),
    (O::UpdateUser, ANNA, "---a"),
    (O::DeleteUser, ANNA, "---a"),
    (O::EnableUser, ANNA, "---a"),
    (O::DisableUser, ANNA, "---a"),
    (O::UserDetails, ANNA, "-u-a"),
    (O::UserDetails, OTHER, "---a"),
    (O::UserDetails, SERVER, "---a"),
    (O::UserDetails, Target::Stream("anna"), "---a"),
    (O::ListUsers, SERVER, "---a"),
    (O::ChangePassword, ANNA, "-u-a"),
    (O::ChangePassword, OTHER, "---a"),
    (O::ResetPassword, ANNA, "---a"),
    (O::StartScavenge, SERVER, "--oa"),
    (O::StopScavenge, SERVER, "--oa"),
    (O::Shutdown, SERVER, "--oa"),
    (O::MergeIndexes, SERVER, "--oa"),
    (O::ResignNode, SERVER, "--oa"),
    (O::SetNodePriority, SERVER, "--oa"),
    (O::KeepCheckpoint, SERVER, "-uoa"),
    (O::Statistics, SERVER, "-uoa"),
    (O::Metrics, SERVER, "-uoa"),
];

struct World {
    store: TestStore,
    sim: SimEnv,
    policy: Policy,
}

fn world(anonymous_streams: bool) -> World {
    let (store, sim) = (TestStore::default(), SimEnv::new(1));
    let clock = sim.env().clock;
    let policy = Policy::new(Arc::new(store.clone()), clock, anonymous_streams);
    World { store, sim, policy }
}

fn callers() -> [(char, Caller); 4] {
    let of = |login: &str, group: Option<&str>| Caller::user(login, group.map(str::to_owned));
    [
        ('n', Caller::Anonymous),
        ('u', of("anna", None)),
        ('o', of("ops", Some("$ops"))),
        ('a', of("admin", Some("$admins"))),
    ]
}

impl World {
    /// Who may, in the letters of the table.
    async fn who(&self, operation: Operation, target: Target<'_>) -> String {
        let mut who = String::new();
        for (letter, caller) in callers() {
            match self.policy.check(&caller, operation, target).await {
                Ok(()) => who.push(letter),
                Err(Denied::Access { anonymous }) => {
                    assert_eq!(anonymous, caller == Caller::Anonymous);
                    who.push('-');
                }
                Err(error) => panic!("{operation:?} {target:?}: {error}"),
            }
        }
        who
    }

    async fn assert_who(&self, operation: Operation, target: Target<'_>, expected: &str) {
        let who = self.who(operation, target).await;
        assert_eq!(who, expected, "{operation:?} {target:?}");
    }

    /// Writes as this server does.
    async fn write(&self, stream: &str, data: &str) {
        self.store.put(stream, data).await;
        self.policy.written(stream);
    }
}

#[tokio::test]
async fn everything_is_in_the_table_and_holds() {
    let world = world(false);
    for (operation, target, expected) in TABLE {
        world.assert_who(*operation, *target, expected).await;
    }
    let told: BTreeSet<_> = TABLE.iter().map(|(operation, ..)| *operation).collect();
    let every: BTreeSet<_> = Operation::EVERY.iter().copied().collect();
    assert_eq!(told, every);
}

#[tokio::test]
async fn streams_may_be_opened_to_those_who_are_not_authenticated() {
    let world = world(true);
    world.assert_who(O::ReadStream, USER_STREAM, "nuoa").await;
    world.assert_who(O::WriteStream, USER_STREAM, "nuoa").await;
    world.assert_who(O::ReadStream, SYSTEM_STREAM, "---a").await;
    world.assert_who(O::ReadAll, SERVER, "---a").await;
    world.assert_who(O::GroupInfo, USER_STREAM, "-uoa").await;
    world
        .write("$$order-1", r#"{"$acl":{"$r":"anna","$w":[]}}"#)
        .await;
    world.assert_who(O::ReadStream, USER_STREAM, "-u-a").await;
    world.assert_who(O::WriteStream, USER_STREAM, "---a").await;
}

#[tokio::test]
async fn a_list_names_logins_and_groups() {
    let world = world(false);
    let acl = r#"{"$acl":{"$r":["anna","$ops"],"$w":"$ops","$d":[],"$mr":"$all","$mw":"anna"}}"#;
    world.write("$$order-1", acl).await;
    world.assert_who(O::ReadStream, USER_STREAM, "-uoa").await;
    world.assert_who(O::Subscribe, USER_STREAM, "-uoa").await;
    world.assert_who(O::ReadGroup, USER_STREAM, "-uoa").await;
    world.assert_who(O::WriteStream, USER_STREAM, "--oa").await;
    world.assert_who(O::DeleteStream, USER_STREAM, "---a").await;
    world.assert_who(O::ReadMetadata, USER_STREAM, "-uoa").await;
    world.assert_who(O::ReadStream, METADATA, "-uoa").await;
    world
        .assert_who(O::WriteMetadata, USER_STREAM, "-u-a")
        .await;
    world.assert_who(O::WriteStream, METADATA, "-u-a").await;
    world.assert_who(O::DeleteStream, METADATA, "-u-a").await;
    world
        .assert_who(O::ReadStream, Target::Stream("order-2"), "-uoa")
        .await;
}

#[tokio::test]
async fn metadata_without_a_list_leaves_the_defaults() {
    let world = world(false);
    world.write("$$order-1", r#"{"$maxCount":3}"#).await;
    world.assert_who(O::ReadStream, USER_STREAM, "-uoa").await;
    world.write("$$order-1", r#"{"$acl":{"$w":"$ops"}}"#).await;
    world.assert_who(O::ReadStream, USER_STREAM, "-uoa").await;
    world.assert_who(O::WriteStream, USER_STREAM, "--oa").await;
}

#[tokio::test]
async fn system_streams_and_all_may_be_opened() {
    let world = world(false);
    world.write("$$$all", r#"{"$acl":{"$r":"anna"}}"#).await;
    world.assert_who(O::ReadAll, SERVER, "-u-a").await;
    world.assert_who(O::SubscribeAll, SERVER, "-u-a").await;
    world.assert_who(O::ReadGroup, ALL_EVENTS, "-u-a").await;
    world.write("$$$stats-1", r#"{"$acl":{"$r":"$all"}}"#).await;
    world.assert_who(O::ReadStream, SYSTEM_STREAM, "-uoa").await;
    world
        .assert_who(O::WriteStream, SYSTEM_STREAM, "---a")
        .await;
}

#[tokio::test]
async fn settings_change_the_defaults() {
    let world = world(false);
    world.assert_who(O::ReadStream, USER_STREAM, "-uoa").await;
    let settings = r#"{"$userStreamAcl":{"$r":"$ops"},"$systemStreamAcl":{"$r":["$ops"]}}"#;
    world.write("$settings", settings).await;
    world.assert_who(O::ReadStream, USER_STREAM, "--oa").await;
    world.assert_who(O::WriteStream, USER_STREAM, "-uoa").await;
    world.assert_who(O::ReadStream, SYSTEM_STREAM, "--oa").await;
    world
        .assert_who(O::WriteStream, SYSTEM_STREAM, "---a")
        .await;
    world.assert_who(O::ReadAll, SERVER, "--oa").await;
    world.write("$$order-1", r#"{"$acl":{"$r":"anna"}}"#).await;
    world.assert_who(O::ReadStream, USER_STREAM, "-u-a").await;
}

#[tokio::test]
async fn what_an_index_points_to_may_be_opened_to_groups() {
    let world = world(false);
    world
        .write("$$$ce-order", r#"{"$acl":{"$r":"anna"}}"#)
        .await;
    world.assert_who(O::ReadGroupTargets, INDEX, "-u-a").await;
    let other = Target::Stream("$ce-invoice");
    world.assert_who(O::ReadGroupTargets, other, "---a").await;
    let settings = r#"{"$systemStreamAcl":{"$r":"$ops"}}"#;
    world.write("$settings", settings).await;
    world.assert_who(O::ReadGroupTargets, other, "--oa").await;
    world.assert_who(O::ReadGroup, other, "-uoa").await;
}

#[tokio::test]
async fn what_cannot_be_read_is_for_admins() {
    for broken in [
        "",
        "{",
        "7",
        r#"{"$acl":[]}"#,
        r#"{"$acl":{"$r":"$all","$w":1}}"#,
    ] {
        let world = world(true);
        world.write("$$order-1", broken).await;
        for operation in [
            O::ReadStream,
            O::WriteStream,
            O::DeleteStream,
            O::ReadMetadata,
        ] {
            world.assert_who(operation, USER_STREAM, "---a").await;
        }
        world.assert_who(O::WriteStream, METADATA, "---a").await;
        world
            .assert_who(O::ReadStream, Target::Stream("order-2"), "nuoa")
            .await;
        world.write("$settings", broken).await;
        world
            .assert_who(
                O::ReadStream,
                Target::Stream("order-2"),
                expected_of(broken),
            )
            .await;
    }
}

/// `$settings` has no `$acl`, so that this says nothing there.
fn expected_of(broken: &str) -> &'static str {
    if broken.contains("$acl") {
        "nuoa"
    } else {
        "---a"
    }
}

#[tokio::test]
async fn a_closed_metadata_stream_is_for_admins() {
    let world = world(false);
    let (stream, any) = (
        StreamName::new("$$order-1").unwrap(),
        factum_types::ExpectedRevision::Any,
    );
    let tombstone = factum_store::Change::Tombstone;
    let batch = factum_store::AppendBatch::change(stream, any, tombstone);
    world.store.append(batch).await.unwrap();
    world.assert_who(O::ReadStream, USER_STREAM, "---a").await;
}

#[tokio::test]
async fn a_store_that_fails_denies_and_admins_need_none() {
    let world = world(false);
    world.store.fails.store(true, Ordering::Relaxed);
    let [(_, anonymous), (_, anna), _, (_, admin)] = callers();
    let check =
        async |caller: &Caller| world.policy.check(caller, O::ReadStream, USER_STREAM).await;
    assert!(matches!(check(&anna).await, Err(Denied::Store(_))));
    assert!(matches!(
        check(&anonymous).await,
        Err(Denied::Access { anonymous: true })
    ));
    assert!(check(&admin).await.is_ok());
    world.assert_who(O::ListGroups, SERVER, "-uoa").await;
    world.store.fails.store(false, Ordering::Relaxed);
    assert!(check(&anna).await.is_ok(), "the failure is not remembered");
}

#[tokio::test]
async fn what_another_server_wrote_is_seen_after_a_while() {
    let world = world(false);
    world.assert_who(O::ReadStream, USER_STREAM, "-uoa").await;
    world
        .store
        .put("$$order-1", r#"{"$acl":{"$r":"anna"}}"#)
        .await;
    world
        .store
        .put("$settings", r#"{"$userStreamAcl":{"$w":"anna"}}"#)
        .await;
    world.assert_who(O::ReadStream, USER_STREAM, "-uoa").await;
    world.sim.clock.advance(ACLS_FOR);
    world.assert_who(O::ReadStream, USER_STREAM, "-u-a").await;
    world.assert_who(O::WriteStream, USER_STREAM, "-u-a").await;
}

#[tokio::test]
async fn only_so_many_lists_are_remembered() {
    let world = world(false);
    let anna = Caller::user("anna", []);
    for number in 0..ACLS_MAX + 10 {
        let stream = format!("order-{number}");
        let allowed = world
            .policy
            .check(&anna, O::ReadStream, Target::Stream(&stream));
        allowed.await.unwrap();
    }
    assert_eq!(world.policy.lookup.len(), ACLS_MAX);
}

#[tokio::test]
async fn a_name_too_long_to_have_metadata_has_the_defaults() {
    let world = world(false);
    let long = "x".repeat(512);
    world
        .assert_who(O::ReadStream, Target::Stream(&long), "-uoa")
        .await;
    world
        .assert_who(
            O::ReadStream,
            Target::Stream(&format!("${}", &long[1..])),
            "---a",
        )
        .await;
}

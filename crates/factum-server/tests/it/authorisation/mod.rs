//! Who may do what, over a real connection: one table for everything that a server answers.

mod ask;
mod links;
mod table;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::server_features::server_features_client::ServerFeaturesClient;
use factum_proto::kurrent::streams::read_req::options::CountOption;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::users::users_client::UsersClient;
use factum_proto::kurrent::users::{CreateReq, create_req};
use factum_server::Options;
use factum_server::auth::Mode;
use factum_store::{AppendBatch, EventStore, MemoryStore};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
use tonic::{Code, Request};

use crate::support::{Running, of_all, of_stream, read};
use ask::{Said, Who};
use table::{Ask, Row, Told};

/// Nobody but admins may delete it.
const LEDGER_ACL: &str =
    r#"{"$acl":{"$r":"$ops","$w":["anna"],"$d":[],"$mr":"anna","$mw":"$admins"}}"#;

/// A group that gives what links over a category point to.
const LINKING_GROUP: &str = r#"{"version":"2","updatedBy":"admin","entries":[{"stream":"$ce-order","group":"linking",
    "resolveLinkTos":true,"startPosition":"0","extraStatistics":false,"messageTimeout":30000,"maxRetryCount":10,"liveBufferSize":500,
    "historyBufferSize":500,"readBatchSize":20,"checkPointAfter":2000,"minCheckPointCount":10,"maxCheckPointCount":1000,
    "maxSubscriberCount":0,"namedConsumerStrategy":"RoundRobin"}]}"#;

/// Appends as no client does.
async fn put(store: &MemoryStore, stream: &str, kind: &str, data: &str) {
    let head = store.head().await.unwrap();
    let number = head.map_or(0, |head| u128::from(head.raw()) + 1);
    let id = EventId::from_bytes(number.to_be_bytes());
    let event = NewEvent::json(id, EventType::new(kind).unwrap(), data.to_owned());
    let stream = StreamName::new(stream).unwrap();
    let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
    store.append(batch).await.unwrap();
}

/// A server with users, an ordinary stream, one with an access control list, and one of the system.
async fn start() -> (Running, MemoryStore) {
    let store = MemoryStore::new();
    put(&store, "order-1", "Placed", "{}").await;
    put(&store, "ledger-1", "Booked", "{}").await;
    put(&store, "$$ledger-1", "$metadata", LEDGER_ACL).await;
    put(&store, "$scratch-1", "Noted", "{}").await;
    let groups = "$persistentSubscriptionConfig";
    put(&store, groups, "$PersistentConfig", LINKING_GROUP).await;
    let mut options = Options::default();
    options.auth.mode = Mode::Dev;
    options.auth.password_iterations = NonZeroU32::MIN;
    let server = Running::with(Arc::new(store.clone()), options).await;
    let mut anna = Request::new(CreateReq {
        options: Some(create_req::Options {
            login_name: "anna".to_owned(),
            password: "secret".to_owned(),
            full_name: "Anna".to_owned(),
            groups: Vec::new(),
        }),
    });
    let admin = Who::Admin.header().unwrap().parse().unwrap();
    anna.metadata_mut().insert("authorization", admin);
    let mut users = UsersClient::new(server.channel().await);
    users.create(anna).await.unwrap();
    (server, store)
}

async fn asked(server: &Running, row: &Row, who: Who) -> Said {
    let said = async {
        match &row.ask {
            Ask::Call(path, body) => {
                ask::call(&server.channel().await, path, body.clone(), who).await
            }
            Ask::Plain(plain) => ask::plain(server.address, *plain, who).await,
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(30), said).await;
    assert!(said.is_ok(), "{row} by {who:?} is not answered");
    said.unwrap()
}

/// Those without credentials do what access control lists allow to all, where the server lets them, and no more.
#[tokio::test]
async fn those_without_credentials_belong_to_all_where_they_are_let_in() {
    let store = MemoryStore::new();
    put(&store, "order-1", "Placed", "{}").await;
    put(&store, "ledger-1", "Booked", "{}").await;
    put(&store, "$$ledger-1", "$metadata", LEDGER_ACL).await;
    let mut options = Options::default();
    options.auth.mode = Mode::Dev;
    options.auth.password_iterations = NonZeroU32::MIN;
    options.auth.anonymous_streams = true;
    let server = Running::with(Arc::new(store), options).await;
    let mut streams = server.streams().await;
    let first = |stream| {
        of_stream(
            stream,
            RevisionOption::Start(Empty {}),
            CountOption::Count(1),
        )
    };
    assert_eq!(read(&mut streams, first("order-1")).await.unwrap().len(), 1);
    let all = of_all(AllOption::Start(Empty {}), CountOption::Count(1));
    for closed in [first("ledger-1"), first("$$ledger-1"), first("$users"), all] {
        let refused = read(&mut streams, closed).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    }
    let mut users = UsersClient::new(server.channel().await);
    let refused = users.create(CreateReq { options: None }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    server.stop().await;
}

/// Each row is asked of a server of its own, by each caller: what one did is nothing to the next.
#[tokio::test]
async fn every_caller_is_told_what_the_table_says() {
    let mut wrong = Vec::new();
    for row in table::rows() {
        for (who, told) in Who::KNOWN.into_iter().zip(row.each) {
            let (server, _) = start().await;
            let said = asked(&server, &row, who).await;
            server.stop().await;
            let expected = match told {
                Told::Allowed => Said::Answered(row.answer),
                Told::Denied => Said::Denied,
                Told::Unauthenticated => Said::Unauthenticated,
            };
            if said != expected {
                wrong.push(format!("{row} by {who:?}: {said:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn wrong_credentials_are_refused_whatever_is_asked() {
    let (server, _) = start().await;
    for row in table::rows() {
        for who in Who::WRONG {
            let said = asked(&server, &row, who).await;
            assert_eq!(said, Said::Unauthenticated, "{row} by {who:?}");
        }
    }
    server.stop().await;
}

/// A service does not look at what a request says that it is, so neither does what stands before it.
#[tokio::test]
async fn who_has_no_credentials_is_refused_whatever_the_request_says_that_it_is() {
    let (server, _) = start().await;
    for row in table::rows() {
        let Ask::Call(path, _) = &row.ask else {
            continue;
        };
        let [anonymous, ..] = row.each;
        let path = path.to_string().leak();
        let plain = ask::Plain {
            method: "POST",
            route: path,
            path,
            body: Some(("text/plain", "")),
        };
        let said = ask::head(server.address, plain, Who::Anonymous).await;
        let is_refused = said.contains("\r\ngrpc-status: 16\r\n");
        assert_eq!(
            is_refused,
            anonymous == Told::Unauthenticated,
            "{path}: {said}"
        );
    }
    server.stop().await;
}

/// The methods that have a row, as paths.
fn methods() -> BTreeSet<String> {
    let rows = table::rows().into_iter();
    rows.filter_map(|row| match row.ask {
        Ask::Call(path, _) => Some(path),
        Ask::Plain(_) => None,
    })
    .collect()
}

#[tokio::test]
async fn the_table_has_every_method_that_is_advertised() {
    let (server, _) = start().await;
    let mut features = ServerFeaturesClient::new(server.channel().await);
    let answer = features.get_supported_methods(Empty {}).await.unwrap();
    let advertised: BTreeSet<_> = answer
        .into_inner()
        .methods
        .into_iter()
        .map(|method| format!("/{}/{}", method.service_name, method.method_name))
        .collect();
    let rows: BTreeSet<_> = methods().iter().map(|path| path.to_lowercase()).collect();
    // Factum's own protocol is not among what KurrentDB's clients are told.
    let missing: Vec<_> = advertised.difference(&rows).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    server.stop().await;
}

/// What is described and has no row is not served: nothing can be served that the table forgets.
#[tokio::test]
async fn the_table_has_every_method_that_is_served() {
    let (server, _) = start().await;
    let (described, rows) = (described(), methods());
    assert!(described.is_superset(&rows), "{rows:?}");
    let channel = server.channel().await;
    for path in described.difference(&rows) {
        let said = ask::call(&channel, path, ask::framed(&Empty {}), Who::Admin).await;
        assert_eq!(
            said,
            Said::Answered(Code::Unimplemented),
            "{path} has no row"
        );
    }
    server.stop().await;
}

/// What a path answers is what it says when it is asked for something else.
#[tokio::test]
async fn the_table_has_every_path_that_is_served() {
    let (server, _) = start().await;
    let rows = table::rows().into_iter();
    let rows: BTreeSet<_> = rows
        .filter_map(|row| match row.ask {
            Ask::Plain(plain) => Some((plain.route.to_owned(), plain.method.to_owned())),
            Ask::Call(..) => None,
        })
        .collect();
    let mut served = BTreeSet::new();
    for route in factum_server::http_paths() {
        let path = if route.starts_with("/streams/{stream}/") {
            "/streams/s/metadata"
        } else if route.starts_with("/streams/") {
            "/streams/s"
        } else {
            route
        };
        let method = "PROPFIND";
        let body = None;
        let plain = ask::Plain {
            method,
            route,
            path,
            body,
        };
        let head = ask::head(server.address, plain, Who::Admin).await;
        assert!(head.starts_with("http/1.1 405"), "{route}: {head}");
        let allow = head.lines().find_map(|line| line.strip_prefix("allow: "));
        for method in allow.unwrap().to_uppercase().split(',') {
            // As GET, without a body.
            if method != "HEAD" {
                served.insert((route.to_owned(), method.to_owned()));
            }
        }
    }
    server.stop().await;
    assert_eq!(rows, served);
}

/// The path of every method of every service that the descriptions have.
fn described() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../factum-proto/proto");
    let (mut directories, mut paths) = (vec![root], BTreeSet::new());
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                methods_of(&path, &mut paths);
            }
        }
    }
    paths
}

fn methods_of(file: &PathBuf, paths: &mut BTreeSet<String>) {
    let text = std::fs::read_to_string(file).unwrap();
    let (mut package, mut service) = ("", "");
    for line in text.lines().map(str::trim) {
        let words: Vec<_> = line.split([' ', ';', '(', '{']).collect();
        match *words.as_slice() {
            ["package", name, ..] => package = name,
            ["service", name, ..] => service = name,
            ["rpc", name, ..] => {
                paths.insert(format!("/{package}.{service}/{name}"));
            }
            _ => {}
        }
    }
}

//! A link may be read by more people than what it points to.

use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::ReadReq;
use factum_proto::kurrent::streams::read_req::Options;
use factum_proto::kurrent::streams::read_req::options::CountOption;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::streams::read_resp::{Content, ReadEvent};
use factum_store::MemoryStore;
use tonic::Request;

use super::ask::Who;
use super::{put, start};
use crate::http::client::{self, Events};
use crate::support::{FOLLOW, Running, of_all, of_stream};

/// Links to a stream for `$ops`, to one of the system, to the metadata of a stream, and to what everybody reads.
const LINKS: [&str; 5] = [
    "0@ledger-1",
    "0@$scratch-1",
    "0@$$ledger-1",
    "0@order-1",
    "7@order-1",
];
/// System streams are for everybody: so virtual ones are, while `ledger-1` keeps its own list.
const OPEN: &str = r#"{"$systemStreamAcl":{"$r":"$all"}}"#;

async fn with_links() -> (Running, MemoryStore) {
    let (server, store) = start().await;
    for link in LINKS {
        put(&store, "links-1", "$>", link).await;
    }
    (server, store)
}

/// What is shown of each: the link's data where there is a link, and the stream of its event where there is one.
async fn seen(
    server: &Running,
    mut options: Options,
    who: Who,
    count: usize,
) -> Vec<(String, Option<String>)> {
    options.resolve_links = true;
    let mut request = Request::new(ReadReq {
        options: Some(options),
    });
    let credentials = who.header().unwrap().parse().unwrap();
    request.metadata_mut().insert("authorization", credentials);
    let mut client = server.streams().await;
    let mut answers = client.read(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.len() < count {
        let answer = tokio::time::timeout(Duration::from_secs(30), answers.message());
        let answer = answer.await.expect("it is not answered").unwrap().unwrap();
        if let Some(Content::Event(ReadEvent {
            event,
            link: Some(link),
            ..
        })) = answer.content
        {
            let data = String::from_utf8(link.data.to_vec()).unwrap();
            let stream = event.map(|event| event.stream_identifier.unwrap().stream_name);
            seen.push((
                data,
                stream.map(|name| String::from_utf8(name.to_vec()).unwrap()),
            ));
        }
    }
    seen
}

fn resolved(to: [Option<&str>; 5]) -> Vec<(String, Option<String>)> {
    let pairs = LINKS.into_iter().zip(to);
    pairs
        .map(|(link, to)| (link.to_owned(), to.map(str::to_owned)))
        .collect()
}

const ADMIN_SEES: [Option<&str>; 5] = [
    Some("ledger-1"),
    Some("$scratch-1"),
    Some("$$ledger-1"),
    Some("order-1"),
    None,
];
const OPS_SEES: [Option<&str>; 5] = [Some("ledger-1"), None, None, Some("order-1"), None];
const ANNA_SEES: [Option<&str>; 5] = [None, None, Some("$$ledger-1"), Some("order-1"), None];

#[tokio::test]
async fn a_link_does_not_show_what_the_caller_may_not_read() {
    let (server, _) = with_links().await;
    for (who, sees) in [
        (Who::Admin, ADMIN_SEES),
        (Who::Ops, OPS_SEES),
        (Who::User, ANNA_SEES),
    ] {
        for count in [CountOption::Count(10), FOLLOW] {
            let options = of_stream("links-1", RevisionOption::Start(Empty {}), count);
            let seen = seen(&server, options, who, LINKS.len()).await;
            assert_eq!(seen, resolved(sees), "{who:?} {count:?}");
        }
    }
    server.stop().await;
}

/// Who may read `$all` may read what stands in it, but is not shown by a link what its own list keeps from them.
#[tokio::test]
async fn a_link_in_all_does_not_either() {
    let (server, store) = with_links().await;
    let open = r#"{"$acl":{"$r":"$all"}}"#;
    put(&store, "$$$all", "$metadata", open).await;
    for count in [CountOption::Count(100), FOLLOW] {
        let options = of_all(AllOption::Start(Empty {}), count);
        let seen = seen(&server, options, Who::User, LINKS.len()).await;
        assert_eq!(seen, resolved(ANNA_SEES), "{count:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_virtual_stream_does_not_either() {
    let (server, store) = start().await;
    put(&store, "$settings", "$settings", OPEN).await;
    let start = || RevisionOption::Start(Empty {});
    for count in [CountOption::Count(10), FOLLOW] {
        for (category, hidden) in [("ledger", true), ("order", false)] {
            let options = of_stream(&format!("$ce-{category}"), start(), count);
            let stream = format!("{category}-1");
            let shown = seen(&server, options, Who::User, 1).await;
            let expected = (format!("0@{stream}"), (!hidden).then_some(stream));
            assert_eq!(shown, [expected], "{count:?}");
        }
        let options = of_stream("$ce-ledger", start(), count);
        let shown = seen(&server, options, Who::Ops, 1).await;
        assert_eq!(
            shown,
            [("0@ledger-1".to_owned(), Some("ledger-1".to_owned()))]
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_virtual_stream_does_not_over_http_either() {
    let (server, store) = start().await;
    put(&store, "$settings", "$settings", OPEN).await;
    for (who, category, hidden) in [
        (Who::User, "ledger", true),
        (Who::User, "order", false),
        (Who::Ops, "ledger", false),
    ] {
        let credentials = who.header().unwrap();
        let headers = [("authorization", &credentials[..])];
        let path = format!("/streams/$ce-{category}");
        let page = client::ask(server.address, "GET", &path, &headers, "").await;
        let path = format!("/subscribe?stream=$ce-{category}");
        let mut events = Events::open(server.address, &path, &headers).await;
        let followed = events.next().await.unwrap().json();
        assert_eq!(page.json()[0], followed, "{who:?} {category}");
        let expected = if hidden {
            ("$>".to_owned(), "$ce-ledger".to_owned())
        } else {
            let kind = if category == "order" {
                "Placed"
            } else {
                "Booked"
            };
            (kind.to_owned(), format!("{category}-1"))
        };
        let text = |name: &str| followed[name].as_str().unwrap().to_owned();
        assert_eq!(
            (text("type"), text("stream")),
            expected,
            "{who:?} {category}"
        );
        assert_eq!(followed["link"]["revision"], 0);
    }
    server.stop().await;
}

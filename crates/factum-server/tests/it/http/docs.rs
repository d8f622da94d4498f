//! What docs/server.md shows is what happens: its `curl` commands are asked in order, `[..]` stands for anything.

use http::Uri;

use super::client::{Events, ask};
use crate::support::Running;

/// A command of the document, and what it is answered with.
struct Shown {
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    answer: String,
}

/// The words of a line, as a shell has them: quotes keep a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in line.chars() {
        match character {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(character),
        }
    }
    words
}

fn shown(block: &str) -> Shown {
    let (command, answer) = block.split_once('\n').unwrap();
    let mut shown = Shown {
        path: String::new(),
        headers: Vec::new(),
        body: None,
        answer: answer.trim_end().to_owned(),
    };
    let mut words = words(command).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-N" => {}
            "-H" => {
                let header = words.next().unwrap();
                let (name, value) = header.split_once(": ").unwrap();
                shown.headers.push((name.to_lowercase(), value.to_owned()));
            }
            "-d" => shown.body = words.next(),
            url => {
                let path = url.strip_prefix("localhost:2113").expect(url);
                assert!(path.parse::<Uri>().is_ok(), "{path}");
                path.clone_into(&mut shown.path);
            }
        }
    }
    shown
}

/// Whether a text is what a pattern says.
fn is(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let found = if is_last {
            rest.strip_suffix(part).map(|_| "")
        } else {
            rest.split_once(part).map(|(_, rest)| rest)
        };
        let Some(behind) = found else { return false };
        rest = behind;
    }
    rest.is_empty()
}

#[tokio::test]
async fn the_commands_of_the_guide_do_what_it_shows() {
    let document = include_str!("../../../../../docs/server.md");
    let (_, section) = document.split_once("## Over plain HTTP\n").unwrap();
    let (_, block) = section.split_once("```console\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let server = Running::start().await;
    let mut count = 0;
    for shown in block.split("$ curl ").skip(1).map(shown) {
        let Shown {
            path,
            headers,
            body,
            answer,
        } = shown;
        if path.starts_with("/subscribe") {
            let mut events = Events::open(server.address, &path, &[]).await;
            let said = events.lines(answer.lines().count()).await;
            assert!(is(&said, &answer), "{path}: {said}");
        } else {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (&name[..], &value[..]))
                .collect();
            let method = if body.is_some() { "POST" } else { "GET" };
            let said = ask(
                server.address,
                method,
                &path,
                &headers,
                body.unwrap_or_default(),
            )
            .await;
            assert!(is(said.text(), &answer), "{path}: {}", said.text());
        }
        count += 1;
    }
    assert_eq!(count, 5);
    server.stop().await;
}

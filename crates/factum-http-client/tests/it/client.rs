//! The client against a server of the test's own: what is sent, and what ends it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use factum_http_client::{Client, Credentials, Method, Options, Request};
use factum_io::Spawner;
use factum_io::real::RealSpawner;
use factum_projection::{Error, Kind};
use pollster::block_on;

/// Answers one request with these bytes, and tells what it heard; with none it stays silent until it is hung up on.
fn server(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, heard) = channel();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let text = listen(&mut stream);
        drop(stream.write_all(answer.as_bytes()));
        drop(send.send(text));
        if answer.is_empty() {
            drop(stream.read(&mut [0; 1]));
        }
    };
    RealSpawner::new().spawn("server", Box::new(serve)).unwrap();
    (address, heard)
}

fn listen(stream: &mut TcpStream) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 4_096]);
    while !text.contains("\r\n\r\n") {
        let count = stream.read(&mut bytes).unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}

fn get(options: &Options) -> Result<u16, Error> {
    let client = Client::new(options)?;
    let answer = block_on(client.send(Request::new(Method::Get, "/a?b=c")))?;
    Ok(answer.status)
}

#[test]
fn the_request_says_who_we_are() {
    for (credentials, header) in [
        (
            Credentials::basic("factum", "secret"),
            "authorization: Basic ZmFjdHVtOnNlY3JldA==",
        ),
        (
            Credentials::scheme("ApiKey", "abc"),
            "authorization: ApiKey abc",
        ),
        (
            Credentials::scheme("Bearer", "abc"),
            "authorization: Bearer abc",
        ),
    ] {
        let (address, heard) = server("HTTP/1.1 204 No Content\r\n\r\n");
        let options = Options::new(&address).unwrap().credentials(credentials);
        assert_eq!(get(&options).unwrap(), 204);
        let heard = heard.recv().unwrap();
        assert!(heard.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains(header), "{heard}");
    }
}

#[test]
fn any_status_is_an_answer_but_not_one_that_sends_us_elsewhere() {
    let (address, _heard) = server("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(get(&Options::new(&address).unwrap()).unwrap(), 503);
    let (address, _heard) = server(
        "HTTP/1.1 302 Found\r\nLocation: http://example.invalid/\r\nContent-Length: 0\r\n\r\n",
    );
    let error = get(&Options::new(&address).unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}

#[test]
fn everything_has_an_end() {
    let (address, _heard) = server("");
    let options = Options::new(&address)
        .unwrap()
        .timeout(Duration::from_millis(200));
    let error = get(&options).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    let (address, _heard) = server("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world");
    let mut options = Options::new(&address).unwrap();
    options.answer_bytes_max = 10;
    let error = get(&options).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let (address, _heard) = server("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello");
    let error = get(&Options::new(&address).unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    let error = get(&Options::new("http://127.0.0.1:9").unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    let secret = Options::new("http://factum:opensesame@127.0.0.1:9").unwrap();
    let error = get(&secret).unwrap_err();
    assert!(
        !format!("{error:?}{secret:?}").contains("opensesame"),
        "{error:?}"
    );
}

#[test]
fn requests_go_out_in_order_though_nobody_waits() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, heard) = channel();
    let serve = move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let first = listen(&mut stream).lines().next().unwrap().to_owned();
            send.send(first).unwrap();
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    };
    RealSpawner::new().spawn("server", Box::new(serve)).unwrap();
    let client = Client::new(&Options::new(&address).unwrap()).unwrap();
    let mut dropped = Box::pin(client.send(Request::new(Method::Delete, "/one")));
    let waker = std::task::Waker::noop();
    let polled = dropped
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker));
    assert!(polled.is_pending());
    drop(dropped);
    block_on(client.send(Request::new(Method::Delete, "/two"))).unwrap();
    assert_eq!(heard.recv().unwrap(), "DELETE /one HTTP/1.1");
    assert_eq!(heard.recv().unwrap(), "DELETE /two HTTP/1.1");
}

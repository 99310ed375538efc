//! Bodies both ways, whole and broken off.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    plans::{cluster, simple, to},
    running::Running,
    wire::{Client, Origin, full, raw, read_head, request, scripted},
};

#[tokio::test]
async fn statuses_and_methods_without_a_body() {
    let app = Origin::start(false, |seen| {
        let status: u16 = seen.uri.path()[1..].parse().unwrap();
        let mut builder = Response::builder().status(status);
        if status == 304 {
            builder = builder.header("etag", "\"v\"");
        }
        let text = if status == 200 { "12345" } else { "" };
        builder.body(full(text)).unwrap()
    })
    .await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    let mut client = Client::http1(running.main()).await;
    for (method, path, length) in [
        (Method::HEAD, "/200", Some("5")),
        (Method::GET, "/204", None),
        (Method::GET, "/304", None),
        (Method::GET, "/200", Some("5")),
    ] {
        let answer = client.send(request(method.clone(), path, &[])).await;
        assert_eq!(answer.status.to_string(), path[1..], "{method} {path}");
        assert_eq!(answer.header("content-length"), length, "{method} {path}");
        let empty = method == Method::HEAD || path != "/200";
        assert_eq!(answer.body.is_empty(), empty, "{method} {path}");
    }
    assert_eq!(app.connections(), 1, "the connection was kept");
}

#[tokio::test]
async fn chunks_and_lengths_pass() {
    let app = Origin::start(false, |seen| Response::new(full(seen.body.clone()))).await;
    let mut running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    let sent =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
        5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n";
    let answer = raw(running.main(), sent).await;
    assert!(answer.ends_with("\r\n\r\nhello world"), "{answer}");
    assert_eq!(app.seen()[0].header("transfer-encoding"), Some("chunked"));
    let told = running.told().await;
    assert_eq!((told.received, told.sent), (11, 11));
}

/// More than any buffer on the way holds, at the pace of the slower side.
#[tokio::test]
async fn big_bodies_pass_both_ways() {
    const LEN: usize = 10 * 1024 * 1024;
    for http2 in [false, true] {
        let app = Origin::start(false, |seen| Response::new(full(seen.body.clone()))).await;
        let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
        let mut client = if http2 {
            Client::http2(running.main()).await
        } else {
            Client::http1(running.main()).await
        };
        let body: Bytes = (0..LEN).map(|i| (i % 251) as u8).collect();
        let path = if http2 { "http://a/" } else { "/" };
        let mut asking = request(Method::POST, path, &[]);
        *asking.body_mut() = full(body.clone());
        let answer = client.send(asking).await;
        assert!(
            answer.body == body,
            "http2 {http2}: {} bytes",
            answer.body.len()
        );
    }
}

/// An origin that sends for ever is held up by a caller that does not read.
#[tokio::test]
async fn a_caller_that_does_not_read_holds_the_origin_up() {
    const MUCH: usize = 512 * 1024 * 1024;
    let (stuck, mut is_stuck) = tokio::sync::mpsc::unbounded_channel();
    let app = scripted(move |_, mut stream| {
        let stuck = stuck.clone();
        async move {
            read_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = vec![0; 64 * 1024];
            for written in (0..MUCH).step_by(chunk.len()) {
                let writing = stream.write_all(&chunk);
                if tokio::time::timeout(Duration::from_millis(500), writing)
                    .await
                    .is_err()
                {
                    stuck.send(written).unwrap();
                    return;
                }
            }
            stuck.send(MUCH).unwrap();
        }
    })
    .await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app]))).await;
    let mut stream = TcpStream::connect(running.main()).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    read_head(&mut stream).await;
    let written = is_stuck.recv().await.unwrap();
    assert!(written < MUCH / 2, "{written} bytes were taken");
}

/// A caller that leaves in the middle is told of, and its connection upstream is not used again.
#[tokio::test]
async fn a_caller_that_leaves_is_told_of() {
    let (arrived, mut has_arrived) = tokio::sync::mpsc::unbounded_channel();
    let (closed, mut was_closed) = tokio::sync::mpsc::unbounded_channel();
    let app = scripted(move |number, mut stream| {
        let (closed, arrived) = (closed.clone(), arrived.clone());
        async move {
            read_head(&mut stream).await;
            arrived.send(()).unwrap();
            if number == 0 {
                let part = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
                stream.write_all(part).await.unwrap();
            }
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            closed.send(number).unwrap();
        }
    })
    .await;
    let mut running = Running::start(&simple(to("app"), cluster("app", &[app]))).await;
    // In the middle of the answer, then before it.
    for (number, status) in [(0, 200), (1, 0)] {
        let mut stream = TcpStream::connect(running.main()).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        has_arrived.recv().await.unwrap();
        if number == 0 {
            read_head(&mut stream).await;
            let mut part = [0; 5];
            stream.read_exact(&mut part).await.unwrap();
        }
        drop(stream);
        let told = running.told().await;
        assert_eq!((told.status, told.flags.as_str()), (status, "DC"));
        assert_eq!(told.details, "downstream_remote_disconnect");
        assert_eq!(was_closed.recv().await, Some(number));
    }
    let lines = running.finish().await;
    assert_eq!(lines.len(), 2, "{lines:?}");
}

/// An answer that comes before the request is complete must not leave a busy connection in the
/// pool: the next request would wait for a stranger's body.
#[tokio::test]
async fn an_early_answer_holds_nobody_up() {
    let app = scripted(|_, mut stream| async move {
        loop {
            if read_head(&mut stream).await.is_empty() {
                return;
            }
            let early = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(early).await.unwrap();
        }
    })
    .await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app]))).await;
    let mut slow = TcpStream::connect(running.main()).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 1000\r\n\r\nhello";
    slow.write_all(head).await.unwrap();
    assert!(read_head(&mut slow).await.starts_with("HTTP/1.1 413"));
    let mut client = Client::http1(running.main()).await;
    assert_eq!(
        client.send(request(Method::GET, "/", &[])).await.status,
        413
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_of() {
    let app = scripted(|_, mut stream| async move {
        read_head(&mut stream).await;
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
        stream.write_all(part).await.unwrap();
    })
    .await;
    let mut running = Running::start(&simple(to("app"), cluster("app", &[app]))).await;
    let mut client = Client::http1(running.main()).await;
    let response = client.start(request(Method::GET, "/", &[])).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    let told = running.told().await;
    assert_eq!((told.status, told.flags.as_str()), (200, "UC"));
}

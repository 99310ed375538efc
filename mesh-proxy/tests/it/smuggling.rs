//! Requests that two servers could understand differently.

use http::Method;
use tokio::io::AsyncWriteExt;

use crate::{
    plans::{cluster, simple, to},
    running::Running,
    wire::{Client, Origin, raw, read_head, request, scripted},
};

/// Each is followed by a request that must never be understood as one: what came before it cannot
/// be trusted.
#[tokio::test]
async fn what_is_ambiguous_is_refused_and_ends_the_connection() {
    let app = Origin::saying(200, "").await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nx-long: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "x-a: 1\r\n".repeat(150)
    );
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nx-nul: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded: 1\r\n\r\n",
        "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        long.as_str(),
        many.as_str(),
    ] {
        let text = format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = raw(running.main(), text.as_bytes()).await;
        let case = &request[..request.len().min(90)];
        assert!(answer.starts_with("HTTP/1.1 4"), "{case:?}: {answer:?}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{case:?}: {answer:?}"
        );
    }
    assert!(app.seen().is_empty(), "{:?}", app.seen());
}

/// What is broken only after the head has gone on ends the request, and the connection.
#[tokio::test]
async fn broken_chunks_end_the_request() {
    let app = Origin::saying(200, "").await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    for chunk in [
        "xyz\r\nhello\r\n",
        "5\r\nhelloX\r\n",
        "-5\r\nhello\r\n",
        "ffffffffffffffffff\r\n",
    ] {
        let text = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n\
             GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = raw(running.main(), text.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer:?}");
        assert!(
            answer.matches("HTTP/1.1 ").count() <= 1,
            "{chunk:?}: {answer:?}"
        );
    }
    assert!(app.seen().is_empty(), "{:?}", app.seen());
}

/// Where both are there, chunks decide, and only they go on.
#[tokio::test]
async fn a_length_beside_chunks_goes_no_further() {
    let app = Origin::saying(200, "").await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    for headers in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
    ] {
        let before = app.seen().len();
        let text = format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        raw(running.main(), text.as_bytes()).await;
        if let Some(seen) = app.seen().get(before) {
            assert_eq!(
                (&seen.body[..], seen.header("content-length")),
                (&b"hello"[..], None)
            );
        }
    }
}

/// No tunnel is offered, so none is begun, and nothing that looks like one goes on.
#[tokio::test]
async fn tunnels_are_refused() {
    let app = Origin::saying(200, "").await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    let text = "CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\nConnection: close\r\n\r\n";
    let answer = raw(running.main(), text.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer:?}");
    assert!(app.seen().is_empty(), "{:?}", app.seen());
}

/// Protocols are switched only where the caller asked for it.
#[tokio::test]
async fn a_switch_nobody_asked_for_is_a_failure() {
    let app = scripted(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nraw";
        stream.write_all(answer).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app]))).await;
    let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = raw(running.main(), text.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    assert!(!answer.contains("raw"), "{answer:?}");
}

/// HTTP/2 may not bring what HTTP/1 may not.
#[tokio::test]
async fn headers_are_counted_whatever_the_protocol() {
    let app = Origin::saying(200, "").await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    let mut client = Client::http2(running.main()).await;
    for (count, status) in [(50, 200), (150, 431)] {
        let many = vec![("x-a", "1"); count];
        let answer = client.send(request(Method::GET, "http://a/", &many)).await;
        assert_eq!(answer.status, status, "{count}");
    }
}

//! HTTP/1 and HTTP/2 on either side, gRPC, upgrades.

use http::{HeaderMap, Method, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use mesh_core::dataplane::UpstreamProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    plans::{cluster, simple, to},
    running::Running,
    wire::{Body, Client, Origin, full, read_head, request, scripted},
};

fn with_trailers(text: &'static str, trailers: HeaderMap) -> Body {
    Full::new(text.into())
        .with_trailers(std::future::ready(Some(Ok(trailers))))
        .boxed()
}

#[tokio::test]
async fn every_pair_of_versions() {
    for (downstream2, upstream2, protocol) in [
        (false, false, UpstreamProtocol::Http1),
        (false, true, UpstreamProtocol::Http2),
        (true, false, UpstreamProtocol::Http1),
        (true, true, UpstreamProtocol::Http2),
        (true, true, UpstreamProtocol::UseDownstream),
        (false, false, UpstreamProtocol::UseDownstream),
    ] {
        let app = Origin::start(upstream2, |seen| Response::new(full(seen.body.clone()))).await;
        let mut planned = cluster("app", &[app.address]);
        planned.protocol = protocol;
        let running = Running::start(&simple(to("app"), planned)).await;
        let case = format!("{downstream2} {protocol:?}");
        let (mut client, path) = if downstream2 {
            (Client::http2(running.main()).await, "http://reviews/x?y=z")
        } else {
            (Client::http1(running.main()).await, "/x?y=z")
        };
        for _ in 0..3 {
            let cookies = [("cookie", "a=1"), ("cookie", "b=2")];
            let cookies = if downstream2 { &cookies[..] } else { &[] };
            let mut asking = request(Method::POST, path, cookies);
            *asking.body_mut() = full("hello");
            let answer = client.send(asking).await;
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "hello"),
                "{case}"
            );
            let want = if downstream2 {
                Version::HTTP_2
            } else {
                Version::HTTP_11
            };
            assert_eq!(answer.version, want, "{case}");
        }
        let seen = &app.seen()[0];
        let want = if upstream2 {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        };
        assert_eq!(seen.version, want, "{case}");
        assert_eq!(seen.uri.path_and_query().unwrap(), "/x?y=z", "{case}");
        let host = seen.uri.authority().map(|host| host.as_str());
        assert_eq!(
            host.or_else(|| seen.header("host")),
            Some("reviews"),
            "{case}"
        );
        assert_eq!(
            seen.header("cookie"),
            downstream2.then_some("a=1; b=2"),
            "{case}"
        );
        assert_eq!(app.connections(), 1, "{case}");
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let app = Origin::start(true, |seen| {
        let mut trailers = seen.trailers.clone().unwrap_or_default();
        trailers.insert("grpc-status", "7".parse().unwrap());
        let head = Response::builder().header("content-type", "application/grpc");
        head.body(with_trailers("message", trailers)).unwrap()
    })
    .await;
    let mut planned = cluster("app", &[app.address]);
    planned.protocol = UpstreamProtocol::Http2;
    let running = Running::start(&simple(to("app"), planned)).await;
    let mut client = Client::http2(running.main()).await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let mut asking = request(Method::POST, "http://a/pkg.Service/Method", &headers);
    let trailers = HeaderMap::from_iter([("x-mine".parse().unwrap(), "1".parse().unwrap())]);
    *asking.body_mut() = with_trailers("question", trailers);
    let answer = client.send(asking).await;
    let trailers = answer.trailers.unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-mine"]),
        (&"7".parse().unwrap(), &"1".parse().unwrap())
    );
    assert_eq!(app.seen()[0].header("te"), Some("trailers"));
    let metrics = running.metrics().await;
    let total = metrics
        .iter()
        .find(|sample| sample.name == "istio_requests_total")
        .unwrap();
    assert_eq!(total.labels["request_protocol"], "grpc");
    assert_eq!(total.labels["grpc_response_status"], "7");
}

#[tokio::test]
async fn connections_switch_protocols() {
    let app = scripted(|_, mut stream| async move {
        let head = read_head(&mut stream).await.to_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    })
    .await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app]))).await;
    let mut client = Client::http1(running.main()).await;
    let asking = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
    ];
    let response = client
        .start(request(Method::GET, "/", &asking))
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"ping");
    // It goes on while the proxy drains, and ends when its sides do.
    running.signal.start();
    stream.write_all(b"pong").await.unwrap();
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"pong");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    running.finish().await;
}

#[tokio::test]
async fn unknown_protocols_are_refused() {
    let app = Origin::saying(200, "").await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    let mut client = Client::http1(running.main()).await;
    let asking = [("connection", "upgrade"), ("upgrade", "irc")];
    assert_eq!(
        client.send(request(Method::GET, "/", &asking)).await.status,
        403
    );
    assert!(app.seen().is_empty());
}

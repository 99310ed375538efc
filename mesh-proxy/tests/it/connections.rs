//! Connections whose bytes are passed on, and how chains are chosen.

use std::{collections::BTreeMap, net::SocketAddr};

use mesh_core::dataplane::{
    AccessAction, AccessLog, AccessLogFilter, AccessPolicy, AccessRules, ChainMatch, Cluster,
    Direction, Discovery, ListenerFilters, NetworkFilter, OriginalDestination, Permission,
    Principal, RbacFilter, ServiceRef, Terminal,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    plans::{chain, cluster, http, istio_log, listener, plan, respond, route, tcp_to},
    running::Running,
    wire::{get, nobody, raw, scripted},
};

/// Answers with what it was sent once that is complete, backwards.
async fn backwards() -> SocketAddr {
    scripted(|_, mut stream| async move {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes.reverse();
        stream.write_all(&bytes).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn bytes_pass_and_sides_end_one_by_one() {
    let mut app = cluster("app", &[backwards().await]);
    app.metadata.services.push(ServiceRef {
        host: "db.default.svc.cluster.local".into(),
        name: "db".into(),
        namespace: "default".into(),
    });
    let chains = vec![chain("tcp", ChainMatch::default(), tcp_to("app"))];
    let listeners = vec![listener("main", Direction::Outbound, chains)];
    let mut running = Running::start(&plan(listeners, vec![app])).await;
    let mut stream = TcpStream::connect(running.main()).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "olleh");
    let told = running.told().await;
    assert_eq!((told.received, told.sent, told.flags.as_str()), (5, 5, "-"));
    let metrics = running.metrics().await;
    for (name, value) in [
        ("istio_tcp_connections_opened_total", 1.0),
        ("istio_tcp_connections_closed_total", 1.0),
        ("istio_tcp_received_bytes_total", 5.0),
        ("istio_tcp_sent_bytes_total", 5.0),
    ] {
        let sample = metrics.iter().find(|sample| sample.name == name).unwrap();
        assert_eq!(sample.value, value, "{name}");
        assert_eq!(sample.labels["request_protocol"], "tcp");
        assert_eq!(sample.labels["destination_service_name"], "db");
        assert_eq!(sample.labels["source_workload"], "caller");
        assert!(!sample.labels.contains_key("response_code"), "{name}");
    }
    let lines = running.finish().await;
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(line.contains("] \"- - -\" 0 - - - \"-\" 5 5 "), "{line}");
    assert!(line.contains(" app 127.0.0.1:"), "{line}");
}

#[tokio::test]
async fn what_cannot_be_passed_on_is_told_of() {
    for (clusters, flags) in [
        (vec![], "NC"),
        (vec![cluster("app", &[])], "UH"),
        (vec![cluster("app", &[nobody().await])], "UF"),
    ] {
        let chains = vec![chain("tcp", ChainMatch::default(), tcp_to("app"))];
        let listeners = vec![listener("main", Direction::Outbound, chains)];
        let mut running = Running::start(&plan(listeners, clusters)).await;
        assert_eq!(raw(running.main(), b"").await, "");
        assert_eq!(running.told().await.flags, flags);
        assert!(running.finish().await[0].contains(&format!(" 0 {flags} ")));
    }
}

#[tokio::test]
async fn callers_that_may_not_connect_are_told_of() {
    let policy = AccessPolicy {
        permissions: vec![Permission::DestinationPort(1)],
        principals: vec![Principal::Any],
        origin: None,
    };
    let rules = AccessRules {
        action: AccessAction::Allow,
        policies: BTreeMap::from([("ns[a]-policy[b]-rule[0]".into(), policy)]),
    };
    let mut only = chain("tcp", ChainMatch::default(), tcp_to("app"));
    only.filters.push(NetworkFilter::Rbac(RbacFilter {
        rules: Some(rules),
        ..RbacFilter::default()
    }));
    let listeners = vec![listener("main", Direction::Inbound, vec![only])];
    let clusters = vec![cluster("app", &[backwards().await])];
    let mut running = Running::start(&plan(listeners, clusters)).await;
    assert_eq!(raw(running.main(), b"hello").await, "");
    let denied = "rbac_access_denied_matched_policy[none]";
    assert_eq!(running.told().await.details, denied);
    let metrics = running.metrics().await;
    let count = metrics
        .iter()
        .find(|sample| sample.name == "mesh_downstream_connections_denied");
    assert_eq!(count.unwrap().value, 1.0);
    let line = &running.finish().await[0];
    assert!(line.contains(denied), "{line}");
}

#[tokio::test]
async fn connections_without_a_chain_are_told_of() {
    let elsewhere = ChainMatch {
        destination_port: Some(1),
        ..ChainMatch::default()
    };
    let chains = vec![chain("other", elsewhere, tcp_to("app"))];
    let mut planned = listener("main", Direction::Inbound, chains);
    planned.access_log = vec![AccessLog {
        filter: Some(AccessLogFilter::ResponseFlags(vec!["NR".into()])),
        ..istio_log()
    }];
    let mut running = Running::start(&plan(vec![planned], vec![])).await;
    assert_eq!(raw(running.main(), b"").await, "");
    let told = running.told().await;
    assert_eq!(
        (told.flags.as_str(), told.details.as_str()),
        ("NR", "filter_chain_not_found")
    );
    let line = &running.finish().await[0];
    assert!(
        line.contains("\"- - -\" 0 NR filter_chain_not_found - "),
        "{line}"
    );
}

fn answering(name: &str) -> Terminal {
    Terminal::Http(http(vec![route("/", respond(200, name))]))
}

#[tokio::test]
async fn chains_are_chosen_by_what_is_spoken() {
    let speaking = |protocol: &str| ChainMatch {
        application_protocols: vec![protocol.into()],
        ..ChainMatch::default()
    };
    let chains = vec![
        chain("http", speaking("http/1.1"), answering("http")),
        chain("bytes", ChainMatch::default(), tcp_to("app")),
    ];
    let mut planned = listener("main", Direction::Outbound, chains);
    planned.listener_filters = ListenerFilters {
        tls_inspector: true,
        http_inspector: true,
        ..ListenerFilters::default()
    };
    let clusters = vec![cluster("app", &[backwards().await])];
    let running = Running::start(&plan(vec![planned], clusters)).await;
    assert_eq!(get(running.main(), "/").await.text(), "http");
    let mut stream = TcpStream::connect(running.main()).await.unwrap();
    stream.write_all(b"\x01\x02abc").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"cba\x02\x01");
}

/// A connection is handed to the listener of its destination, whether that has a socket or not.
#[tokio::test]
async fn connections_are_handed_over() {
    let accepting = |name: &str| {
        let chains = vec![chain(name, ChainMatch::default(), answering(name))];
        listener(name, Direction::Outbound, chains)
    };
    let mut main = accepting("main");
    main.use_original_dst = true;
    let running = Running::start(&plan(vec![main.clone()], vec![])).await;
    assert_eq!(get(running.main(), "/").await.text(), "main");
    for host in ["0.0.0.0", "127.0.0.1"] {
        let mut unbound = accepting("unbound");
        unbound.bind_to_port = false;
        unbound.address = format!("{host}:{}", running.main().port()).parse().unwrap();
        let verdict = running
            .proxy
            .apply(&plan(vec![main.clone(), unbound], vec![]))
            .await;
        assert_eq!(verdict.refusals, []);
        assert_eq!(get(running.main(), "/").await.text(), "unbound", "{host}");
    }
}

/// A cluster that follows the caller may still be told which port to call.
#[tokio::test]
async fn the_port_a_caller_meant_may_be_replaced() {
    let app = backwards().await;
    let following = |port_override| {
        let named = OriginalDestination {
            port_override,
            header: None,
        };
        Cluster::new("app", Discovery::OriginalDestination(named))
    };
    let chains = vec![chain("tcp", ChainMatch::default(), tcp_to("app"))];
    let listeners = vec![listener("main", Direction::Inbound, chains)];
    let running = Running::start(&plan(listeners, vec![following(Some(app.port()))])).await;
    let mut stream = TcpStream::connect(running.main()).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "cba");
}

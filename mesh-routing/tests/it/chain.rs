//! The chain selector: cases, and a slow reference that narrows step by step.

use std::net::{IpAddr, SocketAddr};

use mesh_core::dataplane::*;
use mesh_routing::{ChainRef, ChainSelector, ConnectionFacts, Defect};
use proptest::{collection::vec, option, prelude::*, sample::select};

fn chain(name: &str, matches: ChainMatch) -> FilterChain {
    FilterChain {
        name: name.into(),
        matches,
        tls: None,
        handshake_timeout: None,
        filters: Vec::new(),
        terminal: Terminal::Tcp(TcpProxy {
            stat_prefix: name.into(),
            clusters: Vec::new(),
            tunnel: None,
            hash_source: false,
            idle_timeout: None,
            access_log: Vec::new(),
            origin: None,
        }),
    }
}

fn listener(chains: Vec<FilterChain>, default: bool) -> Listener {
    Listener {
        name: "l".into(),
        address: "0.0.0.0:15006".parse().unwrap(),
        bind_to_port: true,
        direction: Direction::Inbound,
        use_original_dst: false,
        listener_filters: ListenerFilters::default(),
        filter_chains: chains,
        default_filter_chain: default.then(|| chain("default", ChainMatch::default())),
        access_log: Vec::new(),
    }
}

const PLAIN: ConnectionFacts<'static> = ConnectionFacts {
    source: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)), 40000),
    destination: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 9080),
    server_name: None,
    transport: TransportProtocol::RawBuffer,
    application_protocols: &[],
    peer: None,
};

const TLS: ConnectionFacts<'static> = ConnectionFacts {
    transport: TransportProtocol::Tls,
    ..PLAIN
};

#[track_caller]
fn check(listener: &Listener, connection: &ConnectionFacts<'_>, want: &str) {
    let selector = ChainSelector::compile(listener).unwrap();
    let chain = selector
        .select(connection)
        .and_then(|chain| chain.of(listener));
    let name = chain.map_or("none", |chain| &chain.name);
    assert_eq!(name, want, "{connection:?}");
}

/// The inbound chains of a permissive workload, as Istio plans them.
#[test]
fn permissive() {
    let istio = ["istio-http/1.0", "istio-http/1.1", "istio-h2"].map(String::from);
    let port = |transport, protocols: &[String]| ChainMatch {
        destination_port: Some(9080),
        transport: Some(transport),
        application_protocols: protocols.to_vec(),
        ..Default::default()
    };
    let blackhole = ChainMatch {
        destination_port: Some(15006),
        ..Default::default()
    };
    use TransportProtocol::*;
    let listener = listener(
        vec![
            chain("blackhole", blackhole),
            chain("mtls", port(Tls, &istio)),
            chain("http", port(RawBuffer, &["http/1.1".into(), "h2c".into()])),
            chain("tls", port(Tls, &[])),
            chain("raw", port(RawBuffer, &[])),
        ],
        true,
    );
    let with = |facts: ConnectionFacts<'static>, application_protocols| ConnectionFacts {
        application_protocols,
        ..facts
    };
    let to = |port| ConnectionFacts {
        destination: SocketAddr::new(PLAIN.destination.ip(), port),
        ..PLAIN
    };
    check(&listener, &with(TLS, &["istio-http/1.1"]), "mtls");
    check(&listener, &with(TLS, &["h2", "istio-h2"]), "mtls");
    check(&listener, &with(TLS, &["h2"]), "tls");
    check(&listener, &TLS, "tls");
    check(&listener, &with(PLAIN, &["http/1.1"]), "http");
    check(&listener, &PLAIN, "raw");
    check(&listener, &to(15006), "blackhole");
    check(&listener, &to(1), "default");
}

#[test]
fn server_names() {
    let name = |names: &[&str]| ChainMatch {
        server_names: names.iter().map(|name| name.to_string()).collect(),
        ..Default::default()
    };
    let listener = listener(
        vec![
            chain("exact", name(&["a.example.com", "b.example.com"])),
            chain("near", name(&["*.Example.com"])),
            chain("far", name(&["*.com"])),
            chain("any", name(&[])),
        ],
        false,
    );
    for (sni, want) in [
        ("a.example.com", "exact"),
        ("B.EXAMPLE.COM", "exact"),
        ("c.example.com", "near"),
        ("d.c.example.com", "near"),
        ("example.com", "far"),
        ("com", "any"),
        (".com", "any"),
        ("x.org", "any"),
    ] {
        let server_name = Some(sni);
        check(&listener, &ConnectionFacts { server_name, ..TLS }, want);
    }
    check(&listener, &TLS, "any");
}

#[test]
fn there_is_no_turning_back() {
    let strict = ChainMatch {
        destination_networks: vec![IpNetwork::parse("10.0.0.1").unwrap()],
        transport: Some(TransportProtocol::Tls),
        ..Default::default()
    };
    let chains = vec![chain("strict", strict), chain("any", ChainMatch::default())];
    check(&listener(chains.clone(), false), &PLAIN, "none");
    check(&listener(chains.clone(), true), &PLAIN, "default");
    check(&listener(chains, true), &TLS, "strict");
}

#[test]
fn refusals() {
    let same = vec![
        chain("a", ChainMatch::default()),
        chain("b", ChainMatch::default()),
    ];
    let error = ChainSelector::compile(&listener(same, false)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "filter_chains[1].matches: two filter chains match the same connections: b"
    );
    let bad = ChainMatch {
        server_names: vec!["a.*.com".into()],
        ..Default::default()
    };
    let error = ChainSelector::compile(&listener(vec![chain("a", bad)], false)).unwrap_err();
    assert_eq!(error.field, "filter_chains[0].matches.server_names[0]");
    let wide = ChainMatch {
        source_ports: (0..300).collect(),
        server_names: (0..300).map(|number| format!("{number}.com")).collect(),
        ..Default::default()
    };
    let error = ChainSelector::compile(&listener(vec![chain("a", wide)], false)).unwrap_err();
    assert!(matches!(
        error.defect,
        Defect::TableSize { size: 90_000, .. }
    ));
}

/// How specific a condition of a chain is that holds; none if it does not.
type Step<'a> = &'a dyn Fn(&ChainMatch) -> Option<usize>;

/// Narrows step by step: of the chains left, those with the most specific condition that holds stay.
fn reference(listener: &Listener, connection: &ConnectionFacts<'_>) -> Option<ChainRef> {
    let steps: [Step<'_>; 8] = [
        &|m| match m.destination_port {
            Some(port) => (port == connection.destination.port()).then_some(1),
            None => Some(0),
        },
        &|m| longest(&m.destination_networks, connection.destination.ip()),
        &|m| {
            let sni = connection.server_name.unwrap_or_default();
            best(&m.server_names, |name| match name.strip_prefix('*') {
                None => (name == sni).then_some(1000),
                Some(suffix) => {
                    (sni.len() > suffix.len() && sni.ends_with(suffix)).then_some(suffix.len() + 1)
                }
            })
        },
        &|m| match m.transport {
            Some(transport) => (transport == connection.transport).then_some(1),
            None => Some(0),
        },
        &|m| {
            best(&m.application_protocols, |name| {
                let offered = connection.application_protocols;
                Some(offered.len() - offered.iter().position(|offer| offer == name)?)
            })
        },
        &|m| {
            let (source, destination) = (connection.source.ip(), connection.destination.ip());
            let same = source.is_loopback() || source == destination;
            match m.source_type {
                SourceType::Any => Some(0),
                SourceType::SameHost => same.then_some(1),
                SourceType::External => (!same).then_some(1),
            }
        },
        &|m| longest(&m.source_networks, connection.source.ip()),
        &|m| {
            best(&m.source_ports, |port| {
                (*port == connection.source.port()).then_some(1)
            })
        },
    ];
    let mut left: Vec<usize> = (0..listener.filter_chains.len()).collect();
    for step in steps {
        let matches = |index: usize| step(&listener.filter_chains[index].matches);
        let most = left.iter().filter_map(|index| matches(*index)).max();
        left.retain(|index| most.is_some() && matches(*index) == most);
    }
    let default = listener
        .default_filter_chain
        .as_ref()
        .map(|_| ChainRef::Default);
    left.first()
        .map(|index| ChainRef::Chain(*index))
        .or(default)
}

/// The best of several alternatives; zero where there are none.
fn best<T>(alternatives: &[T], fit: impl Fn(&T) -> Option<usize>) -> Option<usize> {
    if alternatives.is_empty() {
        return Some(0);
    }
    alternatives.iter().filter_map(fit).max()
}

fn longest(networks: &[IpNetwork], address: IpAddr) -> Option<usize> {
    best(networks, |network| {
        network
            .contains(address)
            .then_some(usize::from(network.prefix_len) + 1)
    })
}

fn networks() -> impl Strategy<Value = Vec<IpNetwork>> {
    let network = select(vec![
        "10.0.0.0/8",
        "10.0.0.0/24",
        "10.0.0.1",
        "0.0.0.0/0",
        "127.0.0.1",
    ]);
    vec(
        network.prop_map(|text| IpNetwork::parse(text).unwrap()),
        0..3,
    )
}

fn chain_match() -> impl Strategy<Value = ChainMatch> {
    let names = select(vec!["a.x.com", "*.x.com", "*.com", "b.com"]).prop_map(String::from);
    let protocols = select(vec!["h2", "istio", "http/1.1"]).prop_map(String::from);
    (
        option::of(select(vec![80, 90])),
        networks(),
        vec(names, 0..3),
        option::of(select(vec![
            TransportProtocol::Tls,
            TransportProtocol::RawBuffer,
        ])),
        vec(protocols, 0..3),
        select(vec![
            SourceType::Any,
            SourceType::SameHost,
            SourceType::External,
        ]),
        networks(),
        vec(select(vec![1, 2]), 0..2),
    )
        .prop_map(
            |(port, networks, names, transport, protocols, source_type, sources, ports)| {
                ChainMatch {
                    destination_port: port,
                    destination_networks: networks,
                    server_names: names,
                    transport,
                    application_protocols: protocols,
                    source_type,
                    source_networks: sources,
                    source_ports: ports,
                }
            },
        )
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = select(vec![
        "10.0.0.1",
        "10.0.0.2",
        "10.1.0.1",
        "127.0.0.1",
        "9.9.9.9",
    ]);
    (ip, select(vec![80, 90, 1, 2]))
        .prop_map(|(ip, port)| SocketAddr::new(ip.parse().unwrap(), port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn agrees_with_its_reference(
        matches in vec(chain_match(), 0..6),
        default: bool,
        addresses in (address(), address()),
        sni in option::of(select(vec!["a.x.com", "c.x.com", "b.com", "x"])),
        tls: bool,
        protocols in select(vec![&[][..], &["h2"], &["istio", "h2"], &["x", "http/1.1", "h2"]]),
    ) {
        let chains = matches.into_iter().map(|matches| chain("c", matches)).collect();
        let listener = listener(chains, default);
        let connection = ConnectionFacts {
            source: addresses.0,
            destination: addresses.1,
            server_name: sni,
            transport: if tls { TransportProtocol::Tls } else { TransportProtocol::RawBuffer },
            application_protocols: protocols,
            peer: None,
        };
        // Chains that share an alternative are refused; there is nothing to compare then.
        if let Ok(selector) = ChainSelector::compile(&listener) {
            prop_assert_eq!(selector.select(&connection), reference(&listener, &connection));
        }
    }
}

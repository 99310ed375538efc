//! `Listener` ⇄ `envoy.config.listener.v3.Listener`.

use std::{
    mem::take,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use mesh_core::dataplane::{
    ChainMatch, Direction, FilterChain, Listener, ListenerFilters, SourceType, TcpProxy, Terminal,
    TransportProtocol,
};

use super::{
    any::{full_name, holds, pack},
    filter::{self, Read},
    reader::{Reader, Unread},
    scalar::{
        address, boolean, cidr, duration, duration_or_zero, number, read_cidr, read_duration,
        read_duration_or_zero, read_ip_address, read_port, socket_address,
    },
    security, telemetry,
};
use crate::proto::{
    core, http_inspector, listener as v3, original_dst, proxy_protocol, tls_inspector, wkt,
};

/// Envoy's wait for listener filters.
const LISTENER_FILTERS_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn encode(value: &Listener) -> v3::Listener {
    v3::Listener {
        name: value.name.to_string(),
        address: Some(address(socket_address(value.address))),
        bind_to_port: if value.bind_to_port {
            None
        } else {
            boolean(false)
        },
        use_original_dst: if value.use_original_dst {
            boolean(true)
        } else {
            None
        },
        traffic_direction: match value.direction {
            Direction::Unspecified => core::TrafficDirection::Unspecified,
            Direction::Inbound => core::TrafficDirection::Inbound,
            Direction::Outbound => core::TrafficDirection::Outbound,
        }
        .into(),
        listener_filters: listener_filters(&value.listener_filters),
        listener_filters_timeout: duration_or_zero(value.listener_filters.timeout),
        continue_on_listener_filters_timeout: value.listener_filters.continue_on_timeout,
        filter_chains: value.filter_chains.iter().map(chain).collect(),
        default_filter_chain: value.default_filter_chain.as_ref().map(chain),
        access_log: value.access_log.iter().map(telemetry::access_log).collect(),
        ..Default::default()
    }
}

pub(crate) fn decode(r: &mut Reader, mut wire: v3::Listener) -> Listener {
    let mut filters = ListenerFilters {
        timeout: read_duration_or_zero(
            r,
            "listener_filters_timeout",
            wire.listener_filters_timeout.take(),
            Some(LISTENER_FILTERS_TIMEOUT),
        ),
        continue_on_timeout: take(&mut wire.continue_on_listener_filters_timeout),
        ..Default::default()
    };
    r.each(
        "listener_filters",
        take(&mut wire.listener_filters),
        |r, wire| {
            read_listener_filter(r, wire, &mut filters);
        },
    );
    let read = Listener {
        name: take(&mut wire.name).into(),
        address: read_ip_address(r, wire.address.take())
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        bind_to_port: wire.bind_to_port.take().is_none_or(|flag| flag.value),
        direction: match core::TrafficDirection::try_from(take(&mut wire.traffic_direction)) {
            Ok(core::TrafficDirection::Inbound) => Direction::Inbound,
            Ok(core::TrafficDirection::Outbound) => Direction::Outbound,
            _ => Direction::Unspecified,
        },
        use_original_dst: wire.use_original_dst.take().unwrap_or_default().value,
        listener_filters: filters,
        filter_chains: r.each("filter_chains", take(&mut wire.filter_chains), read_chain),
        default_filter_chain: wire
            .default_filter_chain
            .take()
            .map(|wire| r.within("default_filter_chain", |r| read_chain(r, wire))),
        access_log: telemetry::read_access_logs(r, "access_log", take(&mut wire.access_log)),
    };
    r.finish(wire, UNREAD_LISTENER);
    read
}

/// What changes where connections enter or which chain serves them.
const UNREAD_LISTENER: Unread = Unread::IgnoredExcept(&[
    "additional_addresses",
    "api_listener",
    "deprecated_v1",
    "fcds_config",
    "filter_chain_matcher",
    "listener_specifier",
    "transparent",
    "udp_listener_config",
]);

/// In the order in which they must run: where it was going, who says so, what it is.
fn listener_filters(value: &ListenerFilters) -> Vec<v3::ListenerFilter> {
    let filter = |name: &str, config| v3::ListenerFilter {
        name: format!("envoy.filters.listener.{name}"),
        config_type: Some(v3::listener_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    };
    let mut filters = Vec::new();
    if value.original_dst {
        filters.push(filter(
            "original_dst",
            pack(&original_dst::OriginalDst::default()),
        ));
    }
    if value.proxy_protocol {
        filters.push(filter(
            "proxy_protocol",
            pack(&proxy_protocol::ProxyProtocol::default()),
        ));
    }
    if value.tls_inspector {
        filters.push(filter(
            "tls_inspector",
            pack(&tls_inspector::TlsInspector::default()),
        ));
    }
    if value.http_inspector {
        filters.push(filter(
            "http_inspector",
            pack(&http_inspector::HttpInspector::default()),
        ));
    }
    filters
}

fn read_listener_filter(r: &mut Reader, wire: v3::ListenerFilter, filters: &mut ListenerFilters) {
    let any = match wire.config_type {
        Some(v3::listener_filter::ConfigType::TypedConfig(any)) => any,
        Some(v3::listener_filter::ConfigType::ConfigDiscovery(_)) => {
            return r.refuse("config_discovery", "is not supported");
        }
        None => wkt::Any::default(),
    };
    if wire.filter_disabled.is_some() {
        r.ignore(
            "filter_disabled",
            "is not supported; the filter runs on every connection",
        );
    }
    let is = |name: &str, holds: bool| {
        holds || (any.type_url.is_empty() && wire.name == format!("envoy.filters.listener.{name}"))
    };
    if is("original_dst", holds::<original_dst::OriginalDst>(&any)) {
        filters.original_dst = true;
    } else if is("tls_inspector", holds::<tls_inspector::TlsInspector>(&any)) {
        filters.tls_inspector = true;
    } else if is(
        "http_inspector",
        holds::<http_inspector::HttpInspector>(&any),
    ) {
        filters.http_inspector = true;
    } else if is(
        "proxy_protocol",
        holds::<proxy_protocol::ProxyProtocol>(&any),
    ) {
        filters.proxy_protocol = true;
    } else {
        let what = if any.type_url.is_empty() {
            &wire.name
        } else {
            full_name(&any.type_url)
        };
        r.refuse("typed_config", format!("{what} is not supported"));
    }
}

fn chain(value: &FilterChain) -> v3::FilterChain {
    let terminal = match &value.terminal {
        Terminal::Http(http) => filter::http_connection_filter(http),
        Terminal::Tcp(tcp) => filter::tcp_filter(tcp),
    };
    v3::FilterChain {
        name: value.name.to_string(),
        filter_chain_match: (value.matches != ChainMatch::default())
            .then(|| chain_match(&value.matches)),
        transport_socket: value.tls.as_ref().map(security::server_socket),
        transport_socket_connect_timeout: value.handshake_timeout.map(duration),
        filters: value
            .filters
            .iter()
            .map(filter::network_filter)
            .chain([terminal])
            .collect(),
        ..Default::default()
    }
}

fn read_chain(r: &mut Reader, mut wire: v3::FilterChain) -> FilterChain {
    let matches = wire.filter_chain_match.take().unwrap_or_default();
    let matches = r.within("filter_chain_match", |r| read_chain_match(r, matches));
    let tls = wire.transport_socket.take().and_then(|wire| {
        r.within("transport_socket", |r| {
            security::read_server_socket(r, wire)
        })
    });
    let (filters, terminal) = read_filters(r, take(&mut wire.filters));
    let read = FilterChain {
        name: take(&mut wire.name).into(),
        matches,
        tls,
        handshake_timeout: read_duration(
            r,
            "transport_socket_connect_timeout",
            wire.transport_socket_connect_timeout.take(),
        ),
        filters,
        terminal,
    };
    r.finish(wire, Unread::RefusedExcept(&["metadata"]));
    read
}

fn read_filters(
    r: &mut Reader,
    wire: Vec<v3::Filter>,
) -> (Vec<mesh_core::dataplane::NetworkFilter>, Terminal) {
    let mut filters = Vec::new();
    let mut terminal = None;
    for read in r.each("filters", wire, filter::read_network_filter) {
        if terminal.is_some() {
            r.refuse("filters", "go on after the chain has ended");
            break;
        }
        match read {
            Read::Filter(filter) => filters.push(filter),
            Read::Tcp(tcp) => terminal = Some(Terminal::Tcp(tcp)),
            Read::Http(http) => terminal = Some(Terminal::Http(*http)),
            Read::Nothing => {}
        }
    }
    let terminal = terminal.unwrap_or_else(|| {
        r.refuse(
            "filters",
            "end in neither the HTTP connection manager nor the TCP proxy",
        );
        Terminal::Tcp(TcpProxy {
            stat_prefix: "".into(),
            clusters: Vec::new(),
            idle_timeout: None,
            tunnel: None,
            hash_source: false,
            access_log: Vec::new(),
            origin: None,
        })
    });
    (filters, terminal)
}

fn chain_match(value: &ChainMatch) -> v3::FilterChainMatch {
    use v3::filter_chain_match::ConnectionSourceType;
    v3::FilterChainMatch {
        destination_port: value.destination_port.and_then(|port| number(port.into())),
        prefix_ranges: value.destination_networks.iter().map(cidr).collect(),
        server_names: value.server_names.clone(),
        transport_protocol: match value.transport {
            None => "",
            Some(TransportProtocol::Tls) => "tls",
            Some(TransportProtocol::RawBuffer) => "raw_buffer",
        }
        .into(),
        application_protocols: value.application_protocols.clone(),
        source_type: match value.source_type {
            SourceType::Any => ConnectionSourceType::Any,
            SourceType::SameHost => ConnectionSourceType::SameIpOrLoopback,
            SourceType::External => ConnectionSourceType::External,
        }
        .into(),
        source_prefix_ranges: value.source_networks.iter().map(cidr).collect(),
        source_ports: value.source_ports.iter().map(|&port| port.into()).collect(),
        ..Default::default()
    }
}

fn read_chain_match(r: &mut Reader, mut wire: v3::FilterChainMatch) -> ChainMatch {
    use v3::filter_chain_match::ConnectionSourceType;
    let transport = match take(&mut wire.transport_protocol).as_str() {
        "" => None,
        "tls" => Some(TransportProtocol::Tls),
        "raw_buffer" => Some(TransportProtocol::RawBuffer),
        other => {
            r.refuse("transport_protocol", format!("{other} is not supported"));
            None
        }
    };
    let read = ChainMatch {
        destination_port: wire
            .destination_port
            .take()
            .map(|port| read_port(r, "destination_port", port.value)),
        destination_networks: r.each("prefix_ranges", take(&mut wire.prefix_ranges), read_cidr),
        server_names: take(&mut wire.server_names),
        transport,
        application_protocols: take(&mut wire.application_protocols),
        source_type: match ConnectionSourceType::try_from(take(&mut wire.source_type)) {
            Ok(ConnectionSourceType::SameIpOrLoopback) => SourceType::SameHost,
            Ok(ConnectionSourceType::External) => SourceType::External,
            _ => SourceType::Any,
        },
        source_networks: r.each(
            "source_prefix_ranges",
            take(&mut wire.source_prefix_ranges),
            read_cidr,
        ),
        source_ports: r.each("source_ports", take(&mut wire.source_ports), |r, port| {
            read_port(r, "", port)
        }),
    };
    r.finish(wire, Unread::REFUSED);
    read
}

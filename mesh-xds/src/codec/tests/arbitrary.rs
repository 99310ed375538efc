//! Any planned resource, in the one form that the wire gives back: no zero where none means the
//! same, names in lower case.

use super::ext_authz;
use std::{net::SocketAddr, sync::Arc, time::Duration};

use mesh_core::{
    dataplane::*,
    expression::Expression,
    name::{Labels, Locality, Pattern, ResourceRef},
};
use proptest::{collection::vec, option::of, prelude::*, sample::select};

pub(super) fn cluster() -> impl Strategy<Value = Cluster> {
    let discovery = prop_oneof![
        name().prop_map(|name| (Discovery::Told(name), None)),
        endpoint_set().prop_map(|set| (Discovery::Static(set), None)),
        dns().prop_map(|dns| (Discovery::StrictDns(dns), None)),
        dns().prop_map(|dns| (Discovery::LogicalDns(dns), None)),
        (of(1u16..), of(word())).prop_map(|(port_override, header)| (
            Discovery::OriginalDestination(OriginalDestination {
                port_override,
                header
            }),
            Some(Balancing::Provided)
        )),
    ];
    let first = (
        name(),
        discovery,
        positive(),
        balancing(),
        limits(),
        of(outlier()),
    );
    let second = (
        0u8..=100,
        upstream_tls(),
        select(vec![
            UpstreamProtocol::Http1,
            UpstreamProtocol::Http2,
            UpstreamProtocol::UseDownstream,
        ]),
        of(any::<std::net::IpAddr>()),
        of(positive()),
        of(1u32..),
        metadata(),
    );
    (first, second, cluster_connections()).prop_map(
        |(
            (name, (discovery, forced), connect_timeout, balancing, limits, outlier),
            second,
            connections,
        )| {
            let (panic_threshold, tls, protocol, bind_source, idle_timeout, max, metadata) = second;
            let balancing = forced.unwrap_or(balancing);
            let slow = matches!(
                balancing,
                Balancing::RoundRobin | Balancing::LeastRequest { .. }
            );
            let http2 = protocol != UpstreamProtocol::Http1;
            Cluster {
                name,
                discovery,
                connect_timeout,
                balancing,
                by_locality: connections.by_locality,
                slow_start: connections.slow_start.filter(|_| slow),
                max_connection_duration: connections.max_connection_duration,
                max_concurrent_streams: connections.max_concurrent_streams.filter(|_| http2),
                http2_keepalive: connections.http2_keepalive.filter(|_| http2),
                tcp_keepalive: connections.tcp_keepalive,
                proxy_protocol: connections.proxy_protocol,
                limits,
                outlier,
                panic_threshold,
                tls,
                protocol,
                bind_source,
                idle_timeout,
                max_requests_per_connection: max,
                metadata,
            }
        },
    )
}

/// What a cluster has beside, in a cluster that has nothing else.
fn cluster_connections() -> impl Strategy<Value = Cluster> {
    let whole_seconds = || of((1u64..100_000).prop_map(Duration::from_secs));
    let slow_start =
        (positive(), 1u32..10_000, share()).prop_map(|(window, aggression, start)| SlowStart {
            window,
            aggression,
            start,
        });
    let pings = (positive(), positive())
        .prop_map(|(interval, timeout)| Http2Keepalive { interval, timeout });
    let probes =
        (of(1u32..), whole_seconds(), whole_seconds()).prop_map(|(probes, time, interval)| {
            TcpKeepalive {
                probes,
                time,
                interval,
            }
        });
    let forms = select(vec![ProxyProtocol::V1, ProxyProtocol::V2]);
    (
        any::<bool>(),
        of(slow_start),
        of(positive()),
        of(1u32..),
        of(pings),
        of(probes),
        of(forms),
    )
        .prop_map(
            |(by_locality, slow_start, duration, streams, pings, probes, form)| Cluster {
                by_locality,
                slow_start,
                max_connection_duration: duration,
                max_concurrent_streams: streams,
                http2_keepalive: pings,
                tcp_keepalive: probes,
                proxy_protocol: form,
                ..Cluster::new("", Discovery::Told("".into()))
            },
        )
}

pub(super) fn endpoint_set() -> impl Strategy<Value = EndpointSet> {
    let address = prop_oneof![
        socket().prop_map(EndpointAddress::Socket),
        ("[a-z]{1,8}\\.example", any::<u16>())
            .prop_map(|(name, port)| EndpointAddress::Dns(name, port)),
    ];
    let tag = (name(), name(), name(), name(), name()).prop_map(
        |(workload, namespace, canonical_name, canonical_revision, cluster)| WorkloadTag {
            workload,
            namespace,
            canonical_name,
            canonical_revision,
            cluster,
        },
    );
    let health = select(vec![
        EndpointHealth::Healthy,
        EndpointHealth::Unhealthy,
        EndpointHealth::Draining,
    ]);
    let endpoint = (address, 1u32.., health, labels(), of(tag)).prop_map(
        |(address, weight, health, tls_labels, workload)| Endpoint {
            address,
            weight,
            health,
            tls_labels,
            workload,
        },
    );
    let place = (locality(), any::<u32>(), 0u32..4, vec(endpoint, 0..3)).prop_map(
        |(locality, weight, priority, endpoints)| LocalityEndpoints {
            locality,
            weight,
            priority,
            endpoints,
        },
    );
    (name(), vec(place, 0..3)).prop_map(|(name, localities)| EndpointSet { name, localities })
}

pub(super) fn listener() -> impl Strategy<Value = Listener> {
    let filters = (any::<[bool; 5]>(), of(positive())).prop_map(|(flags, timeout)| {
        let [
            original_dst,
            tls_inspector,
            http_inspector,
            proxy_protocol,
            continue_on_timeout,
        ] = flags;
        ListenerFilters {
            original_dst,
            tls_inspector,
            http_inspector,
            proxy_protocol,
            timeout,
            continue_on_timeout,
        }
    });
    let direction = select(vec![
        Direction::Unspecified,
        Direction::Inbound,
        Direction::Outbound,
    ]);
    (
        name(),
        socket(),
        any::<[bool; 2]>(),
        direction,
        filters,
        vec(chain(), 0..3),
        of(chain()),
        vec(access_log(), 0..2),
    )
        .prop_map(
            |(name, address, flags, direction, filters, chains, default, log)| Listener {
                name,
                address,
                bind_to_port: flags[0],
                use_original_dst: flags[1],
                direction,
                listener_filters: filters,
                filter_chains: chains,
                default_filter_chain: default,
                access_log: log,
            },
        )
}

pub(super) fn routes() -> impl Strategy<Value = RouteTable> {
    let host = (
        name(),
        vec(word(), 0..3),
        vec(route(), 0..3),
        header_edits(),
        any::<bool>(),
    )
        .prop_map(
            |(name, domains, routes, headers, include_attempt_count)| VirtualHost {
                name,
                domains,
                routes,
                headers,
                include_attempt_count,
            },
        );
    (name(), vec(host, 0..3), any::<bool>(), header_edits()).prop_map(
        |(name, virtual_hosts, ignore_port_in_host_matching, headers)| RouteTable {
            name,
            virtual_hosts,
            ignore_port_in_host_matching,
            headers,
        },
    )
}

pub(super) fn secret() -> impl Strategy<Value = Secret> {
    (name(), secret_value()).prop_map(|(name, value)| Secret { name, value })
}

pub(super) fn node() -> impl Strategy<Value = Node> {
    let kind = select(vec![NodeKind::Sidecar, NodeKind::Gateway]);
    let addresses = proptest::collection::btree_set(any::<std::net::IpAddr>(), 1..3)
        .prop_map(|set| set.into_iter().collect());
    (
        kind,
        addresses,
        vec(word(), 5),
        labels(),
        locality(),
        of(any::<u16>()),
    )
        .prop_map(
            |(kind, addresses, words, labels, locality, http_proxy_port)| {
                let [name, namespace, service_account, workload, cluster_id] =
                    words.try_into().unwrap();
                Node {
                    kind,
                    addresses,
                    name,
                    namespace,
                    service_account,
                    workload,
                    labels,
                    locality,
                    cluster_id,
                    domain: "mesh.example".into(),
                    http_proxy_port,
                }
            },
        )
}

fn chain() -> impl Strategy<Value = FilterChain> {
    let terminal = prop_oneof![
        http().prop_map(Terminal::Http),
        tcp().prop_map(Terminal::Tcp)
    ];
    let filter = prop_oneof![
        rbac().prop_map(NetworkFilter::Rbac),
        ext_authz::on_connections().prop_map(NetworkFilter::ExtAuthz),
    ];
    let filters = vec(filter, 0..2);
    (
        name(),
        chain_match(),
        of(server_tls()),
        of(positive()),
        filters,
        terminal,
    )
        .prop_map(
            |(name, matches, tls, handshake_timeout, filters, terminal)| FilterChain {
                name,
                matches,
                tls,
                handshake_timeout,
                filters,
                terminal,
            },
        )
}

fn chain_match() -> impl Strategy<Value = ChainMatch> {
    let transport = select(vec![TransportProtocol::Tls, TransportProtocol::RawBuffer]);
    let source_type = select(vec![
        SourceType::Any,
        SourceType::SameHost,
        SourceType::External,
    ]);
    (
        of(any::<u16>()),
        vec(network(), 0..2),
        vec(word(), 0..2),
        of(transport),
        vec(word(), 0..2),
        source_type,
        vec(network(), 0..2),
        vec(any::<u16>(), 0..2),
    )
        .prop_map(
            |(port, to, names, transport, protocols, source_type, from, ports)| ChainMatch {
                destination_port: port,
                destination_networks: to,
                server_names: names,
                transport,
                application_protocols: protocols,
                source_type,
                source_networks: from,
                source_ports: ports,
            },
        )
}

fn tcp() -> impl Strategy<Value = TcpProxy> {
    let cluster = (name(), 1u32..).prop_map(|(name, weight)| (name, weight));
    (
        name(),
        vec(cluster, 1..3),
        of(positive()),
        of((word(), any::<bool>()).prop_map(|(target, by_post)| Tunnel { target, by_post })),
        any::<bool>(),
        vec(access_log(), 0..2),
        of(origin()),
    )
        .prop_map(
            |(stat_prefix, clusters, idle_timeout, tunnel, hash_source, access_log, origin)| {
                let single = clusters.len() == 1;
                TcpProxy {
                    stat_prefix,
                    clusters: clusters
                        .into_iter()
                        .map(|(name, weight)| WeightedCluster {
                            name,
                            weight: if single { 1 } else { weight },
                            headers: HeaderEdits::default(),
                        })
                        .collect(),
                    idle_timeout,
                    tunnel,
                    hash_source,
                    access_log,
                    origin,
                }
            },
        )
}

fn http() -> impl Strategy<Value = HttpConnectionManager> {
    let source = prop_oneof![
        name().prop_map(RouteSource::Named),
        routes().prop_map(|table| RouteSource::Inline(Arc::new(table))),
    ];
    let filter = prop_oneof![
        Just(HttpFilter::PeerMetadata),
        rbac().prop_map(HttpFilter::Rbac),
        ext_authz::on_requests().prop_map(|asks| HttpFilter::ExtAuthz(Box::new(asks))),
        tokens().prop_map(HttpFilter::JwtAuthn),
        Just(HttpFilter::Fault),
        Just(HttpFilter::Cors),
        Just(HttpFilter::GrpcStats),
        Just(HttpFilter::IstioStats),
        metric_settings().prop_map(HttpFilter::ChangedStats),
        rate_limits().prop_map(HttpFilter::RateLimit),
        Just(HttpFilter::IstioAlpn),
    ];
    let codec = select(vec![HttpCodec::Auto, HttpCodec::Http1, HttpCodec::Http2]);
    let server = select(vec![
        ServerHeader::Overwrite,
        ServerHeader::AppendIfAbsent,
        ServerHeader::PassThrough,
    ]);
    let certificate = select(vec![
        ForwardClientCert::Sanitize,
        ForwardClientCert::ForwardOnly,
        ForwardClientCert::AppendForward,
        ForwardClientCert::SanitizeSet,
        ForwardClientCert::AlwaysForwardOnly,
    ]);
    let slashes = select(vec![
        EscapedSlashes::Keep,
        EscapedSlashes::Reject,
        EscapedSlashes::UnescapeAndRedirect,
        EscapedSlashes::UnescapeAndForward,
    ]);
    let tracing = tracing();
    let first = (
        name(),
        codec,
        source,
        vec(filter, 0..5),
        vec(access_log(), 0..2),
        word(),
    );
    let second = (
        server,
        certificate,
        slashes,
        any::<[bool; 5]>(),
        any::<u32>(),
        vec(word(), 0..2),
    );
    let third = (vec(of(positive()), 3), of(1u32..), of(1u32..), of(tracing));
    (first, second, third).prop_map(|(first, second, third)| {
        let (stat_prefix, codec, routes, filters, access_log, server_name) = first;
        let (server_header, forward_client_cert, escaped_slashes, flags, trusted_hops, upgrades) =
            second;
        let (timeouts, max_request_headers_kb, max_concurrent_streams, tracing) = third;
        HttpConnectionManager {
            stat_prefix,
            codec,
            routes,
            filters,
            access_log,
            server_name: server_name.into(),
            server_header,
            forward_client_cert,
            use_remote_address: flags[0],
            trusted_hops,
            normalize_path: flags[1],
            merge_slashes: flags[2],
            escaped_slashes,
            upgrades,
            generate_request_id: flags[3],
            preserve_external_request_id: flags[4],
            stream_idle_timeout: timeouts[0],
            request_headers_timeout: timeouts[1],
            idle_timeout: timeouts[2],
            max_request_headers_kb,
            max_concurrent_streams,
            tracing,
        }
    })
}

fn route() -> impl Strategy<Value = Route> {
    let action = prop_oneof![
        forward().prop_map(RouteAction::Forward),
        redirect().prop_map(RouteAction::Redirect),
        (200u16..600, vec(any::<u8>(), 0..9)).prop_map(|(status, body)| RouteAction::Respond(
            DirectResponse {
                status,
                body: body.into()
            }
        )),
    ];
    (
        name(),
        route_match(),
        action,
        header_edits(),
        of(fault()),
        of(cors()),
        of(name()),
        of(origin()),
    )
        .prop_map(
            |(name, matches, action, headers, fault, cors, operation, origin)| Route {
                name,
                matches,
                action,
                headers,
                fault,
                cors,
                operation,
                origin,
            },
        )
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let path = prop_oneof![
        word().prop_map(PathMatch::Exact),
        word().prop_map(PathMatch::Prefix),
        word().prop_map(PathMatch::PathSeparatedPrefix),
        word().prop_map(PathMatch::Regex),
        Just(PathMatch::Connect),
    ];
    let query = (word(), prop_oneof![Just(ValueMatch::Present), text_match()])
        .prop_map(|(name, value)| QueryMatch { name, value });
    (
        path,
        any::<[bool; 2]>(),
        vec(header_match(), 0..3),
        vec(query, 0..2),
        vec((claim(), any::<bool>()), 0..2),
        of(share()),
    )
        .prop_map(
            |(path, flags, headers, query, claims, fraction)| RouteMatch {
                path,
                ignore_case: flags[0],
                headers,
                query,
                claims: claims
                    .into_iter()
                    .map(|(claim, invert)| RouteClaim { claim, invert })
                    .collect(),
                fraction,
                grpc: flags[1],
            },
        )
}

fn forward() -> impl Strategy<Value = Forward> {
    let weighted = (name(), any::<u32>(), header_edits()).prop_map(|(name, weight, headers)| {
        WeightedCluster {
            name,
            weight,
            headers,
        }
    });
    let cluster = prop_oneof![
        name().prop_map(ClusterChoice::Single),
        vec(weighted, 0..3).prop_map(ClusterChoice::Weighted),
        word().prop_map(ClusterChoice::Header),
    ];
    let mirror = (name(), share()).prop_map(|(cluster, share)| Mirror { cluster, share });
    (
        (cluster, of(positive()), of(duration()), of(duration())),
        (of(retry()), of(rewrite()), of(word()), any::<bool>()),
        (
            vec(mirror, 0..2),
            vec(hash(), 0..3),
            of(select(vec![404, 500])),
        ),
    )
        .prop_map(
            |((cluster, timeout, idle_timeout, max_grpc_timeout), second, third)| {
                let (retry, path, host, append_forwarded_host) = second;
                let (mirrors, hash, missing_cluster_status) = third;
                Forward {
                    cluster,
                    timeout,
                    idle_timeout,
                    max_grpc_timeout,
                    retry,
                    path,
                    host,
                    append_forwarded_host,
                    mirrors,
                    hash,
                    missing_cluster_status,
                }
            },
        )
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let scheme = prop_oneof![
        Just(SchemeRedirect::Keep),
        Just(SchemeRedirect::Https),
        word().prop_map(SchemeRedirect::To),
    ];
    let port = prop_oneof![
        (1u16..).prop_map(PortRedirect::To),
        Just(PortRedirect::FromRequest),
    ];
    let status = select(vec![301, 302, 303, 307, 308]);
    (
        status,
        scheme,
        of(word()),
        of(port),
        of(rewrite()),
        any::<bool>(),
    )
        .prop_map(|(status, scheme, host, port, path, strip_query)| Redirect {
            status,
            scheme,
            host,
            port,
            path,
            strip_query,
        })
}

fn rewrite() -> impl Strategy<Value = PathRewrite> {
    prop_oneof![
        word().prop_map(PathRewrite::Prefix),
        word().prop_map(PathRewrite::Full),
        (word(), word()).prop_map(|(pattern, substitution)| PathRewrite::Regex(RegexRewrite {
            pattern,
            substitution
        })),
    ]
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    (
        vec(word(), 0..3),
        vec(100u16..600, 0..3),
        any::<u32>(),
        of(positive()),
        any::<bool>(),
        (any::<u32>(), of(1u32..9)),
        (positive(), positive()),
    )
        .prop_map(
            |(retry_on, statuses, num_retries, per_try_timeout, avoid, attempts, waits)| {
                RetryPolicy {
                    retry_on,
                    retriable_status_codes: statuses,
                    num_retries,
                    per_try_timeout,
                    avoid_previous_hosts: avoid,
                    host_selection_attempts: attempts.0,
                    leave_priorities_after: attempts.1,
                    backoff: Backoff {
                        base: waits.0,
                        max: waits.1,
                    },
                }
            },
        )
}

fn fault() -> impl Strategy<Value = Fault> {
    let delay = (duration(), share()).prop_map(|(duration, share)| FaultDelay { duration, share });
    let status = prop_oneof![
        (200u16..600).prop_map(|http| (Some(http), None)),
        (0u32..17).prop_map(|grpc| (None, Some(grpc))),
    ];
    let abort = (status, share()).prop_map(|((http_status, grpc_status), share)| FaultAbort {
        http_status,
        grpc_status,
        share,
    });
    (of(delay), of(abort)).prop_map(|(delay, abort)| Fault { delay, abort })
}

fn cors() -> impl Strategy<Value = CorsPolicy> {
    (
        vec(pattern(), 0..3),
        vec(word(), 0..3),
        vec(word(), 0..3),
        vec(word(), 0..3),
        of((0u64..100_000).prop_map(Duration::from_secs)),
        of(any::<bool>()),
        any::<bool>(),
    )
        .prop_map(
            |(origins, methods, headers, expose, max_age, credentials, forward)| CorsPolicy {
                allow_origins: origins,
                allow_methods: methods,
                allow_headers: headers,
                expose_headers: expose,
                max_age,
                allow_credentials: credentials,
                forward_unmatched_preflights: forward,
            },
        )
}

fn hash() -> impl Strategy<Value = HashPolicy> {
    prop_oneof![
        word().prop_map(HashPolicy::Header),
        (word(), word(), of(duration()), vec((word(), word()), 0..3)).prop_map(
            |(name, path, ttl, attributes)| HashPolicy::Cookie {
                name,
                path,
                ttl,
                attributes
            }
        ),
        Just(HashPolicy::SourceIp),
        word().prop_map(HashPolicy::QueryParameter),
    ]
}

fn header_edits() -> impl Strategy<Value = HeaderEdits> {
    let values = || {
        vec(
            (word(), word()).prop_map(|(name, value)| HeaderValue { name, value }),
            0..2,
        )
    };
    let names = || vec(word(), 0..2);
    (values(), values(), names(), values(), values(), names()).prop_map(
        |(
            request_set,
            request_add,
            request_remove,
            response_set,
            response_add,
            response_remove,
        )| {
            HeaderEdits {
                request_set,
                request_add,
                request_remove,
                response_set,
                response_add,
                response_remove,
            }
        },
    )
}

fn rbac() -> impl Strategy<Value = RbacFilter> {
    (of(access_rules()), of(access_rules()), word()).prop_map(
        |(rules, shadow_rules, shadow_stat_prefix)| RbacFilter {
            rules,
            shadow_rules,
            shadow_stat_prefix,
        },
    )
}

fn access_rules() -> impl Strategy<Value = AccessRules> {
    let action = select(vec![
        AccessAction::Allow,
        AccessAction::Deny,
        AccessAction::Log,
    ]);
    let policy = (word(), vec(permission(), 1..3), vec(principal(), 1..3)).prop_map(
        |(name, permissions, principals)| {
            let origin = Origin::of(ResourceRef::new(
                "security.istio.io",
                "AuthorizationPolicy",
                "ns",
                &name,
            ))
            .at("spec.rules[0]");
            let policy = AccessPolicy {
                permissions,
                principals,
                origin: Some(origin),
            };
            (Name::from(format!("ns[ns]-policy[{name}]-rule[0]")), policy)
        },
    );
    (
        action,
        proptest::collection::btree_map(word(), policy, 0..3),
    )
        .prop_map(|(action, policies)| AccessRules {
            action,
            policies: policies.into_values().collect(),
        })
}

fn permission() -> impl Strategy<Value = Permission> {
    let leaf = prop_oneof![
        Just(Permission::Any),
        pattern().prop_map(Permission::Path),
        header_match().prop_map(Permission::Header),
        network().prop_map(Permission::DestinationNetwork),
        any::<u16>().prop_map(Permission::DestinationPort),
        pattern().prop_map(Permission::ServerName),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Permission::All),
            vec(inner.clone(), 0..3).prop_map(Permission::OneOf),
            inner.prop_map(|inner| Permission::Not(Box::new(inner))),
        ]
    })
}

fn principal() -> impl Strategy<Value = Principal> {
    let leaf = prop_oneof![
        Just(Principal::Any),
        of(pattern()).prop_map(Principal::Authenticated),
        network().prop_map(Principal::DirectRemoteNetwork),
        network().prop_map(Principal::RemoteNetwork),
        header_match().prop_map(Principal::Header),
        claim().prop_map(Principal::Claim),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Principal::All),
            vec(inner.clone(), 0..3).prop_map(Principal::OneOf),
            inner.prop_map(|inner| Principal::Not(Box::new(inner))),
        ]
    })
}

fn claim() -> impl Strategy<Value = ClaimMatch> {
    let values = vec(word().prop_map(Pattern::Exact), 1..4).prop_map(|mut values| {
        values.sort();
        values.dedup();
        values
    });
    (vec(word(), 1..3), values).prop_map(|(path, values)| ClaimMatch { path, values })
}

fn tokens() -> impl Strategy<Value = JwtFilter> {
    let header = (word(), word()).prop_map(|(name, prefix)| JwtHeader { name, prefix });
    let told = (word(), word()).prop_map(|(header, claim)| ClaimHeader { header, claim });
    let provider = (
        (word(), vec(word(), 0..3), any::<bool>(), 1..1000_u64),
        (vec(header, 0..3), vec(word(), 0..3), vec(word(), 0..3)),
        (word(), vec(told, 0..3), vec(word(), 0..3)),
    );
    let provider = provider.prop_map(|(of, from, to)| JwtProvider {
        name: "".into(),
        issuer: of.0,
        audiences: of.1,
        keys: JwtProvider::NO_KEYS.into(),
        headers: from.0,
        parameters: from.1,
        cookies: from.2,
        forward: of.2,
        payload_header: to.0,
        claim_headers: to.1,
        space_delimited_claims: to.2,
        clock_skew: Duration::from_secs(of.3),
        origin: None,
    });
    (vec(provider, 1..4), any::<[bool; 2]>()).prop_map(|(mut providers, flags)| {
        for (index, provider) in providers.iter_mut().enumerate() {
            provider.name = format!("origins-{index}").into();
        }
        JwtFilter {
            providers,
            bypass_cors_preflight: flags[0],
            reroutes: flags[1],
        }
    })
}

fn header_match() -> impl Strategy<Value = HeaderMatch> {
    let value = prop_oneof![
        Just(ValueMatch::Present),
        text_match(),
        any::<(i64, i64)>().prop_map(|(start, end)| ValueMatch::Range { start, end }),
    ];
    (word(), value, any::<[bool; 2]>()).prop_map(|(name, value, flags)| HeaderMatch {
        name,
        value,
        invert: flags[0],
        missing_is_empty: flags[1],
    })
}

fn text_match() -> impl Strategy<Value = ValueMatch> {
    (pattern(), any::<bool>()).prop_map(|(pattern, ignore_case)| ValueMatch::Text {
        pattern,
        ignore_case,
    })
}

pub(super) fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        word().prop_map(Pattern::Exact),
        word().prop_map(Pattern::Prefix),
        word().prop_map(Pattern::Suffix),
        word().prop_map(Pattern::Contains),
        word().prop_map(Pattern::Regex),
    ]
}

fn dns() -> impl Strategy<Value = DnsDiscovery> {
    (endpoint_set(), duration(), any::<bool>()).prop_map(|(endpoints, refresh, respect_ttl)| {
        DnsDiscovery {
            endpoints,
            refresh,
            respect_ttl,
        }
    })
}

fn balancing() -> impl Strategy<Value = Balancing> {
    prop_oneof![
        Just(Balancing::RoundRobin),
        any::<u32>().prop_map(|choices| Balancing::LeastRequest { choices }),
        Just(Balancing::Random),
        any::<u64>().prop_map(|size| Balancing::RingHash(HashTable { size })),
        any::<u64>().prop_map(|size| Balancing::Maglev(HashTable { size })),
        Just(Balancing::Provided),
    ]
}

fn limits() -> impl Strategy<Value = CircuitLimits> {
    let budget = (share(), any::<u32>()).prop_map(|(share, min_concurrency)| RetryBudget {
        share,
        min_concurrency,
    });
    (vec(of(0..u32::MAX), 4), of(budget)).prop_map(|(limits, retry_budget)| CircuitLimits {
        max_connections: limits[0],
        max_pending_requests: limits[1],
        max_requests: limits[2],
        max_retries: limits[3],
        retry_budget,
    })
}

fn outlier() -> impl Strategy<Value = OutlierDetection> {
    (
        any::<[u32; 3]>(),
        any::<bool>(),
        duration(),
        duration(),
        0u8..=100,
    )
        .prop_map(
            |(counts, split_local_origin, interval, base_ejection, max_ejection_percent)| {
                OutlierDetection {
                    consecutive_5xx: counts[0],
                    consecutive_gateway_errors: counts[1],
                    consecutive_local_origin_failures: counts[2],
                    split_local_origin,
                    interval,
                    base_ejection,
                    max_ejection_percent,
                }
            },
        )
}

fn upstream_tls() -> impl Strategy<Value = UpstreamTls> {
    let entry = (name(), labels(), of(client_tls())).prop_map(|(name, labels, tls)| TlsMatch {
        name,
        labels,
        tls,
    });
    prop_oneof![
        Just(UpstreamTls::Off),
        client_tls().prop_map(UpstreamTls::Always),
        vec(entry, 1..3).prop_map(UpstreamTls::ByEndpoint),
    ]
}

fn client_tls() -> impl Strategy<Value = ClientTls> {
    (
        certificates(),
        of((validation(), any::<bool>())),
        of(name()),
        any::<bool>(),
        vec(word(), 0..3),
        tls_version(),
    )
        .prop_map(
            |(certificates, validation, sni, auto_sni, alpn, min_version)| ClientTls {
                certificates,
                validation: validation.map(|(validation, match_requested_host)| PeerValidation {
                    match_requested_host,
                    ..validation
                }),
                sni,
                auto_sni,
                alpn,
                min_version,
            },
        )
}

fn server_tls() -> impl Strategy<Value = ServerTls> {
    (
        certificates(),
        of(validation()),
        any::<bool>(),
        vec(word(), 0..3),
        tls_version(),
    )
        .prop_map(
            |(certificates, validation, require, alpn, min_version)| ServerTls {
                certificates,
                require_client_certificate: require && validation.is_some(),
                validation,
                alpn,
                min_version,
            },
        )
}

fn tls_version() -> impl Strategy<Value = TlsVersion> {
    select(vec![TlsVersion::V1_2, TlsVersion::V1_3])
}

fn validation() -> impl Strategy<Value = PeerValidation> {
    let roots = prop_oneof![
        name().prop_map(SecretSource::Named),
        word().prop_map(|roots| SecretSource::Inline(SecretValue::TrustBundle { roots })),
        word().prop_map(|certificates| SecretSource::Files {
            certificates,
            key: None
        }),
    ];
    let san = prop_oneof![
        pattern().prop_map(SanMatch::Uri),
        pattern().prop_map(SanMatch::Dns)
    ];
    (roots, vec(san, 0..3)).prop_map(|(roots, names)| PeerValidation {
        roots,
        names,
        match_requested_host: false,
    })
}

/// Either named or given in place or as files: the wire keeps no order among the kinds.
fn certificates() -> impl Strategy<Value = Vec<SecretSource>> {
    let files = (word(), word()).prop_map(|(certificates, key)| SecretSource::Files {
        certificates,
        key: Some(key),
    });
    prop_oneof![
        vec(name().prop_map(SecretSource::Named), 0..2),
        vec(certificate().prop_map(SecretSource::Inline), 0..2),
        vec(files, 0..2),
    ]
}

fn secret_value() -> impl Strategy<Value = SecretValue> {
    prop_oneof![
        certificate(),
        word().prop_map(|roots| SecretValue::TrustBundle { roots }),
    ]
}

fn certificate() -> impl Strategy<Value = SecretValue> {
    (word(), word()).prop_map(|(chain, key)| SecretValue::Certificate { chain, key })
}

fn metadata() -> impl Strategy<Value = ClusterMetadata> {
    let service = (name(), name(), name()).prop_map(|(host, name, namespace)| ServiceRef {
        host,
        name,
        namespace,
    });
    (
        vec(service, 0..3),
        "[a-z0-9]{0,4}",
        of(origin()),
        any::<bool>(),
    )
        .prop_map(|(services, subset, origin, istio_alpn)| ClusterMetadata {
            services,
            subset,
            origin,
            istio_alpn,
        })
}

fn condition() -> impl Strategy<Value = Expression> {
    (200..600).prop_map(|status| {
        Expression::parse_condition(&format!("response.code >= {status}")).unwrap()
    })
}

fn tracing() -> impl Strategy<Value = Tracing> {
    let value = prop_oneof![
        word().prop_map(SpanTagValue::Literal),
        (word(), word()).prop_map(|(name, default)| SpanTagValue::Environment { name, default }),
        (word(), word()).prop_map(|(name, default)| SpanTagValue::Header { name, default }),
        word().prop_map(SpanTagValue::Format),
    ];
    let tag = (word(), value).prop_map(|(name, value)| SpanTag { name, value });
    (share(), vec(tag, 0..3), of(1u32..)).prop_map(|(random_sampling, tags, longest)| Tracing {
        random_sampling,
        tags,
        max_path_tag_length: longest,
    })
}

fn metric_settings() -> impl Strategy<Value = MetricSettings> {
    let change = (
        any::<bool>(),
        proptest::collection::btree_map(word(), of(condition()), 0..3),
    );
    let change = change.prop_map(|(dropped, tags)| MetricChange { dropped, tags });
    proptest::collection::btree_map(word(), change, 1..3)
        .prop_map(|changes| MetricSettings { changes })
}

fn rate_limits() -> impl Strategy<Value = RateLimitFilter> {
    let key = prop_oneof![
        Just(LimitKey::Identity),
        Just(LimitKey::Path),
        word().prop_map(LimitKey::Header),
        vec(word(), 1..3).prop_map(LimitKey::Claim),
    ]
    .boxed();
    let found = (
        vec(word(), 0..2),
        vec((word(), of(pattern())), 0..2),
        vec(pattern(), 0..2),
    );
    let found = found.prop_map(|(methods, headers, paths)| LimitMatch {
        methods,
        headers,
        paths,
        ..LimitMatch::default()
    });
    let found = found.boxed();
    let class =
        (name(), vec(found.clone(), 0..2), 0u8..=100).prop_map(|(name, matches, leaves)| {
            LimitPriority {
                name,
                matches,
                leaves,
            }
        });
    let limit = (
        (name(), vec(found, 0..2), any::<u32>(), any::<u32>()),
        (
            positive(),
            any::<bool>(),
            vec(key.clone(), 0..3),
            of(key),
            vec(class, 0..2),
        ),
    );
    let limit = limit.prop_map(|((name, matches, requests, burst), rest)| {
        let (per, is_quota, keys, fair_share, priorities) = rest;
        RateLimit {
            name,
            matches,
            requests,
            per,
            burst,
            is_quota,
            keys,
            fair_share,
            priorities,
        }
    });
    (
        vec(limit, 0..3),
        of(origin()),
        any::<[bool; 2]>(),
        400u16..600,
        word(),
    )
        .prop_map(|(limits, origin, flags, status, word)| RateLimitFilter {
            limits,
            origin: origin.map(|origin| Origin::of(origin.resource)),
            is_dry_run: flags[0],
            status,
            headers: [(word.clone(), word)].into(),
            hides_limits: flags[1],
        })
}

fn access_log() -> impl Strategy<Value = AccessLog> {
    let format = prop_oneof![
        Just(AccessLogFormat::Default),
        word().prop_map(AccessLogFormat::Text),
        proptest::collection::btree_map(word(), word(), 0..3).prop_map(AccessLogFormat::Json),
    ];
    let filter = prop_oneof![
        vec(word(), 0..3).prop_map(AccessLogFilter::ResponseFlags),
        condition().prop_map(AccessLogFilter::Expression),
    ];
    (word(), format, of(filter)).prop_map(|(path, format, filter)| AccessLog {
        path,
        format,
        filter,
    })
}

fn origin() -> impl Strategy<Value = Origin> {
    (word(), word(), of(0..3_u8)).prop_map(|(namespace, name, rule)| {
        let origin = Origin::of(ResourceRef::new(
            "networking.istio.io",
            "VirtualService",
            &namespace,
            &name,
        ));
        match rule {
            Some(rule) => origin.at(format!("spec.http[{rule}]")),
            None => origin,
        }
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    vec((word(), word()), 0..3).prop_map(|pairs| pairs.into_iter().collect())
}

fn locality() -> impl Strategy<Value = Locality> {
    ("[a-z]{0,3}", "[a-z]{0,3}", "[a-z]{0,3}").prop_map(|(region, zone, sub_zone)| Locality {
        region,
        zone,
        sub_zone,
    })
}

fn network() -> impl Strategy<Value = IpNetwork> {
    (any::<std::net::IpAddr>(), 0u8..=32)
        .prop_map(|(address, length)| IpNetwork::new(address, length).unwrap())
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn share() -> impl Strategy<Value = Fraction> {
    (0u32..=1_000_000).prop_map(Fraction::per_million)
}

pub(super) fn duration() -> impl Strategy<Value = Duration> {
    (0u64..1 << 40).prop_map(Duration::from_micros)
}

fn positive() -> impl Strategy<Value = Duration> {
    (1u64..1 << 40).prop_map(Duration::from_micros)
}

pub(super) fn name() -> impl Strategy<Value = Name> {
    word().prop_map(Name::from)
}

pub(super) fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9|_:-]{0,6}"
}

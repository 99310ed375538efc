//! The authorizer: `testdata/access.toml`, and a slow reference.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use mesh_core::{dataplane::*, identity::SpiffeId, name::Pattern};
use mesh_routing::{AccessRequest, Authorizer, ConnectionFacts, RequestHead, Verdict};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde::Deserialize;

use crate::{
    cases::{HeaderSpec, read},
    request::Request,
    router,
    spellings::readings,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    action: String,
    #[serde(default)]
    policies: BTreeMap<String, PolicySpec>,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicySpec {
    what: Vec<What>,
    who: Vec<Who>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Any,
    All(Vec<Self>),
    OneOf(Vec<Self>),
    Not(Box<Self>),
    Path(Pattern),
    Header(HeaderSpec),
    Network(String),
    Port(u16),
    ServerName(Pattern),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Who {
    Any,
    All(Vec<Self>),
    OneOf(Vec<Self>),
    Not(Box<Self>),
    Peer(Pattern),
    AnyPeer,
    DirectRemote(String),
    Remote(String),
    Header(HeaderSpec),
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Case {
    /// None asks for a connection.
    request: Option<Request>,
    peer: Option<String>,
    from: String,
    /// What a trusted hop told.
    remote: Option<String>,
    port: u16,
    sni: Option<String>,
    want: String,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            request: None,
            peer: None,
            from: "10.0.0.9".into(),
            remote: None,
            port: 9080,
            sni: None,
            want: "allow".into(),
        }
    }
}

impl Group {
    fn filter(&self) -> RbacFilter {
        let policies = self.policies.iter().map(|(name, policy)| {
            let policy = AccessPolicy {
                permissions: policy.what.iter().map(What::permission).collect(),
                principals: policy.who.iter().map(Who::principal).collect(),
                origin: None,
            };
            (name.as_str().into(), policy)
        });
        let rules = AccessRules {
            action: match self.action.as_str() {
                "allow" => AccessAction::Allow,
                "deny" => AccessAction::Deny,
                "log" => AccessAction::Log,
                other => panic!("{other}"),
            },
            policies: policies.collect(),
        };
        RbacFilter {
            rules: Some(rules.clone()),
            shadow_rules: Some(rules),
            shadow_stat_prefix: String::new(),
        }
    }
}

impl What {
    fn permission(&self) -> Permission {
        match self {
            Self::Any => Permission::Any,
            Self::All(parts) => Permission::All(parts.iter().map(Self::permission).collect()),
            Self::OneOf(parts) => Permission::OneOf(parts.iter().map(Self::permission).collect()),
            Self::Not(part) => Permission::Not(Box::new(part.permission())),
            Self::Path(pattern) => Permission::Path(pattern.clone()),
            Self::Header(header) => Permission::Header(header.header()),
            Self::Network(text) => Permission::DestinationNetwork(network(text)),
            Self::Port(port) => Permission::DestinationPort(*port),
            Self::ServerName(pattern) => Permission::ServerName(pattern.clone()),
        }
    }
}

impl Who {
    fn principal(&self) -> Principal {
        match self {
            Self::Any => Principal::Any,
            Self::All(parts) => Principal::All(parts.iter().map(Self::principal).collect()),
            Self::OneOf(parts) => Principal::OneOf(parts.iter().map(Self::principal).collect()),
            Self::Not(part) => Principal::Not(Box::new(part.principal())),
            Self::Peer(pattern) => Principal::Authenticated(Some(pattern.clone())),
            Self::AnyPeer => Principal::Authenticated(None),
            Self::DirectRemote(text) => Principal::DirectRemoteNetwork(network(text)),
            Self::Remote(text) => Principal::RemoteNetwork(network(text)),
            Self::Header(header) => Principal::Header(header.header()),
        }
    }
}

impl Case {
    fn ask<R>(&self, ask: impl FnOnce(&AccessRequest<'_>) -> R) -> R {
        let built = self.request.as_ref().map(Request::build);
        let head = built.as_ref().map(|built| built.head());
        let peer: Option<SpiffeId> = self.peer.as_ref().map(|peer| peer.parse().unwrap());
        let source: IpAddr = self.from.parse().unwrap();
        let connection = ConnectionFacts {
            source: SocketAddr::new(source, 40000),
            destination: SocketAddr::new([10, 0, 0, 1].into(), self.port),
            server_name: self.sni.as_deref(),
            transport: TransportProtocol::Tls,
            application_protocols: &[],
            peer: peer.as_ref(),
        };
        let remote = self.remote.as_ref().map(|remote| remote.parse().unwrap());
        ask(&AccessRequest {
            head: head.as_ref(),
            connection: &connection,
            remote: remote.unwrap_or(source),
            claims: None,
        })
    }
}

fn network(text: &str) -> IpNetwork {
    IpNetwork::parse(text).unwrap()
}

fn shown(verdict: Verdict<'_>) -> String {
    match verdict {
        Verdict::Allow => "allow".into(),
        Verdict::Deny { .. } => {
            let text = verdict.to_string();
            let name = text
                .strip_prefix("rbac_access_denied_matched_policy[")
                .unwrap();
            format!("deny by {}", name.strip_suffix(']').unwrap())
        }
    }
}

#[test]
fn cases() {
    for group in read::<File>("access.toml").group {
        let filter = group.filter();
        let authorizer = Authorizer::compile(&filter).unwrap();
        for (number, case) in group.case.iter().enumerate() {
            let what = format!("{}, case {number}", group.name);
            case.ask(|request| {
                assert_eq!(shown(authorizer.check(request)), case.want, "{what}");
                assert_eq!(
                    authorizer.shadow(request),
                    Some(authorizer.check(request)),
                    "{what}"
                );
                let slow = reference(filter.rules.as_ref().unwrap(), request);
                assert_eq!(slow, authorizer.check(request).is_allowed(), "{what}");
            });
        }
    }
}

#[test]
fn without_rules_everything_passes() {
    let authorizer = Authorizer::compile(&RbacFilter::default()).unwrap();
    Case::default().ask(|request| {
        assert_eq!(authorizer.check(request), Verdict::Allow);
        assert_eq!(authorizer.shadow(request), None);
    });
}

#[test]
fn refusals_name_the_policy() {
    let policy = AccessPolicy {
        permissions: vec![Permission::Any],
        principals: vec![Principal::Not(Box::new(Principal::Authenticated(Some(
            Pattern::Regex("(".into()),
        ))))],
        origin: None,
    };
    let filter = RbacFilter {
        rules: Some(AccessRules {
            action: AccessAction::Deny,
            policies: [("p".into(), policy)].into(),
        }),
        ..Default::default()
    };
    let error = Authorizer::compile(&filter).unwrap_err();
    assert_eq!(error.field, "rules.policies[p].principals[0].authenticated");
}

/// What access rules mean, in the plainest way. True if the request may pass.
fn reference(rules: &AccessRules, request: &AccessRequest<'_>) -> bool {
    let strict = rules.action == AccessAction::Allow;
    let matched = rules.policies.values().any(|policy| {
        policy
            .permissions
            .iter()
            .any(|part| permission(part, request, strict, false))
            && policy
                .principals
                .iter()
                .any(|part| principal(part, request, strict, false))
    });
    match rules.action {
        AccessAction::Allow => matched,
        AccessAction::Deny => !matched,
        AccessAction::Log => true,
    }
}

/// `strict` asks for every value of a header, `negated` counts negations on the way.
fn permission(part: &Permission, request: &AccessRequest<'_>, strict: bool, negated: bool) -> bool {
    let destination = request.connection.destination;
    match part {
        Permission::Any => true,
        Permission::All(parts) => parts
            .iter()
            .all(|part| permission(part, request, strict, negated)),
        Permission::OneOf(parts) => parts
            .iter()
            .any(|part| permission(part, request, strict, negated)),
        Permission::Not(part) => !permission(part, request, !strict, !negated),
        Permission::Path(pattern) => match request.head {
            Some(head) => path(pattern, head.path, strict),
            None => negated,
        },
        Permission::Header(condition) => header(condition, request, strict, negated),
        Permission::DestinationNetwork(network) => network.contains(destination.ip()),
        Permission::DestinationPort(port) => destination.port() == *port,
        Permission::ServerName(pattern) => {
            text(pattern, request.connection.server_name.unwrap_or(""), false)
        }
    }
}

/// As it is written, and in every other reading: `strict` asks for all of them.
fn path(pattern: &Pattern, path: &str, strict: bool) -> bool {
    let others: Vec<Pattern> = match pattern {
        Pattern::Exact(text) => readings(text).into_iter().map(Pattern::Exact).collect(),
        Pattern::Prefix(text) => readings(text).into_iter().map(Pattern::Prefix).collect(),
        _ => Vec::new(),
    };
    let as_written = text(pattern, path, false);
    let mut as_read = readings(path).into_iter().map(|reading| {
        let mut patterns = std::iter::once(pattern).chain(&others);
        patterns.any(|pattern| text(pattern, &reading, false))
    });
    match strict {
        true => as_written && as_read.all(|met| met),
        false => as_written || as_read.any(|met| met),
    }
}

fn principal(part: &Principal, request: &AccessRequest<'_>, strict: bool, negated: bool) -> bool {
    let connection = request.connection;
    match part {
        Principal::Any => true,
        Principal::All(parts) => parts
            .iter()
            .all(|part| principal(part, request, strict, negated)),
        Principal::OneOf(parts) => parts
            .iter()
            .any(|part| principal(part, request, strict, negated)),
        Principal::Not(part) => !principal(part, request, !strict, !negated),
        Principal::Authenticated(None) => connection.peer.is_some(),
        Principal::Authenticated(Some(pattern)) => connection
            .peer
            .is_some_and(|peer| text(pattern, peer.as_str(), false)),
        Principal::DirectRemoteNetwork(network) => network.contains(connection.source.ip()),
        Principal::RemoteNetwork(network) => network.contains(request.remote),
        Principal::Header(condition) => header(condition, request, strict, negated),
        Principal::Claim(condition) => match request.head {
            None => negated,
            Some(_) => request.claims.is_some_and(|claims| {
                let matches = |value: &str| {
                    let mut patterns = condition.values.iter();
                    patterns.any(|pattern| text(pattern, value, false))
                };
                claims.any(&condition.path, matches)
            }),
        },
    }
}

fn header(
    condition: &HeaderMatch,
    request: &AccessRequest<'_>,
    strict: bool,
    negated: bool,
) -> bool {
    let Some(head) = request.head else {
        return negated;
    };
    let values = values(&condition.name, head);
    if condition.value == ValueMatch::Present {
        return values.is_empty() == condition.invert;
    }
    if values.is_empty() && !condition.missing_is_empty {
        return false;
    }
    let meets = |value: &String| match &condition.value {
        ValueMatch::Present => true,
        ValueMatch::Text {
            pattern,
            ignore_case,
        } => text(pattern, value, *ignore_case),
        ValueMatch::Range { start, end } => value
            .parse::<i64>()
            .is_ok_and(|number| (*start..*end).contains(&number)),
    };
    let joined = values.join(",");
    let met = match (values.len(), strict != condition.invert) {
        (0 | 1, _) => meets(&joined),
        (_, true) => values.iter().all(meets),
        (_, false) => meets(&joined) || values.iter().any(meets),
    };
    met != condition.invert
}

fn values(name: &str, head: &RequestHead<'_>) -> Vec<String> {
    match name {
        ":method" => vec![head.method.to_string()],
        ":authority" | "host" => vec![head.authority.into()],
        ":scheme" => vec![head.scheme.into()],
        ":path" => vec![head.path_and_query().into_owned()],
        _ => {
            let values = head.headers.get_all(name).iter();
            values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
                .collect()
        }
    }
}

fn text(pattern: &Pattern, text: &str, ignore_case: bool) -> bool {
    let fold = |text: &str| {
        if ignore_case {
            text.to_ascii_lowercase()
        } else {
            text.into()
        }
    };
    let seen = fold(text);
    match pattern {
        Pattern::Exact(want) => seen == fold(want),
        Pattern::Prefix(want) => seen.starts_with(&fold(want)),
        Pattern::Suffix(want) => seen.ends_with(&fold(want)),
        Pattern::Contains(want) => seen.contains(&fold(want)),
        Pattern::Regex(want) => Pattern::compile_regex(want, ignore_case)
            .unwrap()
            .is_match(text),
    }
}

fn a_permission() -> impl Strategy<Value = Permission> {
    let leaf = prop_oneof![
        Just(Permission::Any),
        select(vec!["/", "/a", "/a/b"])
            .prop_map(|path| Permission::Path(Pattern::Prefix(path.into()))),
        select(vec!["/", "/a", "/a/b", "/a%2Fb"])
            .prop_map(|path| Permission::Path(Pattern::Exact(path.into()))),
        select(vec!["GET", "POST"]).prop_map(|method| Permission::Header(HeaderMatch {
            name: ":method".into(),
            value: ValueMatch::Text {
                pattern: Pattern::Exact(method.into()),
                ignore_case: false,
            },
            invert: false,
            missing_is_empty: false,
        })),
        router::header_match().prop_map(Permission::Header),
        select(vec![80, 90]).prop_map(Permission::DestinationPort),
        select(vec!["10.0.0.0/8", "9.0.0.0/8"])
            .prop_map(|text| Permission::DestinationNetwork(network(text))),
        select(vec!["", "a"]).prop_map(|name| Permission::ServerName(Pattern::Exact(name.into()))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Permission::All),
            vec(inner.clone(), 0..3).prop_map(Permission::OneOf),
            inner.prop_map(|part| Permission::Not(Box::new(part))),
        ]
    })
}

fn a_principal() -> impl Strategy<Value = Principal> {
    let peer = select(vec!["spiffe://td/ns/a/sa/x", "spiffe://td/ns/b/sa/x"]);
    let leaf = prop_oneof![
        Just(Principal::Any),
        Just(Principal::Authenticated(None)),
        peer.prop_map(|id| Principal::Authenticated(Some(Pattern::Exact(id.into())))),
        Just(Principal::Authenticated(Some(Pattern::Contains(
            "/ns/a/".into()
        )))),
        select(vec!["spiffe://td/", "spiffe://td/ns/a/"])
            .prop_map(|id| Principal::Authenticated(Some(Pattern::Prefix(id.into())))),
        select(vec!["a", "b", "ns"]).prop_map(|namespace| {
            let regex = format!(".*/ns/{namespace}/.*");
            Principal::Authenticated(Some(Pattern::Regex(regex)))
        }),
        router::header_match().prop_map(Principal::Header),
        select(vec!["10.0.0.0/8", "9.0.0.0/8"])
            .prop_map(|text| Principal::DirectRemoteNetwork(network(text))),
        select(vec!["10.0.0.0/8", "9.0.0.0/8"])
            .prop_map(|text| Principal::RemoteNetwork(network(text))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Principal::All),
            vec(inner.clone(), 0..3).prop_map(Principal::OneOf),
            inner.prop_map(|part| Principal::Not(Box::new(part))),
        ]
    })
}

pub(crate) fn a_filter() -> impl Strategy<Value = RbacFilter> {
    let policy = (vec(a_permission(), 0..3), vec(a_principal(), 0..3)).prop_map(
        |(permissions, principals)| AccessPolicy {
            permissions,
            principals,
            origin: None,
        },
    );
    let action = select(vec![
        AccessAction::Allow,
        AccessAction::Deny,
        AccessAction::Log,
    ]);
    (action, vec(policy, 0..6)).prop_map(|(action, policies)| {
        let policies = policies.into_iter().enumerate();
        RbacFilter {
            rules: Some(AccessRules {
                action,
                policies: policies
                    .map(|(n, policy)| (n.to_string().into(), policy))
                    .collect(),
            }),
            ..Default::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn agrees_with_its_reference(
        filter in a_filter(),
        request in option::weighted(0.8, router::request()),
        path in option::weighted(0.3, select(vec!["/a;b", "//a", "/a%2Fb", "/a/./b", "/;/a/b"])),
        peer in option::of(select(vec![
            "spiffe://td/ns/a/sa/x",
            "spiffe://td/ns/b/sa/x",
            "spiffe://td/ns/ns/a/x",
        ])),
        from in select(vec!["10.0.0.1", "9.0.0.1"]),
        remote in option::of(select(vec!["10.0.0.1", "9.0.0.1"])),
        port in select(vec![80, 90]),
        sni in option::of(Just("a")),
    ) {
        let request = request.map(|request| Request {
            path: path.map_or_else(|| request.path.clone(), str::to_owned),
            ..request
        });
        let case = Case {
            request,
            peer: peer.map(String::from),
            from: from.into(),
            remote: remote.map(String::from),
            port,
            sni: sni.map(String::from),
            want: String::new(),
        };
        let authorizer = Authorizer::compile(&filter).unwrap();
        case.ask(|request| {
            let want = reference(filter.rules.as_ref().unwrap(), request);
            let verdict = authorizer.check(request);
            prop_assert_eq!(verdict.is_allowed(), want);
            // The index finds the policy that the slow way finds first, if it is one that denies.
            let explanation = authorizer.explain(&filter, request);
            let mut matched = explanation.policies.iter().filter(|policy| policy.failed.is_none());
            let first = matched.next().map(|policy| policy.name);
            if let Verdict::Deny { policy: Some(policy), .. } = verdict {
                prop_assert_eq!(Some(policy), first);
            }
            let is_allow = explanation.policies.iter().any(|policy| {
                policy.action == AccessAction::Allow
            });
            if is_allow {
                prop_assert_eq!(verdict.is_allowed(), first.is_some());
            }
            Ok(())
        })?;
    }

    /// Repeating a header may only take leave away.
    #[test]
    fn a_second_value_never_opens_a_door(values in vec(select(vec!["user", "admin", "x"]), 1..4)) {
        let is = |value: &str| HeaderMatch {
            name: "role".into(),
            value: ValueMatch::Text { pattern: Pattern::Exact(value.into()), ignore_case: false },
            invert: false,
            missing_is_empty: false,
        };
        let filter = |action, permission| RbacFilter {
            rules: Some(AccessRules {
                action,
                policies: [("p".into(), AccessPolicy {
                    permissions: vec![permission],
                    principals: vec![Principal::Any],
                    origin: None,
                })].into(),
            }),
            ..Default::default()
        };
        let request = Request {
            headers: [("role".to_owned(), values.join("|"))].into(),
            ..Default::default()
        };
        let case = Case { request: Some(request), ..Default::default() };
        let allowed = |filter: &RbacFilter| {
            let authorizer = Authorizer::compile(filter).unwrap();
            case.ask(|request| authorizer.check(request).is_allowed())
        };
        let deny_admin = filter(AccessAction::Deny, Permission::Header(is("admin")));
        prop_assert_eq!(allowed(&deny_admin), !values.contains(&"admin"));
        let allow_admin = filter(AccessAction::Allow, Permission::Header(is("admin")));
        prop_assert_eq!(allowed(&allow_admin), values.iter().all(|value| *value == "admin"));
        let not_user = Permission::Not(Box::new(Permission::Header(is("user"))));
        let allow_others = filter(AccessAction::Allow, not_user);
        prop_assert_eq!(allowed(&allow_others), !values.contains(&"user"));
    }
}

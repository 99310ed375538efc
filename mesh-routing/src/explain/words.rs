//! Conditions in words.

use mesh_core::dataplane::{
    ChainMatch, ClusterChoice, HeaderMatch, QueryMatch, Route, RouteAction, SanMatch, SourceType,
    TransportProtocol, ValueMatch,
};
use mesh_core::name::Pattern;

use crate::{ChainRejection, ChainStep, RequestHead, router::explain::Unmet};

/// What a listener saw of a connection.
pub(super) fn seen(
    transport: TransportProtocol,
    server_name: Option<&str>,
    protocols: &[&str],
) -> String {
    let mut text = String::from(match transport {
        TransportProtocol::Tls => "over TLS",
        TransportProtocol::RawBuffer => "in clear text",
    });
    if let Some(name) = server_name {
        text.push_str(&format!(" asking for {name}"));
    }
    if !protocols.is_empty() {
        text.push_str(&match transport {
            TransportProtocol::Tls => format!(", offering {}", protocols.join(" or ")),
            TransportProtocol::RawBuffer => format!(", speaking {}", protocols.join(" or ")),
        });
    }
    text
}

/// Why a chain does not serve a connection.
pub(super) fn rejection(matches: &ChainMatch, rejection: ChainRejection) -> String {
    let wanted = match rejection.step {
        ChainStep::DestinationPort => match matches.destination_port {
            Some(port) => format!("port {port}"),
            None => "any port".to_owned(),
        },
        ChainStep::DestinationNetwork => any_of("destination", &matches.destination_networks),
        ChainStep::ServerName => any_of("SNI", &matches.server_names),
        ChainStep::Transport => match matches.transport {
            Some(TransportProtocol::Tls) => "TLS".to_owned(),
            Some(TransportProtocol::RawBuffer) => "clear text".to_owned(),
            None => "any transport".to_owned(),
        },
        ChainStep::ApplicationProtocol => any_of("protocol", &matches.application_protocols),
        ChainStep::SourceType => match matches.source_type {
            SourceType::Any => "any caller".to_owned(),
            SourceType::SameHost => "a caller on this machine".to_owned(),
            SourceType::External => "a caller elsewhere".to_owned(),
        },
        ChainStep::SourceNetwork => any_of("source", &matches.source_networks),
        ChainStep::SourcePort => any_of("source port", &matches.source_ports),
    };
    match rejection.failed {
        true => format!("it is for {wanted}"),
        false => format!("another is more specific than {wanted}"),
    }
}

/// What is listed; where nothing is, nothing is asked for.
fn any_of<T: ToString>(what: &str, wanted: &[T]) -> String {
    match wanted {
        [] => format!("any {what}"),
        wanted => {
            let all: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            format!("{what} {}", all.join(", "))
        }
    }
}

/// Why a rule does not match, and what was found instead.
pub(super) fn unmet(route: &Route, head: &RequestHead<'_>, because: &Unmet) -> String {
    let matches = &route.matches;
    match because {
        Unmet::Path(_) => format!("{because}; it is {:?}", head.path),
        Unmet::Header(name) => {
            let wanted = matches.headers.iter().find(|header| header.name == *name);
            let wanted = wanted.map_or_else(String::new, header);
            format!("{wanted}; {}", found(head, name))
        }
        Unmet::Claim(_) => {
            let found = match head.claims {
                Some(_) => "a token was verified",
                None => "no token was verified",
            };
            format!("{because}; {found}")
        }
        Unmet::Query(name) => {
            let wanted = matches.query.iter().find(|query| query.name == *name);
            let wanted = wanted.map_or_else(String::new, query);
            match head.query_parameter(name) {
                Some(value) => format!("{wanted}; it is {value:?}"),
                None => format!("{wanted}; there is none"),
            }
        }
        other => other.to_string(),
    }
}

fn found(head: &RequestHead<'_>, name: &str) -> String {
    let text = match name {
        ":method" => Some(head.method.to_string()),
        ":authority" | "host" => Some(head.authority.to_owned()),
        ":scheme" => Some(head.scheme.to_owned()),
        ":path" => Some(head.path_and_query().into_owned()),
        name => {
            let values = head.headers.get_all(name).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            (!values.is_empty()).then(|| values.join(","))
        }
    };
    match text {
        Some(text) => format!("it is {text:?}"),
        None => "there is none".to_owned(),
    }
}

/// `the header "end-user" must be "jason"`.
pub(super) fn header(wanted: &HeaderMatch) -> String {
    let not = if wanted.invert { "not " } else { "" };
    format!(
        "the header {:?} must {not}{}",
        wanted.name,
        value(&wanted.value)
    )
}

fn query(wanted: &QueryMatch) -> String {
    format!(
        "the query parameter {:?} must {}",
        wanted.name,
        value(&wanted.value)
    )
}

fn value(wanted: &ValueMatch) -> String {
    match wanted {
        ValueMatch::Present => "be there".to_owned(),
        ValueMatch::Text { pattern, .. } => self::pattern(pattern),
        ValueMatch::Range { start, end } => format!("be from {start} to {}", end.saturating_sub(1)),
    }
}

/// `be "jason"`, `begin with "/api"`.
pub(super) fn pattern(wanted: &Pattern) -> String {
    match wanted {
        Pattern::Exact(text) => format!("be {text:?}"),
        Pattern::Prefix(text) => format!("begin with {text:?}"),
        Pattern::Suffix(text) => format!("end with {text:?}"),
        Pattern::Contains(text) => format!("contain {text:?}"),
        Pattern::Regex(text) => format!("match {text:?}"),
    }
}

/// What a rule does.
pub(super) fn action(action: &RouteAction) -> String {
    match action {
        RouteAction::Forward(forward) => match &forward.cluster {
            ClusterChoice::Single(name) => format!("goes to {name}"),
            ClusterChoice::Weighted(clusters) => {
                let all: Vec<_> = clusters
                    .iter()
                    .map(|cluster| format!("{} ({})", cluster.name, cluster.weight))
                    .collect();
                format!("goes to {}", all.join(" or "))
            }
            ClusterChoice::Header(name) => format!("goes to the cluster named by header {name:?}"),
        },
        RouteAction::Redirect(redirect) => format!("is redirected with {}", redirect.status),
        RouteAction::Respond(response) => format!("is answered with {}", response.status),
    }
}

/// A name that must be proven.
pub(super) fn san(wanted: &SanMatch) -> String {
    let (SanMatch::Uri(pattern) | SanMatch::Dns(pattern)) = wanted;
    match pattern {
        Pattern::Exact(text) => text.clone(),
        Pattern::Prefix(text) => format!("{text}*"),
        Pattern::Suffix(text) => format!("*{text}"),
        Pattern::Contains(text) => format!("*{text}*"),
        Pattern::Regex(text) => format!("~{text}"),
    }
}

/// Whether a name is one of those that are accepted.
pub(crate) fn proves(names: &[SanMatch], name: &str) -> bool {
    names.iter().any(|wanted| {
        let (SanMatch::Uri(pattern) | SanMatch::Dns(pattern)) = wanted;
        crate::predicate::TextTest::compile(pattern, false).is_ok_and(|test| test.matches(name))
    })
}

use mesh_core::dataplane::{
    self, AccessAction, AccessRules, HeaderMatch, Name, Origin, ValueMatch,
};

use super::{
    AccessRequest, Verdict,
    authorizer::{Policy, Rules, readings_of},
    condition::{Permission, Principal, Question},
};
use crate::predicate::header_found;

/// Why a request may pass, or may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessExplanation<'a> {
    /// What the rules in force say.
    pub verdict: Verdict<'a>,
    /// What the rules on trial would have said; none if there are none.
    pub shadow: Option<Verdict<'a>>,
    /// Every policy, in the order in which they are asked: those in force, then those on trial.
    pub policies: Vec<PolicyExplanation<'a>>,
}

/// Whether a policy matches, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyExplanation<'a> {
    /// Its id, as in `ns[default]-policy[reviews]-rule[0]`.
    pub name: &'a Name,
    /// The resource that asked for it.
    pub origin: Option<&'a Origin>,
    /// What a match means.
    pub action: AccessAction,
    /// It is on trial: only told.
    pub is_shadow: bool,
    /// The first clause that does not hold; none if the policy matches.
    pub failed: Option<Clause>,
}

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Its place in the planned policy, such as `principals[0].all[1]`.
    pub field: String,
    /// What it asks for, such as `caller = "spiffe://cluster.local/ns/default/sa/web"`.
    pub wanted: String,
    /// What the request has in its place.
    pub found: String,
}

pub(super) fn rules<'a>(
    rules: &'a Rules,
    planned: &AccessRules,
    request: &AccessRequest<'_>,
    is_shadow: bool,
) -> Vec<PolicyExplanation<'a>> {
    let readings = readings_of(request);
    let question = rules.question(request, &readings);
    let both = rules.policies.iter().zip(planned.policies.values());
    both.map(|(policy, planned)| PolicyExplanation {
        name: &policy.name,
        origin: policy.origin.as_ref(),
        action: rules.action,
        is_shadow,
        failed: failed(policy, planned, question),
    })
    .collect()
}

/// Who is asked first: of a policy for another caller it matters least what it is about.
fn failed(
    policy: &Policy,
    planned: &dataplane::AccessPolicy,
    question: Question<'_>,
) -> Option<Clause> {
    let parts = (&*policy.principals, &*planned.principals);
    one_of(
        parts,
        question,
        "principals",
        |p, q| p.matches(q),
        principal,
    )
    .or_else(|| {
        let parts = (&*policy.permissions, &*planned.permissions);
        one_of(
            parts,
            question,
            "permissions",
            |p, q| p.matches(q),
            permission,
        )
    })
}

fn permission(
    part: &Permission,
    planned: &dataplane::Permission,
    question: Question<'_>,
    field: &str,
) -> Option<Clause> {
    use dataplane::Permission as Planned;
    if part.matches(question) {
        return None;
    }
    let connection = question.request.connection;
    let head = question.request.head;
    let (wanted, found) = match (part, planned) {
        (Permission::All(parts), Planned::All(planned)) => {
            return all((parts, planned), question, field, permission);
        }
        (Permission::OneOf(parts), Planned::OneOf(planned)) => {
            let parts = (&**parts, &**planned);
            let field = format!("{field}.one_of");
            return one_of(parts, question, &field, |p, q| p.matches(q), permission);
        }
        (_, Planned::Not(planned)) => (anything_but(&what(planned)), "just that".to_owned()),
        (_, Planned::Path(_)) => (what(planned), text(head.map(|head| head.path))),
        (_, Planned::Header(header)) => (what(planned), header_found(header, head)),
        (_, Planned::DestinationNetwork(_)) => {
            (what(planned), connection.destination.ip().to_string())
        }
        (_, Planned::DestinationPort(_)) => {
            (what(planned), connection.destination.port().to_string())
        }
        (_, Planned::ServerName(_)) => (what(planned), text(connection.server_name)),
        (_, other) => (what(other), String::new()),
    };
    Some(Clause {
        field: field.into(),
        wanted,
        found,
    })
}

fn principal(
    part: &Principal,
    planned: &dataplane::Principal,
    question: Question<'_>,
    field: &str,
) -> Option<Clause> {
    use dataplane::Principal as Planned;
    if part.matches(question) {
        return None;
    }
    let request = question.request;
    let (wanted, found) = match (part, planned) {
        (Principal::All(parts), Planned::All(planned)) => {
            return all((parts, planned), question, field, principal);
        }
        (Principal::OneOf(parts), Planned::OneOf(planned)) => {
            let parts = (&**parts, &**planned);
            let field = format!("{field}.one_of");
            return one_of(parts, question, &field, |p, q| p.matches(q), principal);
        }
        (_, Planned::Not(planned)) => (anything_but(&who(planned)), "just that".to_owned()),
        (_, Planned::Authenticated(_)) => {
            let peer = request.connection.peer.map(|peer| peer.as_str());
            (
                who(planned),
                peer.map_or_else(|| "no identity".into(), |peer| format!("{peer:?}")),
            )
        }
        (_, Planned::DirectRemoteNetwork(_)) => {
            (who(planned), request.connection.source.ip().to_string())
        }
        (_, Planned::RemoteNetwork(_)) => (who(planned), request.remote.to_string()),
        (_, Planned::Header(header)) => (who(planned), header_found(header, request.head)),
        (_, Planned::Claim(claim)) => {
            let value = request.claims.map(|claims| claims.value(&claim.path));
            let found = match value {
                None => "no token".to_owned(),
                Some(None) => "no such claim".to_owned(),
                Some(Some(value)) => value.to_string(),
            };
            (who(planned), found)
        }
        (_, other) => (who(other), String::new()),
    };
    Some(Clause {
        field: field.into(),
        wanted,
        found,
    })
}

type Explain<C, P> = fn(&C, &P, Question<'_>, &str) -> Option<Clause>;

fn all<C, P>(
    (parts, planned): (&[C], &[P]),
    question: Question<'_>,
    field: &str,
    explain: Explain<C, P>,
) -> Option<Clause> {
    let both = parts.iter().zip(planned).enumerate();
    let mut failed = both.filter_map(|(index, (part, planned))| {
        explain(part, planned, question, &format!("{field}.all[{index}]"))
    });
    failed.next()
}

/// What fails in each alternative, if all fail.
fn one_of<C, P>(
    (parts, planned): (&[C], &[P]),
    question: Question<'_>,
    field: &str,
    matches: fn(&C, Question<'_>) -> bool,
    explain: Explain<C, P>,
) -> Option<Clause> {
    if parts.iter().any(|part| matches(part, question)) {
        return None;
    }
    let both = parts.iter().zip(planned).enumerate();
    let failed = both.filter_map(|(index, (part, planned))| {
        explain(part, planned, question, &format!("{field}[{index}]"))
    });
    let mut failed: Vec<_> = failed.collect();
    match failed.len() {
        0 => Some(Clause {
            field: field.into(),
            wanted: "one of nothing".into(),
            found: String::new(),
        }),
        1 => failed.pop(),
        _ => {
            let mut found: Vec<_> = failed.iter().map(|clause| clause.found.clone()).collect();
            found.dedup();
            let wanted: Vec<_> = failed.iter().map(|clause| &*clause.wanted).collect();
            Some(Clause {
                field: field.into(),
                wanted: wanted.join(", or "),
                found: found.join(", "),
            })
        }
    }
}

/// A permission in words.
fn what(planned: &dataplane::Permission) -> String {
    use dataplane::Permission as P;
    match planned {
        P::Any => "anything".into(),
        P::All(parts) => list(parts, what, " and "),
        P::OneOf(parts) => list(parts, what, " or "),
        P::Not(part) => anything_but(&what(part)),
        P::Path(pattern) => format!("path {pattern}"),
        P::Header(header) => in_words(header),
        P::DestinationNetwork(network) => format!("destination in {network}"),
        P::DestinationPort(port) => format!("port {port}"),
        P::ServerName(pattern) => format!("server name {pattern}"),
    }
}

/// A principal in words.
fn who(planned: &dataplane::Principal) -> String {
    use dataplane::Principal as P;
    match planned {
        P::Any => "anyone".into(),
        P::All(parts) => list(parts, who, " and "),
        P::OneOf(parts) => list(parts, who, " or "),
        P::Not(part) => anything_but(&who(part)),
        P::Authenticated(None) => "a caller with an identity".into(),
        P::Authenticated(Some(pattern)) => format!("caller {pattern}"),
        P::DirectRemoteNetwork(network) => format!("connection from {network}"),
        P::RemoteNetwork(network) => format!("caller from {network}"),
        P::Header(header) => in_words(header),
        P::Claim(claim) => {
            let values: Vec<_> = claim.values.iter().map(ToString::to_string).collect();
            format!("claim {} {}", claim.path.join("."), values.join(" or "))
        }
    }
}

fn list<T>(parts: &[T], each: fn(&T) -> String, between: &str) -> String {
    let parts: Vec<_> = parts.iter().map(each).collect();
    format!("({})", parts.join(between))
}

fn in_words(header: &HeaderMatch) -> String {
    let not = if header.invert { "not: " } else { "" };
    let name = &header.name;
    match &header.value {
        ValueMatch::Present => format!("{not}header {name} is there"),
        ValueMatch::Text { pattern, .. } => format!("{not}header {name} {pattern}"),
        ValueMatch::Range { start, end } => format!("{not}header {name} in {start}..{end}"),
    }
}

fn anything_but(what: &str) -> String {
    format!("anything but {what}")
}

fn text(found: Option<&str>) -> String {
    found.map_or_else(|| "nothing".into(), |text| format!("{text:?}"))
}

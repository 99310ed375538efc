//! What one rule of an AuthorizationPolicy asks, in the words of Envoy's RBAC.
//!
//! A condition that cannot be judged never opens anything: a rule that allows is left out, as if
//! it had not matched; a rule that denies loses the condition and so denies more (Istio's way with
//! HTTP fields on TCP ports).

use crate::{
    dataplane::{AccessPolicy, ClaimMatch, HeaderMatch, Origin, Permission, Principal, ValueMatch},
    identity::TrustDomain,
    mesh::{AccessCondition, AccessOperation, AccessRule, AccessSource, MeshDefaults, Values},
    name::Pattern,
};

/// How rules are judged.
#[derive(Clone, Copy)]
pub(super) struct Court<'a> {
    /// For trust domains.
    pub(super) defaults: &'a MeshDefaults,
    /// Whether there are requests to judge, or only connections.
    pub(super) has_requests: bool,
    /// Whether a match denies.
    pub(super) denies: bool,
}

/// A condition that cannot be judged here.
struct Unjudged;

type Judged<T> = Result<Vec<T>, Unjudged>;

/// The rule; none if it can never match.
pub(super) fn policy(court: Court<'_>, rule: &AccessRule, origin: Origin) -> Option<AccessPolicy> {
    let mut who = Vec::new();
    let mut what = Vec::new();
    for condition in &rule.when {
        match court.condition(condition) {
            Ok(Part::Who(more)) => who.extend(more),
            Ok(Part::What(more)) => what.extend(more),
            Err(Unjudged) if court.denies => {}
            Err(Unjudged) => return None,
        }
    }
    let sources = rule.from.iter().map(|source| court.source(source));
    let sources: Vec<_> = sources.collect::<Result<_, _>>().ok()?;
    let operations = rule.to.iter().map(|operation| court.operation(operation));
    let operations: Vec<_> = operations.collect::<Result<_, _>>().ok()?;
    Some(AccessPolicy {
        permissions: alternatives(operations, &what, all_permissions),
        principals: alternatives(sources, &who, all_principals),
        origin: Some(origin),
    })
}

enum Part {
    Who(Vec<Principal>),
    What(Vec<Permission>),
}

impl<'a> Court<'a> {
    fn source(self, source: &AccessSource) -> Judged<Principal> {
        let mut parts = self.principals(&source.principals);
        parts.extend(self.of_request(&source.request_principals, |values| {
            principals(values, request_principal)
        })?);
        parts.extend(principals(&source.namespaces, namespace));
        parts.extend(principals(&source.service_accounts, |name| {
            service_account(name)
        }));
        parts.extend(principals(&source.trust_domains, trust_domain));
        parts.extend(principals(&source.ip_blocks, |network| {
            Principal::DirectRemoteNetwork(*network)
        }));
        parts.extend(self.of_request(&source.remote_ip_blocks, |values| {
            principals(values, |network| Principal::RemoteNetwork(*network))
        })?);
        Ok(parts)
    }

    fn operation(self, operation: &AccessOperation) -> Judged<Permission> {
        let header = |name: &'static str, ignore_case: bool| {
            move |values: &Values<Pattern>| {
                permissions(values, |pattern| {
                    Permission::Header(header(name, pattern, ignore_case))
                })
            }
        };
        let mut parts = self.of_request(&operation.hosts, header(":authority", true))?;
        parts.extend(permissions(&operation.ports, |port| {
            Permission::DestinationPort(*port)
        }));
        parts.extend(self.of_request(&operation.methods, header(":method", false))?);
        parts.extend(self.of_request(&operation.paths, |values| {
            permissions(values, |path| Permission::Path(path.clone()))
        })?);
        Ok(parts)
    }

    fn condition(self, condition: &AccessCondition) -> Result<Part, Unjudged> {
        use AccessCondition as C;
        Ok(match condition {
            C::Header(name, values) => Part::Who(self.of_request(values, |values| {
                principals(values, |pattern| {
                    Principal::Header(header(name, pattern, false))
                })
            })?),
            C::SourceIp(values) => Part::Who(principals(values, |network| {
                Principal::DirectRemoteNetwork(*network)
            })),
            C::RemoteIp(values) => Part::Who(self.of_request(values, |values| {
                principals(values, |network| Principal::RemoteNetwork(*network))
            })?),
            C::SourceNamespace(values) => Part::Who(principals(values, namespace)),
            C::SourcePrincipal(values) => Part::Who(self.principals(values)),
            C::SourceServiceAccount(values) => {
                Part::Who(principals(values, |name| service_account(name)))
            }
            C::SourceTrustDomain(values) => Part::Who(principals(values, trust_domain)),
            C::RequestPrincipal(values) => {
                Part::Who(self.of_request(values, |values| principals(values, request_principal))?)
            }
            C::RequestAudiences(values) => self.claim(&["aud".into()], values)?,
            C::RequestPresenter(values) => self.claim(&["azp".into()], values)?,
            C::RequestClaim(path, values) => self.claim(path, values)?,
            C::DestinationIp(values) => Part::What(permissions(values, |network| {
                Permission::DestinationNetwork(*network)
            })),
            C::DestinationPort(values) => Part::What(permissions(values, |port| {
                Permission::DestinationPort(*port)
            })),
            C::ServerName(values) => Part::What(permissions(values, |name| {
                Permission::ServerName(name.clone())
            })),
        })
    }

    /// A claim of the request's token: one text, or a list of which one must match.
    fn claim(self, path: &[String], values: &Values<Pattern>) -> Result<Part, Unjudged> {
        let of = |values: &[Pattern]| {
            Principal::Claim(ClaimMatch {
                path: path.to_vec(),
                values: values.to_vec(),
            })
        };
        Ok(Part::Who(self.of_request(values, |values| {
            let any = (!values.any.is_empty()).then(|| of(&values.any));
            let none =
                (!values.none.is_empty()).then(|| Principal::Not(Box::new(of(&values.none))));
            any.into_iter().chain(none).collect()
        })?))
    }

    /// What only requests have: without any, a denial loses the condition.
    fn of_request<T, P>(
        self,
        values: &Values<T>,
        judge: impl FnOnce(&Values<T>) -> Vec<P>,
    ) -> Judged<P> {
        match values.is_empty() || self.has_requests {
            true => Ok(judge(values)),
            false => self.unless(false).map(|()| Vec::new()),
        }
    }

    fn unless(self, is_judged: bool) -> Result<(), Unjudged> {
        match is_judged || self.denies {
            true => Ok(()),
            false => Err(Unjudged),
        }
    }

    fn principals(self, values: &Values<Pattern>) -> Vec<Principal> {
        principals(values, |pattern| self.principal(pattern))
    }

    /// An identity under each of our trust domains, if it is written under one of them.
    fn principal(self, pattern: &Pattern) -> Principal {
        let authenticated = |pattern| Principal::Authenticated(Some(pattern));
        let full = |text: &str, wrap: fn(String) -> Pattern| {
            let domains = text.split_once('/').and_then(|(domain, path)| {
                let ours = self.our_domains(domain)?;
                let each = ours.map(|domain| wrap(format!("spiffe://{domain}/{path}")));
                Some(each.map(authenticated).collect())
            });
            domains.map_or_else(
                || authenticated(wrap(format!("spiffe://{text}"))),
                one_principal_of,
            )
        };
        match pattern {
            Pattern::Exact(text) => full(text, Pattern::Exact),
            Pattern::Prefix(text) => full(text, Pattern::Prefix),
            other => authenticated(other.clone()),
        }
    }

    /// Every domain that counts as ours, if this is one of them. `cluster.local` always is.
    fn our_domains(self, domain: &str) -> Option<impl Iterator<Item = &'a TrustDomain>> {
        let own = &self.defaults.trust_domain;
        let all = std::iter::once(own).chain(&self.defaults.trust_domain_aliases);
        let ours = *domain == *TrustDomain::default().as_str()
            || all.clone().any(|known| known.as_str() == domain);
        ours.then_some(all)
    }
}

fn namespace(pattern: &Pattern) -> Principal {
    matching(format!(".*/ns/{}/.*", within_segment(pattern)))
}

/// `namespace/name`.
fn service_account(name: &str) -> Principal {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let (namespace, name) = (escape(namespace), escape(name));
    matching(format!("spiffe://.+/ns/{namespace}/(.+/|)sa/{name}(/.+)?"))
}

/// `issuer/subject` of a token. The issuer may hold slashes, so the last one parts them.
fn request_principal(pattern: &Pattern) -> Principal {
    let any = || Pattern::Regex(".+".into());
    let (issuer, subject) = match pattern {
        Pattern::Exact(text) => {
            let (issuer, subject) = text.rsplit_once('/').unwrap_or((text, ""));
            (
                Pattern::Exact(issuer.into()),
                Pattern::Exact(subject.into()),
            )
        }
        Pattern::Suffix(text) => match text.rsplit_once('/') {
            Some(("", subject)) => (any(), Pattern::Exact(subject.into())),
            Some((issuer, subject)) => (
                Pattern::Suffix(issuer.into()),
                Pattern::Exact(subject.into()),
            ),
            None => (any(), pattern.clone()),
        },
        Pattern::Prefix(text) => match text.rsplit_once('/') {
            Some((issuer, "")) => (Pattern::Exact(issuer.into()), any()),
            Some((issuer, subject)) => (
                Pattern::Exact(issuer.into()),
                Pattern::Prefix(subject.into()),
            ),
            None => (pattern.clone(), any()),
        },
        Pattern::Contains(_) | Pattern::Regex(_) => (any(), any()),
    };
    let claim = |name: &str, value| {
        Principal::Claim(ClaimMatch {
            path: vec![name.into()],
            values: vec![value],
        })
    };
    Principal::All(vec![claim("iss", issuer), claim("sub", subject)])
}

fn trust_domain(pattern: &Pattern) -> Principal {
    matching(format!("spiffe://{}/.*", within_segment(pattern)))
}

fn matching(regex: String) -> Principal {
    Principal::Authenticated(Some(Pattern::Regex(regex)))
}

/// A pattern over one segment of an identity as a regular expression that stays within it.
fn within_segment(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(text) => escape(text),
        Pattern::Prefix(text) => format!("{}[^/]*", escape(text)),
        Pattern::Suffix(text) => format!("[^/]*{}", escape(text)),
        Pattern::Contains(text) => format!("[^/]*{}[^/]*", escape(text)),
        Pattern::Regex(_) => "[^/]+".into(),
    }
}

/// Names go into expressions as text: a dot in a name is no wildcard (CVE-2026-39350).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn header(name: &str, pattern: &Pattern, ignore_case: bool) -> HeaderMatch {
    let value = match pattern {
        // What `*` was written for: the header is there.
        Pattern::Regex(any) if any == ".+" => ValueMatch::Present,
        pattern => ValueMatch::Text {
            pattern: pattern.clone(),
            ignore_case,
        },
    };
    HeaderMatch {
        name: name.into(),
        value,
        invert: false,
        missing_is_empty: false,
    }
}

fn principals<T>(values: &Values<T>, each: impl Fn(&T) -> Principal) -> Vec<Principal> {
    let any =
        (!values.any.is_empty()).then(|| one_principal_of(values.any.iter().map(&each).collect()));
    let none = (!values.none.is_empty()).then(|| {
        Principal::Not(Box::new(one_principal_of(
            values.none.iter().map(&each).collect(),
        )))
    });
    any.into_iter().chain(none).collect()
}

fn permissions<T>(values: &Values<T>, each: impl Fn(&T) -> Permission) -> Vec<Permission> {
    let any =
        (!values.any.is_empty()).then(|| one_permission_of(values.any.iter().map(&each).collect()));
    let none = (!values.none.is_empty()).then(|| {
        Permission::Not(Box::new(one_permission_of(
            values.none.iter().map(&each).collect(),
        )))
    });
    any.into_iter().chain(none).collect()
}

/// Each alternative together with what is asked in any case; what is asked alone without any.
fn alternatives<P: Clone>(each: Vec<Vec<P>>, always: &[P], all: fn(Vec<P>) -> P) -> Vec<P> {
    match each.is_empty() {
        true => vec![all(always.to_vec())],
        false => each
            .into_iter()
            .map(|mut parts| {
                parts.extend_from_slice(always);
                all(parts)
            })
            .collect(),
    }
}

fn one_principal_of(mut of: Vec<Principal>) -> Principal {
    match of.len() {
        1 => of.remove(0),
        _ => Principal::OneOf(of),
    }
}

fn one_permission_of(mut of: Vec<Permission>) -> Permission {
    match of.len() {
        1 => of.remove(0),
        _ => Permission::OneOf(of),
    }
}

fn all_principals(mut parts: Vec<Principal>) -> Principal {
    match parts.len() {
        0 => Principal::Any,
        1 => parts.remove(0),
        _ => Principal::All(parts),
    }
}

fn all_permissions(mut parts: Vec<Permission>) -> Permission {
    match parts.len() {
        0 => Permission::Any,
        1 => parts.remove(0),
        _ => Permission::All(parts),
    }
}

//! One rule of a route table, as a check.

use mesh_core::dataplane::{
    ClusterChoice, Fraction, HeaderMatch, Name, PathMatch, Route, RouteAction, RouteMatch,
    ValueMatch, VirtualHost,
};
use mesh_core::name::Pattern;
use mesh_routing::{NoRoute, Router};

use super::{
    check::{Check, Expected, Outcome, Question, Skipped},
    expect::Met,
    instance::{Judges, Neighbours},
    party::{Party, WayIn},
    question::Outline,
};

/// How often a rule is asked where chance decides: enough to tell 80 % from 70 %.
const REQUESTS_OF_CHANCE: u32 = 400;
/// The same where requests wait.
const DELAYED_REQUESTS_OF_CHANCE: u32 = 60;
/// How often otherwise: enough to meet every instance.
pub(super) const REQUESTS: u32 = 10;
/// How many of a check are under way at once.
const LANES: u32 = 16;

/// Where a caller's requests are routed.
pub(super) struct Door<'a> {
    neighbours: &'a Neighbours<'a>,
    pub(super) party: &'a Party,
    pub(super) way: WayIn<'a>,
    router: Router,
    judges: Judges,
}

/// What is driven and what is not.
#[derive(Debug, Default, Clone)]
pub(super) struct Checked {
    pub(super) checks: Vec<Check>,
    pub(super) skipped: Vec<Skipped>,
}

impl<'a> Door<'a> {
    /// None if the table is not in force.
    pub(super) fn new(
        neighbours: &'a Neighbours<'a>,
        party: &'a Party,
        way: WayIn<'a>,
    ) -> Option<Self> {
        let router = Router::compile(way.table.clone()).ok()?;
        Some(Self {
            neighbours,
            party,
            way,
            router,
            judges: Judges::of(way.chain),
        })
    }

    /// A check for each rule of a host. `paths` are known to be answered there.
    pub(super) fn rules(&self, host: &VirtualHost, paths: &[String]) -> Checked {
        let authority = authority(host, self);
        let outline = Outline {
            party: self.party,
            way: self.way,
            authority: &authority,
            paths,
        };
        let mut checked = Checked::default();
        for (position, rule) in host.routes.iter().enumerate() {
            let before = &host.routes[..position];
            match self.rule(rule, outline.requests(rule, before)) {
                Ok((question, expected)) => {
                    let title = title(rule, before);
                    let to = destination(rule).unwrap_or_else(|| short(&host.name));
                    checked
                        .checks
                        .push(self.check(title, to, question, expected));
                }
                Err(reason) => checked.skipped.push(Skipped {
                    rule: title(rule, before),
                    from: self.party.title(),
                    to: short(&host.name),
                    reason: reason.into(),
                }),
            }
        }
        checked
    }

    /// A request that no rule of a host is for, if there is one.
    pub(super) fn beside(&self, host: &VirtualHost) -> Option<Check> {
        let authority = authority(host, self);
        let outline = Outline {
            party: self.party,
            way: self.way,
            authority: &authority,
            paths: &["/no-rule-is-for-this".into()],
        };
        let any = host.routes.first()?;
        let anything = Route {
            matches: RouteMatch::default(),
            ..any.clone()
        };
        let question = outline.requests(&anything, &[]).into_iter().next()?;
        let found = self.router.route(&question.head(), 0);
        let nobody = "nobody".into();
        matches!(found, Err(NoRoute::Rule)).then(|| {
            let expected = Expected::always(Outcome::NoRoute);
            self.check("any other path".into(), nobody, question, expected)
        })
    }

    /// The first request that meets the rule, best one that an application answers.
    fn rule(
        &self,
        rule: &Route,
        requests: Vec<Question>,
    ) -> Result<(Question, Expected), &'static str> {
        if rule
            .matches
            .fraction
            .is_some_and(|share| share != Fraction::ALL)
        {
            return Err("it is only for a share of requests");
        }
        let mut first = None;
        for question in requests {
            let Ok(matched) = self.router.route(&question.head(), 0) else {
                continue;
            };
            // Rules are told apart by their place: the router shares the table.
            if !std::ptr::eq(matched.planned, rule) {
                continue;
            }
            let met = Met {
                neighbours: self.neighbours,
                judges: &self.judges,
                party: self.party,
                way: self.way,
                matched,
                question: &question,
            };
            let expected = met.expected()?;
            let is_welcome = expected.is_welcome();
            if is_welcome {
                return Ok((question, expected));
            }
            first.get_or_insert((question, expected));
        }
        first.ok_or("no request was found that meets it and no rule before it")
    }

    fn check(&self, rule: String, to: String, question: Question, expected: Expected) -> Check {
        let waits = expected.delay.is_some();
        let requests = match (expected.is_chance(), waits) {
            (true, false) => REQUESTS_OF_CHANCE,
            (true, true) => DELAYED_REQUESTS_OF_CHANCE,
            (false, _) if leaves(&expected) => 1,
            (false, _) => REQUESTS,
        };
        let lanes = match waits {
            true => requests,
            false if self.is_limited(&expected) => 1,
            false => requests.min(LANES),
        };
        Check {
            rule,
            from: match self.party.is_gateway() {
                true => "gateway".into(),
                false => self.party.title(),
            },
            to,
            requests,
            lanes,
            question,
            expected,
        }
    }

    /// Whether a destination takes only so much at once.
    fn is_limited(&self, expected: &Expected) -> bool {
        let clusters = &self.party.snapshot.clusters;
        expected.outcomes.iter().any(|(outcome, _)| {
            let Outcome::Reaches(reaches) = outcome else {
                return false;
            };
            let cluster = reaches.cluster.as_ref().and_then(|name| clusters.get(name));
            cluster.is_some_and(|cluster| {
                let limits = cluster.limits;
                [
                    limits.max_connections,
                    limits.max_pending_requests,
                    limits.max_requests,
                ]
                .into_iter()
                .flatten()
                .any(|limit| limit < LANES)
            })
        })
    }
}

fn leaves(expected: &Expected) -> bool {
    let mut outcomes = expected.outcomes.iter();
    outcomes.any(|(outcome, _)| matches!(outcome, Outcome::Leaves { .. }))
}

/// What to call a host by: a short name with its port, as applications do.
fn authority(host: &VirtualHost, door: &Door<'_>) -> String {
    let is_name = |domain: &&String| domain.starts_with(|first: char| first.is_alphabetic());
    let named = host.domains.iter().filter(is_name);
    let port = host.name.rsplit_once(':').map_or("", |(_, port)| port);
    let with_port = |domain: &&String| domain.ends_with(&format!(":{port}"));
    let shortest = |domains: &mut dyn Iterator<Item = &String>| {
        domains.min_by_key(|domain| domain.len()).cloned()
    };
    shortest(&mut named.clone().filter(with_port))
        .or_else(|| shortest(&mut named.clone()))
        .or_else(|| {
            let wildcard = host
                .domains
                .iter()
                .find_map(|domain| domain.strip_prefix("*."));
            wildcard.map(|rest| format!("walk.{rest}"))
        })
        .unwrap_or_else(|| door.way.address.to_string())
}

/// `reviews[0] end-user=jason`.
fn title(rule: &Route, before: &[Route]) -> String {
    let Some(origin) = &rule.origin else {
        return "no rule".into();
    };
    let of_same = |earlier: &&Route| {
        let other = earlier.origin.as_ref();
        other.is_some_and(|other| other.resource == origin.resource)
    };
    let index = before.iter().filter(of_same).count();
    let name = match &*origin.resource.namespace {
        "default" => origin.resource.name.to_string(),
        namespace => format!("{namespace}/{}", origin.resource.name),
    };
    let mut title = format!("{name}[{index}]");
    for condition in conditions(&rule.matches) {
        title.push(' ');
        title.push_str(&condition);
    }
    title
}

fn conditions(matches: &RouteMatch) -> Vec<String> {
    let mut all = Vec::new();
    match &matches.path {
        PathMatch::Exact(path) => all.push(path.clone()),
        PathMatch::Prefix(prefix) if prefix == "/" => {}
        PathMatch::Prefix(prefix) => all.push(format!("{prefix}*")),
        PathMatch::PathSeparatedPrefix(prefix) => all.push(format!("{prefix}/*")),
        PathMatch::Regex(expression) => all.push(format!("~{expression}")),
        PathMatch::Connect => all.push("CONNECT".into()),
    }
    all.extend(matches.headers.iter().map(|header| {
        let HeaderMatch {
            name,
            value,
            invert,
            ..
        } = header;
        let not = if *invert { "!" } else { "" };
        format!("{not}{}", condition(name, value))
    }));
    let query = matches.query.iter();
    all.extend(query.map(|query| format!("?{}", condition(&query.name, &query.value))));
    all
}

fn condition(name: &str, value: &ValueMatch) -> String {
    match value {
        ValueMatch::Present => name.to_owned(),
        ValueMatch::Range { start, end } => format!("{name}={start}..{end}"),
        ValueMatch::Text { pattern, .. } => match pattern {
            Pattern::Exact(text) => format!("{name}={text}"),
            Pattern::Prefix(text) => format!("{name}={text}*"),
            Pattern::Suffix(text) => format!("{name}=*{text}"),
            Pattern::Contains(text) => format!("{name}=*{text}*"),
            Pattern::Regex(text) => format!("{name}~{text}"),
        },
    }
}

/// The one service a rule leads to.
fn destination(rule: &Route) -> Option<String> {
    let RouteAction::Forward(forward) = &rule.action else {
        return None;
    };
    let clusters: Vec<&Name> = match &forward.cluster {
        ClusterChoice::Single(name) => vec![name],
        ClusterChoice::Weighted(clusters) => clusters.iter().map(|one| &one.name).collect(),
        ClusterChoice::Header(_) => Vec::new(),
    };
    let mut hosts: Vec<_> = clusters
        .iter()
        .map(|name| short(name.rsplit('|').next().unwrap_or(name)))
        .collect();
    hosts.dedup();
    Some(hosts).filter(|hosts| hosts.len() == 1)?.pop()
}

/// `reviews` of `reviews.default.svc.cluster.local:9080`.
pub(super) fn short(host: &str) -> String {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    match host.split_once(".svc.") {
        Some((name, _)) => name.strip_suffix(".default").unwrap_or(name).to_owned(),
        None => host.to_owned(),
    }
}

//! Requests that meet a rule.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_core::dataplane::{HeaderMatch, PathMatch, Route, RouteMatch, ValueMatch};
use mesh_routing::RequestHead;

use super::{check::Question, party::Party, party::WayIn, sample};

/// Methods tried until one is allowed.
const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
/// The most requests tried for one rule.
const MAX_TRIED: usize = 64;

impl Question {
    /// The request as decisions see it.
    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            path: &self.path,
            query: Some(&*self.query).filter(|query| !query.is_empty()),
            authority: &self.authority,
            scheme: "http",
            headers: &self.headers,
            claims: None,
        }
    }
}

/// What is known of a request before its rule is looked at.
pub(super) struct Outline<'a> {
    pub(super) party: &'a Party,
    pub(super) way: WayIn<'a>,
    pub(super) authority: &'a str,
    /// Paths the application is known to answer, best first.
    pub(super) paths: &'a [String],
}

impl Outline<'_> {
    /// Requests that may meet a rule and none of those before it, best first. The router has the
    /// last word.
    pub(super) fn requests(&self, rule: &Route, before: &[Route]) -> Vec<Question> {
        let Some(fixed) = Fixed::of(&rule.matches) else {
            return Vec::new();
        };
        let paths = self.paths(&rule.matches.path);
        let methods = match &fixed.method {
            Some(method) => std::slice::from_ref(method),
            None => &METHODS[..],
        };
        let evading = evasions(before);
        let mut requests = Vec::new();
        for method in methods {
            for path in &paths {
                for more in [&HeaderMap::new(), &evading] {
                    let mut headers = fixed.headers.clone();
                    let missing = more.iter().filter(|(name, _)| !headers.contains_key(*name));
                    let missing: Vec<_> = missing.collect();
                    for (name, value) in missing {
                        headers.insert(name.clone(), value.clone());
                    }
                    requests.push(self.request(&fixed, method, path, headers));
                    if evading.is_empty() {
                        break;
                    }
                }
            }
        }
        requests.truncate(MAX_TRIED);
        requests
    }

    fn request(&self, fixed: &Fixed, method: &Method, path: &str, headers: HeaderMap) -> Question {
        let is_gateway = self.party.is_gateway();
        let authority = fixed.authority.as_deref().unwrap_or(self.authority);
        Question {
            address: self.way.address,
            source: self
                .party
                .node
                .addresses
                .first()
                .copied()
                .filter(|_| !is_gateway),
            absolute: !is_gateway,
            method: method.clone(),
            authority: authority.to_owned(),
            path: path.to_owned(),
            query: fixed.query.clone(),
            headers,
        }
    }

    fn paths(&self, wanted: &PathMatch) -> Vec<String> {
        let known = self.paths.iter().cloned();
        let below = |prefix: &str| {
            let plain = prefix.to_owned();
            let deeper = format!("{}/walk", prefix.trim_end_matches('/'));
            self.paths
                .iter()
                .filter(|path| path.starts_with(prefix))
                .cloned()
                .chain([plain, deeper])
                .collect()
        };
        match wanted {
            PathMatch::Exact(path) => vec![path.clone()],
            PathMatch::Prefix(prefix) | PathMatch::PathSeparatedPrefix(prefix) => below(prefix),
            PathMatch::Regex(expression) => known.chain(sample::of_regex(expression)).collect(),
            PathMatch::Connect => Vec::new(),
        }
    }
}

/// What a rule asks for beside the path.
struct Fixed {
    method: Option<Method>,
    authority: Option<String>,
    headers: HeaderMap,
    query: String,
}

impl Fixed {
    /// None if it asks for what cannot be sent here.
    fn of(wanted: &RouteMatch) -> Option<Self> {
        let mut fixed = Self {
            method: None,
            authority: None,
            headers: HeaderMap::new(),
            query: String::new(),
        };
        for header in &wanted.headers {
            let Some(value) = value_for(header)? else {
                continue;
            };
            match &*header.name {
                ":method" => fixed.method = Some(value.parse().ok()?),
                ":authority" | "host" => fixed.authority = Some(value),
                ":scheme" => (value == "http").then_some(())?,
                name => {
                    let name: HeaderName = name.parse().ok()?;
                    fixed.headers.insert(name, value.parse().ok()?);
                }
            }
        }
        let pairs: Option<Vec<_>> = wanted
            .query
            .iter()
            .map(|query| {
                Some(format!(
                    "{}={}",
                    query.name,
                    sample::of_value(&query.value)?
                ))
            })
            .collect();
        fixed.query = pairs?.join("&");
        if wanted.grpc {
            let grpc = HeaderValue::from_static("application/grpc");
            fixed.headers.insert(http::header::CONTENT_TYPE, grpc);
        }
        Some(fixed)
    }
}

/// The value to send for a condition on a header; inner none leaves the header out.
fn value_for(header: &HeaderMatch) -> Option<Option<String>> {
    match (header.invert, &header.value, header.missing_is_empty) {
        (false, value, _) => sample::of_value(value).map(Some),
        (true, ValueMatch::Present, _) | (true, _, true) => Some(None),
        (true, _, false) => Some(Some("walk".into())),
    }
}

/// Headers that keep a request from meeting rules that want them missing.
fn evasions(before: &[Route]) -> HeaderMap {
    let conditions = before.iter().flat_map(|rule| &rule.matches.headers);
    conditions
        .filter(|header| header.invert && !header.name.starts_with(':'))
        .filter_map(|header| {
            let name: HeaderName = header.name.parse().ok()?;
            Some((name, sample::of_value(&header.value)?.parse().ok()?))
        })
        .collect()
}

use mesh_core::dataplane::{self, DirectResponse, RouteAction};

use super::predicates::Predicates;
use crate::{
    CompileError, RequestHead,
    action::{
        Cors, Destination, HashPolicies, HeaderEdits, MatchedPath, Mirrors, Redirect, Rewrite,
        Split,
    },
    resilience::{FaultPolicy, RetryPolicy},
};

/// A rule ready to run.
#[derive(Debug)]
pub struct Route {
    id: u32,
    predicates: Predicates,
    /// What becomes of requests.
    pub action: Action,
    /// Edits for requests and responses.
    pub headers: HeaderEdits,
    /// What is injected.
    pub fault: Option<FaultPolicy>,
    /// Who may call from a browser.
    pub cors: Option<Cors>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Action {
    /// It goes to a cluster.
    Forward(Forward),
    /// The caller is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(DirectResponse),
}

/// How a request goes to a cluster.
#[derive(Debug)]
pub struct Forward {
    /// Which cluster.
    pub split: Split,
    /// The path and host to send.
    pub rewrite: Rewrite,
    /// When to try again.
    pub retry: Option<RetryPolicy>,
    /// Where copies go.
    pub mirrors: Mirrors,
    /// What keeps requests on one instance.
    pub hash: HashPolicies,
}

impl Route {
    pub(super) fn compile(route: &dataplane::Route, id: u32) -> Result<Self, CompileError> {
        Ok(Self {
            id,
            predicates: Predicates::compile(&route.matches)
                .map_err(|error| error.within("matches"))?,
            action: Action::compile(&route.action).map_err(|error| error.within("action"))?,
            headers: HeaderEdits::compile(&route.headers)
                .map_err(|error| error.within("headers"))?,
            fault: route.fault.map(FaultPolicy::new),
            cors: route
                .cors
                .as_ref()
                .map(Cors::compile)
                .transpose()
                .map_err(|error| error.within("cors"))?,
        })
    }

    /// Whether a request meets every condition.
    pub fn matches(&self, head: &RequestHead<'_>, seed: u64) -> bool {
        self.predicates.match_all(head, seed, self.id)
    }

    /// How the request goes to a cluster, if it does.
    pub fn forward(&self) -> Option<&Forward> {
        match &self.action {
            Action::Forward(forward) => Some(forward),
            _ => None,
        }
    }

    /// What the rule's path condition matched of a request it matched: the input of rewrites.
    pub fn matched_path<'h>(&self, head: &RequestHead<'h>) -> MatchedPath<'h> {
        let path = self.predicates.path();
        MatchedPath {
            path: head.path,
            query: head.query,
            matched_len: path.matched_len(head.path),
            by_segment: path.is_separated(),
        }
    }

    /// The `location` of a redirect, if the rule is one.
    pub fn location(&self, head: &RequestHead<'_>) -> Option<String> {
        match &self.action {
            Action::Redirect(redirect) => Some(redirect.location(head, &self.matched_path(head))),
            _ => None,
        }
    }

    /// The path and query to send upstream, if the rule changes the path.
    pub fn rewritten_path(&self, head: &RequestHead<'_>) -> Option<String> {
        self.forward()?
            .rewrite
            .path_and_query(&self.matched_path(head))
    }
}

impl Forward {
    /// The cluster a request goes to; none where a header should name it and is missing.
    pub fn destination<'a>(&'a self, head: &RequestHead<'a>, seed: u64) -> Option<Destination<'a>> {
        self.split.choose(Some(head), seed)
    }

    fn compile(forward: &dataplane::Forward) -> Result<Self, CompileError> {
        Ok(Self {
            split: Split::compile(&forward.cluster).map_err(|error| error.within("cluster"))?,
            rewrite: Rewrite::compile(forward)?,
            retry: forward
                .retry
                .as_ref()
                .map(RetryPolicy::compile)
                .transpose()
                .map_err(|error| error.within("retry"))?,
            mirrors: Mirrors::new(&forward.mirrors),
            hash: HashPolicies::compile(&forward.hash)?,
        })
    }
}

impl Action {
    fn compile(action: &RouteAction) -> Result<Self, CompileError> {
        Ok(match action {
            RouteAction::Forward(forward) => Self::Forward(Forward::compile(forward)?),
            RouteAction::Redirect(redirect) => Self::Redirect(Redirect::compile(redirect)?),
            RouteAction::Respond(response) => {
                crate::action::check_status(response.status, 200..=599)
                    .map_err(|error| error.within("status"))?;
                Self::Respond(response.clone())
            }
        })
    }
}

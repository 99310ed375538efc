//! Why a request goes where it goes.

use std::fmt;

use mesh_core::dataplane::{self, ClusterChoice, Name, Origin, RouteAction};

pub use super::linear::Unmet;
use super::{Router, linear};
use crate::RequestHead;

/// How a table decided about a request, rule by rule. Prints as a short account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The table.
    pub table: Name,
    /// The virtual host, if one is for the request's host.
    pub virtual_host: Option<Name>,
    /// Rules that were tried and did not match, in order.
    pub rejected: Vec<Rejected>,
    /// The rule that decided.
    pub chosen: Option<Chosen>,
}

/// A rule that did not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its name and origin.
    pub rule: Rule,
    /// The first of its conditions that is not met.
    pub because: Unmet,
}

/// The rule that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its name and origin.
    pub rule: Rule,
    /// What becomes of the request, in words.
    pub action: String,
}

/// What users know a rule by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, perhaps empty.
    pub name: Name,
    /// The resource that asked for it.
    pub origin: Option<Origin>,
}

impl Router {
    /// Tells why [`Router::route`] answers as it does for the same arguments.
    pub fn explain(&self, head: &RequestHead<'_>, seed: u64) -> Explanation {
        let mut explanation = Explanation {
            table: self.table.name.clone(),
            virtual_host: None,
            rejected: Vec::new(),
            chosen: None,
        };
        let Some(index) = self.hosts.find(head.authority) else {
            return explanation;
        };
        let host = &self.table.virtual_hosts[index];
        explanation.virtual_host = Some(host.name.clone());
        for (route, id) in host
            .routes
            .iter()
            .zip(self.virtual_hosts[index].routes.clone())
        {
            let rule = Rule::of(route);
            match linear::first_failure(&route.matches, head, seed, id) {
                Some(because) => explanation.rejected.push(Rejected { rule, because }),
                None => {
                    let action = in_words(&route.action);
                    explanation.chosen = Some(Chosen { rule, action });
                    break;
                }
            }
        }
        explanation
    }
}

impl Rule {
    fn of(route: &dataplane::Route) -> Self {
        Self {
            name: route.name.clone(),
            origin: route.origin.clone(),
        }
    }
}

fn in_words(action: &RouteAction) -> String {
    match action {
        RouteAction::Forward(forward) => match &forward.cluster {
            ClusterChoice::Single(name) => format!("goes to {name}"),
            ClusterChoice::Weighted(clusters) => {
                let total: u64 = clusters.iter().map(|c| u64::from(c.weight)).sum();
                let shares: Vec<_> = clusters
                    .iter()
                    .map(|c| format!("{} ({} of {total})", c.name, c.weight))
                    .collect();
                format!("goes to {}", shares.join(" or "))
            }
            ClusterChoice::Header(name) => format!("goes to the cluster named by header {name:?}"),
        },
        RouteAction::Redirect(redirect) => format!("is redirected with {}", redirect.status),
        RouteAction::Respond(response) => format!("is answered with {}", response.status),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(host) = &self.virtual_host else {
            return write!(
                f,
                "route table {}: no virtual host is for this host",
                self.table
            );
        };
        writeln!(f, "route table {}, virtual host {host}", self.table)?;
        for Rejected { rule, because } in &self.rejected {
            writeln!(f, "  not {rule}: {because}")?;
        }
        match &self.chosen {
            Some(Chosen { rule, action }) => write!(f, "  by {rule}: {action}"),
            None => write!(f, "  no rule matches"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            "" => f.write_str("a rule without a name")?,
            name => write!(f, "rule {name}")?,
        }
        match &self.origin {
            Some(origin) => write!(f, " of {origin}"),
            None => Ok(()),
        }
    }
}

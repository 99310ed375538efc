//! Where a request goes: host, then rule by rule.
//!
//! [`linear`] defines the meaning in the plainest way; [`Router`] gives the same answers faster.

pub mod explain;
mod hosts;
pub mod linear;
mod mend;
mod paths;
mod predicates;
mod route;
mod trie;

use std::{ops::Range, sync::Arc};

use http::HeaderMap;
use mesh_core::dataplane::{self, RouteTable};

use crate::{
    CompileError, RequestHead,
    action::{Destination, EditFacts, HeaderEdits},
    compile_error::compile_all,
};
use hosts::HostIndex;
pub use mend::{Instead, RefusedHost};
use paths::PathIndex;
pub use route::{Action, Forward, Route};

/// A route table ready to run.
///
/// Hosts are found by hash, exact before `*.suffix` before `prefix.*` before `*`, longer before
/// shorter. Within a host the first rule that matches decides; where there are many, an index over
/// paths names the few that can.
#[derive(Debug)]
pub struct Router {
    table: Arc<RouteTable>,
    hosts: HostIndex,
    virtual_hosts: Box<[VirtualHost]>,
    routes: Box<[Route]>,
    headers: HeaderEdits,
    refused: Box<[RefusedHost]>,
}

#[derive(Debug)]
struct VirtualHost {
    routes: Range<u32>,
    paths: PathIndex,
    headers: HeaderEdits,
}

/// A route's number within its table: dense, so that what is counted per route can be an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// The rule that decides about a request.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'r> {
    /// Its number.
    pub id: RouteId,
    /// The rule, compiled.
    pub route: &'r Route,
    /// The rule as planned.
    pub planned: &'r dataplane::Route,
    /// The hosts it belongs to, as planned.
    pub virtual_host: &'r dataplane::VirtualHost,
    host_headers: &'r HeaderEdits,
    table_headers: &'r HeaderEdits,
}

/// Why no rule decides about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRoute {
    /// The table does not know the host.
    #[error("no virtual host is for this host")]
    Host,
    /// The host is known, but none of its rules matches.
    #[error("no route of the virtual host matches")]
    Rule,
}

impl Router {
    /// Prepares a table, refusing what cannot be run with the path of the field and the written
    /// resource. [`Router::compile_over`] refuses no more than the virtual hosts that are at fault.
    pub fn compile(table: Arc<RouteTable>) -> Result<Self, CompileError> {
        let hosts = HostIndex::compile(&table)?;
        let headers =
            HeaderEdits::compile(&table.headers).map_err(|error| error.within("headers"))?;
        let mut next = 0;
        let mut starts = Vec::with_capacity(table.virtual_hosts.len());
        for host in &table.virtual_hosts {
            starts.push(next);
            next += host.routes.len() as u32;
        }
        let indices: Vec<usize> = (0..table.virtual_hosts.len()).collect();
        let compiled = compile_all("virtual_hosts", &indices, |&index| {
            VirtualHost::compile(&table.virtual_hosts[index], starts[index])
        })?;
        let (virtual_hosts, routes): (Vec<_>, Vec<_>) = compiled.into_iter().unzip();
        Ok(Self {
            hosts,
            virtual_hosts: virtual_hosts.into(),
            routes: routes.into_iter().flatten().collect(),
            headers,
            table,
            refused: Box::default(),
        })
    }

    /// The rule that decides about a request. `seed` is a uniform draw, the same for every question
    /// about this request.
    pub fn route(&self, head: &RequestHead<'_>, seed: u64) -> Result<Matched<'_>, NoRoute> {
        let index = self.hosts.find(head.authority).ok_or(NoRoute::Host)?;
        let host = &self.virtual_hosts[index];
        let routes = &self.routes[host.routes.start as usize..host.routes.end as usize];
        let position = host
            .paths
            .first(head.path, |position| routes[position].matches(head, seed))
            .ok_or(NoRoute::Rule)?;
        Ok(self.matched(index, position))
    }

    /// The rule of a number, for those who cannot keep a borrow. None if there is no such rule.
    pub fn by_id(&self, id: RouteId) -> Option<Matched<'_>> {
        let host = self
            .virtual_hosts
            .partition_point(|host| host.routes.end <= id.0);
        let start = self.virtual_hosts.get(host)?.routes.start;
        Some(self.matched(host, (id.0 - start) as usize))
    }

    /// How many rules there are.
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }

    /// The table as planned.
    pub fn table(&self) -> &Arc<RouteTable> {
        &self.table
    }

    fn matched(&self, host: usize, position: usize) -> Matched<'_> {
        let id = self.virtual_hosts[host].routes.start + position as u32;
        let planned = &self.table.virtual_hosts[host];
        Matched {
            id: RouteId(id),
            route: &self.routes[id as usize],
            planned: &planned.routes[position],
            virtual_host: planned,
            host_headers: &self.virtual_hosts[host].headers,
            table_headers: &self.headers,
        }
    }
}

impl VirtualHost {
    fn compile(
        host: &dataplane::VirtualHost,
        start: u32,
    ) -> Result<(Self, Box<[Route]>), CompileError> {
        let numbered: Vec<_> = host.routes.iter().zip(start..).collect();
        let routes = compile_all("routes", &numbered, |&(route, id)| {
            Route::compile(route, id).map_err(|error| error.because_of(route.origin.as_ref()))
        })?;
        let compiled = Self {
            routes: start..start + routes.len() as u32,
            paths: PathIndex::compile(host.routes.iter().map(|route| &route.matches)),
            headers: HeaderEdits::compile(&host.headers)
                .map_err(|error| error.within("headers"))?,
        };
        Ok((compiled, routes))
    }
}

impl Matched<'_> {
    /// Edits a request's headers, from the most specific rule to the least: destination, route,
    /// virtual host, table. The last word is the table's, as in Envoy.
    pub fn edit_request(
        &self,
        destination: Option<&Destination<'_>>,
        headers: &mut HeaderMap,
        facts: &EditFacts<'_>,
    ) {
        for edits in self.edits(destination) {
            edits.request.apply_to_request(headers, facts);
        }
    }

    /// Edits a response's headers in the same order.
    pub fn edit_response(
        &self,
        destination: Option<&Destination<'_>>,
        headers: &mut HeaderMap,
        facts: &EditFacts<'_>,
    ) {
        for edits in self.edits(destination) {
            edits.response.apply_to_response(headers, facts);
        }
    }

    fn edits<'a>(
        &'a self,
        destination: Option<&Destination<'a>>,
    ) -> impl Iterator<Item = &'a HeaderEdits> {
        let own = [&self.route.headers, self.host_headers, self.table_headers];
        destination
            .and_then(|destination| destination.headers)
            .into_iter()
            .chain(own)
    }
}

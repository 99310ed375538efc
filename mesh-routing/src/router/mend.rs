//! One bad rule must not hold back a whole table: what cannot be run is refused host by host.

use std::{collections::HashSet, fmt, sync::Arc};

use mesh_core::dataplane::{
    DirectResponse, HeaderEdits, Name, PathMatch, Route, RouteAction, RouteMatch, RouteTable,
    VirtualHost,
};

use super::{Router, hosts::Domain};
use crate::{CompileError, Defect};

/// The status of requests for a virtual host of which there is no good version.
const NOT_IN_FORCE: u16 = 503;

/// A virtual host that cannot be run as it is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedHost {
    /// Its name.
    pub virtual_host: Name,
    /// Why, with the field within the table and the written resource.
    pub error: CompileError,
    /// What is in force instead.
    pub instead: Instead,
}

/// What is in force in the place of a refused virtual host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// The rules it had, for the hosts that are planned now.
    LastGood,
    /// It never had good rules. Requests for its hosts are answered with 503: handing them to the
    /// table's `*` would pass them by whatever the rules were to say.
    Unavailable,
    /// The same rules, without the host that is at fault.
    WithoutHost,
}

impl Router {
    /// Prepares a table like [`Router::compile`], host by host: a virtual host that cannot be run
    /// keeps the rules that it has in `before`, and all others are as planned. What was refused is
    /// told by [`Router::refused`].
    ///
    /// Fails only for what concerns the whole table.
    pub fn compile_over(
        table: &Arc<RouteTable>,
        before: Option<&Self>,
    ) -> Result<Self, CompileError> {
        if let Ok(router) = Self::compile(Arc::clone(table)) {
            return Ok(router);
        }
        let mut mended = RouteTable::clone(table);
        let mut refused = Vec::new();
        let mut taken = HashSet::new();
        for (index, host) in mended.virtual_hosts.iter_mut().enumerate() {
            let name = host.name.clone();
            let refuse = |error: CompileError, instead| RefusedHost {
                virtual_host: name.clone(),
                error: error.within(format_args!("virtual_hosts[{index}]")),
                instead,
            };
            for (error, instead) in drop_bad_domains(host, &mut taken) {
                refused.push(refuse(error, instead));
            }
            if let Err(error) = super::VirtualHost::compile(host, 0) {
                let last_good = before.and_then(|before| before.good(&host.name));
                let instead = match last_good {
                    Some(_) => Instead::LastGood,
                    None => Instead::Unavailable,
                };
                *host = VirtualHost {
                    domains: std::mem::take(&mut host.domains),
                    ..last_good.map_or_else(|| unavailable(&host.name), VirtualHost::clone)
                };
                refused.push(refuse(error, instead));
            }
        }
        let router = Self::compile(Arc::new(mended))?;
        Ok(Self {
            refused: refused.into(),
            ..router
        })
    }

    /// What of the planned table is not in force, and what is instead.
    pub fn refused(&self) -> &[RefusedHost] {
        &self.refused
    }

    /// The rules of a virtual host, if they are or once were as planned.
    fn good(&self, name: &Name) -> Option<&VirtualHost> {
        let is_stopgap = |refused: &RefusedHost| {
            refused.virtual_host == *name && refused.instead == Instead::Unavailable
        };
        let mut hosts = self.table.virtual_hosts.iter();
        hosts.find(|host| host.name == *name && !self.refused.iter().any(is_stopgap))
    }
}

/// Leaves out hosts that are none, or that stand in the table already.
fn drop_bad_domains(
    host: &mut VirtualHost,
    taken: &mut HashSet<String>,
) -> Vec<(CompileError, Instead)> {
    let mut found = Vec::new();
    let mut position = 0;
    host.domains.retain(|text| {
        let lower = text.to_ascii_lowercase();
        let defect = match Domain::parse(&lower) {
            Err(_) => Some(Defect::Domain(text.clone())),
            Ok(_) if taken.contains(&lower) => Some(Defect::DuplicateDomain(text.clone())),
            Ok(_) => None,
        };
        let field = position;
        position += 1;
        match defect {
            None => taken.insert(lower),
            Some(defect) => {
                let error = CompileError::from(defect).within(format_args!("domains[{field}]"));
                found.push((error, Instead::WithoutHost));
                false
            }
        }
    });
    found
}

fn unavailable(name: &Name) -> VirtualHost {
    let answer = Route {
        name: "refused".into(),
        matches: RouteMatch {
            path: PathMatch::Prefix("/".into()),
            ..RouteMatch::default()
        },
        action: RouteAction::Respond(DirectResponse {
            status: NOT_IN_FORCE,
            ..DirectResponse::default()
        }),
        headers: HeaderEdits::default(),
        fault: None,
        cors: None,
        operation: None,
        origin: None,
    };
    VirtualHost {
        name: name.clone(),
        routes: vec![answer],
        ..VirtualHost::default()
    }
}

impl fmt::Display for RefusedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            virtual_host,
            error,
            ..
        } = self;
        write!(f, "virtual host {virtual_host}: {error}: ")?;
        f.write_str(match self.instead {
            Instead::LastGood => "its last good rules stay in force",
            Instead::Unavailable => "its requests are answered with 503",
            Instead::WithoutHost => "it is in force without this host",
        })
    }
}

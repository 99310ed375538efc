//! Accounts for a person, as plain text.

use std::fmt;

use super::{Account, CaseReport, Hop};
use crate::explain::{Explanation, FilterStep, HttpStep, RouteStep, SentStep};

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outcome)?;
        if let Some(status) = self.status {
            write!(f, " ({status})")?;
        }
        if !self.flags.is_empty() {
            write!(f, " [{}]", self.flags.join(","))?;
        }
        writeln!(f, ": {}", self.reason)?;
        if let Some(location) = &self.location {
            writeln!(f, "  location {location}")?;
        }
        writeln!(f, "{} calls {}", self.caller, self.question)?;
        writeln!(
            f,
            "  connects to {} ({})",
            self.resolved.address, self.resolved.what
        )?;
        self.hops.iter().try_for_each(|hop| write!(f, "{hop}"))
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at the proxy of {}", self.workload)?;
        write!(f, "{}", self.explanation)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.listener {
            Some(listener) => writeln!(f, "  listener {} ({:?})", listener.name, listener.why)?,
            None => writeln!(f, "  no listener")?,
        }
        if let Some(chain) = &self.chain {
            let name = chain.chosen.as_deref();
            let name = name.map_or(
                "none",
                |name| if name.is_empty() { "(unnamed)" } else { name },
            );
            write!(f, "  chain {name} for {}", chain.seen)?;
            match &chain.peer {
                Some(peer) => writeln!(f, ", by {peer}")?,
                None => writeln!(f)?,
            }
            for rejected in &chain.rejected {
                writeln!(f, "    not {}: {}", rejected.name, rejected.because)?;
            }
        }
        self.network.iter().try_for_each(|step| filter(f, step))?;
        if let Some(step) = &self.http {
            http(f, step)?;
        }
        if let Some(step) = &self.sent {
            sent(f, step)?;
        }
        writeln!(f, "  {}: {}", self.decision.outcome, self.decision.reason)
    }
}

fn http(f: &mut fmt::Formatter<'_>, step: &HttpStep) -> fmt::Result {
    writeln!(f, "  request {}", step.request)?;
    if let Some(before) = &step.path_before {
        writeln!(f, "    the path came as {before}")?;
    }
    if let Some(step) = &step.route {
        route(f, step)?;
    }
    step.filters.iter().try_for_each(|step| filter(f, step))
}

fn route(f: &mut fmt::Formatter<'_>, step: &RouteStep) -> fmt::Result {
    write!(f, "  route table {}", step.table)?;
    match (&step.virtual_host, &step.domain) {
        (Some(host), Some(domain)) => writeln!(f, ", virtual host {host} (domain {domain})")?,
        _ => writeln!(f, ": no virtual host is for {}", step.authority)?,
    }
    for rejected in &step.rejected {
        write!(f, "    not {}", named(&rejected.name))?;
        origin(f, rejected.origin.as_ref())?;
        writeln!(f, ": {}", rejected.because)?;
    }
    if let Some(chosen) = &step.chosen {
        write!(f, "    by {}", named(&chosen.name))?;
        origin(f, chosen.origin.as_ref())?;
        writeln!(f, ": {}", chosen.action)?;
    }
    Ok(())
}

fn named(name: &str) -> &str {
    if name.is_empty() { "a rule" } else { name }
}

fn origin(
    f: &mut fmt::Formatter<'_>,
    origin: Option<&mesh_core::dataplane::Origin>,
) -> fmt::Result {
    match origin {
        Some(origin) => match &origin.field {
            Some(field) => write!(f, " of {origin} {field}"),
            None => write!(f, " of {origin}"),
        },
        None => Ok(()),
    }
}

fn filter(f: &mut fmt::Formatter<'_>, step: &FilterStep) -> fmt::Result {
    writeln!(f, "  filter {}: {}", step.filter, step.verdict)?;
    for policy in &step.policies {
        let verb = if policy.matches {
            "matches"
        } else {
            "does not match"
        };
        let trial = if policy.on_trial { " (on trial)" } else { "" };
        write!(f, "    {}{trial} {verb}", policy.name)?;
        match &policy.because {
            Some(because) => writeln!(f, ": {because}")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}

fn sent(f: &mut fmt::Formatter<'_>, step: &SentStep) -> fmt::Result {
    writeln!(f, "  cluster {}, {}", step.cluster, step.balancing)?;
    if let Some(policy) = &step.policy {
        writeln!(f, "    by {policy}")?;
    }
    for candidate in &step.candidates {
        let mark = if candidate.in_use {
            "may get it"
        } else {
            "gets nothing"
        };
        let workload = candidate.workload.as_deref().unwrap_or_default();
        write!(f, "    {} {workload} {mark}", candidate.address)?;
        match candidate.because {
            Some(because) => writeln!(f, ": {because}")?,
            None => writeln!(f)?,
        }
    }
    let Some(endpoint) = &step.endpoint else {
        return Ok(());
    };
    write!(f, "    picked {}", endpoint.address)?;
    match &endpoint.tls {
        None => writeln!(f, " in clear text"),
        Some(tls) => {
            let kind = if tls.mutual { "mutual TLS" } else { "TLS" };
            let name = tls.server_name.as_deref().unwrap_or("none");
            let expected = tls.expected_names.join(" or ");
            writeln!(f, " over {kind}, SNI {name}, expecting {expected}")
        }
    }
}

/// What is not as expected, and why it is as it is; empty where all is as expected.
impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_as_expected() {
            return Ok(());
        }
        writeln!(f, "{}: {}", self.place, self.name)?;
        match &self.account {
            Err(error) => writeln!(f, "  cannot be asked: {error}"),
            Ok(account) => {
                for difference in &self.differences {
                    writeln!(
                        f,
                        "  {}: expected {}, found {}",
                        difference.field, difference.expected, difference.found
                    )?;
                }
                let told = account.to_string();
                told.lines()
                    .try_for_each(|line| writeln!(f, "    | {line}"))
            }
        }
    }
}

//! Accounts for a person, line by line.

use mesh_core::dataplane::{Name, Origin};

use super::{Account, Hop};
use crate::{
    Capture,
    explain::{
        ChainChoice, EndpointStep, FilterStep, HttpStep, ListenerStep, Outcome, RouteStep, SentStep,
    },
};

/// One line of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How far it is indented, in steps.
    pub depth: usize,
    /// What it is about.
    pub kind: LineKind,
    /// What it says.
    pub text: String,
    /// Where what it speaks of is written, as `file:line`.
    pub place: Option<String>,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// The outcome, and it is that the call arrives.
    Arrives,
    /// The outcome, and it is another.
    Fails,
    /// A proxy begins.
    Proxy,
    /// A decision.
    Step,
    /// Something that was tried and is not it.
    Rejected,
    /// A detail.
    Note,
}

impl Account {
    /// The account, line by line; the first one says how the call ends and why.
    pub fn lines(&self) -> Vec<Line> {
        let mut told = Told {
            account: self,
            lines: Vec::new(),
        };
        told.ending();
        for hop in &self.hops {
            told.hop(hop);
        }
        told.lines
    }
}

/// Lines under way.
struct Told<'a> {
    account: &'a Account,
    lines: Vec<Line>,
}

impl Told<'_> {
    fn say(&mut self, depth: usize, kind: LineKind, text: impl Into<String>) {
        self.say_of(depth, kind, text, None);
    }

    /// Says something of a rule, and where that is written.
    fn say_of(
        &mut self,
        depth: usize,
        kind: LineKind,
        text: impl Into<String>,
        origin: Option<&Origin>,
    ) {
        let place = origin.and_then(|origin| self.account.place(origin));
        let line = Line {
            depth,
            kind,
            text: text.into(),
            place: place.map(str::to_owned),
        };
        // Chains that differ in nothing that is told fall behind alike: said once.
        if self.lines.last() != Some(&line) {
            self.lines.push(line);
        }
    }

    fn ending(&mut self) {
        let account = self.account;
        let mut text = account.outcome.to_string();
        if let Some(status) = account.status {
            text.push_str(&format!(" with {status}"));
        }
        if !account.flags.is_empty() {
            text.push_str(&format!(" [{}]", account.flags.join(",")));
        }
        text.push_str(&format!(": {}", account.reason));
        if let Some(location) = &account.location {
            text.push_str(&format!(" to {location}"));
        }
        let kind = match account.outcome {
            Outcome::Forwarded | Outcome::Redirected => LineKind::Arrives,
            _ => LineKind::Fails,
        };
        self.say_of(0, kind, text, account.denied_by.as_ref());
        let caller = format!("{} calls {}", account.caller, account.question);
        self.say(0, LineKind::Proxy, caller);
        let resolved = &account.resolved;
        let text = format!("connects to {} ({})", resolved.address, resolved.what);
        self.say(1, LineKind::Step, text);
    }

    fn hop(&mut self, hop: &Hop) {
        let text = format!("at the proxy of {}", hop.workload);
        self.say(0, LineKind::Proxy, text);
        let explanation = &hop.explanation;
        match &explanation.listener {
            Some(step) => self.listener(step),
            None => self.say(1, LineKind::Step, "no listener"),
        }
        if let Some(step) = &explanation.chain {
            self.chain(step);
        }
        for step in &explanation.network {
            self.filter(step);
        }
        if let Some(step) = &explanation.http {
            self.http(step);
        }
        if let Some(step) = &explanation.sent {
            self.sent(step);
        }
        let decision = &explanation.decision;
        if decision.outcome != Outcome::Forwarded {
            let text = format!("{}: {}", decision.outcome, decision.reason);
            self.say_of(1, LineKind::Fails, text, decision.denied_by.as_ref());
        }
    }

    fn listener(&mut self, step: &ListenerStep) {
        let why = match step.why {
            Capture::Address => "it is for exactly this address",
            Capture::Port => "it is for this port, whatever the address",
            Capture::Accepting => "it accepted the connection",
        };
        let from = match &step.accepted_by {
            Some(name) => format!(", handed over by {name}"),
            None => String::new(),
        };
        let text = format!("listener {}: {why}{from}", step.name);
        self.say(1, LineKind::Step, text);
    }

    fn chain(&mut self, step: &ChainChoice) {
        let name = match &step.chosen {
            Some(name) => named(name),
            None => "none",
        };
        let by_default = match step.is_default {
            true => ", as nothing else matches",
            false => "",
        };
        let text = format!("chain {name}, called {}{by_default}", step.seen);
        self.say(1, LineKind::Step, text);
        if step.ends_tls {
            let text = match &step.peer {
                Some(peer) => format!("ends mutual TLS: the caller is {peer}"),
                None => "ends TLS: the caller proves no identity".to_owned(),
            };
            self.say(2, LineKind::Note, text);
        }
        for rejected in &step.rejected {
            let text = format!("not {}: {}", named(&rejected.name), rejected.because);
            self.say(2, LineKind::Rejected, text);
        }
    }

    fn http(&mut self, step: &HttpStep) {
        self.say(1, LineKind::Step, format!("request {}", step.request));
        if let Some(before) = &step.path_before {
            let text = format!("the path came as {before}");
            self.say(2, LineKind::Note, text);
        }
        if let Some(step) = &step.route {
            self.route(step);
        }
        for step in &step.filters {
            self.filter(step);
        }
    }

    fn route(&mut self, step: &RouteStep) {
        let host = match (&step.virtual_host, &step.domain) {
            (Some(host), Some(domain)) => format!(", virtual host {host} by its domain {domain}"),
            _ => format!(": no virtual host is for {}", step.authority),
        };
        let text = format!("route table {}{host}", step.table);
        self.say(1, LineKind::Step, text);
        for rejected in &step.rejected {
            let rule = rule(&rejected.name, rejected.origin.as_ref());
            let text = format!("not {rule}: {}", rejected.because);
            self.say_of(2, LineKind::Rejected, text, rejected.origin.as_ref());
        }
        match &step.chosen {
            Some(chosen) => {
                let rule = rule(&chosen.name, chosen.origin.as_ref());
                let text = format!("{rule}: {}", chosen.action);
                self.say_of(2, LineKind::Note, text, chosen.origin.as_ref());
            }
            None => self.say(2, LineKind::Note, "no rule matches"),
        }
    }

    fn filter(&mut self, step: &FilterStep) {
        let is_silent = step.policies.is_empty() && step.verdict == "passes";
        if is_silent && step.supported {
            return;
        }
        let text = format!("filter {}: {}", step.filter, step.verdict);
        self.say(1, LineKind::Step, text);
        for policy in &step.policies {
            let name = match &policy.origin {
                // Its id repeats them.
                Some(origin) => format!("{origin:?}"),
                None => rule(&policy.name, None),
            };
            let trial = if policy.on_trial { " (on trial)" } else { "" };
            let (kind, text) = match &policy.because {
                None => (LineKind::Note, format!("{name}{trial} matches")),
                Some(because) => (LineKind::Rejected, format!("not {name}{trial}: {because}")),
            };
            self.say_of(2, kind, text, policy.origin.as_ref());
        }
    }

    fn sent(&mut self, step: &SentStep) {
        let text = format!("cluster {}, {}", step.cluster, step.balancing);
        // Of a request, the route has told that.
        let rule = step.rule.as_ref().filter(|_| step.request.is_none());
        self.say_of(1, LineKind::Step, text, rule);
        if let Some(policy) = &step.policy {
            let text = format!("called as {policy} says");
            self.say_of(2, LineKind::Note, text, Some(policy));
        }
        self.rules_of_sending(step);
        for candidate in &step.candidates {
            let workload = candidate.workload.as_deref().unwrap_or("unknown");
            let because = match candidate.because {
                Some(because) => format!("not {} {workload}: {because}", candidate.address),
                None => continue,
            };
            self.say(2, LineKind::Rejected, because);
        }
        let in_use = step.candidates.iter().filter(|one| one.in_use).count();
        if let Some(endpoint) = &step.endpoint {
            self.endpoint(endpoint, in_use, step.request.is_some());
        }
    }

    fn rules_of_sending(&mut self, step: &SentStep) {
        let mut notes = Vec::new();
        if step.shares.len() > 1 {
            let total: u32 = step.shares.iter().map(|share| share.weight).sum();
            let shares = step.shares.iter();
            let shares = shares.map(|share| format!("{} {}/{total}", share.cluster, share.weight));
            notes.push(format!("of {}", shares.collect::<Vec<_>>().join(", ")));
        }
        if let Some(limit) = step.timeout_ms {
            notes.push(format!("within {limit} ms"));
        }
        if let Some(retries) = step.retries.as_ref().filter(|retries| retries.attempts > 0) {
            let conditions = retries.retry_on.join(",");
            notes.push(format!(
                "again up to {} times on {conditions}",
                retries.attempts
            ));
        }
        for mirror in &step.mirrors {
            let chosen = if mirror.chosen {
                "a copy"
            } else {
                "no copy this time"
            };
            notes.push(format!("{chosen} to {}", mirror.cluster));
        }
        if let Some(request) = &step.request {
            for (name, value) in &request.edits {
                notes.push(match value {
                    Some(value) => format!("header {name}: {value}"),
                    None => format!("header {name} removed"),
                });
            }
        }
        for note in notes {
            self.say(2, LineKind::Note, note);
        }
    }

    fn endpoint(&mut self, step: &EndpointStep, in_use: usize, is_request: bool) {
        let workload = match &step.workload {
            Some(workload) => format!(" {workload}"),
            None => String::new(),
        };
        let among = match in_use {
            0 | 1 => String::new(),
            count => format!(", one of {count}"),
        };
        let tls = match &step.tls {
            None if is_request => "in clear text".to_owned(),
            None => "as it came".to_owned(),
            Some(tls) => {
                let kind = if tls.mutual { "mutual TLS" } else { "TLS" };
                let name = match &tls.server_name {
                    Some(name) => format!(" asking for {name}"),
                    None => String::new(),
                };
                let expected = match (tls.verified, &tls.expected_names[..]) {
                    (false, _) => "without checking who answers".to_owned(),
                    (true, []) => "expecting anyone the roots vouch for".to_owned(),
                    (true, names) => format!("expecting {}", names.join(" or ")),
                };
                format!("over {kind}{name}, {expected}")
            }
        };
        let text = format!("instance {}{workload}{among}, {tls}", step.address);
        self.say(2, LineKind::Note, text);
    }
}

fn named(name: &Name) -> &str {
    match &**name {
        "" => "(unnamed)",
        name => name,
    }
}

/// What users know a rule by.
fn rule(name: &Name, origin: Option<&Origin>) -> String {
    match (&**name, origin) {
        ("", None) => "a rule of the service itself".to_owned(),
        (name, None) => format!("rule {name}"),
        ("", Some(origin)) => format!("{origin:?}"),
        (name, Some(origin)) => format!("{name} of {origin:?}"),
    }
}

//! A call on its way, proxy by proxy.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use mesh_core::{
    dataplane::{Direction, NodeKind},
    mesh::{Caller, Question, Workload},
};

use super::{
    Account, Hop, Simulation, Unanswerable, party,
    request::{as_sent, request_after, request_of},
    target::{address_of, instance_behind, target},
};
use crate::explain::{
    Arrival, Decision, EndpointStep, Explanation, Hello, Outcome, Payload, Request, SentRequest,
    TlsStep,
};

/// The most proxies on one way.
const MAX_HOPS: usize = 8;

/// The port that captures what an application calls.
const OUTBOUND_PORT: u16 = 15001;
/// The port that captures what calls an application.
const INBOUND_PORT: u16 = 15006;
/// The port a caller calls from, whoever it is.
const SOURCE_PORT: u16 = 40_000;
/// Where callers outside the mesh are (TEST-NET-3, RFC 5737).
const OUTSIDE: [u8; 4] = [203, 0, 113, 1];

/// Follows a call to its end.
pub(super) fn walk(simulation: &Simulation, question: &Question) -> Result<Account, Unanswerable> {
    let mesh = simulation.mesh();
    let caller = party::workload_of(mesh, &question.caller)?;
    let resolved = target(simulation, question, caller.as_deref())?;
    let request = match question.call.scheme.is_http() {
        true => Some(request_of(question)?),
        false => None,
    };
    let outside = SocketAddr::from((OUTSIDE, SOURCE_PORT));
    let mut way = Way {
        simulation,
        question,
        source: match (&question.caller, &caller) {
            (Caller::Workload { .. }, Some(caller)) => address_of(caller, SOURCE_PORT)?,
            _ => outside,
        },
        hello: question.call.scheme.is_tls().then(|| Hello {
            server_name: Some(question.call.host.clone())
                .filter(|host| host.parse::<std::net::IpAddr>().is_err()),
            alpn: match question.call.scheme.is_http() {
                true => vec!["h2".to_owned(), "http/1.1".to_owned()],
                false => Vec::new(),
            },
            identity: None,
        }),
        request,
        account: Account {
            question: question.call.to_string(),
            caller: match (&question.caller, &caller) {
                (Caller::Gateway { .. }, Some(gateway)) => {
                    format!("outside, by {},", party::display(gateway))
                }
                (_, Some(workload)) => party::display(workload),
                (_, None) => "outside".to_owned(),
            },
            resolved: resolved.clone(),
            hops: Vec::new(),
            outcome: Outcome::Forwarded,
            status: None,
            flags: Vec::new(),
            reason: String::new(),
            denied_by: None,
            location: None,
            mutual_tls: false,
            delivered: None,
            response_headers: BTreeMap::new(),
            places: BTreeMap::new(),
        },
    };
    match (&question.caller, caller) {
        (Caller::Workload { .. }, Some(caller)) if party::has_proxy(mesh, &caller) => {
            way.pass(&caller, OUTBOUND_PORT, resolved.address);
        }
        (Caller::Gateway { .. }, Some(gateway)) => {
            way.pass(&gateway, resolved.address.port(), resolved.address);
        }
        _ => way.arrive(resolved.address),
    }
    way.account.locate(mesh);
    Ok(way.account)
}

/// A call under way.
struct Way<'a> {
    simulation: &'a Simulation,
    question: &'a Question,
    /// Where it comes from now.
    source: SocketAddr,
    /// TLS around it now.
    hello: Option<Hello>,
    /// The request as it is now; none for bytes, or for what nobody can read any more.
    request: Option<Request>,
    account: Account,
}

impl Way<'_> {
    /// Passes a proxy that accepts the call at a port.
    fn pass(&mut self, workload: &Arc<Workload>, accepted_on: u16, meant_for: SocketAddr) {
        if self.account.hops.len() >= MAX_HOPS {
            self.account.outcome = Outcome::Unavailable;
            self.account.reason = format!("more than {MAX_HOPS} proxies: it goes in circles");
            return;
        }
        let planned = self.simulation.proxy(workload);
        let explanation = planned.proxy.explain(&Arrival {
            accepted_on,
            source: self.source,
            meant_for,
            hello: self.hello.as_ref(),
            payload: match &self.request {
                Some(request) => Payload::Request(request),
                None => Payload::Bytes,
            },
            seed: self.question.seed,
            time: self.question.time,
            claims: self.question.claims.as_ref(),
            providers_allow: self.question.providers_allow,
        });
        let is_peer = !self.account.hops.is_empty();
        let chain = explanation.chain.as_ref();
        self.account.mutual_tls = is_peer && chain.is_some_and(|chain| chain.peer.is_some());
        self.account.hops.push(Hop {
            workload: party::display(workload),
            kind: planned.kind,
            explanation: explanation.clone(),
        });
        self.note_answer_headers(&explanation);
        match explanation.decision.outcome {
            Outcome::Forwarded => self.go_on(workload, &explanation, meant_for),
            _ => self.end(&explanation.decision, &explanation),
        }
    }

    /// Leaves a proxy for the instance it picked.
    fn go_on(&mut self, from: &Workload, passed: &Explanation, meant_for: SocketAddr) {
        let (Some(sent), Some(listener)) = (&passed.sent, &passed.listener) else {
            return;
        };
        let Some(endpoint) = &sent.endpoint else {
            return;
        };
        if listener.direction == Direction::Inbound {
            let application = party::display(from);
            let port = endpoint.socket().unwrap_or(meant_for).port();
            let delivered = sent.request.clone();
            return self.deliver(delivered, format!("reaches {application} at port {port}"));
        }
        if let Some(request) = &sent.request {
            self.request = Some(request_after(request));
            self.hello = None;
        }
        if let Some(tls) = &endpoint.tls {
            // What was TLS already is bytes inside.
            if self.hello.is_some() {
                self.request = None;
            }
            self.hello = Some(Hello {
                server_name: tls.server_name.clone(),
                alpn: tls.alpn.clone(),
                identity: from.identity.clone().filter(|_| tls.own_identity),
            });
        }
        if let Ok(source) = address_of(from, SOURCE_PORT) {
            self.source = source;
        }
        match endpoint.socket() {
            Some(address) => self.reach(address, endpoint),
            None => {
                let reason = format!("leaves the mesh for {}", endpoint.address);
                self.deliver(sent.request.clone(), reason);
            }
        }
    }

    /// Comes to an address, with what the caller's proxy expects there.
    fn reach(&mut self, address: SocketAddr, endpoint: &EndpointStep) {
        let mesh = self.simulation.mesh();
        let workload = party::at(mesh, address.ip()).cloned();
        if let (Some(workload), Some(tls)) = (&workload, &endpoint.tls) {
            let refused = refusal(workload, tls, party::has_proxy(mesh, workload));
            if let Some(reason) = refused {
                self.account.outcome = Outcome::Refused;
                self.account.status = self.request.as_ref().map(|_| 503);
                self.account.flags = vec!["UF"];
                self.account.reason = reason;
                return;
            }
        }
        self.arrive(address);
    }

    /// Comes to an address: to a proxy if one stands there, else to whoever listens.
    fn arrive(&mut self, address: SocketAddr) {
        let mesh = self.simulation.mesh();
        let sent = self.account.hops.last();
        let sent = sent.and_then(|hop| hop.explanation.sent.as_ref()?.request.clone());
        match party::at(mesh, address.ip()).cloned() {
            None => match instance_behind(self.simulation, address, self.question.seed) {
                Some(instance) => self.arrive(instance),
                None => self.deliver(sent, format!("leaves the mesh for {address}")),
            },
            Some(workload) if !party::has_proxy(mesh, &workload) => {
                let name = party::display(&workload);
                let port = address.port();
                let reason = format!("reaches {name}, which has no proxy, at port {port}");
                self.deliver(sent, reason);
            }
            Some(workload) => match party::kind(mesh, &workload) {
                NodeKind::Sidecar => self.pass(&workload, INBOUND_PORT, address),
                NodeKind::Gateway => self.pass(&workload, address.port(), address),
            },
        }
    }

    /// Reaches whoever was called.
    fn deliver(&mut self, request: Option<SentRequest>, reason: String) {
        let answered = self.question.call.scheme.is_http();
        self.account.outcome = Outcome::Forwarded;
        self.account.status = answered.then_some(200);
        self.account.reason = reason;
        self.account.delivered = request.or_else(|| self.request.as_ref().map(as_sent));
        let hops = self.account.hops.iter();
        let delays = hops.flat_map(|hop| &hop.explanation.decision.flags);
        self.account.flags = delays.copied().collect();
    }

    /// Ends at a proxy that does not pass it on.
    fn end(&mut self, decision: &Decision, at: &Explanation) {
        let account = &mut self.account;
        account.outcome = decision.outcome;
        account.flags.clone_from(&decision.flags);
        account.reason.clone_from(&decision.reason);
        account.denied_by.clone_from(&decision.denied_by);
        account.location.clone_from(&decision.location);
        for (name, value) in &decision.headers {
            let value = Some(value.clone());
            account.response_headers.insert(name.clone(), value);
        }
        let before = account.hops.len() - 1;
        let asked_by_http = account.hops[..before]
            .iter()
            .any(|hop| hop.explanation.http.is_some());
        account.status = match decision.status {
            // A connection that is cut is an answer of the proxy before, if that one speaks HTTP.
            None if asked_by_http => {
                let has_tls = self.hello.is_some() && at.chain.is_some();
                account.flags = vec![if has_tls { "UF" } else { "UC" }];
                Some(503)
            }
            status => status.filter(|_| at.http.is_some()),
        };
    }

    /// Notes what a proxy writes on the answer; those nearer to the caller come later and win.
    fn note_answer_headers(&mut self, passed: &Explanation) {
        let Some(sent) = &passed.sent else { return };
        for (name, value) in &sent.response_headers {
            let known = &mut self.account.response_headers;
            known.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Why an instance cannot be called over the TLS that is planned for it.
fn refusal(workload: &Workload, tls: &TlsStep, has_proxy: bool) -> Option<String> {
    let name = party::display(workload);
    if tls.own_identity && !has_proxy {
        return Some(format!("{name} has no proxy that could end mutual TLS"));
    }
    if !tls.own_identity || tls.expected_names.is_empty() {
        return None;
    }
    let identity = workload.identity.as_ref().map(ToString::to_string);
    let identity = identity.unwrap_or_default();
    let accepts = |wanted: &String| match wanted.strip_suffix('*') {
        Some(prefix) => identity.starts_with(prefix),
        None => *wanted == identity,
    };
    let fits = tls.expected_names.iter().any(accepts);
    (!fits).then(|| {
        let wanted = tls.expected_names.join(" or ");
        format!("{name} proves to be {identity}, and {wanted} is expected")
    })
}

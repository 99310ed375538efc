//! From a connection to the chain that serves it: what is seen, the choice, TLS, and who may
//! connect at all.

use mesh_core::{
    dataplane::{FilterChain, ListenerFilters, TransportProtocol},
    identity::SpiffeId,
};

use super::{
    Arrival, Decision, Explanation, FilterStep, Outcome, Payload,
    compiled::{PaperChain, PaperListener, PaperNetworkFilter},
    filters,
    tree::{ChainChoice, RejectedChain},
    words,
};
use crate::{AccessRequest, ChainRef, ConnectionFacts};

/// A connection whose chain was chosen and whose TLS, if any, has been ended.
pub(super) struct Admitted {
    /// The identity the caller proved.
    pub(super) peer: Option<SpiffeId>,
    /// The name it asked for.
    pub(super) server_name: Option<String>,
    /// TLS was ended here.
    pub(super) is_tls: bool,
    /// What is in it can be read here: it is in clear text, or TLS was ended.
    pub(super) is_readable: bool,
}

/// What a listener finds out before it chooses.
struct Seen<'a> {
    transport: TransportProtocol,
    server_name: Option<&'a str>,
    protocols: Vec<&'a str>,
    /// TLS that no inspector looked at, and that is taken for bytes.
    is_unseen_tls: bool,
}

impl Seen<'_> {
    fn words(&self) -> String {
        match self.is_unseen_tls {
            true => "with bytes that are not looked at".to_owned(),
            false => words::seen(self.transport, self.server_name, &self.protocols),
        }
    }
}

impl PaperListener {
    /// The chain that serves a connection, if one does and it may connect.
    pub(super) fn admit(
        &self,
        arrival: &Arrival<'_>,
        told: &mut Explanation,
    ) -> Option<(&PaperChain, Admitted)> {
        let seen = see(&self.planned.listener_filters, arrival);
        let chain = self.choose(arrival, &seen, told)?;
        match end_tls(&chain.planned, arrival) {
            Ok(admitted) => {
                if let Some(choice) = &mut told.chain {
                    choice.ends_tls = admitted.is_tls;
                    choice.peer = admitted.peer.as_ref().map(ToString::to_string);
                }
                let denied = chain.judge(&admitted, arrival, &mut told.network);
                match denied {
                    Some(denied) => {
                        told.decision = denied;
                        None
                    }
                    None => Some((chain, admitted)),
                }
            }
            Err(reason) => {
                told.decision = Decision::new(Outcome::Refused, reason);
                None
            }
        }
    }

    fn choose(
        &self,
        arrival: &Arrival<'_>,
        seen: &Seen<'_>,
        told: &mut Explanation,
    ) -> Option<&PaperChain> {
        let account = self.selector.explain(&ConnectionFacts {
            source: arrival.source,
            destination: arrival.meant_for,
            server_name: seen.server_name,
            transport: seen.transport,
            application_protocols: &seen.protocols,
            peer: None,
        });
        let rejected = account.rejected.iter().filter_map(|(index, rejection)| {
            let chain = self.planned.filter_chains.get(*index)?;
            Some(RejectedChain {
                name: chain.name.clone(),
                because: words::rejection(&chain.matches, *rejection),
            })
        });
        let chain = account.chosen.and_then(|chosen| self.chain(chosen));
        told.chain = Some(ChainChoice {
            chosen: chain.map(|chain| chain.planned.name.clone()),
            is_default: account.chosen == Some(ChainRef::Default),
            rejected: rejected.collect(),
            seen: seen.words(),
            ends_tls: false,
            peer: None,
        });
        if chain.is_none() {
            let reason = format!(
                "no chain of listener {} serves such a connection ({})",
                self.planned.name,
                seen.words()
            );
            told.decision = Decision::new(Outcome::Refused, reason)
                .flag("NR")
                .details("filter_chain_not_found");
        }
        chain
    }
}

impl PaperChain {
    /// Asks whether the caller may connect at all.
    fn judge(
        &self,
        admitted: &Admitted,
        arrival: &Arrival<'_>,
        steps: &mut Vec<FilterStep>,
    ) -> Option<Decision> {
        let connection = admitted.facts(arrival);
        let request = AccessRequest {
            head: None,
            connection: &connection,
            remote: arrival.source.ip(),
            claims: None,
        };
        for filter in &self.network {
            match filter {
                PaperNetworkFilter::Unsupported(name) => steps.push(filters::unsupported(name)),
                PaperNetworkFilter::Silent(name) => steps.push(filters::passes(name)),
                PaperNetworkFilter::Ask(ask) => {
                    let (step, denied) = ask.judge(&request, arrival.providers_allow);
                    steps.push(step);
                    if denied.is_some() {
                        // A connection has no status.
                        return denied.map(|denied| Decision {
                            status: None,
                            ..denied
                        });
                    }
                }
                PaperNetworkFilter::Rbac(rules) => {
                    let (step, denied) = filters::authorize(rules, &request);
                    steps.push(step);
                    if denied.is_some() {
                        return denied;
                    }
                }
            }
        }
        None
    }
}

impl Admitted {
    /// The connection as filters see it.
    pub(super) fn facts<'a>(&'a self, arrival: &Arrival<'_>) -> ConnectionFacts<'a> {
        ConnectionFacts {
            source: arrival.source,
            destination: arrival.meant_for,
            server_name: self.server_name.as_deref(),
            transport: match self.is_tls {
                true => TransportProtocol::Tls,
                false => TransportProtocol::RawBuffer,
            },
            application_protocols: &[],
            peer: self.peer.as_ref(),
        }
    }
}

/// What the listener's inspectors find out. Without them everything looks like bytes.
fn see<'a>(filters: &ListenerFilters, arrival: &Arrival<'a>) -> Seen<'a> {
    let mut seen = Seen {
        transport: TransportProtocol::RawBuffer,
        server_name: None,
        protocols: Vec::new(),
        is_unseen_tls: arrival.hello.is_some() && !filters.tls_inspector,
    };
    match (arrival.hello, arrival.payload) {
        (Some(hello), _) if filters.tls_inspector => {
            seen.transport = TransportProtocol::Tls;
            seen.server_name = hello.server_name.as_deref();
            seen.protocols = hello.alpn.iter().map(String::as_str).collect();
        }
        (None, Payload::Request(request)) if filters.http_inspector => {
            let protocol = if request.http2 { "h2c" } else { "http/1.1" };
            seen.protocols.push(protocol);
        }
        _ => {}
    }
    seen
}

/// Ends TLS where the chain does; tells what a caller that fails is told.
fn end_tls(chain: &FilterChain, arrival: &Arrival<'_>) -> Result<Admitted, String> {
    let offered = arrival.hello.and_then(|hello| hello.server_name.clone());
    let Some(tls) = &chain.tls else {
        return Ok(Admitted {
            peer: None,
            server_name: offered,
            is_tls: false,
            is_readable: arrival.hello.is_none(),
        });
    };
    let Some(hello) = arrival.hello else {
        let reason = "the chain ends TLS, and the caller speaks clear text";
        return Err(reason.to_owned());
    };
    let peer = tls.validation.as_ref().and_then(|_| hello.identity.clone());
    if tls.require_client_certificate && peer.is_none() {
        return Err("the chain asks for a certificate, and the caller has none".to_owned());
    }
    if let (Some(peer), Some(validation)) = (&peer, &tls.validation)
        && !validation.names.is_empty()
        && !words::proves(&validation.names, peer.as_str())
    {
        return Err(format!(
            "{peer} is none of the names that the chain accepts"
        ));
    }
    Ok(Admitted {
        peer,
        server_name: offered,
        is_tls: true,
        is_readable: true,
    })
}

//! What is wrong with listeners.

use super::{CONFLICTED, Listener, Protocol};
use crate::{
    config::gateway_api::{Listener as WrittenListener, TlsMode},
    mesh::{findings::Findings, gateway_api::status::Condition},
};

/// What is wrong with a listener by itself. `before` are those written before it.
pub(in crate::mesh::gateway_api) fn check(
    field: &str,
    written: &WrittenListener,
    before: &[WrittenListener],
    findings: &mut Findings<'_>,
) {
    if written.name.is_empty() {
        findings.error(&format!("{field}.name"), "is missing");
    }
    if before.iter().any(|other| other.name == written.name) {
        let reason = format!("{:?} is the name of another listener", written.name);
        findings.error(&format!("{field}.name"), reason);
    }
    if written.port == 0 {
        findings.error(&format!("{field}.port"), "a port is between 1 and 65535");
    }
    if let Some(host) = written.hostname.as_deref().filter(|host| !host.is_empty()) {
        findings.host(&format!("{field}.hostname"), host);
    }
    let tls = written.tls.as_ref();
    match (Protocol::of(written), tls) {
        (Protocol::Http | Protocol::Tcp, Some(_)) => {
            let reason = format!("a listener for {} has none", written.protocol);
            findings.error(&format!("{field}.tls"), reason);
        }
        (Protocol::Https, Some(tls)) if tls.mode == TlsMode::Passthrough => {
            let reason = "requests cannot be taken out of TLS that is passed on";
            findings.error(&format!("{field}.tls.mode"), reason);
            findings.advise("use protocol: TLS");
        }
        (Protocol::Tls(_), None) => findings.error(&format!("{field}.tls"), "is missing"),
        _ => {}
    }
    for name in tls.iter().flat_map(|tls| tls.options.keys()) {
        let at = format!("{field}.tls.options.{name}");
        findings.warn(&at, "not supported yet");
    }
    if tls.is_some_and(|tls| tls.certificate_refs.len() > 1) {
        let at = format!("{field}.tls.certificateRefs[1]");
        findings.warn(&at, "not supported yet: the first certificate is shown");
    }
}

/// Listeners that claim the same connections are all closed: nobody could tell which is meant.
pub(super) fn conflicts(listeners: &mut [Listener<'_>]) {
    let found: Vec<_> = listeners
        .iter()
        .map(|own| {
            let mut others = listeners.iter().filter(|other| {
                other.field != own.field
                    && other.written.port == own.written.port
                    && other.protocol != Protocol::Unsupported
            });
            let rival = others.find_map(|other| {
                let reason = if own.protocol.layer() != other.protocol.layer() {
                    "ProtocolConflict"
                } else if own.host == other.host {
                    "HostnameConflict"
                } else {
                    return None;
                };
                Some((reason, other.written.name.clone()))
            });
            rival.filter(|_| own.protocol != Protocol::Unsupported)
        })
        .collect();
    for (listener, rival) in listeners.iter_mut().zip(found) {
        if let Some((reason, name)) = rival {
            listener.conditions.push(Condition {
                message: format!("listener {name} claims the same connections"),
                ..Condition::holds(CONFLICTED, reason)
            });
        }
    }
}

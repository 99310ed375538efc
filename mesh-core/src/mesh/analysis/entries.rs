//! ServiceEntries: how ports without HTTP are told apart, and what several say of one host.

use std::collections::HashMap;

use super::Analysis;
use crate::{
    config::{Code, Spec},
    mesh::{Exports, Service},
    name::{AppProtocol, Host},
};

impl Analysis<'_> {
    pub(super) fn entries(&mut self) {
        let services = self.rules.services.iter();
        let entries: Vec<_> = services
            .filter(|service| !service.is_kubernetes())
            .collect();
        let is_allocated = self.rules.defaults.virtual_addresses.is_some();
        for resource in self.set.iter() {
            let Spec::ServiceEntry(entry) = &resource.spec else {
                continue;
            };
            if is_allocated || !entry.addresses.is_empty() {
                continue;
            }
            for (i, port) in entry.ports.iter().enumerate() {
                if port.protocol.is_empty() || port.protocol.eq_ignore_ascii_case("tcp") {
                    let field = format!("spec.ports[{i}]");
                    let reason = format!(
                        "every connection to port {} counts as this host's: only an address \
                         tells connections without HTTP apart",
                        port.number
                    );
                    let code = Code::ServiceEntryAddressesRequired;
                    self.warn(code, &resource.reference, &field, reason);
                    self.advise("add addresses".to_owned());
                }
            }
        }
        self.protocols(&entries);
    }

    fn protocols(&mut self, entries: &[&std::sync::Arc<Service>]) {
        let mut told: HashMap<(&Host, u16), Vec<(&Service, AppProtocol)>> = HashMap::new();
        for service in entries {
            for (i, port) in service.ports.iter().enumerate() {
                let (number, protocol) = (port.port.number, port.port.protocol);
                let older = told.entry((&service.host, number)).or_default();
                let other = older.iter().find(|(other, theirs)| {
                    *theirs != protocol
                        && other.reference != service.reference
                        && meet(&other.exports, &service.exports)
                });
                if let Some((other, theirs)) = other {
                    let place = self.place(&other.reference);
                    let host = &service.host;
                    let reason = format!(
                        "{host}:{number} speaks {protocol:?} here and {theirs:?} in {place}"
                    );
                    let field = format!("spec.ports[{i}]");
                    let code = Code::ConflictingServiceEntryProtocol;
                    self.warn(code, &service.reference, &field, reason);
                    self.advise("give the port one protocol".to_owned());
                }
                older.push((service, protocol));
            }
        }
    }
}

/// Whether some namespace sees both.
pub(super) fn meet(a: &Exports, b: &Exports) -> bool {
    match (a, b) {
        (Exports::Everywhere, _) | (_, Exports::Everywhere) => true,
        (Exports::To(a), Exports::To(b)) => !a.is_disjoint(b),
    }
}

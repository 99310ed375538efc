//! Rules for connections.

use super::{Lower, each};
use crate::{
    config::istio,
    mesh::{L4Match, TcpRule, TlsMatch, TlsRule},
};

impl Lower<'_> {
    pub(super) fn tls_rule(&mut self, field: String, written: &istio::TlsRoute) -> TlsRule {
        if written.matches.is_empty() {
            self.findings
                .error(&format!("{field}.match"), "at least one match is needed");
        }
        let matches = each(&written.matches, &format!("{field}.match"))
            .map(|(field, written)| {
                let names = format!("{field}.sniHosts");
                if written.sni_hosts.is_empty() {
                    self.findings.error(&names, "at least one name is needed");
                }
                TlsMatch {
                    server_names: each(&written.sni_hosts, &names)
                        .filter_map(|(field, name)| self.findings.host(&field, name))
                        .collect(),
                    connection: L4Match {
                        destinations: self.findings.networks(
                            &format!("{field}.destinationSubnets"),
                            &written.destination_subnets,
                        ),
                        port: written.port,
                        client: self.client(
                            &written.gateways,
                            &written.source_labels,
                            &written.source_namespace,
                        ),
                    },
                }
            })
            .collect();
        TlsRule {
            matches,
            destinations: self.destinations(&format!("{field}.route"), &written.route),
            nowhere: 0,
            origin: None,
            field,
        }
    }

    pub(super) fn tcp_rule(&mut self, field: String, written: &istio::TcpRoute) -> TcpRule {
        let matches = each(&written.matches, &format!("{field}.match"))
            .map(|(field, written)| L4Match {
                destinations: self.findings.networks(
                    &format!("{field}.destinationSubnets"),
                    &written.destination_subnets,
                ),
                port: written.port,
                client: self.client(
                    &written.gateways,
                    &written.source_labels,
                    &written.source_namespace,
                ),
            })
            .collect();
        TcpRule {
            matches,
            destinations: self.destinations(&format!("{field}.route"), &written.route),
            nowhere: 0,
            origin: None,
            field,
        }
    }
}

//! Resources that claim the same thing.

use std::{collections::HashMap, sync::Arc};

use super::{Analysis, entries::meet};
use crate::{
    config::Code,
    mesh::{DestinationPolicy, TrafficRules},
    name::{Host, ResourceRef},
};

impl Analysis<'_> {
    pub(super) fn rivals(&mut self) {
        self.rival_traffic();
        self.rival_destinations();
        self.rival_policies();
    }

    /// Rules of sidecars are not merged: the oldest for a host wins.
    fn rival_traffic(&mut self) {
        let mut first: HashMap<&Host, Vec<&Arc<TrafficRules>>> = HashMap::new();
        let mut rivals = Vec::new();
        let in_mesh = self.rules.traffic.iter();
        let in_mesh = in_mesh.filter(|rules| rules.in_mesh() && !rules.is_gateway_api());
        for traffic in in_mesh {
            for (i, host) in traffic.hosts.iter().enumerate() {
                let older = first.entry(host).or_default();
                let winner = older
                    .iter()
                    .find(|older| meet(&older.exports, &traffic.exports));
                match winner {
                    Some(winner) => rivals.push((traffic, format!("spec.hosts[{i}]"), *winner)),
                    None => older.push(traffic),
                }
            }
        }
        for (traffic, field, winner) in rivals {
            let reason = format!(
                "{} ({}) is for this host too, and wins",
                winner.reference, winner.source
            );
            let code = Code::ConflictingMeshGatewayVirtualServiceHosts;
            self.warn(code, &traffic.reference, &field, reason);
            self.advise("put the rules of one host into one VirtualService".to_owned());
        }
    }

    fn rival_destinations(&mut self) {
        let mut first: HashMap<(&str, &Host), &Arc<DestinationPolicy>> = HashMap::new();
        let policies = self.rules.destinations.iter();
        for policy in policies.filter(|policy| policy.clients.is_none()) {
            let key = (&*policy.reference.namespace, &policy.host);
            let Some(winner) = first.get(&key) else {
                first.insert(key, policy);
                continue;
            };
            for reason in rivalries(winner, policy) {
                let code = Code::RivalPolicies;
                self.warn(code, &policy.reference, "spec.host", reason);
                let advice = "put subsets and policies of one host into one DestinationRule";
                self.advise(advice.to_owned());
            }
        }
    }

    /// Of PeerAuthentications and Sidecars for a whole namespace only the oldest counts.
    fn rival_policies(&mut self) {
        let mtls = self.rules.mtls.iter().filter(|p| p.selector.is_none());
        let mtls = mtls.map(|p| (Code::RivalPolicies, &p.reference));
        let scopes = self.rules.scopes.iter().filter(|s| s.selector.is_none());
        let code = Code::MultipleSidecarsWithoutWorkloadSelectors;
        let scopes = scopes.map(|s| (code, &s.reference));
        let mut first: HashMap<(&str, &str), &ResourceRef> = HashMap::new();
        for (code, reference) in mtls.chain(scopes) {
            let key = (&*reference.kind, &*reference.namespace);
            match first.get(&key) {
                Some(winner) => {
                    let reason = format!("{winner} is for the whole namespace too, and wins");
                    self.warn(code, reference, "spec", reason);
                }
                None => {
                    first.insert(key, reference);
                }
            }
        }
    }
}

/// What of the younger of two rules for one host does not count.
fn rivalries(older: &DestinationPolicy, younger: &DestinationPolicy) -> Vec<String> {
    let winner = &older.reference;
    if !older.joins(younger) {
        return vec![format!("{winner} is for this host too, and wins")];
    }
    let mut rivalries = Vec::new();
    for name in younger.subsets.keys() {
        if older.subsets.contains_key(name) {
            rivalries.push(format!("{winner} gives subset {name} too, and wins"));
        }
    }
    if older.has_policy() && younger.has_policy() {
        rivalries.push(format!(
            "{winner} gives a trafficPolicy for this host too, and wins"
        ));
    }
    rivalries
}

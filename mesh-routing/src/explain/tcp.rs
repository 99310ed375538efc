//! Connections that are passed on as they are.

use super::{
    Arrival, Decision, Explanation, Outcome, PaperProxy, compiled::PaperTcp, forward::share,
    instance::Wanted,
};
use crate::action::hash_of_address;

impl PaperProxy {
    pub(super) fn pass_on(
        &self,
        tcp: &PaperTcp,
        arrival: &Arrival<'_>,
        told: &mut Explanation,
    ) -> Decision {
        let shares = tcp.planned.clusters.iter();
        let shares = shares.map(|cluster| share(&cluster.name, cluster.weight));
        let Some(chosen) = tcp.split.choose(None, arrival.seed) else {
            return Decision::new(Outcome::Unavailable, "no cluster is named").flag("NR");
        };
        let hash = tcp.planned.hash_source;
        let wanted = Wanted {
            cluster: chosen.cluster,
            shares: shares.collect(),
            hash: hash.then(|| hash_of_address(arrival.source.ip())),
            named: Some(arrival.meant_for),
            missing_status: None,
            seed: arrival.seed,
        };
        let (mut sent, decision) = self.send(&wanted);
        sent.rule = tcp.planned.origin.clone();
        told.sent = Some(sent);
        decision
    }
}

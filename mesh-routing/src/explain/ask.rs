//! Somebody outside who decides. They cannot be asked on paper: what they say is given.

use mesh_core::dataplane::{AuthzGate, RbacFilter};

use super::{Decision, FilterStep, Outcome, compiled::PaperRules, filters};
use crate::AccessRequest;

/// Asks somebody about what these rules match.
#[derive(Debug)]
pub(super) struct Ask {
    provider: String,
    /// What they are asked about, as rules that deny it.
    rules: PaperRules,
}

impl Ask {
    /// Prepares a filter that asks. `before` are the RBAC filters before it.
    pub(super) fn compile<'a>(
        gate: Option<&AuthzGate>,
        before: impl DoubleEndedIterator<Item = &'a RbacFilter>,
    ) -> Result<Self, String> {
        let planned = AuthzGate::without_answer(gate, before);
        let provider = gate.and_then(AuthzGate::provider);
        Ok(Self {
            provider: provider.unwrap_or("somebody").to_owned(),
            rules: PaperRules::compile(&planned)?,
        })
    }

    /// What becomes of it, as somebody says who is asked about it.
    pub(super) fn judge(
        &self,
        request: &AccessRequest<'_>,
        they_allow: bool,
    ) -> (FilterStep, Option<Decision>) {
        let provider = &self.provider;
        let (mut step, denied) = filters::authorize(&self.rules, request);
        step.filter = format!("external authorization by {provider}");
        let Some(denied) = denied else {
            step.verdict = format!("passes: {provider} is not asked");
            return (step, None);
        };
        if they_allow {
            step.verdict = format!("asks {provider}, who allows it");
            return (step, None);
        }
        let whose = denied
            .denied_by
            .as_ref()
            .map(|origin| format!(" for {origin}"));
        let reason = format!(
            "asks {provider}{}, who denies it",
            whose.unwrap_or_default()
        );
        step.verdict = reason.clone();
        let decision = Decision {
            denied_by: denied.denied_by,
            ..Decision::new(Outcome::Denied, reason)
                .status(403)
                .flag("UAEX")
                .details("ext_authz_denied")
        };
        (step, Some(decision))
    }
}

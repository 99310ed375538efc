//! What became of a call, against what was expected.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mesh_core::mesh::{Expectation, ExpectedMirror, ExpectedOutcome, ExpectedRetries, TestCase};

use super::{Account, Simulation, Unanswerable};
use crate::explain::{Outcome, SentStep, Share};

/// A case, and what became of it.
#[derive(Debug, Clone)]
pub struct CaseReport {
    /// What the case shows.
    pub name: String,
    /// Where it is written, as `file:line`.
    pub place: String,
    /// What became of the call.
    pub account: Result<Account, Unanswerable>,
    /// What is not as expected; empty where all is.
    pub differences: Vec<Difference>,
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field of the expectation.
    pub field: String,
    /// What was expected.
    pub expected: String,
    /// What there was instead.
    pub found: String,
}

impl CaseReport {
    /// Whether all is as expected.
    pub fn is_as_expected(&self) -> bool {
        self.account.is_ok() && self.differences.is_empty()
    }
}

pub(super) fn judge(simulation: &Simulation, case: &TestCase) -> CaseReport {
    let account = simulation.ask(&case.question);
    let mut found = Differences::default();
    if let Ok(account) = &account {
        found.outcome(account, &case.expected);
        found.destination(account.sent(), &case.expected);
        found.rule(account, &case.expected);
        found.request(account, &case.expected);
    }
    CaseReport {
        name: case.name.clone(),
        place: case.source.to_string(),
        account,
        differences: found.0,
    }
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    /// Compares one field, if something is expected of it.
    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        field: &str,
        expected: Option<T>,
        found: T,
    ) {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            self.0.push(Difference {
                field: field.to_owned(),
                expected: format!("{expected:?}"),
                found: format!("{found:?}"),
            });
        }
    }

    fn outcome(&mut self, account: &Account, expected: &Expectation) {
        let outcome = expected.outcome.map(outcome);
        self.compare("outcome", outcome, account.outcome);
        self.compare("status", expected.status.map(Some), account.status);
        let flags = account.flags.join(",");
        self.compare("flags", expected.flags.clone(), flags);
        self.compare("mtls", expected.mtls, account.mutual_tls);
        let location = expected.location.clone().map(Some);
        self.compare("location", location, account.location.clone());
        let denied_by = match (&account.denied_by, account.outcome) {
            (Some(origin), _) => {
                format!("{}/{}", origin.resource.namespace, origin.resource.name)
            }
            (None, Outcome::Denied) => "none".to_owned(),
            (None, _) => "(nothing denies)".to_owned(),
        };
        self.compare("denied_by", expected.denied_by.clone(), denied_by);
        if let Some(part) = &expected.reason
            && !account.reason.contains(part)
        {
            self.compare("reason", Some(part.clone()), account.reason.clone());
        }
    }

    fn destination(&mut self, sent: Option<&SentStep>, expected: &Expectation) {
        let of = |field: fn(&SentStep) -> String| sent.map_or_else(String::new, field);
        let destination = of(|sent| sent.destination.clone().unwrap_or_default());
        self.compare("destination", expected.destination.clone(), destination);
        let subset = of(|sent| sent.subset.clone());
        self.compare("subset", expected.subset.clone(), subset);
        let cluster = of(|sent| sent.cluster.to_string());
        self.compare("cluster", expected.cluster.clone(), cluster);
        if let Some(wanted) = &expected.weights {
            self.weights(wanted, sent);
        }
        let sorted = |mut list: Vec<String>| {
            list.sort();
            list
        };
        let candidates = sent.into_iter().flat_map(|sent| &sent.candidates);
        let in_use = candidates.filter(|candidate| candidate.in_use);
        let in_use = sorted(in_use.map(|candidate| candidate.address.clone()).collect());
        self.compare("endpoints", expected.endpoints.clone().map(sorted), in_use);
        let endpoint = sent.and_then(|sent| sent.endpoint.as_ref());
        let address = endpoint.map_or_else(String::new, |endpoint| endpoint.address.clone());
        self.compare("endpoint", expected.endpoint.clone(), address);
        let tls = endpoint.and_then(|endpoint| endpoint.tls.as_ref());
        let names = tls.map_or_else(Vec::new, |tls| tls.expected_names.clone());
        self.compare(
            "identity",
            expected.identity.clone().map(sorted),
            sorted(names),
        );
        let timeout = sent
            .and_then(|sent| sent.timeout_ms)
            .map(Duration::from_millis);
        self.compare("timeout", expected.timeout, timeout.unwrap_or_default());
        if let Some(wanted) = &expected.retries {
            self.retries(wanted, sent);
        }
        if let Some(wanted) = &expected.mirrors {
            self.mirrors(wanted, sent);
        }
    }

    /// Each wanted key names a share by subset, host, host and port, or both.
    fn weights(&mut self, wanted: &BTreeMap<String, u32>, sent: Option<&SentStep>) {
        let shares = sent.map_or(&[][..], |sent| &sent.shares);
        let mut found: BTreeMap<String, u32> = BTreeMap::new();
        for share in shares {
            let names = names_of(share);
            let name = names.iter().find(|name| wanted.contains_key(*name));
            let name = name.or_else(|| names.first()).cloned();
            *found.entry(name.unwrap_or_default()).or_default() += share.weight;
        }
        self.compare("weights", Some(wanted.clone()), found);
    }

    fn retries(&mut self, wanted: &ExpectedRetries, sent: Option<&SentStep>) {
        let retries = sent.and_then(|sent| sent.retries.as_ref());
        let attempts = retries.map_or(0, |retries| retries.attempts);
        self.compare("retries.attempts", wanted.attempts, attempts);
        let per_try = retries.and_then(|retries| retries.per_try_timeout_ms);
        let per_try = per_try.map(Duration::from_millis).unwrap_or_default();
        self.compare("retries.perTryTimeout", wanted.per_try_timeout, per_try);
        let list = |text: &str| -> BTreeSet<String> {
            let parts = text.split(',').map(str::trim);
            parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let found = retries.map_or_else(String::new, |retries| retries.retry_on.join(","));
        let wanted = wanted.retry_on.as_deref().map(list);
        self.compare("retries.retryOn", wanted, list(&found));
    }

    fn mirrors(&mut self, wanted: &[ExpectedMirror], sent: Option<&SentStep>) {
        let mirrors = sent.map_or(&[][..], |sent| &sent.mirrors);
        self.compare("mirrors (how many)", Some(wanted.len()), mirrors.len());
        for (wanted, found) in wanted.iter().zip(mirrors) {
            let share = crate::explain::share_of(&found.cluster, 0);
            let names = names_of(&share);
            if !names.contains(&wanted.to) {
                let found = found.cluster.to_string();
                self.compare("mirrors.to", Some(wanted.to.clone()), found);
            }
            let percent = f64::from(found.per_million) / 10_000.0;
            self.compare("mirrors.percent", wanted.percent, percent);
        }
    }

    fn rule(&mut self, account: &Account, expected: &Expectation) {
        let chosen = account.route().and_then(|route| route.chosen.as_ref());
        let name = chosen.map_or_else(String::new, |chosen| chosen.name.to_string());
        self.compare("route", expected.route.clone(), name);
        let origin = chosen.and_then(|chosen| chosen.origin.as_ref());
        let origin = origin.or_else(|| account.sent()?.rule.as_ref());
        let origin = origin.map_or_else(String::new, |origin| {
            format!("{}/{}", origin.resource.namespace, origin.resource.name)
        });
        self.compare("rule", expected.rule.clone(), origin);
        if let Some(wanted) = &expected.fault {
            let http = account
                .hops
                .first()
                .and_then(|hop| hop.explanation.http.as_ref());
            let fault = http.and_then(|http| http.fault).unwrap_or_default();
            let delay = Duration::from_millis(fault.delay_ms.unwrap_or_default());
            self.compare("fault.delay", wanted.delay, delay);
            let abort = wanted.abort.map(Some);
            self.compare("fault.abort", abort, fault.abort);
        }
    }

    fn request(&mut self, account: &Account, expected: &Expectation) {
        let delivered = account.delivered.as_ref();
        let path = delivered.map_or_else(String::new, |request| request.path.clone());
        self.compare("path", expected.path.clone(), path);
        let authority = delivered.map_or_else(String::new, |request| request.authority.clone());
        self.compare("authority", expected.authority.clone(), authority);
        for (name, wanted) in &expected.request_headers {
            let values = delivered.map(|request| request.headers.get_all(name).iter());
            let values: Vec<_> = values
                .into_iter()
                .flatten()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            let found = (!values.is_empty()).then(|| values.join(","));
            self.compare(
                &format!("requestHeaders.{name}"),
                Some(wanted.clone()),
                found,
            );
        }
        for (name, wanted) in &expected.response_headers {
            let found = account.response_headers.get(name).cloned().flatten();
            self.compare(
                &format!("responseHeaders.{name}"),
                Some(wanted.clone()),
                found,
            );
        }
    }
}

/// What users may call a share: by subset, by host, by both; the cluster where it is no service.
fn names_of(share: &Share) -> Vec<String> {
    let Some(destination) = &share.destination else {
        return vec![share.cluster.to_string()];
    };
    let host = destination
        .rsplit_once(':')
        .map_or(&**destination, |(host, _)| host);
    let mut names = Vec::new();
    if !share.subset.is_empty() {
        names.push(share.subset.clone());
        names.push(format!("{host}/{}", share.subset));
        names.push(format!("{destination}/{}", share.subset));
    }
    names.push(host.to_owned());
    names.push(destination.clone());
    names.push(share.cluster.to_string());
    names
}

fn outcome(expected: ExpectedOutcome) -> Outcome {
    match expected {
        ExpectedOutcome::Forwarded => Outcome::Forwarded,
        ExpectedOutcome::Redirected => Outcome::Redirected,
        ExpectedOutcome::Answered => Outcome::Answered,
        ExpectedOutcome::Denied => Outcome::Denied,
        ExpectedOutcome::Refused => Outcome::Refused,
        ExpectedOutcome::Unavailable => Outcome::Unavailable,
    }
}

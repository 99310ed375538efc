//! What a written test means.

use std::fmt::Display;

use super::{
    Call, Caller, Expectation, ExpectedFault, ExpectedMirror, ExpectedOutcome, ExpectedRetries,
    MeshTest, Question, TestCase,
};
use crate::{
    config::{self, Problem, Resource, Source},
    mesh::findings::Findings,
};

/// What a MeshTest means.
pub(in crate::mesh) fn mesh_test(
    resource: &Resource,
    written: &config::MeshTest,
) -> (Option<MeshTest>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    if written.cases.is_empty() {
        findings.error("spec.cases", "at least one case is needed");
    }
    let mut cases = Vec::new();
    for (index, case) in written.cases.iter().enumerate() {
        let field = format!("spec.cases[{index}]");
        let source = Source {
            file: resource.source.file.clone(),
            line: resource.line_of(&field),
        };
        cases.extend(test_case(&field, source, case, &mut findings));
    }
    findings.conclude(MeshTest {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        feature: written.feature.clone(),
        problems: written.problems.clone(),
        cases,
    })
}

fn test_case(
    field: &str,
    source: Source,
    written: &config::MeshTestCase,
    findings: &mut Findings<'_>,
) -> Option<TestCase> {
    if written.name.is_empty() {
        findings.error(&format!("{field}.name"), "say what the case shows");
    }
    let question = question(field, written, findings);
    let Some(expect) = &written.expect else {
        findings.error(&format!("{field}.expect"), "nothing is expected");
        return None;
    };
    if *expect == config::Expectation::default() {
        findings.error(&format!("{field}.expect"), "nothing is expected");
    }
    Some(TestCase {
        name: written.name.clone(),
        documented: written.documented.clone(),
        source,
        question: question?,
        expected: expectation(expect),
    })
}

fn question(
    field: &str,
    written: &config::MeshTestCase,
    findings: &mut Findings<'_>,
) -> Option<Question> {
    let caller = match (&written.from, &written.gateway) {
        (Some(from), None) => {
            let caller = Caller::parse(from);
            told(findings, format!("{field}.from"), caller)
        }
        (None, Some(gateway)) => {
            let caller = Caller::parse_gateway(gateway);
            told(findings, format!("{field}.gateway"), caller)
        }
        (Some(_), Some(_)) => {
            findings.error(
                &format!("{field}.gateway"),
                "from is given too: one of both",
            );
            None
        }
        (None, None) => {
            findings.error(&format!("{field}.from"), "somebody must call");
            None
        }
    };
    let call = told(
        findings,
        format!("{field}.call"),
        Call::parse(&written.call),
    );
    let mut headers = Vec::new();
    for (name, values) in &written.headers {
        let name = name.to_ascii_lowercase();
        headers.extend(values.0.iter().map(|value| (name.clone(), value.clone())));
    }
    let time = written.time.as_ref().and_then(|text| {
        let seconds = unix_seconds(text);
        if seconds.is_none() {
            let reason = format!("{text:?} is no time: expected one such as 2026-01-01T00:00:00Z");
            findings.error(&format!("{field}.time"), reason);
        }
        seconds
    });
    Some(Question {
        headers,
        claims: written.claims.clone(),
        token: written.token.clone(),
        time,
        seed: written.seed,
        providers_allow: written.ext_authz == config::ProviderAnswer::Allow,
        ..Question::new(caller?, call?)
    })
}

fn told<T, E: Display>(
    findings: &mut Findings<'_>,
    field: String,
    read: Result<T, E>,
) -> Option<T> {
    read.map_err(|error| findings.error(&field, error.to_string()))
        .ok()
}

fn expectation(written: &config::Expectation) -> Expectation {
    let written = written.clone();
    let lower = |headers: std::collections::BTreeMap<String, Option<String>>| {
        let each = headers.into_iter();
        each.map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect()
    };
    let mirror = |mirror: config::ExpectedMirror| ExpectedMirror {
        to: mirror.to,
        percent: mirror.percent,
    };
    Expectation {
        outcome: written.outcome.map(outcome),
        status: written.status,
        flags: written.flags.map(|flags| match &*flags {
            "-" => String::new(),
            _ => flags,
        }),
        destination: written.destination,
        subset: written.subset,
        weights: written.weights,
        cluster: written.cluster,
        endpoints: written.endpoints,
        endpoint: written.endpoint,
        mtls: written.mtls,
        identity: written.identity.map(|names| names.0),
        route: written.route,
        rule: written.rule,
        path: written.path,
        authority: written.authority,
        request_headers: lower(written.request_headers),
        response_headers: lower(written.response_headers),
        location: written.location,
        timeout: written.timeout.map(|span| span.0),
        retries: written.retries.map(|retries| ExpectedRetries {
            attempts: retries.attempts,
            per_try_timeout: retries.per_try_timeout.map(|span| span.0),
            retry_on: retries.retry_on,
        }),
        mirrors: written
            .mirrors
            .map(|mirrors| mirrors.into_iter().map(mirror).collect()),
        fault: written.fault.map(|fault| ExpectedFault {
            delay: fault.delay.map(|span| span.0),
            abort: fault.abort,
        }),
        denied_by: written.denied_by,
        reason: written.reason,
    }
}

fn outcome(written: config::ExpectedOutcome) -> ExpectedOutcome {
    match written {
        config::ExpectedOutcome::Forwarded => ExpectedOutcome::Forwarded,
        config::ExpectedOutcome::Redirected => ExpectedOutcome::Redirected,
        config::ExpectedOutcome::Answered => ExpectedOutcome::Answered,
        config::ExpectedOutcome::Denied => ExpectedOutcome::Denied,
        config::ExpectedOutcome::Refused => ExpectedOutcome::Refused,
        config::ExpectedOutcome::Unavailable => ExpectedOutcome::Unavailable,
    }
}

/// Seconds since 1970 of `2026-01-01T00:00:00Z` (RFC 3339 in UTC, without fractions), or of a plain
/// number of them.
pub fn unix_seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let number = |part: Option<&str>| part?.parse::<u64>().ok();
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (
        number(parts.next())?,
        number(parts.next())?,
        number(parts.next())?,
    );
    let mut parts = time.splitn(3, ':');
    let (hour, minute, second) = (
        number(parts.next())?,
        number(parts.next())?,
        number(parts.next())?,
    );
    let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month);
    if !is_date || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days from the civil calendar: years begin in March, so that leap days come last.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        month => (year, month - 3),
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:34:56Z", Some(951_827_696)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600)),
            ("86400", Some(86_400)),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01", None),
            ("soon", None),
        ] {
            assert_eq!(unix_seconds(text), want, "{text}");
        }
    }
}

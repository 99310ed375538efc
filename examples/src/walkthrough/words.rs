//! How a report words what is expected and what is seen.

use std::time::Duration;

use mesh_core::dataplane::{Fraction, Name};

use super::{
    ask::Seen,
    check::{Check, Expected, Outcome, Reaches, Welcome},
    witness::Sighting,
};

const DENIED: &str = "403 RBAC: access denied";

/// What is expected of a check.
pub(super) fn expected(expected: &Expected) -> String {
    if expected.is_denied() {
        return DENIED.into();
    }
    let mut text = String::new();
    if let Some((delay, share)) = expected.delay {
        let share = match share {
            Fraction::ALL => String::new(),
            share => format!("{} % ", percent(f64::from(share.parts()) / 1e6)),
        };
        text = format!("{share}after {}, ", seconds(delay));
    }
    let each = expected.outcomes.iter().map(|(kind, share)| {
        let share = match *share < 1.0 {
            true => format!("{} % ", percent(*share)),
            false => String::new(),
        };
        share + &outcome(kind)
    });
    let each: Vec<_> = each.collect();
    text + &each.join(", ")
}

/// What becomes of a request.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Reaches(reaches) => reached(reaches),
        Outcome::Leaves { cluster } => format!("{} or 503 with a reason", host(cluster)),
        Outcome::NoInstance { .. } => "503 UH no healthy upstream".into(),
        Outcome::NoCluster { status, .. } => format!("{status} NC no cluster"),
        Outcome::Aborted { status } => format!("{status} aborted"),
        Outcome::Redirected { status, location } => format!("{status} to {location}"),
        Outcome::Responded { status } => format!("{status} by the rule"),
        Outcome::NoRoute => "404 NR no route".into(),
        Outcome::Closed => "closed".into(),
    }
}

fn reached(reaches: &Reaches) -> String {
    let workloads = reaches.workloads();
    let mut welcomes = reaches.instances.values().map(|one| one.welcome);
    let first = welcomes.next();
    match first.filter(|first| welcomes.all(|other| other == *first)) {
        Some(Welcome::Denied) => format!("{workloads} {DENIED}"),
        Some(Welcome::Refused) => format!("503, {workloads} refuses"),
        Some(Welcome::Answers) => workloads,
        None => format!("{workloads}, some deny"),
    }
}

/// What became of one request.
pub(super) fn seen(check: &Check, seen: &Seen) -> String {
    let mut text = match (seen.status, answered_by(check, seen)) {
        (Some(403), Some(_)) if check.expected.is_denied() => format!("403{}", said(seen)),
        (Some(status @ 200..=299), Some(who)) => format!("{who} {status}"),
        (Some(status), Some(who)) => format!("{who} {status}{}", said(seen)),
        (Some(status), None) => format!("{status}{}{}", flags(seen), said(seen)),
        (None, _)
            if check
                .expected
                .outcomes
                .iter()
                .any(|(o, _)| *o == Outcome::Closed) =>
        {
            "closed".into()
        }
        (None, _) => seen.failure.clone().unwrap_or_default(),
    };
    if seen.is_delayed() {
        text = format!("delayed {text}");
    }
    text
}

/// Everything known of one request that went another way than expected.
pub(super) fn account(seen: &Seen) -> String {
    let mut text = match (seen.status, &seen.failure) {
        (Some(status), _) => format!("{status} after {:.1?}{}", seen.elapsed, said(seen)),
        (None, failure) => format!("no answer: {}", failure.as_deref().unwrap_or("-")),
    };
    for (who, told) in [("caller", &seen.source), ("called", &seen.destination)] {
        text += &match told {
            Some(told) => format!("\n{who}'s proxy: {}", sighting(told)),
            None => format!("\n{who}'s proxy: says nothing"),
        };
    }
    text
}

fn sighting(told: &Sighting) -> String {
    let Sighting {
        status,
        flags,
        details,
        ..
    } = told;
    let mut text = format!("{} {flags} {details}", status.unwrap_or_default());
    if let Some(failure) = &told.transport_failure {
        text += &format!(" ({failure})");
    }
    if let Some(cluster) = &told.cluster {
        text += &format!(" {cluster}");
    }
    if let Some(address) = told.address {
        text += &format!(" {address}");
    }
    for (role, identity) in [("from", &told.caller), ("to", &told.called)] {
        if let Some(identity) = identity {
            text += &format!(" {role} {}", identity.as_str());
        }
    }
    text + &format!(" path {} attempts {}", told.path, told.attempts)
}

/// The workload whose instance was reached.
fn answered_by<'a>(check: &'a Check, seen: &Seen) -> Option<&'a str> {
    let address = match &seen.source {
        Some(told) if !told.is_answered() => return None,
        Some(told) => told.address,
        None => Some(check.question.address),
    };
    let outcomes = check.expected.outcomes.iter();
    let instances = outcomes.filter_map(|(outcome, _)| match outcome {
        Outcome::Reaches(reaches) => Some(&reaches.instances),
        _ => None,
    });
    let mut instances = instances.flatten();
    let found = instances.find(|(known, _)| Some(**known) == address)?;
    Some(&found.1.workload)
}

/// The body, if it is one short line.
fn said(seen: &Seen) -> String {
    const LONGEST: usize = 40;
    let text = std::str::from_utf8(&seen.body).unwrap_or_default().trim();
    let is_short = !text.is_empty() && text.len() <= LONGEST && !text.contains('\n');
    match is_short && !text.starts_with(['{', '<']) {
        true => format!(" {text}"),
        false => String::new(),
    }
}

fn flags(seen: &Seen) -> String {
    let told = seen.source.as_ref().map(|told| told.flags.as_str());
    match told {
        None | Some("-") => String::new(),
        Some(flags) => format!(" {flags}"),
    }
}

fn host(cluster: &Name) -> &str {
    cluster.rsplit('|').next().unwrap_or(cluster)
}

fn percent(share: f64) -> String {
    let percent = (share * 1_000.0).round() / 10.0;
    percent.to_string()
}

/// From the shortest to the longest.
pub(super) fn delays(seen: &[Seen]) -> Option<String> {
    let delays = seen.iter().filter(|one| one.is_delayed());
    let delays = delays.map(|one| one.elapsed);
    let (shortest, longest) = (delays.clone().min()?, delays.max()?);
    Some(match (seconds(shortest), seconds(longest)) {
        (one, other) if one == other => format!(" by {one}"),
        (one, other) => format!(" by {one} to {other}"),
    })
}

fn seconds(duration: Duration) -> String {
    let tenths = (duration.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

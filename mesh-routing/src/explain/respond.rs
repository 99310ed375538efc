//! Answers that the proxy gives itself.

use http::HeaderMap;

use super::{Decision, Outcome, filters::OnAnswer, receive::Received};
use crate::{
    Matched,
    action::{EditFacts, Redirect},
};

/// Sends the caller elsewhere.
pub(super) fn redirect(
    matched: &Matched<'_>,
    redirect: &Redirect,
    received: &Received<'_>,
) -> Decision {
    let head = received.head();
    let status = redirect.status().as_u16();
    Decision {
        location: matched.route.location(&head),
        headers: edited(matched, status, received),
        ..Decision::new(Outcome::Redirected, "the route redirects")
            .status(status)
            .details("direct_response")
    }
}

/// Answers as the route says.
pub(super) fn direct(matched: &Matched<'_>, status: u16, received: &Received<'_>) -> Decision {
    Decision {
        headers: edited(matched, status, received),
        ..Decision::new(Outcome::Answered, "the route answers itself")
            .status(status)
            .details("direct_response")
    }
}

/// The same, with what filters write on the answer, whoever gives it.
pub(super) fn marked(mut decision: Decision, on_answer: OnAnswer) -> Decision {
    if let Some(cors) = on_answer.cors {
        let mut headers = HeaderMap::new();
        cors.apply(&mut headers);
        if decision.outcome != Outcome::Forwarded {
            decision.headers.extend(listed(&headers));
        }
    }
    decision
}

/// What the route's edits add to an empty answer.
fn edited(matched: &Matched<'_>, status: u16, received: &Received<'_>) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    let facts = EditFacts {
        response_code: Some(status),
        ..facts(matched, received)
    };
    matched.edit_response(None, &mut headers, &facts);
    listed(&headers)
}

/// What header edits may say of a request.
pub(super) fn facts<'a>(matched: &'a Matched<'_>, received: &'a Received<'_>) -> EditFacts<'a> {
    EditFacts {
        request: Some(received.head()),
        route_name: Some(&matched.planned.name),
        remote_address: Some(received.arrival.source),
        local_address: Some(received.arrival.meant_for),
        peer: received.admitted.peer.as_ref().map(|peer| peer.as_str()),
        server_name: received.admitted.server_name.as_deref(),
        protocol: Some(match received.request.http2 {
            true => http::Version::HTTP_2,
            false => http::Version::HTTP_11,
        }),
        ..EditFacts::default()
    }
}

/// Headers as texts, in order of their names.
fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    let each = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    });
    let mut all: Vec<_> = each.collect();
    all.sort();
    all
}

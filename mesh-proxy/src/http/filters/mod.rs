//! What happens to a request on its way, in the order of the plan.

mod authenticate;
mod authorize;
mod fault;
mod limit;

use http::{HeaderMap, Response};
use mesh_routing::{
    Matched,
    action::{CorsAnswer, CorsHeaders},
};

use super::{body::ProxyBody, exchange::Exchange, failure::Failure, reply};
use crate::{live::HttpFilterInForce, telemetry::PeerMetadataHeaders};

/// What a filter wants.
pub(super) enum Flow {
    /// Nothing: the request goes on.
    Continue,
    /// This is the answer.
    Answer(Response<ProxyBody>),
}

/// What filters want to write on an answer, whoever gives it.
#[derive(Default)]
pub(super) struct OnResponse {
    pub(super) cors: Option<CorsHeaders>,
    /// What limits say.
    pub(super) limits: HeaderMap,
    /// What is left of the limit they speak of.
    pub(super) left: Option<u32>,
    /// The caller takes part in the metadata exchange.
    pub(super) tell_caller_who_we_are: bool,
}

/// Runs one filter. A request without a route has none to look at, but is judged all the same.
pub(super) async fn apply(
    filter: &HttpFilterInForce,
    exchange: &mut Exchange<'_>,
    matched: Option<&Matched<'_>>,
) -> Result<Flow, Failure> {
    match filter {
        HttpFilterInForce::PeerMetadata => learn_who_calls(exchange),
        HttpFilterInForce::Authenticate(verifier) => authenticate::apply(verifier, exchange)?,
        HttpFilterInForce::Rbac(authorizer) => authorize::apply(authorizer, exchange)?,
        HttpFilterInForce::Fault => {
            if let Some(policy) = matched.and_then(|matched| matched.route.fault.as_ref()) {
                return fault::apply(policy, exchange).await;
            }
        }
        HttpFilterInForce::RateLimit(limits) => limit::apply(limits, exchange)?,
        HttpFilterInForce::Cors => return Ok(judge_origin(exchange, matched)),
    }
    Ok(Flow::Continue)
}

fn learn_who_calls(exchange: &mut Exchange<'_>) {
    if exchange.record.side == crate::telemetry::Side::Source {
        return;
    }
    if let Some(metadata) = PeerMetadataHeaders::take(&mut exchange.head.headers) {
        exchange.record.source = exchange.connection.caller(metadata);
        exchange.on_response.tell_caller_who_we_are = true;
    }
}

fn judge_origin(exchange: &mut Exchange<'_>, matched: Option<&Matched<'_>>) -> Flow {
    let Some(cors) = matched.and_then(|matched| matched.route.cors.as_ref()) else {
        return Flow::Continue;
    };
    match cors.judge(&exchange.view()) {
        CorsAnswer::Pass => Flow::Continue,
        CorsAnswer::Mark(headers) => {
            exchange.on_response.cors = Some(headers);
            Flow::Continue
        }
        CorsAnswer::Answer(headers) => {
            exchange.record.details = "cors_preflight".into();
            exchange.on_response.cors = Some(headers);
            Flow::Answer(reply::plain(http::StatusCode::OK, ""))
        }
    }
}

use http::StatusCode;
use mesh_routing::resilience::{Abort, FaultPolicy};

use super::Flow;
use crate::http::{Failure, ResponseFlags, exchange::Exchange, grpc};

/// Waits or answers on purpose.
pub(super) async fn apply(
    policy: &FaultPolicy,
    exchange: &mut Exchange<'_>,
) -> Result<Flow, Failure> {
    let injection = policy.decide(exchange.seed);
    if let Some(delay) = injection.delay {
        exchange.record.flags.insert(ResponseFlags::DELAY_INJECTED);
        tokio::time::sleep(delay).await;
    }
    match injection.abort {
        None => Ok(Flow::Continue),
        Some(Abort::Http(status)) => Err(Failure::FaultAbort { status }),
        Some(Abort::Grpc(status)) => {
            exchange.record.flags.insert(ResponseFlags::FAULT_INJECTED);
            exchange.record.details = "fault_filter_abort".into();
            let mut response = grpc::trailers_only(status, "fault filter abort");
            *response.status_mut() = StatusCode::OK;
            Ok(Flow::Answer(response))
        }
    }
}

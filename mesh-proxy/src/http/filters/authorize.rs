use mesh_routing::{AccessRequest, Authorizer, Verdict};

use crate::http::{Failure, exchange::Exchange, headers};

/// Asks whether the caller may do this.
pub(super) fn apply(authorizer: &Authorizer, exchange: &Exchange<'_>) -> Result<(), Failure> {
    let head = exchange.view();
    let request = AccessRequest {
        head: Some(&head),
        connection: &exchange.connection.facts(),
        remote: headers::remote(exchange),
        claims: exchange.claims.as_ref(),
    };
    match authorizer.check(&request) {
        Verdict::Allow => Ok(()),
        Verdict::Deny { policy, .. } => Err(Failure::AccessDenied {
            policy: policy.cloned(),
        }),
    }
}

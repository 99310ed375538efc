use std::time::SystemTime;

use mesh_routing::access::{TokenVerdict, TokenVerifier};

use crate::http::{Failure, exchange::Exchange};

/// Verifies the token that the request brings, so that it may be judged by what it says.
pub(super) fn apply(verifier: &TokenVerifier, exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let verdict = verifier.check(&exchange.view(), SystemTime::now());
    // What only a genuine token tells, no caller may write.
    verifier.sanitize(&mut exchange.head.headers);
    match verdict {
        TokenVerdict::Absent => Ok(()),
        TokenVerdict::Verified(verified) => {
            verified.edit(&mut exchange.head.headers);
            exchange.claims = Some(verified.claims);
            Ok(())
        }
        TokenVerdict::Refused(refusal) => Err(Failure::TokenRefused {
            error: refusal.error,
        }),
    }
}

//! What becomes of a request, compiled: destination, rewrites, redirects, header edits, copies,
//! CORS, and the hash that keeps it on one instance.

mod cors;
mod hash_policy;
mod headers;
mod mirror;
mod redirect;
mod rewrite;
mod split;
mod template;

use std::ops::RangeInclusive;

pub use cors::{Cors, CorsAnswer, CorsHeaders};
pub use hash_policy::{HashPolicies, RequestHash, of_address as hash_of_address};
pub use headers::{Edits, HeaderEdits};
pub use mirror::Mirrors;
pub use redirect::Redirect;
pub use rewrite::{MatchedPath, Rewrite};
pub use split::{Destination, Split};
pub use template::EditFacts;

use crate::{CompileError, Defect};

/// Refuses a status out of range.
pub(crate) fn check_status(status: u16, range: RangeInclusive<u16>) -> Result<(), CompileError> {
    if range.contains(&status) {
        Ok(())
    } else {
        Err(Defect::Status(status).into())
    }
}

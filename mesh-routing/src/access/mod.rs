//! Who may do what.

mod authorizer;
mod condition;
mod explain;
mod index;
mod readings;
pub mod token;

pub use authorizer::{AccessRequest, Authorizer, Verdict};
pub(crate) use condition::ClaimTest;
pub use explain::{AccessExplanation, Clause, PolicyExplanation};
pub use token::{Claims, TokenVerdict, TokenVerifier};

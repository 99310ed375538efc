//! Who may do what.

mod authorizer;
mod condition;
mod explain;
pub mod token;

pub use authorizer::{AccessRequest, Authorizer, Verdict};
pub use explain::{AccessExplanation, Clause, PolicyExplanation};
pub use token::{Claims, TokenVerdict, TokenVerifier};

//! Who may do what.

mod authorizer;
mod condition;

pub use authorizer::{AccessRequest, Authorizer, Verdict};

//! Cases as data, and the fast deciders against slow ones.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod access;
mod actions;
mod balance;
mod cases;
mod chain;
mod decisions;
mod diff;
mod explain;
mod expression;
mod limit;
mod mesh;
mod path;
mod request;
mod resilience;
mod router;
mod spellings;
mod token;
mod token_places;

//! The walk-through: asks a running mesh whether its rules do what they say.
//!
//! What is expected comes from the plans in force, by the very code that decides about requests;
//! what is seen comes from answers and from what the proxies on both ends tell of each request.
//!
//! ```text
//! plans in force ──Script::of──▶ checks ──drive──▶ answers and sightings ──judge──▶ Report
//! ```
//!
//! [`Script::of`] is pure. Shares are held against exact binomial bounds, so a sound mesh fails a
//! walk by chance less often than once in ten thousand times.

mod ask;
mod binomial;
mod check;
mod drive;
mod expect;
mod instance;
mod judge;
mod party;
mod question;
mod report;
mod rule;
mod sample;
mod script;
mod witness;
mod words;

#[cfg(test)]
mod tests;

pub use check::{Check, Expected, Instance, Mutual, Outcome, Question, Reaches, Skipped, Welcome};
pub use drive::{drive, walk};
pub use judge::Finding;
pub use party::Party;
pub use report::Report;
pub use script::Script;
pub use witness::Witness;

//! Conditions in executable form, shared by routing and authorization.

mod header;
mod text;

pub(crate) use header::{HeaderPredicate, Judge, ValueTest};
pub(crate) use text::TextTest;

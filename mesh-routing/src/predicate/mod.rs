//! Conditions in executable form, shared by routing and authorization.

mod header;
mod text;

pub(crate) use header::{HeaderPredicate, Judge, ValueTest, header_found};
pub(crate) use text::TextTest;

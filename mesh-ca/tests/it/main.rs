//! mesh-ca as its users see it.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod authority;
mod service;
mod tokens;

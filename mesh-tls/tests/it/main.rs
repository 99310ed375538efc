//! mesh-tls as its users see it.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod files;
mod handshake;
mod keeper;
mod mint;
mod secrets;
mod svid;

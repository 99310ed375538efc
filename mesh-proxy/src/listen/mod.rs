//! Connections as they arrive: what was meant, what is spoken, which chain serves.

mod capture;
mod connection;
mod detect;

use std::time::Duration;

pub(crate) use connection::serve;

/// How long to wait before accepting again when accepting fails, as when descriptors run out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

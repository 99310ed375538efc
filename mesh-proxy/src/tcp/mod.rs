//! Bytes passed on as they come.

mod relay;
mod serve;

pub(crate) use relay::{Relayed, relay};
pub(crate) use serve::serve;

//! Requests: taken out of a connection, judged, sent on, answered.

mod attempt;
mod body;
mod exchange;
mod failure;
pub(crate) mod filters;
mod finish;
mod grpc;
mod headers;
mod idle;
mod mirror;
mod outgoing;
mod reply;
mod server;
mod trace_context;
mod upgrade;

pub(crate) use body::AttemptBody;
pub use failure::{Failure, ResponseFlags};
pub(crate) use server::{Accepted, ChainInForce, serve};

//! The xDS protocol without I/O: state of the world over one aggregated stream.
//!
//! Messages go in, messages come out; sockets, clocks and tasks are the callers' business. On the
//! asking side [`ClientStream`] keeps versions, nonces and names, [`Assembly`] joins what arrives to
//! whole snapshots, and [`Follower`] is both together. On the answering side [`ServerStream`] decides
//! what is sent, in the order of [`order`](self), which never leaves a reference dangling.

mod assembly;
mod client_stream;
mod follower;
mod message;
mod order;
mod server_stream;
mod subscription;
#[cfg(test)]
mod tests;

pub use assembly::{Assembly, REFERENCE_WAIT, RESOURCE_WAIT};
pub use client_stream::ClientStream;
pub use follower::{Follower, Progress};
pub use message::{Answer, ClientMessage, ServerMessage};
pub(crate) use order::PerType;
pub use server_stream::{MAX_OUTSTANDING, ServerEvent, ServerStream};
pub use subscription::{MAX_NAMES, Subscription, TooManyNames};

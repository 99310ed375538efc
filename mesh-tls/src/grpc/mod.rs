//! gRPC over verified connections (feature `grpc`): a stream of accepted connections for a tonic
//! server, and a tonic channel for a client.
//!
//! A service finds who calls in the extensions of a request: `request.extensions().get::<Peer>()`.

mod channel;
mod incoming;
mod serve;

pub use channel::{ChannelError, channel};
pub use incoming::{GrpcConnection, Incoming, MAX_CONNECTIONS, MAX_PENDING_HANDSHAKES};
pub use serve::serve;
pub use tonic::service::Routes;

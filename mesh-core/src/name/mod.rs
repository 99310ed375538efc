//! The names things go by: hosts, ports, labels, localities, resources, and patterns over text.

mod header;
mod host;
mod ip_network;
mod labels;
mod locality;
mod pattern;
mod port;
mod resource;
pub mod topology;

pub use header::{HEADER_OPERATORS, is_header_name};
pub use host::{Host, HostError};
pub use ip_network::IpNetwork;
pub use labels::{Labels, Selector};
pub use locality::Locality;
pub use pattern::{Pattern, PatternError};
pub use port::{AppProtocol, NamedPort};
pub use resource::ResourceRef;

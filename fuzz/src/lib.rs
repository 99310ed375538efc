#![doc = include_str!("../README.md")]

mod config;
mod draws;
mod identity;
mod router;
mod sniffing;
mod xds;

pub use config::config_yaml;
pub use identity::spiffe_id;
pub use router::router_vs_linear;
pub use sniffing::sniff;
pub use xds::xds_decode;

/// A target: panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder of regressions.
pub const TARGETS: &[(&str, Target)] = &[
    ("config_yaml", config_yaml),
    ("router_vs_linear", router_vs_linear),
    ("sniff", sniff),
    ("spiffe_id", spiffe_id),
    ("xds_decode", xds_decode),
];

#![doc = include_str!("../README.md")]

#[cfg(feature = "bootstrap")]
pub mod bootstrap;
pub mod codec;
pub mod control;
pub mod proto;
pub mod protocol;

mod cache;
mod client;
mod served;
mod server;
mod wire;

pub use cache::{MAX_NODES, NodeStatus, SnapshotCache};
pub use client::{LinkState, XdsClient};
pub use served::Served;
pub use server::{XdsServer, same_workload};

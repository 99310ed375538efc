#![doc = include_str!("../README.md")]

#[cfg(feature = "bootstrap")]
pub mod bootstrap;
pub mod codec;
pub mod control;
pub mod proto;
pub mod protocol;

mod served;

pub use served::Served;

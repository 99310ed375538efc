#![doc = include_str!("../README.md")]

pub mod admin;
mod drain;
mod http;
mod limits;
mod listen;
pub mod live;
pub mod net;
mod proxy;
mod runtime;
mod sidecar;
mod tcp;
pub mod telemetry;
mod upstream;
mod worker;

pub use drain::{DrainSignal, DrainWatch};
pub use http::{Failure, ResponseFlags};
pub use live::LiveConfig;
pub use proxy::{Proxy, ProxyHandle, ProxyOptions};
pub use sidecar::{Sidecar, SidecarError, SidecarEvent, SidecarOptions, Token};

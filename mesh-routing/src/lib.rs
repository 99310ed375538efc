#![doc = include_str!("../README.md")]

pub mod access;
pub mod action;
pub mod balance;
mod capture;
mod chain;
mod compile_error;
mod connection;
mod dice;
pub mod explain;
pub mod expression;
pub mod hash;
mod joined;
pub mod limit;
mod offer;
pub mod path;
mod predicate;
mod request;
pub mod resilience;
pub mod router;
pub mod simulation;

pub use access::{AccessRequest, Authorizer, Verdict};
pub use balance::{Balancer, EndpointIndex, Loads, warmed_up};
pub use capture::{Capture, captured};
pub use chain::{ChainAccount, ChainRef, ChainRejection, ChainSelector, ChainStep};
pub use compile_error::{CompileError, Defect};
pub use connection::ConnectionFacts;
pub use dice::Dice;
pub use limit::{LimitRequest, LimitVerdict, RateLimiter};
pub use offer::upstream_alpn;
pub use request::RequestHead;
pub use router::{Instead, Matched, NoRoute, RefusedHost, Route, RouteId, Router};

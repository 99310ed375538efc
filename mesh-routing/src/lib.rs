#![doc = include_str!("../README.md")]

pub mod access;
pub mod action;
pub mod balance;
mod chain;
mod compile_error;
mod connection;
mod dice;
pub mod hash;
pub mod path;
mod predicate;
mod request;
pub mod resilience;
pub mod router;

pub use access::{AccessRequest, Authorizer, Verdict};
pub use balance::{Balancer, EndpointIndex, Loads};
pub use chain::{ChainRef, ChainSelector};
pub use compile_error::{CompileError, Defect};
pub use connection::ConnectionFacts;
pub use dice::Dice;
pub use request::RequestHead;
pub use router::{Matched, NoRoute, Route, RouteId, Router};

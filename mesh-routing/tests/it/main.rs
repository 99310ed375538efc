//! Cases as data, and the fast deciders against slow ones.

mod access;
mod actions;
mod balance;
mod cases;
mod chain;
mod path;
mod request;
mod resilience;
mod router;

//! The engine on loopback: plans built by hand, raw clients, scripted origins, port zero.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod admin;
mod bodies;
mod connections;
mod failures;
mod headers;
mod limits;
mod live;
mod plans;
mod protocols;
mod rate_limits;
mod retries;
mod routing;
mod running;
mod smuggling;
mod telemetry;
mod tls;
mod wire;

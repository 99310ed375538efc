//! Expectations are written from what istiod is known to generate, not from our own output.

mod access;
mod broken;
mod clusters;
mod delegates;
mod destination;
mod determinism;
mod gateway;
mod gateway_api;
mod inbound;
mod memo;
mod mesh_wide;
mod outbound;
mod places;
mod rules;
mod samples;
mod sidecar;
mod telemetry;
mod tokens;
mod town;

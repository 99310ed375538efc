//! Expectations are written from what istiod is known to generate, not from our own output.

mod gateway;
mod outbound;
mod town;

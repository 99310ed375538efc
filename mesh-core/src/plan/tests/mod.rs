//! Expectations are written from what istiod is known to generate, not from our own output.

mod outbound;
mod town;

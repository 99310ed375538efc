//! How many requests pass.
//!
//! [`TokenBucket`] counts one stream of requests, [`FairShare`] divides it among callers,
//! [`RateLimiter`] finds out which counts a request is for and asks them all. Time is an argument:
//! what has passed since any fixed moment, never going back.

mod bucket;
mod descriptors;
mod fair_share;
mod limiter;
mod part;
mod quota;

pub use bucket::TokenBucket;
pub use descriptors::LimitRequest;
pub use fair_share::{FairShare, fair_shares};
pub use limiter::{Allowance, LimitVerdict, MAX_COUNTS, RateLimiter};
pub use quota::Quota;

//! What is done when things go wrong: deadlines, retries, circuit breaking, ejection, and faults
//! injected on purpose. Every clock reading and every draw is an argument.

mod backoff;
mod circuit;
mod fault;
mod outcome;
mod outlier;
mod retry;
mod timeout;

pub use backoff::backoff;
pub use circuit::{Admission, CircuitBreaker, Overflow};
pub use fault::{Abort, FaultPolicy, Injection};
pub use outcome::{Outcome, ResetKind};
pub use outlier::{Ejection, OutlierDetector};
pub use retry::{RetryPolicy, RetryVerdict};
pub use timeout::{Deadlines, grpc_timeout};

//! Resources of our own (`mesh.local`), where Istio and Kubernetes have none.

mod rate_limit;

pub use rate_limit::{
    HeaderMatch, Limit, LimitKey, LimitMatch, LimitMode, LimitResponse, PriorityClass, RateLimit,
    TextMatch,
};

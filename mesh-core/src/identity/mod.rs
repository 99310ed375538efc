//! Who a workload is: SPIFFE identities and the trust domains that vouch for them.

mod spiffe_id;
mod trust_domain;

pub use spiffe_id::{SpiffeId, SpiffeIdError, WorkloadName};
pub use trust_domain::{TrustDomain, TrustDomainError};

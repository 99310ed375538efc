#![doc = include_str!("../README.md")]

pub mod attest;
mod authority;
mod client;
mod policy;
mod proto;
mod service;
mod store;

pub use attest::{AttestError, Attested, Attestor, Evidence};
pub use authority::{
    Authority, AuthorityError, AuthorityPem, AuthoritySource, Csr, CsrError, IssueError, Issued,
    OwnCredentialsError,
};
pub use client::{CaClient, CaClientError, TokenSource};
pub use policy::IssuancePolicy;
pub use service::CaService;
pub use store::{DirectoryStore, KeyStore, MemoryStore, StoreError};

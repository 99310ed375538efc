//! The written form: what users write, as typed values that still know file and line.
//!
//! [`parse`] takes a text apart into [`Resource`]s and [`Problem`]s; [`ConfigSet`] holds the
//! resources of many files at one version. What parses is well formed, not yet meaningful: names
//! are looked up and illegal combinations found by [`crate::mesh::Mesh::resolve`].

mod code;
mod decode;
mod embedded;
mod kind;
mod mesh_test;
mod near;
mod parse;
mod problem;
mod resource;
mod scalar;
mod set;
mod tree;
mod yaml;

#[cfg(test)]
mod tests;

pub mod gateway_api;
pub mod istio;
pub mod kubernetes;
pub mod own;

pub(crate) use near::nearest;

pub use code::Code;
pub use embedded::{TextError, decode_text};
pub use kind::Spec;
pub use mesh_test::{
    Expectation, ExpectedFault, ExpectedMirror, ExpectedOutcome, ExpectedRetries, MeshTest,
    MeshTestCase, ProviderAnswer, Texts,
};
pub use parse::{MAX_PROBLEMS, MAX_RESOURCES, Parsed, parse};
pub use problem::{Problem, Severity, Source};
pub use resource::{Metadata, Resource};
pub use scalar::{PortName, Sensitive, Span};
pub use set::{Change, ConfigSet};
pub use yaml::{MAX_DEPTH, MAX_KEYS, MAX_TEXT_BYTES, MAX_VALUES};

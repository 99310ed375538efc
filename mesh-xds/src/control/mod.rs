//! The control plane: written configuration in, a plan for every proxy out.

pub mod source;

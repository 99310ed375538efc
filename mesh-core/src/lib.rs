#![doc = include_str!("../README.md")]

pub mod dataplane;
pub mod identity;
pub mod name;

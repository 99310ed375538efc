#![doc = include_str!("../README.md")]

pub mod config;
pub mod dataplane;
pub mod expression;
pub mod identity;
pub mod mesh;
pub mod name;
pub mod plan;

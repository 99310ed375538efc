#![doc = include_str!("../README.md")]

pub mod bookinfo;
pub mod console;
pub mod local_mesh;
pub mod offline;
pub mod standalone;
pub mod walkthrough;

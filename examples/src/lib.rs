//! The whole mesh on one machine, and the application it carries.

pub mod bookinfo;
pub mod console;
pub mod local_mesh;
pub mod standalone;
pub mod walkthrough;

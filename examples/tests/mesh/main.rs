//! Whole meshes on this machine, through `local_mesh`.

mod harness;
mod load;
mod smoke;

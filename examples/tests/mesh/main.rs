//! Whole meshes on this machine, through `local_mesh`.

mod harness;
mod identity;
mod load;
mod paper;
mod samples;
mod smoke;
mod telemetry;

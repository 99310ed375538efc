//! `mesh_fuzz::router_vs_linear`, driven by the engine.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_fuzz::router_vs_linear(data));

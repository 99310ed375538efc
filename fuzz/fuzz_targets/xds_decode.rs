//! `mesh_fuzz::xds_decode`, driven by the engine.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_fuzz::xds_decode(data));

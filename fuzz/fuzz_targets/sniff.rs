//! `mesh_fuzz::sniff`, driven by the engine.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_fuzz::sniff(data));

//! `mesh_fuzz::config_yaml`, driven by the engine.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_fuzz::config_yaml(data));

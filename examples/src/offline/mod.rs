//! What can be told of configuration before it goes anywhere: `mesh check` and its neighbours.

mod files;
mod problems;

pub use files::{ReadError, Written, read};
pub use problems::{Tally, json, report};

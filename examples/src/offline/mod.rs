//! What can be told of configuration before it goes anywhere: `mesh check` and its neighbours.

mod account;
mod files;
mod load;
mod problems;
mod tests;

pub use account::account;
pub use files::{ReadError, Written, read};
pub use load::{Loaded, load};
pub use problems::{Tally, json, report};
pub use tests::{TestOutcome, test};

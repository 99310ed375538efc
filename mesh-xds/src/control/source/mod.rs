//! Where written configuration comes from.

mod directory;
mod memory;

use mesh_core::config::Change;
use tokio::sync::mpsc;

pub use directory::{DirectoryError, DirectorySource};
pub use memory::{MemoryHandle, MemorySource};

/// What a source has to tell.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SourceEvent {
    /// A file says this now.
    File {
        /// Its name, as problems will show it.
        name: String,
        /// All of its text.
        text: String,
    },
    /// A file is gone.
    FileGone {
        /// Its name.
        name: String,
    },
    /// A resource that stands in no file changed.
    Change(Box<Change>),
    /// Everything there was at the start has been told. No proxy is served before every source has
    /// said so.
    Synced,
    /// Something cannot be read; what was told before stays in force.
    Trouble {
        /// What, and why.
        reason: String,
    },
}

/// Where events go.
pub type SourceSink = mpsc::Sender<SourceEvent>;

/// A source of written configuration.
pub trait ConfigSource: Send + 'static {
    /// Tells everything there is, then every change, until nobody listens any more.
    fn run(self, sink: SourceSink) -> impl Future<Output = ()> + Send;
}

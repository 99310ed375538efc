use super::RequestRecord;

/// Learns of every request once, when it is over. An embedder's own telemetry.
pub trait Observer: Send + Sync {
    /// A request is over. Called on the worker that served it: must not block.
    fn request(&self, record: &RequestRecord);
}

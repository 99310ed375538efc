use super::{RequestRecord, TcpRecord};

/// Learns of every request and every connection that carries none once, when it is over. An embedder's own telemetry.
pub trait Observer: Send + Sync {
    /// A request is over. Called on the worker that served it: must not block.
    fn request(&self, record: &RequestRecord);

    /// A connection is over whose bytes were passed on, or that was turned away. Must not block
    /// either.
    fn connection(&self, record: &TcpRecord) {
        let _ = record;
    }
}

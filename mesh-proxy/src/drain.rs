//! An orderly end: everybody who must know waits on one signal.

use tokio::sync::watch;

/// Starts the end.
#[derive(Debug, Clone)]
pub struct DrainSignal(watch::Sender<bool>);

/// Learns of the end.
#[derive(Debug, Clone)]
pub struct DrainWatch(watch::Receiver<bool>);

impl DrainSignal {
    /// A signal, and a watch on it.
    pub fn new() -> (Self, DrainWatch) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), DrainWatch(receiver))
    }

    /// No new connections from now on, and no more requests on those that are open than are under
    /// way.
    pub fn start(&self) {
        self.0.send_replace(true);
    }
}

impl DrainWatch {
    /// Waits until the end has started.
    pub async fn started(&mut self) {
        if self.0.wait_for(|&started| started).await.is_err() {
            // Whoever could have started it is gone, so it never will.
            std::future::pending::<()>().await;
        }
    }

    /// Whether the end has started.
    pub fn is_started(&self) -> bool {
        *self.0.borrow()
    }
}

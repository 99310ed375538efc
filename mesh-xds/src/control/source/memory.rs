use mesh_core::config::Change;
use tokio::sync::mpsc;

use super::{ConfigSource, SourceEvent, SourceSink};

/// Resources that a program gives: the pods of a local mesh, the cases of a test.
#[derive(Debug)]
pub struct MemorySource {
    initial: Vec<Change>,
    changes: mpsc::Receiver<Change>,
}

/// Changes the resources of a [`MemorySource`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryHandle(mpsc::Sender<Change>);

impl MemorySource {
    /// Changes that may wait to be taken up.
    const QUEUE: usize = 1024;

    /// A source that starts with these, and the handle that changes it.
    pub fn new(initial: Vec<Change>) -> (MemoryHandle, Self) {
        let (sender, changes) = mpsc::channel(Self::QUEUE);
        (MemoryHandle(sender), Self { initial, changes })
    }
}

impl MemoryHandle {
    /// Makes a change. It is lost if the control plane has ended.
    pub async fn change(&self, change: Change) {
        let _ = self.0.send(change).await;
    }
}

impl ConfigSource for MemorySource {
    async fn run(mut self, sink: SourceSink) {
        for change in self.initial {
            if sink
                .send(SourceEvent::Change(Box::new(change)))
                .await
                .is_err()
            {
                return;
            }
        }
        if sink.send(SourceEvent::Synced).await.is_err() {
            return;
        }
        while let Some(change) = self.changes.recv().await {
            if sink
                .send(SourceEvent::Change(Box::new(change)))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

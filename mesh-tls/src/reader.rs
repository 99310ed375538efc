//! Two handles on the same credentials: one reads what is current, one replaces it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{bundle::TrustBundles, credentials::Credentials};

/// Always the current credentials. Cheap to clone, and every clone sees every renewal.
#[derive(Debug, Clone)]
pub struct CredentialsReader(watch::Receiver<Published>);

/// Replaces credentials, or the roots alone, for all readers.
#[derive(Debug, Clone)]
pub struct CredentialsWriter(watch::Sender<Published>);

#[derive(Debug, Clone)]
struct Published {
    credentials: Arc<Credentials>,
    /// Roots that were set apart from the credentials outlive a renewal.
    pinned: Option<TrustBundles>,
}

impl CredentialsReader {
    /// Credentials that nobody renews.
    pub fn fixed(credentials: Credentials) -> Self {
        CredentialsWriter::new(credentials).reader()
    }

    /// The credentials in force now. Two calls give the same `Arc` until something was replaced.
    pub fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.0.borrow().credentials)
    }

    /// Waits until there are credentials that this handle has not seen yet, and gives them.
    /// Waits forever once every writer is gone.
    pub async fn changed(&mut self) -> Arc<Credentials> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.0.borrow_and_update().credentials)
    }
}

impl CredentialsWriter {
    /// Starts publishing.
    pub fn new(credentials: Credentials) -> Self {
        Self(watch::Sender::new(Published {
            credentials: Arc::new(credentials),
            pinned: None,
        }))
    }

    /// A handle that reads what this one writes.
    pub fn reader(&self) -> CredentialsReader {
        CredentialsReader(self.0.subscribe())
    }

    /// Replaces key and chain; and the roots, unless they have been set apart.
    pub fn replace(&self, credentials: Credentials) {
        self.0.send_modify(|published| {
            published.credentials = Arc::new(match &published.pinned {
                Some(bundles) => credentials.with_bundles(bundles.clone()),
                None => credentials,
            });
        });
    }

    /// Replaces the roots alone. From now on they are only changed by this call, not by a renewal.
    pub fn replace_bundles(&self, bundles: TrustBundles) {
        self.0.send_if_modified(|published| {
            let unchanged = *published.credentials.bundles() == bundles;
            if !unchanged {
                let renewed = published.credentials.with_bundles(bundles.clone());
                published.credentials = Arc::new(renewed);
            }
            published.pinned = Some(bundles);
            !unchanged
        });
    }
}

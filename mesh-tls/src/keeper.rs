//! Renews credentials in time, publishes them, survives failure.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    context::TlsContext,
    credentials::Credentials,
    reader::{CredentialsReader, CredentialsWriter},
    schedule::RenewalSchedule,
    source::{CredentialsSource, SourceError},
};

/// The wall clock is looked at this often, so that a clock that jumped (a machine that slept) is
/// noticed; the timer itself counts time awake.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Keeps one workload's credentials fresh.
///
/// ```text
///   start ──fetch ok──▶ published ──due──▶ fetch ──ok──▶ published
///     ▲ │                                   ▲ │
///     └─┴─failed: wait, longer each time    └─┴─failed: the last good stay in force
/// ```
///
/// Nothing is spawned: [`run`](Self::run) is a future for the caller to drive.
#[derive(Debug)]
pub struct CredentialsKeeper<S> {
    source: S,
    schedule: RenewalSchedule,
    context: TlsContext,
    on_event: OnEvent,
    writer: CredentialsWriter,
}

/// What a keeper has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeeperEvent<'a> {
    /// Fresh credentials are in force.
    Renewed(&'a Credentials),
    /// No credentials were obtained; those in force, if any, stay.
    Failed {
        /// Why.
        error: &'a SourceError,
        /// When the next attempt is made.
        retry_in: Duration,
    },
}

impl<S: CredentialsSource> CredentialsKeeper<S> {
    /// Waits for the first credentials, however long the source needs. Drop the future to give up.
    pub async fn start(
        source: S,
        schedule: RenewalSchedule,
        context: TlsContext,
        on_event: impl FnMut(KeeperEvent<'_>) + Send + 'static,
    ) -> Self {
        let mut on_event = OnEvent(Box::new(on_event));
        let first = fetch_patiently(&source, &schedule, &mut on_event).await;
        Self {
            source,
            schedule,
            context,
            on_event,
            writer: CredentialsWriter::new(first),
        }
    }

    /// Reads what this keeper publishes.
    pub fn reader(&self) -> CredentialsReader {
        self.writer.reader()
    }

    /// Replaces credentials or roots besides this keeper, as SDS does with `ROOTCA`.
    pub fn writer(&self) -> CredentialsWriter {
        self.writer.clone()
    }

    /// Renews for as long as it is polled.
    pub async fn run(mut self) {
        let mut reader = self.reader();
        loop {
            let current = reader.current();
            let due = self
                .schedule
                .due(current.facts(), self.context.now(), fastrand::f64());
            tokio::select! {
                () = sleep_until(due, &self.context) => {}
                // Somebody replaced the credentials: their own lifetime counts.
                _ = reader.changed() => continue,
            }
            let fresh = fetch_patiently(&self.source, &self.schedule, &mut self.on_event).await;
            self.writer.replace(fresh);
            reader.changed().await;
        }
    }
}

async fn fetch_patiently<S: CredentialsSource>(
    source: &S,
    schedule: &RenewalSchedule,
    on_event: &mut OnEvent,
) -> Credentials {
    let mut failures = 0;
    loop {
        match source.fetch().await {
            Ok(credentials) => {
                (on_event.0)(KeeperEvent::Renewed(&credentials));
                return credentials;
            }
            Err(error) => {
                failures += 1;
                let retry_in = schedule.retry_after(failures, fastrand::f64());
                let error = &error;
                (on_event.0)(KeeperEvent::Failed { error, retry_in });
                tokio::time::sleep(retry_in).await;
            }
        }
    }
}

async fn sleep_until(due: SystemTime, context: &TlsContext) {
    loop {
        let left = due.duration_since(context.now()).unwrap_or_default();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(CLOCK_CHECK_INTERVAL)).await;
    }
}

struct OnEvent(Box<dyn FnMut(KeeperEvent<'_>) + Send>);

impl fmt::Debug for OnEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnEvent")
    }
}

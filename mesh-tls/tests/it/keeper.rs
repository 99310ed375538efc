//! The life of credentials, with time that stands still until the test moves it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use mesh_tls::{
    Credentials, CredentialsKeeper, CredentialsReader, CredentialsSource, KeeperEvent,
    RenewalSchedule, SourceError, TlsContext, TrustBundles,
};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use tokio::time::Instant;

use crate::mint::Signer;

const HOUR: Duration = Duration::from_secs(3600);
/// Certificates have whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// A wall clock that moves with tokio's.
#[derive(Debug, Clone, Copy)]
struct SteppedClock {
    start: SystemTime,
    since: Instant,
}

impl SteppedClock {
    fn now(&self) -> SystemTime {
        self.start + self.since.elapsed()
    }
}

impl TimeProvider for SteppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = self.now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since_epoch))
    }
}

/// Issues for a day, unless the script says that this attempt fails.
struct Scripted {
    root: Arc<Signer>,
    clock: SteppedClock,
    fails: Mutex<VecDeque<bool>>,
}

impl CredentialsSource for Scripted {
    async fn fetch(&self) -> Result<Credentials, SourceError> {
        if self.fails.lock().unwrap().pop_front().unwrap_or(false) {
            return Err(SourceError::Unavailable("away".into()));
        }
        Ok(issue(&self.root, self.clock.now(), 24 * HOUR))
    }
}

fn issue(root: &Signer, now: SystemTime, lifetime: Duration) -> Credentials {
    let keyed = root.keyed("spiffe://td/web", |params| {
        params.not_before = now.into();
        params.not_after = (now + lifetime).into();
    });
    Credentials::new(keyed, root.bundles("td")).unwrap()
}

type Log = Arc<Mutex<Vec<(&'static str, Duration)>>>;

struct World {
    clock: SteppedClock,
    root: Arc<Signer>,
    log: Log,
}

impl World {
    fn new() -> Self {
        let clock = SteppedClock {
            start: SystemTime::now(),
            since: Instant::now(),
        };
        let root = Arc::new(Signer::root());
        let log = Log::default();
        Self { clock, root, log }
    }

    async fn keeper(&self, fails: &[bool]) -> CredentialsKeeper<Scripted> {
        let (log, clock) = (Arc::clone(&self.log), self.clock);
        let source = Scripted {
            root: Arc::clone(&self.root),
            clock,
            fails: Mutex::new(fails.iter().copied().collect()),
        };
        let on_event = move |event: KeeperEvent<'_>| {
            let what = match event {
                KeeperEvent::Renewed(_) => "renewed",
                KeeperEvent::Failed { .. } => "failed",
                _ => "?",
            };
            log.lock().unwrap().push((what, clock.since.elapsed()));
        };
        let context = TlsContext::aws_lc().with_clock(Arc::new(clock));
        CredentialsKeeper::start(source, RenewalSchedule::default(), context, on_event).await
    }

    fn log(&self) -> Vec<(&'static str, Duration)> {
        self.log.lock().unwrap().clone()
    }
}

fn serial(reader: &CredentialsReader) -> String {
    reader.current().facts().serial.clone()
}

#[tokio::test(start_paused = true)]
async fn renews_at_half_life() {
    let world = World::new();
    let keeper = world.keeper(&[]).await;
    let mut reader = keeper.reader();
    let first = serial(&reader);
    let running = tokio::spawn(keeper.run());
    reader.changed().await;
    assert_ne!(serial(&reader), first);
    reader.changed().await;
    running.abort();

    let at: Vec<_> = world
        .log()
        .iter()
        .map(|(_, at)| at.as_secs_f64() / 3600.0)
        .collect();
    assert_eq!(at[0], 0.0);
    // Half of 24 h, give or take 0.01 of 24 h and the look at the clock each minute.
    assert!((at[1] - 12.0).abs() < 0.3, "{at:?}");
    assert!((at[2] - at[1] - 12.0).abs() < 0.3, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_credentials_are_waited_for() {
    let world = World::new();
    world.keeper(&[true, true, true]).await;
    let log = world.log();
    let what: Vec<_> = log.iter().map(|(what, _)| *what).collect();
    assert_eq!(what, ["failed", "failed", "failed", "renewed"]);
    // 0.5 s, 1 s and 2 s, each shortened by up to a quarter.
    let waited = log[3].1.as_secs_f64();
    assert!((2.6..=3.6).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn the_last_good_stay_in_force() {
    let world = World::new();
    let mut script = vec![true; 600];
    script[0] = false;
    let keeper = world.keeper(&script).await;
    let mut reader = keeper.reader();
    let first = serial(&reader);
    let running = tokio::spawn(keeper.run());

    tokio::time::sleep(15 * HOUR).await;
    assert_eq!(serial(&reader), first);
    let failures = world.log().len() - 1;
    assert!((150..400).contains(&failures), "{failures} in three hours");

    reader.changed().await;
    running.abort();
    assert_ne!(serial(&reader), first);
}

#[tokio::test(start_paused = true)]
async fn roots_set_apart_outlive_a_renewal() {
    let world = World::new();
    let keeper = world.keeper(&[]).await;
    let mut reader = keeper.reader();
    let writer = keeper.writer();
    let running = tokio::spawn(keeper.run());
    let first = serial(&reader);

    let pinned = Signer::root().bundles("td");
    writer.replace_bundles(pinned.clone());
    assert_eq!(*reader.changed().await.bundles(), pinned);
    assert_eq!(serial(&reader), first, "key and chain are the same");

    let renewed = reader.changed().await;
    assert_ne!(renewed.facts().serial, first);
    assert_eq!(*renewed.bundles(), pinned);

    writer.replace_bundles(pinned);
    let unchanged = tokio::time::timeout(SECOND, reader.changed()).await;
    assert!(unchanged.is_err(), "the same roots are no change");
    writer.replace_bundles(TrustBundles::empty());
    assert_eq!(*reader.changed().await.bundles(), TrustBundles::empty());
    running.abort();
}

/// Authorities date certificates back. A short-lived one is mostly past when it arrives, and is
/// nevertheless used for half of what is left of it.
#[tokio::test(start_paused = true)]
async fn certificates_dated_back_are_not_renewed_in_a_rush() {
    let world = World::new();
    let keeper = world.keeper(&[]).await;
    let mut reader = keeper.reader();
    let writer = keeper.writer();
    let now = world.clock.now();
    let keyed = world.root.keyed("spiffe://td/web", |params| {
        params.not_before = (now - 10 * HOUR).into();
        params.not_after = (now + HOUR).into();
    });
    writer.replace(Credentials::new(keyed, world.root.bundles("td")).unwrap());
    reader.changed().await;
    let running = tokio::spawn(keeper.run());
    reader.changed().await;
    running.abort();
    let at = world.log()[1].1.as_secs_f64() / 3600.0;
    assert!((at - 0.5).abs() < 0.05, "{at}");
}

/// Credentials that somebody else put there are renewed by their own lifetime.
#[tokio::test(start_paused = true)]
async fn replaced_credentials_bring_their_own_lifetime() {
    let world = World::new();
    let keeper = world.keeper(&[]).await;
    let mut reader = keeper.reader();
    let writer = keeper.writer();
    let running = tokio::spawn(keeper.run());
    tokio::time::sleep(SECOND).await;
    writer.replace(issue(&world.root, world.clock.now(), 2 * HOUR));
    reader.changed().await;
    reader.changed().await;
    running.abort();
    let at = world.log()[1].1.as_secs_f64() / 3600.0;
    assert!((at - 1.0).abs() < 0.1, "{at}");
}

//! What happens while requests are under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use mesh_examples::local_mesh::{LocalMeshOptions, MeshEvent};
use tokio::task::JoinSet;

use crate::harness::{Town, eventually, get};

/// Callers that ask for the page over and over.
struct Load {
    callers: JoinSet<Vec<String>>,
    done: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Load {
    const CALLERS: usize = 4;

    fn on(town: &Town) -> Self {
        let gateway = town.mesh.gateway_address().expect("a gateway is open");
        let (done, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut callers = JoinSet::new();
        for _ in 0..Self::CALLERS {
            let (done, asked) = (Arc::clone(&done), Arc::clone(&asked));
            callers.spawn(async move {
                let mut failures = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let answer = get(gateway, "/productpage", &[]).await;
                    asked.fetch_add(1, Ordering::Relaxed);
                    match answer {
                        // The page stays whole only if every service behind it answered.
                        Ok(page)
                            if page.status == StatusCode::OK
                                && page.body.contains("reviews-v")
                                && !page.body.contains("currently unavailable") => {}
                        Ok(page) => failures.push(format!("{}: {}", page.status, page.body)),
                        Err(error) => failures.push(error.to_string()),
                    }
                }
                failures
            });
        }
        Self {
            callers,
            done,
            asked,
        }
    }

    /// Waits for so many more answers.
    async fn answers(&self, more: usize) {
        let until = self.asked.load(Ordering::Relaxed) + more;
        while self.asked.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
    }

    async fn end_without_failure(self) {
        self.done.store(true, Ordering::Relaxed);
        let failures: Vec<String> = self
            .callers
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect();
        assert!(
            failures.is_empty(),
            "{} failures, such as {}",
            failures.len(),
            failures[0]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_rules_change() {
    let town = Town::bookinfo("load-edited").await;
    let load = Load::on(&town);
    let reviews = town.read("reviews.yaml");
    for share in [0, 30, 100, 50] {
        let edited = reviews
            .replace("weight: 80", &format!("weight: {share}"))
            .replace("weight: 20", &format!("weight: {}", 100 - share));
        town.write("reviews.yaml", &edited).await;
        load.answers(20).await;
    }
    load.end_without_failure().await;
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_control_plane_is_away() {
    let town = Town::bookinfo("load-alone").await;
    let load = Load::on(&town);
    for _ in 0..2 {
        town.mesh.stop_control_plane();
        load.answers(20).await;
        town.mesh.start_control_plane().unwrap();
        town.settled().await;
        load.answers(20).await;
    }
    // What is written while it is away is in force once it is back.
    town.mesh.stop_control_plane();
    let reviews = town.read("reviews.yaml");
    let all_v3 = reviews
        .replace("weight: 80", "weight: 0")
        .replace("weight: 20", "weight: 100");
    std::fs::write(town.manifests.join("reviews.yaml"), all_v3).unwrap();
    load.answers(20).await;
    town.mesh.start_control_plane().unwrap();
    eventually("only version 3", async || {
        let script = town.script();
        let mut checks = script.checks.iter();
        checks.find(|check| check.to == "reviews" && check.promise() == "reviews-v3")?;
        Some(())
    })
    .await;
    load.answers(20).await;
    load.end_without_failure().await;
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_instances_come_and_go() {
    let town = Town::bookinfo("load-scaled").await;
    let load = Load::on(&town);
    let bookinfo = town.read("bookinfo.yaml");
    for replicas in [2, 1] {
        let scaled = bookinfo.replace("replicas: 1", &format!("replicas: {replicas}"));
        town.write("bookinfo.yaml", &scaled).await;
        assert_eq!(town.mesh.pods().len(), 6 * replicas + 1);
        load.answers(20).await;
    }
    load.end_without_failure().await;
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_certificates_are_renewed() {
    let options = LocalMeshOptions {
        certificate_lifetime: Duration::from_secs(4),
        ..LocalMeshOptions::new(Vec::new())
    };
    let town = Town::bookinfo_with("load-renewed", options).await;
    // A handshake for every few requests: connections that stand would notice nothing.
    let rules = town.read("destination-rules.yaml");
    let hurried = rules.replace(
        "  subsets:",
        "  trafficPolicy: { connectionPool: { http: { maxRequestsPerConnection: 3 } } }\n  subsets:",
    );
    town.write("destination-rules.yaml", &hurried).await;
    let mut events = town.mesh.events();
    let load = Load::on(&town);
    let before = town.mesh.pod("ratings-v1").unwrap().facts().serial;
    let mut renewals = 0;
    while renewals < 3 {
        if let MeshEvent::Renewed { pod } = events.recv().await.unwrap() {
            renewals += usize::from(pod.workload == "ratings-v1");
        }
    }
    assert_ne!(town.mesh.pod("ratings-v1").unwrap().facts().serial, before);
    load.end_without_failure().await;
    town.end().await;
}

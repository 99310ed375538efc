//! A mesh starts, carries requests, follows its files, and ends.

use http::StatusCode;
use mesh_core::config::Severity;
use mesh_examples::local_mesh::MeshEvent;

use crate::harness::{Town, copied, get};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookinfo_is_served_through_every_sidecar() {
    let town = Town::bookinfo("served").await;
    let page = town.get("/productpage", &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("reviews-v2-") || page.body.contains("reviews-v3-"));
    assert!(page.headers.contains_key("x-envoy-upstream-service-time"));

    let stranger = town.get("/elsewhere", &[]).await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND);

    let expected = [
        ("productpage-v1", "default/sa/bookinfo-productpage"),
        ("reviews-v3", "default/sa/bookinfo-reviews"),
        (
            "istio-ingressgateway",
            "istio-system/sa/istio-ingressgateway-service-account",
        ),
    ];
    assert_eq!(town.mesh.pods().len(), 7);
    for (workload, account) in expected {
        let facts = town.mesh.pod(workload).unwrap().facts();
        assert_eq!(
            facts.identity.as_str(),
            format!("spiffe://cluster.local/ns/{account}")
        );
        let ready = get(facts.admin, "/ready", &[]).await.unwrap();
        assert_eq!(ready.body, "LIVE\n", "{workload}");
    }
    assert_eq!(**town.mesh.problems().borrow(), []);
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_text_is_refused_where_mutual_tls_is_strict() {
    let town = Town::bookinfo("strict").await;
    let address = town.mesh.pod("ratings-v1").unwrap().address;
    let refused = get((address, 9080).into(), "/ratings/0", &[]).await;
    assert!(refused.is_err(), "{refused:?}");
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_takes_effect_and_a_broken_one_does_not() {
    let town = Town::bookinfo("edited").await;
    let reviews = town.read("reviews.yaml");
    let all_v3 = reviews
        .replace("weight: 80", "weight: 0")
        .replace("weight: 20", "weight: 100");
    town.write("reviews.yaml", &all_v3).await;
    let sees_v3 = async || {
        town.get("/productpage", &[])
            .await
            .body
            .contains("reviews-v3-")
    };
    for _ in 0..10 {
        assert!(sees_v3().await);
    }

    let mut events = town.mesh.events();
    town.write(
        "reviews.yaml",
        &all_v3.replace("weight: 100", "weight: many"),
    )
    .await;
    let problems = loop {
        if let MeshEvent::Problems(problems) = events.recv().await.unwrap() {
            break problems;
        }
    };
    let problem = &problems[0];
    assert_eq!(problem.severity, Severity::Error);
    assert_eq!(problem.field, "spec.http[0].route[1].weight");
    assert!(problem.source.file.ends_with("reviews.yaml") && problem.source.line > 1);
    let told = problem.to_string();
    for part in ["VirtualService default/reviews", "expected a whole number"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for _ in 0..10 {
        assert!(sees_v3().await);
    }
    town.end().await;
}

/// A Deployment that comes is run, one whose image nobody knows is named, one that goes is ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_come_and_go() {
    let town = Town::bookinfo("deployed").await;
    let bookinfo = town.read("bookinfo.yaml");
    let more = bookinfo
        .split("---\n")
        .find(|part| part.contains("name: reviews-v1"))
        .unwrap();
    let more = more
        .replace("reviews-v1:", "reviews-v9:")
        .replace("name: reviews-v1", "name: new");
    town.write("more.yaml", &more).await;
    assert_eq!(town.mesh.unknown_images().len(), 1);
    assert!(town.mesh.pod("new").is_none());

    town.write("more.yaml", &more.replace("reviews-v9:", "reviews-v2:"))
        .await;
    assert_eq!(town.mesh.unknown_images(), []);
    let pod = town.mesh.pod("new").unwrap();
    assert_eq!(
        get(pod.admin_address(), "/ready", &[])
            .await
            .unwrap()
            .status,
        200
    );

    town.write("more.yaml", "").await;
    assert!(town.mesh.pod("new").is_none());
    assert!(get(pod.admin_address(), "/ready", &[]).await.is_err());
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_goes_on_without_a_control_plane() {
    let town = Town::bookinfo("alone").await;
    town.mesh.stop_control_plane();
    assert!(
        get(town.mesh.control_plane_address(), "/", &[])
            .await
            .is_err()
    );
    for _ in 0..10 {
        assert_eq!(town.get("/productpage", &[]).await.status, StatusCode::OK);
    }
    town.mesh.start_control_plane().unwrap();
    town.settled().await;
    assert_eq!(town.mesh.pods().len(), 7);
    assert_eq!(town.get("/productpage", &[]).await.status, StatusCode::OK);
    town.end().await;
}

/// A user's own service, in any language, told its port by its environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_may_stand_for_an_image() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bookinfo");
    let manifests = copied("command", &[source]);
    let program = env!("CARGO_BIN_EXE_bookinfo");
    let image = "registry.istio.io/release/examples-bookinfo-ratings-v1:1.20.3";
    let local = format!("images: {{ {image:?}: [{program:?}, ratings-v1] }}\n");
    std::fs::write(manifests.join("local.yaml"), local).unwrap();
    let town = Town::start(manifests).await;
    let page = town.get("/productpage", &[]).await;
    assert!(page.body.contains("star"), "{}", page.body);
    let ratings = town.mesh.pod("ratings-v1").unwrap();
    let log = std::fs::read_to_string(
        town.mesh
            .logs()
            .join(format!("{}.app.log", ratings.key.name)),
    );
    assert_eq!(log.unwrap(), "", "the process wrote to a file of its own");
    town.end().await;
}

/// Where nobody lets anybody in there is still a mesh, and a Gateway opens it while it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_may_begin_with_nothing() {
    let town = Town::start(copied("nothing", &[])).await;
    assert_eq!(town.mesh.gateway_addresses(), []);
    assert_eq!(town.mesh.pods().len(), 1, "the gateway's own");
    let mut events = town.mesh.events();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bookinfo");
    let gateway = std::fs::read_to_string(source.join("gateway.yaml")).unwrap();
    town.write("gateway.yaml", &gateway).await;
    let opened = loop {
        if let MeshEvent::Gateway(addresses) = events.recv().await.unwrap() {
            break addresses;
        }
    };
    assert_eq!(opened, town.mesh.gateway_addresses());
    let page = town.get("/productpage", &[]).await;
    assert_eq!(
        page.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        page.body
    );
    town.end().await;
}

//! Every routing sample of bookinfo does what Istio documents.

use std::path::{Path, PathBuf};

use super::town::{Town, routes, tell};

/// Sample, service, and its routes in order.
const SAMPLES: &[(&str, &str, &[&str])] = &[
    ("virtual-service-all-v1", "reviews", &["-> 9080/v1/reviews"]),
    ("virtual-service-all-v1", "ratings", &["-> 9080/v1/ratings"]),
    ("virtual-service-all-v1", "details", &["-> 9080/v1/details"]),
    (
        "virtual-service-all-v1",
        "productpage",
        &["-> 9080/v1/productpage"],
    ),
    (
        "virtual-service-reviews-80-20",
        "reviews",
        &["80% -> 9080/v1/reviews, 20% -> 9080/v2/reviews"],
    ),
    (
        "virtual-service-reviews-90-10",
        "reviews",
        &["90% -> 9080/v1/reviews, 10% -> 9080/v2/reviews"],
    ),
    (
        "virtual-service-reviews-50-v3",
        "reviews",
        &["50% -> 9080/v1/reviews, 50% -> 9080/v3/reviews"],
    ),
    (
        "virtual-service-reviews-v2-v3",
        "reviews",
        &["50% -> 9080/v2/reviews, 50% -> 9080/v3/reviews"],
    ),
    (
        "virtual-service-reviews-v3",
        "reviews",
        &["-> 9080/v3/reviews"],
    ),
    (
        "virtual-service-reviews-test-v2",
        "reviews",
        &[
            r#"end-user = "jason" -> 9080/v2/reviews"#,
            "-> 9080/v1/reviews",
        ],
    ),
    (
        "virtual-service-reviews-jason-v2-v3",
        "reviews",
        &[
            r#"end-user = "jason" -> 9080/v2/reviews"#,
            "-> 9080/v3/reviews",
        ],
    ),
    (
        "virtual-service-ratings-test-delay",
        "ratings",
        &[
            r#"end-user = "jason" delay 7s 1000000 -> 9080/v1/ratings"#,
            "-> 9080/v1/ratings",
        ],
    ),
    (
        "virtual-service-ratings-test-abort",
        "ratings",
        &[
            r#"end-user = "jason" abort 500 1000000 -> 9080/v1/ratings"#,
            "-> 9080/v1/ratings",
        ],
    ),
    (
        "fault-injection-details-v1",
        "details",
        &["abort 555 1000000 -> 9080/v1/details"],
    ),
    (
        "virtual-service-details-v2",
        "details",
        &["-> 9080/v2/details"],
    ),
    (
        "virtual-service-ratings-db",
        "reviews",
        &["-> 9080/v3/reviews"],
    ),
    (
        "virtual-service-ratings-db",
        "ratings",
        &["-> 9080/v2/ratings"],
    ),
    (
        "virtual-service-ratings-mysql",
        "ratings",
        &["-> 9080/v2-mysql/ratings"],
    ),
    (
        "virtual-service-ratings-mysql-vm",
        "ratings",
        &["-> 9080/v2-mysql-vm/ratings"],
    ),
    // Without rules a request goes to any instance.
    ("destination-rule-reviews", "reviews", &["-> 9080//reviews"]),
];

#[track_caller]
fn check(folder: &Path, sample: &str, service: &str, want: &[&str]) {
    let file = PathBuf::from(format!("{sample}.yaml"));
    let text = std::fs::read_to_string(folder.join(&file)).unwrap();
    let plan = Town::bookinfo(&[&text]).productpage();
    let got: Vec<_> = routes(&plan, service).iter().map(tell).collect();
    assert_eq!(got, want, "{sample}");
    let table = &plan.routes["http_proxy"];
    let name = format!("{service}.default.svc.cluster.local:9080");
    let proxied = table.virtual_hosts.iter().find(|host| *host.name == *name);
    let proxied: Vec<_> = proxied.unwrap().routes.iter().map(tell).collect();
    assert_eq!(proxied, want, "{sample} by the proxy port");
}

#[test]
fn ours() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bookinfo/tasks");
    for (sample, service, want) in SAMPLES {
        check(&folder, sample, service, want);
    }
}

#[test]
fn istios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/istio-samples/bookinfo/networking");
    if !folder.is_dir() {
        eprintln!("skipped: Istio's samples are not beside this repository");
        return;
    }
    for (sample, service, want) in SAMPLES {
        check(&folder, sample, service, want);
    }
}

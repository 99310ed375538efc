//! Every routing sample of bookinfo: what it promises is what its documentation says, and what is
//! seen is what it promises.

use std::path::{Path, PathBuf};

use crate::harness::{Town, copied};

/// A sample, and some of what it is documented to do: rule, caller, called, expectation.
struct Case {
    file: &'static str,
    promises: &'static [Promise],
}

type Promise = (&'static str, &'static str, &'static str, &'static str);

const PAGE: &str = "productpage-v1";
const STARS: &str = "reviews-v2";
const NONE_RUNS: &str = "503 UH no healthy upstream";
const ANY_REVIEWS: &str = "reviews-v1 or reviews-v2 or reviews-v3";

const fn case(file: &'static str, promises: &'static [Promise]) -> Case {
    Case { file, promises }
}

const CASES: &[Case] = &[
    case(
        "bookinfo-gateway.yaml",
        &[
            ("bookinfo[0] /productpage", "gateway", "productpage", PAGE),
            ("any other path", "gateway", "nobody", "404 NR no route"),
            ("no rule", PAGE, "reviews", ANY_REVIEWS),
        ],
    ),
    case(
        "destination-rule-all.yaml",
        &[("no rule", PAGE, "reviews", ANY_REVIEWS)],
    ),
    case(
        "destination-rule-all-mtls.yaml",
        &[("no rule", PAGE, "reviews", ANY_REVIEWS)],
    ),
    case(
        "destination-rule-reviews.yaml",
        &[("no rule", PAGE, "reviews", ANY_REVIEWS)],
    ),
    case(
        "fault-injection-details-v1.yaml",
        &[("details[0]", PAGE, "details", "555 aborted")],
    ),
    case(
        "virtual-service-all-v1.yaml",
        &[
            ("reviews[0]", PAGE, "reviews", "reviews-v1"),
            ("details[0]", PAGE, "details", "details-v1"),
            ("ratings[0]", STARS, "ratings", "ratings-v1"),
        ],
    ),
    case(
        "virtual-service-details-v2.yaml",
        &[("details[0]", PAGE, "details", NONE_RUNS)],
    ),
    case(
        "virtual-service-ratings-db.yaml",
        &[
            ("reviews[0]", PAGE, "reviews", "reviews-v3"),
            ("ratings[0]", STARS, "ratings", NONE_RUNS),
        ],
    ),
    case(
        "virtual-service-ratings-mysql.yaml",
        &[
            ("reviews[0]", PAGE, "reviews", "reviews-v3"),
            ("ratings[0]", STARS, "ratings", NONE_RUNS),
        ],
    ),
    case(
        "virtual-service-ratings-mysql-vm.yaml",
        &[
            ("reviews[0]", PAGE, "reviews", "reviews-v3"),
            ("ratings[0]", STARS, "ratings", NONE_RUNS),
        ],
    ),
    case(
        "virtual-service-ratings-test-abort.yaml",
        &[
            ("ratings[0] end-user=jason", STARS, "ratings", "500 aborted"),
            ("ratings[1]", STARS, "ratings", "ratings-v1"),
        ],
    ),
    case(
        "virtual-service-ratings-test-delay.yaml",
        &[
            (
                "ratings[0] end-user=jason",
                STARS,
                "ratings",
                "after 7 s, ratings-v1",
            ),
            ("ratings[1]", STARS, "ratings", "ratings-v1"),
        ],
    ),
    case(
        "virtual-service-reviews-50-v3.yaml",
        &[(
            "reviews[0]",
            PAGE,
            "reviews",
            "50 % reviews-v1, 50 % reviews-v3",
        )],
    ),
    case(
        "virtual-service-reviews-80-20.yaml",
        &[(
            "reviews[0]",
            PAGE,
            "reviews",
            "80 % reviews-v1, 20 % reviews-v2",
        )],
    ),
    case(
        "virtual-service-reviews-90-10.yaml",
        &[(
            "reviews[0]",
            PAGE,
            "reviews",
            "90 % reviews-v1, 10 % reviews-v2",
        )],
    ),
    case(
        "virtual-service-reviews-jason-v2-v3.yaml",
        &[
            ("reviews[0] end-user=jason", PAGE, "reviews", "reviews-v2"),
            ("reviews[1]", PAGE, "reviews", "reviews-v3"),
        ],
    ),
    case(
        "virtual-service-reviews-test-v2.yaml",
        &[
            ("reviews[0] end-user=jason", PAGE, "reviews", "reviews-v2"),
            ("reviews[1]", PAGE, "reviews", "reviews-v1"),
        ],
    ),
    case(
        "virtual-service-reviews-v2-v3.yaml",
        &[(
            "reviews[0]",
            PAGE,
            "reviews",
            "50 % reviews-v2, 50 % reviews-v3",
        )],
    ),
    case(
        "virtual-service-reviews-v3.yaml",
        &[("reviews[0]", PAGE, "reviews", "reviews-v3")],
    ),
];

/// Samples that only our own folder of tasks has.
const OUR_CASES: &[Case] = &[
    case(
        "bookinfo-details-v2.yaml",
        &[(
            "no rule",
            "details-v2",
            "www.googleapis.com",
            "www.googleapis.com or 503 with a reason",
        )],
    ),
    case(
        "bookinfo-versions.yaml",
        &[("no rule", PAGE, "reviews-v1", "reviews-v1")],
    ),
];

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// The file that a sample stands in for.
fn place(sample: &str) -> &'static str {
    match sample.split('-').next() {
        Some("destination") => "destination-rules.yaml",
        _ if sample == "bookinfo-gateway.yaml" => "gateway.yaml",
        _ => "reviews.yaml",
    }
}

async fn check(town: &Town, folder: &Path, case: &Case) {
    let Case { file, promises } = case;
    let text = std::fs::read_to_string(folder.join(file)).expect(file);
    let usual = town.read(place(file));
    if usual != text {
        town.write(place(file), &text).await;
    }
    let script = town.script();
    assert_eq!(script.skipped, [], "{file}");
    for (rule, from, to, promise) in *promises {
        let found = script
            .checks
            .iter()
            .find(|check| (&*check.rule, &*check.from, &*check.to) == (rule, from, to));
        let found = found.map(|check| check.promise());
        assert_eq!(found.as_deref(), Some(*promise), "{file}: {rule}");
    }
    let report = town.walk().await;
    assert!(report.is_as_expected(), "{file}\n{report}");
    if usual != text {
        town.write(place(file), &usual).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_tasks_do_what_they_say() {
    let folder = path("bookinfo/tasks");
    let mut known: Vec<_> = CASES
        .iter()
        .chain(OUR_CASES)
        .map(|case| case.file)
        .collect();
    known.sort_unstable();
    let entries = std::fs::read_dir(&folder).expect("there are tasks");
    for entry in entries {
        let name = entry.expect("it can be listed").file_name();
        let name = name.to_string_lossy();
        assert!(known.contains(&&*name), "a task without a case: {name}");
    }
    let manifests = copied("tasks", &[path("bookinfo")]);
    std::fs::write(manifests.join("reviews.yaml"), "").expect("there is room");
    let town = Town::start(manifests).await;
    let all = CASES.iter().chain(OUR_CASES);
    for case in all.filter(|case| folder.join(case.file).exists()) {
        check(&town, &folder, case).await;
    }
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_of_istio_do_what_they_say() {
    let bookinfo = path("../../shared/data/istio-samples/bookinfo");
    let folder = bookinfo.join("networking");
    if !folder.is_dir() {
        let skipped = "SKIPPED: Istio's samples are not beside the project";
        return std::io::Write::write_all(&mut std::io::stderr(), skipped.as_bytes())
            .expect("there is somebody to tell");
    }
    let manifests = copied("samples", &[bookinfo.join("platform/kube/bookinfo.yaml")]);
    for (sample, file) in [
        ("bookinfo-gateway.yaml", "gateway.yaml"),
        ("destination-rule-all.yaml", "destination-rules.yaml"),
    ] {
        std::fs::copy(folder.join(sample), manifests.join(file)).expect(sample);
    }
    std::fs::write(manifests.join("reviews.yaml"), "").expect("there is room");
    let town = Town::start(manifests).await;
    let mut files = std::fs::read_dir(&folder).expect("there are samples");
    let known = |name: &str| CASES.iter().any(|case| case.file == name);
    assert!(files.all(|file| {
        known(
            &file
                .expect("it can be listed")
                .file_name()
                .to_string_lossy(),
        )
    }));
    for case in CASES {
        check(&town, &folder, case).await;
    }
    town.end().await;
}

/// A walk that goes by yesterday's plans fails, and says where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_as_expected_is_found() {
    let town = Town::bookinfo("found").await;
    let yesterday = town.script();
    let text = town.read("reviews.yaml");
    let less = text.replace("weight: 80", "weight: 50");
    let less = less.replace("weight: 20", "weight: 50");
    town.write("reviews.yaml", &less).await;
    let security = town.read("security.yaml");
    let open = security.replace("mode: STRICT", "mode: PERMISSIVE");
    town.write("security.yaml", &open).await;
    let report = mesh_examples::walkthrough::drive(yesterday, &town.witness).await;
    let wrong: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| !finding.is_as_expected())
        .map(|finding| &*finding.check.rule)
        .collect();
    assert!(wrong.contains(&"reviews[0]"), "{report}");
    assert!(wrong.contains(&"clear text"), "{report}");
    assert!(
        wrong
            .iter()
            .all(|rule| ["reviews[0]", "clear text"].contains(rule)),
        "{report}"
    );
    assert!(town.walk().await.is_as_expected());
    town.end().await;
}

use std::path::Path;

use super::*;

const REVIEWS: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews]
  http:
  - route:
    - destination:
        host: reviews
        subset: v1
      weight: 80
    - destination: {host: reviews, subset: v2}
      weight: 20
";

/// Replaces one line of [`REVIEWS`] and expects exactly this problem.
#[track_caller]
fn check(old: &str, new: &str, want: &str) {
    assert!(REVIEWS.contains(old), "{old:?} is not in the text");
    let parsed = parse("reviews.yaml", &REVIEWS.replacen(old, new, 1));
    let problems: Vec<_> = parsed.problems.iter().map(Problem::to_string).collect();
    assert_eq!(problems, [want], "{old:?} -> {new:?}");
}

#[test]
fn a_good_file_has_no_problems() {
    let parsed = parse("reviews.yaml", REVIEWS);
    assert_eq!(parsed.problems, []);
    let [resource] = &parsed.resources[..] else {
        panic!("one resource expected");
    };
    assert_eq!(
        resource.reference.to_string(),
        "VirtualService default/reviews"
    );
    assert_eq!(resource.line_of("spec.http[0].route[1].weight"), 14);
    assert_eq!(
        resource.line_of("spec.http[0].route[0].destination.subset"),
        11
    );
    assert_eq!(resource.line_of("spec.http[0].nothing"), 8);
}

#[test]
fn broken_edits_name_line_field_and_reason() {
    check(
        "weight: 80",
        "weight: eighty",
        "reviews.yaml:12: error: VirtualService default/reviews: spec.http[0].route[0].weight: \
         expected a whole number, found a text",
    );
    check(
        "weight: 80",
        "weigth: 80",
        "reviews.yaml:12: error: VirtualService default/reviews: spec.http[0].route[0].weigth: \
         unknown field; did you mean weight?",
    );
    check(
        "weight: 80",
        "weight: 99999999999",
        "reviews.yaml:12: error: VirtualService default/reviews: spec.http[0].route[0].weight: \
         99999999999 is out of range: expected i32",
    );
    check(
        "subset: v1",
        "subset: 1",
        "reviews.yaml:11: error: VirtualService default/reviews: \
         spec.http[0].route[0].destination.subset: expected a text, found a number; \
         write it in quotes",
    );
    check(
        "      weight: 20",
        "      weight: 20\n    timeout: 7",
        "reviews.yaml:15: error: VirtualService default/reviews: spec.http[0].timeout: \
         7 has no unit: expected 7s or 7ms",
    );
    check(
        "      weight: 20",
        "      weight: 20\n    timeout: seven",
        "reviews.yaml:15: error: VirtualService default/reviews: spec.http[0].timeout: \
         \"seven\" is no duration: expected one such as 7s, 1.5s or 100ms, at most ten years",
    );
    check(
        "      weight: 20",
        "      weight: 20\n    corsPolicy:\n      unmatchedPreflights: IGNORED",
        "reviews.yaml:16: error: VirtualService default/reviews: \
         spec.http[0].corsPolicy.unmatchedPreflights: \"IGNORED\" is no possible value; \
         did you mean IGNORE?",
    );
    check(
        "hosts: [reviews]",
        "hosts: reviews",
        "reviews.yaml:6: error: VirtualService default/reviews: spec.hosts: \
         expected a list, found a text",
    );
    check(
        "  http:",
        "  hosts: [reviews]\n  http:",
        "reviews.yaml:7: error: VirtualService default/reviews: \
         \"hosts\" is given twice, first on line 6",
    );
    check(
        "spec:",
        "sepc:",
        "reviews.yaml:5: error: VirtualService default/reviews: sepc: unknown field; \
         did you mean spec?",
    );
    check(
        "kind: VirtualService",
        "kind: VirtualServise",
        "reviews.yaml:2: error: VirtualServise default/reviews: kind: \
         unknown kind \"VirtualServise\"; did you mean VirtualService?",
    );
    check(
        "networking.istio.io/v1",
        "networking.istio.io/v2",
        "reviews.yaml:1: error: VirtualService default/reviews: apiVersion: \
         version \"v2\" of networking.istio.io is not known; \
         possible are v1, v1beta1, v1alpha3",
    );
    check(
        "networking.istio.io/v1",
        "networking.isito.io/v1",
        "reviews.yaml:1: error: VirtualService default/reviews: apiVersion: \
         no VirtualService in networking.isito.io; VirtualService is of networking.istio.io",
    );
    check(
        "  name: reviews",
        "  title: reviews",
        "reviews.yaml:1: error: metadata.name is missing",
    );
    check(
        "kind: VirtualService",
        "kind: HTTPRoute",
        "reviews.yaml:1: warning: HTTPRoute default/reviews: \
         HTTPRoute of networking.istio.io is not supported yet",
    );
    check(
        "networking.istio.io/v1\nkind: VirtualService",
        "security.istio.io/v1\nkind: Gateway",
        "reviews.yaml:1: warning: Gateway default/reviews: \
         Gateway of security.istio.io is not supported yet",
    );
    check(
        "hosts: [reviews]",
        "hosts: [reviews",
        "reviews.yaml:7: error: not YAML: illegal placement of ':' indicator; \
         look here and just above for a bracket or quote left open, or wrong indentation",
    );
}

#[test]
fn written_forms_that_are_equally_good() {
    let camel = "{perTryTimeout: 1.5s, attempts: 2, retryOn: 5xx}";
    let snake = "{per_try_timeout: \"1500ms\", attempts: \"2\", retry_on: 5xx, backoff: null}";
    let of = |retries: &str| {
        let text = REVIEWS.replacen("- route:", &format!("- retries: {retries}\n    route:"), 1);
        let parsed = parse("x", &text);
        assert_eq!(parsed.problems, []);
        parsed.resources[0].spec.clone()
    };
    assert_eq!(of(camel), of(snake));
}

#[test]
fn documents_lists_anchors_and_json() {
    let names = |text: &str| -> Vec<String> {
        let parsed = parse("x", text);
        assert_eq!(parsed.problems, [], "{text}");
        parsed
            .resources
            .iter()
            .map(|r| r.reference.to_string())
            .collect()
    };
    let json = r#"{"apiVersion":"v1","kind":"List","items":[
        {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}},
        {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"b","namespace":"a"}}]}"#;
    assert_eq!(names(json), ["Namespace a", "ServiceAccount a/b"]);
    let anchored = "\
---
# nothing
---
apiVersion: v1
kind: Service
metadata: &head {name: a, labels: {app: a}}
spec: {selector: {app: a}}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec:
  ports:
  - &port {port: 80, name: http}
  - <<: *port
    port: 81
";
    assert_eq!(names(anchored), ["Service default/a", "Service default/b"]);
    let parsed = parse("x", anchored);
    let Spec::Service(service) = &parsed.resources[1].spec else {
        panic!("a Service expected");
    };
    let ports = &service.spec.ports;
    assert_eq!((ports[1].port, &*ports[1].name), (81, "http"));
    assert_eq!(parsed.resources[1].line_of("spec.ports[1]"), 15);
}

#[test]
fn a_broken_document_does_not_spoil_its_neighbours() {
    let text = format!(
        "{REVIEWS}---\nkind: [\n---\n{}",
        REVIEWS.replace("reviews", "ratings")
    );
    let parsed = parse("x.yaml", &text);
    assert_eq!(parsed.resources.len(), 2);
    assert_eq!(parsed.problems.len(), 1, "{:?}", parsed.problems);
    assert_eq!(parsed.resources[1].line_of("spec.hosts"), 23);
}

#[test]
fn bombs_are_defused() {
    let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let below = format!("*a{},", level - 1).repeat(10);
        laughs.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let deep = "[".repeat(100_000);
    let keys: String = (0..100_000).map(|n| format!("k{n}: 1\n")).collect();
    let deep_blocks: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    for text in [&*laughs, &deep, &deep_blocks, &keys, "a: &a [*a]"] {
        let parsed = parse("x", text);
        assert_eq!(parsed.problems.len(), 1, "{:?}", parsed.problems);
    }
}

#[test]
fn the_last_good_version_stays() {
    let file = "reviews.yaml";
    let two = format!("{REVIEWS}---\n{}", REVIEWS.replace("reviews", "ratings"));
    let (set, _) = ConfigSet::default().replace_file(file, &parse(file, &two));
    let names =
        |set: &ConfigSet| -> Vec<_> { set.iter().map(|r| r.reference.name.clone()).collect() };
    assert_eq!(names(&set).len(), 2);
    let held = |edit: &str| {
        let (next, problems) = set.replace_file(file, &parse(file, edit));
        (names(&next).join(" "), problems.len(), next.version())
    };
    // A field is broken: that resource keeps its last good version.
    assert_eq!(
        held(&two.replacen("weight: 80", "weight: x", 1)),
        ("ratings reviews".into(), 1, 1)
    );
    // Kind or version is broken: the name tells.
    for (old, new) in [
        ("kind: V", "kind: W"),
        ("istio.io/v1", "istio.io/v7"),
        ("istio.io", "isto.io"),
    ] {
        assert_eq!(
            held(&two.replacen(old, new, 1)),
            ("ratings reviews".into(), 1, 1)
        );
    }
    // The syntax is broken: which resource it was cannot be told.
    assert_eq!(
        held(&two.replacen("spec:", "spec: [", 1)),
        ("ratings reviews".into(), 1, 1)
    );
    // A resource is gone and nothing is broken: it is gone.
    assert_eq!(held(REVIEWS), ("reviews".into(), 0, 2));
    // A resource is gone, and another is broken and says who it is.
    let edit = REVIEWS.replacen("weight: 80", "weight: x", 1);
    assert_eq!(held(&edit), ("reviews".into(), 1, 2));
    // Nothing changed.
    assert_eq!(held(&two), ("ratings reviews".into(), 0, 1));
}

#[test]
fn the_last_file_wins_and_both_are_named() {
    let parsed = |file: &str| parse(file, REVIEWS);
    let (set, _) = ConfigSet::default().replace_file("b.yaml", &parsed("b.yaml"));
    let (set, _) = set.replace_file("a.yaml", &parsed("a.yaml"));
    let in_force = |set: &ConfigSet| set.iter().map(|r| r.source.to_string()).collect::<Vec<_>>();
    assert_eq!(in_force(&set), ["b.yaml:1"]);
    let shadowed: Vec<_> = set.shadowed().iter().map(Problem::to_string).collect();
    assert_eq!(
        shadowed,
        [
            "a.yaml:1: warning [MESH0004 WrittenTwice]: VirtualService default/reviews: \
             b.yaml:1 holds it too, and wins; \
          files count in the order of their names, the last one wins"
        ]
    );
    assert_eq!(in_force(&set.remove_file("b.yaml")), ["a.yaml:1"]);
}

#[test]
fn unchanged_resources_are_shared() {
    let (first, _) = ConfigSet::default().replace_file("a", &parse("a", REVIEWS));
    let more = format!("{REVIEWS}---\n{}", REVIEWS.replace("reviews", "ratings"));
    let (second, _) = first.replace_file("a", &parse("a", &more));
    let reviews = first.iter().next().expect("one resource");
    assert!(std::sync::Arc::ptr_eq(
        reviews,
        second.resource(&reviews.reference).expect("still there")
    ));
    let removed = second.apply([Change::Remove(reviews.reference.clone())]);
    assert_eq!(
        (second.version(), removed.version(), removed.iter().count()),
        (2, 3, 1)
    );
}

#[test]
fn problems_are_bounded_and_none_is_taken_for_health() {
    let file = "x";
    let (set, _) = ConfigSet::default().replace_file(file, &parse(file, REVIEWS));
    let parsed = parse(file, &"---\nkind: A\n".repeat(MAX_PROBLEMS + 10));
    assert_eq!(parsed.problems.len(), MAX_PROBLEMS);
    assert_eq!(set.replace_file(file, &parsed).0.iter().count(), 1);
}

#[test]
fn secrets_are_not_shown() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {key: aHVzaA==}\nstringData: {more: hush}\n";
    let parsed = parse("x", text);
    let Spec::Secret(secret) = &parsed.resources[0].spec else {
        panic!("a Secret expected");
    };
    assert_eq!(secret.bytes("key"), Some(&b"hush"[..]));
    assert_eq!(secret.bytes("more"), Some(&b"hush"[..]));
    assert!(!format!("{parsed:?}").contains("hush"));
    assert!(!format!("{parsed:?}").contains("aHVz"));
}

/// Istio's own samples, where they are at hand.
#[test]
fn the_samples_of_istio_parse() {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/istio-samples/bookinfo");
    if !data.is_dir() {
        eprintln!("SKIPPED: {} is not there", data.display());
        return;
    }
    let mut seen = 0;
    for folder in ["networking", "platform/kube"] {
        for entry in std::fs::read_dir(data.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let parsed = parse(
                &path.to_string_lossy(),
                &std::fs::read_to_string(&path).unwrap(),
            );
            assert_eq!(parsed.problems, [], "{}", path.display());
            assert!(!parsed.resources.is_empty(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} files");
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            parse("x", &String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn lines_are_those_of_the_text(text in "[a:\\[\"|\r\n -]{0,40}") {
            let lines = u32::try_from(text.lines().count()).unwrap().max(1);
            for problem in parse("x", &text).problems {
                prop_assert!((1..=lines).contains(&problem.source.line), "{}", problem);
            }
        }

        #[test]
        fn yaml_like_text_never_panics(text in "[-a-c:{}\\[\\]&*!|>#'\"%@, \n~<]{0,120}") {
            parse("x", &text);
        }

        #[test]
        fn edits_never_panic(at in 0..REVIEWS.len(), cut in 0usize..12, put in "[-a-z:{}&*\n 0-9]{0,6}") {
            let end = (at + cut).min(REVIEWS.len());
            let text = format!("{}{put}{}", &REVIEWS[..at], &REVIEWS[end..]);
            parse("x", &text);
        }

        #[test]
        fn fields_are_where_they_say(field in "[a-z\\[\\].0-9]{0,40}") {
            let parsed = parse("x", REVIEWS);
            prop_assert!(parsed.resources[0].line_of(&field) <= 14);
        }
    }
}

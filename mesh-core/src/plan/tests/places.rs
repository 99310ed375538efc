//! How the places of instances count: priorities and weights as Istio's locality load balancing and
//! Kubernetes' traffic distribution document them.

use super::town::Town;

/// A service with an instance at each place, some with labels.
fn far(places: &[&str], annotation: &str) -> String {
    let endpoints: Vec<_> = places
        .iter()
        .enumerate()
        .map(|(i, place)| {
            let (locality, labels) = place.split_once(' ').unwrap_or((place, ""));
            format!(
                "{{address: 10.0.0.{}, locality: {locality}, labels: {{{labels}}}}}",
                i + 1
            )
        })
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: far, \
         annotations: {{networking.istio.io/traffic-distribution: '{annotation}'}}}}\n\
         spec:\n  hosts: [far.org]\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints: [{}]\n",
        endpoints.join(", ")
    )
}

/// `locality priority weight instances` of every group that a caller at r1/z1/s1 gets, and whether
/// places take shares.
fn planned(texts: &[&str]) -> (Vec<String>, bool) {
    let town = Town::bookinfo(texts);
    let mut node = town.sidecar("productpage-v1");
    node.locality.region = "r1".into();
    node.locality.zone = "z1".into();
    node.locality.sub_zone = "s1".into();
    let (plan, _) = town.plan(&node);
    let groups = plan.endpoints["outbound|80||far.org"].localities.iter();
    let groups = groups.map(|group| {
        let (locality, count) = (&group.locality, group.endpoints.len());
        format!("{locality} {} {} {count}", group.priority, group.weight)
    });
    let by_locality = plan.clusters["outbound|80||far.org"].by_locality;
    (groups.collect(), by_locality)
}

fn rule(policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: far}}\n\
         spec: {{host: far.org, trafficPolicy: {{{policy}}}}}\n"
    )
}

const PLACES: [&str; 6] = [
    "r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1", "r1/z1/s1",
];

#[track_caller]
fn check(texts: &[&str], want: &[&str], shares: bool) {
    let (groups, by_locality) = planned(texts);
    assert_eq!(
        (groups, by_locality),
        (want.iter().map(ToString::to_string).collect(), shares)
    );
}

#[test]
fn without_outlier_detection_places_do_not_count() {
    let alike = [
        "r1/z1/s1 0 2 2",
        "r1/z1/s2 0 1 1",
        "r1/z2/s1 0 1 1",
        "r2/z1/s1 0 1 1",
        "r3/z1/s1 0 1 1",
    ];
    let service = far(&PLACES, "");
    check(&[&service], &alike, false);
    let failover = rule("loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r3}]}}");
    check(&[&service, &failover], &alike, false);
    let off = rule("outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: false}}");
    check(&[&service, &off], &alike, false);
}

#[test]
fn nearer_ones_come_first() {
    let service = far(&PLACES, "");
    let near = rule("outlierDetection: {}");
    let want = [
        "r1/z1/s1 0 2 2",
        "r1/z1/s2 1 1 1",
        "r1/z2/s1 2 1 1",
        "r2/z1/s1 3 1 1",
        "r3/z1/s1 3 1 1",
    ];
    check(&[&service, &near], &want, false);
    // A region that takes over comes before others.
    let failover = rule(
        "outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r3}]}}",
    );
    let want = [
        "r1/z1/s1 0 2 2",
        "r1/z1/s2 1 1 1",
        "r1/z2/s1 2 1 1",
        "r2/z1/s1 4 1 1",
        "r3/z1/s1 3 1 1",
    ];
    check(&[&service, &failover], &want, true);
    // Priorities leave no gaps.
    let few = far(&["r1/z2/s1", "r3/z1/s1"], "");
    check(&[&few, &near], &["r1/z2/s1 0 1 1", "r3/z1/s1 1 1 1"], false);
}

#[test]
fn places_get_their_shares() {
    let service = far(&PLACES, "");
    let shares = rule(
        "loadBalancer: {localityLbSetting: {distribute: [{from: r9/*, to: {r9: 100}}, \
         {from: r1/z1/*, to: {'r1/z1/*': 80, 'r2/*': 20}}]}}",
    );
    // Two places under one share divide it by their weights, rounded up; others get nothing.
    let want = ["r1/z1/s1 0 54 2", "r1/z1/s2 0 27 1", "r2/z1/s1 0 20 1"];
    check(&[&service, &shares], &want, true);
    // The most specific place has a group.
    let shares = rule(
        "loadBalancer: {localityLbSetting: {distribute: [\
         {from: '*', to: {'*': 10, 'r1/z1/s1': 90}}]}}",
    );
    let want = [
        "r1/z1/s1 0 90 2",
        "r1/z1/s2 0 3 1",
        "r1/z2/s1 0 3 1",
        "r2/z1/s1 0 3 1",
        "r3/z1/s1 0 3 1",
    ];
    check(&[&service, &shares], &want, true);
    // Nothing is said of callers here.
    let elsewhere =
        rule("loadBalancer: {localityLbSetting: {distribute: [{from: r9/*, to: {r9: 100}}]}}");
    let (groups, by_locality) = planned(&[&service, &elsewhere]);
    assert_eq!((groups.len(), by_locality), (5, false));
}

#[test]
fn labels_tell_who_is_near() {
    let service = far(
        &[
            "r1/z1/s1 tier: gold",
            "r1/z1/s1 tier: lead",
            "r2/z1/s1 tier: gold",
        ],
        "",
    );
    let labels = rule(
        "outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: \
         [tier=gold, topology.kubernetes.io/region]}}",
    );
    // Both agree, then the first alone, then not even that.
    let want = ["r1/z1/s1 0 1 1", "r1/z1/s1 2 1 1", "r2/z1/s1 1 1 1"];
    check(&[&service, &labels], &want, true);
}

#[test]
fn services_prefer_near_ones_by_themselves() {
    let service = far(&PLACES, "PreferClose");
    // Same zone, same region, elsewhere, though nobody looks for failing ones.
    let want = [
        "r1/z1/s1 0 2 2",
        "r1/z1/s2 0 1 1",
        "r1/z2/s1 1 1 1",
        "r2/z1/s1 2 1 1",
        "r3/z1/s1 2 1 1",
    ];
    check(&[&service], &want, true);
    // A rule comes before the service.
    let off = rule("loadBalancer: {localityLbSetting: {enabled: false}}");
    let (groups, by_locality) = planned(&[&service, &off]);
    assert!(groups.iter().all(|group| group.contains(" 0 ")) && !by_locality);
}

#[test]
fn zones_keep_to_their_region() {
    let service = far(&PLACES, "");
    let zones = rule("loadBalancer: {zoneAwareLbSetting: {enabled: true}}");
    let (groups, by_locality) = planned(&[&service, &zones]);
    let want = [
        "r1/z1/s1 0 2 2",
        "r1/z1/s2 0 1 1",
        "r1/z2/s1 0 1 1",
        "r2/z1/s1 1 1 1",
        "r3/z1/s1 1 1 1",
    ];
    assert_eq!(
        (groups, by_locality),
        (want.map(String::from).to_vec(), false)
    );
}

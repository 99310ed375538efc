//! What the mesh configuration says of paths and TLS.

use super::town::{Town, listener, manager};
use crate::dataplane::{EscapedSlashes, TlsVersion};

fn town(settings: &str) -> Town {
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
         data:\n  mesh: |\n    {settings}\n"
    );
    Town::bookinfo(&[&map])
}

#[test]
fn spellings_of_paths() {
    let keep = EscapedSlashes::Keep;
    for (mode, normalize, merge, slashes) in [
        ("DEFAULT", true, false, keep),
        ("NONE", false, false, keep),
        ("BASE", true, false, keep),
        ("MERGE_SLASHES", true, true, keep),
        (
            "DECODE_AND_MERGE_SLASHES",
            true,
            true,
            EscapedSlashes::UnescapeAndForward,
        ),
    ] {
        let town = town(&format!("pathNormalization: {{normalization: {mode}}}"));
        let (plan, problems) = town.plan(&town.sidecar("reviews-v1"));
        assert_eq!(problems, [""; 0]);
        let inbound = listener(&plan, "virtualInbound").filter_chains.iter();
        let inbound = inbound.filter(|chain| &*chain.name == "0.0.0.0_9080");
        let outbound = listener(&plan, "0.0.0.0_9080").filter_chains.iter();
        for chain in inbound.chain(outbound) {
            let found = manager(chain);
            assert_eq!(found.normalize_path, normalize, "{mode}");
            assert_eq!(found.merge_slashes, merge, "{mode}");
            assert_eq!(found.escaped_slashes, slashes, "{mode}");
        }
    }
}

#[test]
fn oldest_tls_within_the_mesh() {
    for (written, want) in [
        ("TLS_AUTO", TlsVersion::V1_2),
        ("TLSV1_2", TlsVersion::V1_2),
        ("TLSV1_3", TlsVersion::V1_3),
    ] {
        let town = town(&format!("meshMTLS: {{minProtocolVersion: {written}}}"));
        let (plan, _) = town.plan(&town.sidecar("reviews-v1"));
        let chains = listener(&plan, "virtualInbound").filter_chains.iter();
        let ends: Vec<_> = chains.filter_map(|chain| chain.tls.as_ref()).collect();
        assert!(!ends.is_empty());
        assert!(ends.iter().all(|tls| tls.min_version == want), "{written}");
        let text = format!("{:?}", plan.clusters);
        let other = match want {
            TlsVersion::V1_2 => "V1_3",
            TlsVersion::V1_3 => "V1_2",
        };
        assert!(
            !text.contains(&format!("min_version: {other}")),
            "{written}"
        );
    }
}

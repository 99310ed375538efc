//! Where requests bring tokens, and what is told of them.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use http::{HeaderMap, Method};
use mesh_core::dataplane::{ClaimHeader, JwtHeader, JwtProvider};
use mesh_routing::{
    RequestHead,
    access::{TokenVerdict, token::MAX_TOKENS},
};
use serde_json::json;

use crate::token::{ALICE, NOW, P256, ask_at, claims, key_set, provider, verifier, with};

#[test]
fn places() {
    let token = P256.token(&claims());
    let bearer = format!("Bearer {token}");
    let keys = key_set(&[P256.jwk]);
    let standard = verifier(vec![provider(&keys)]);
    let query = format!("x=1&access_token={token}");
    let elsewhere = verifier(vec![JwtProvider {
        headers: vec![JwtHeader {
            name: "x-token".into(),
            prefix: "jwt:".into(),
        }],
        parameters: vec!["t".into()],
        cookies: vec!["session".into()],
        ..provider(&keys)
    }]);
    let prefixed = format!("jwt:{token}");
    let cookie = format!("a=b; session={token}; c=d");
    let quoted = format!("session=\"{token}\"");
    for (verifier, headers, query, want) in [
        (&standard, vec![], None, "absent"),
        (&standard, vec![("authorization", &*bearer)], None, ALICE),
        (
            &standard,
            vec![("authorization", &bearer.replace("Bearer", "bEARER"))],
            None,
            ALICE,
        ),
        (
            &standard,
            vec![("authorization", &bearer.replace(' ', "   "))],
            None,
            ALICE,
        ),
        (
            &standard,
            vec![("authorization", "Basic abc")],
            None,
            "absent",
        ),
        (&standard, vec![("authorization", "Bearer ")], None, "Form"),
        (&standard, vec![], Some(&*query), ALICE),
        (
            &standard,
            vec![("authorization", &bearer)],
            Some(&query),
            ALICE,
        ),
        (
            &standard,
            vec![("authorization", &bearer)],
            Some("access_token=x"),
            "Several",
        ),
        (&standard, vec![("authorization", &bearer); 2], None, ALICE),
        (
            &standard,
            vec![("authorization", &bearer), ("authorization", "Bearer x")],
            None,
            "Several",
        ),
        (
            &standard,
            vec![("authorization", &bearer); MAX_TOKENS + 1],
            None,
            "Several",
        ),
        (&standard, vec![("x-token", &prefixed)], None, "absent"),
        (
            &elsewhere,
            vec![("authorization", &bearer)],
            Some(&query),
            "absent",
        ),
        (&elsewhere, vec![("x-token", &prefixed)], None, ALICE),
        (&elsewhere, vec![("x-token", &token)], None, "absent"),
        (&elsewhere, vec![("cookie", &cookie)], None, ALICE),
        (&elsewhere, vec![("cookie", &quoted)], None, ALICE),
        (&elsewhere, vec![("cookie", "session=x")], None, "Form"),
        (&elsewhere, vec![("cookie", "mysession=x")], None, "absent"),
        (&elsewhere, vec![], Some(&*format!("%74={token}")), ALICE),
        (&elsewhere, vec![], Some("t="), "Form"),
    ] {
        let got = ask_at(verifier, &headers, query, NOW);
        assert_eq!(got, want, "{headers:?} {query:?}");
    }
}

#[test]
fn the_application_is_told_and_nobody_else_tells_it() {
    let planned = JwtProvider {
        payload_header: "x-payload".into(),
        claim_headers: [
            ("x-sub", "sub"),
            ("x-nested", "a.b"),
            ("x-list", "list"),
            ("x-no", "no"),
        ]
        .map(|(header, claim)| ClaimHeader {
            header: header.into(),
            claim: claim.into(),
        })
        .to_vec(),
        ..provider(&key_set(&[P256.jwk]))
    };
    for forward in [false, true] {
        let verifier = verifier(vec![JwtProvider {
            forward,
            ..planned.clone()
        }]);
        let mut claims = with("a", json!({"b": 7}));
        claims["list"] = json!(["x"]);
        let token = P256.token(&claims);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        headers.append("authorization", "Basic abc".parse().unwrap());
        headers.insert("x-sub", "root".parse().unwrap());
        headers.insert("x-no", "forged".parse().unwrap());
        let head = RequestHead {
            method: &Method::GET,
            path: "/",
            query: None,
            authority: "shop",
            scheme: "http",
            headers: &headers,
            claims: None,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let TokenVerdict::Verified(verified) = verifier.check(&head, now) else {
            panic!("the token is genuine");
        };
        let mut edited = headers.clone();
        verifier.sanitize(&mut edited);
        assert!(!edited.contains_key("x-sub"));
        verified.edit(&mut edited);
        let told = |name: &str| edited.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(told("x-sub"), Some("alice"));
        assert_eq!(told("x-nested"), Some("7"));
        assert_eq!(told("x-list"), Some(&*BASE64.encode(r#"["x"]"#)));
        assert_eq!(told("x-no"), None);
        assert_eq!(told("x-payload"), token.split('.').nth(1));
        let left: Vec<_> = edited.get_all("authorization").iter().collect();
        assert_eq!(left.len(), 1 + usize::from(forward));
    }
}

#[test]
fn preflights_pass_without() {
    let verifier = verifier(vec![provider(&key_set(&[P256.jwk]))]);
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Bearer x".parse().unwrap());
    headers.insert("origin", "https://a.example".parse().unwrap());
    let mut ask = |name: Option<&'static str>| {
        if let Some(name) = name {
            headers.insert(name, "GET".parse().unwrap());
        }
        let head = RequestHead {
            method: &Method::OPTIONS,
            path: "/",
            query: None,
            authority: "shop",
            scheme: "http",
            headers: &headers,
            claims: None,
        };
        matches!(
            verifier.check(&head, SystemTime::UNIX_EPOCH),
            TokenVerdict::Absent
        )
    };
    assert!(!ask(None));
    assert!(ask(Some("access-control-request-method")));
}

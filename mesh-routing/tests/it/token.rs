//! The token verifier: attacks and edges, with keys made for the test.

use std::time::{Duration, SystemTime};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64},
};
use http::{HeaderMap, Method};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mesh_core::dataplane::{JwtFilter, JwtProvider};
use mesh_routing::{
    RequestHead,
    access::{
        TokenVerdict, TokenVerifier,
        token::{MAX_KEY_SET_BYTES, MAX_TOKEN_LEN, TokenError},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) const NOW: u64 = 1_800_000_000;

/// A key of the test, made once with openssl for it and used nowhere else.
pub(crate) struct Signer {
    algorithm: Algorithm,
    pem: &'static str,
    pub(crate) jwk: &'static str,
}

const RSA: Signer = Signer {
    algorithm: Algorithm::RS256,
    pem: include_str!("../../testdata/keys/rsa.pem"),
    jwk: include_str!("../../testdata/keys/rsa.jwk.json"),
};
pub(crate) const P256: Signer = Signer {
    algorithm: Algorithm::ES256,
    pem: include_str!("../../testdata/keys/p256.pem"),
    jwk: include_str!("../../testdata/keys/p256.jwk.json"),
};
const P384: Signer = Signer {
    algorithm: Algorithm::ES384,
    pem: include_str!("../../testdata/keys/p384.pem"),
    jwk: include_str!("../../testdata/keys/p384.jwk.json"),
};
const ED25519: Signer = Signer {
    algorithm: Algorithm::EdDSA,
    pem: include_str!("../../testdata/keys/ed25519.pem"),
    jwk: include_str!("../../testdata/keys/ed25519.jwk.json"),
};

impl Signer {
    fn key(&self) -> EncodingKey {
        let lines = self.pem.lines().filter(|line| !line.starts_with('-'));
        let der = STANDARD.decode(lines.collect::<String>()).unwrap();
        match self.algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_der(&der),
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_der(&der),
            _ => EncodingKey::from_rsa_der(&der),
        }
    }

    fn sign(&self, header: Header, claims: &Value) -> String {
        encode(&header, claims, &self.key()).unwrap()
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(Header::new(self.algorithm), claims)
    }

    /// A token whose header and payload are these very texts.
    fn raw(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key(), self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

pub(crate) fn key_set(keys: &[&str]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

pub(crate) fn provider(keys: &str) -> JwtProvider {
    JwtProvider {
        name: "origins-0".into(),
        issuer: "https://issuer.example".into(),
        keys: keys.into(),
        clock_skew: JwtProvider::CLOCK_SKEW,
        space_delimited_claims: vec!["scope".into()],
        ..JwtProvider::default()
    }
}

pub(crate) fn claims() -> Value {
    json!({"iss": "https://issuer.example", "sub": "alice", "aud": "shop", "exp": NOW + 3600})
}

pub(crate) fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub(crate) fn verifier(providers: Vec<JwtProvider>) -> TokenVerifier {
    TokenVerifier::compile(&JwtFilter {
        providers,
        bypass_cors_preflight: true,
        reroutes: false,
    })
    .unwrap()
}

/// The principal of a request's token, or what is wrong, or `absent`.
pub(crate) fn ask_at(
    verifier: &TokenVerifier,
    headers: &[(&str, &str)],
    query: Option<&str>,
    now: u64,
) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        map.append(name, value.parse().unwrap());
    }
    let head = RequestHead {
        method: &Method::GET,
        path: "/",
        query,
        authority: "shop",
        scheme: "http",
        headers: &map,
        claims: None,
    };
    match verifier.check(&head, SystemTime::UNIX_EPOCH + Duration::from_secs(now)) {
        TokenVerdict::Absent => "absent".into(),
        TokenVerdict::Verified(verified) => verified.claims.principal().unwrap_or_default(),
        TokenVerdict::Refused(refusal) => format!("{:?}", refusal.error),
    }
}

fn bearer(verifier: &TokenVerifier, token: &str) -> String {
    let value = format!("Bearer {token}");
    ask_at(verifier, &[("authorization", &value)], None, NOW)
}

pub(crate) const ALICE: &str = "https://issuer.example/alice";

#[test]
fn every_algorithm_with_its_own_key_only() {
    let signers = [&RSA, &P256, &P384, &ED25519];
    for signer in signers {
        let token = signer.token(&claims());
        for keys in signers {
            let got = bearer(&verifier(vec![provider(&key_set(&[keys.jwk]))]), &token);
            let want = match signer.algorithm == keys.algorithm {
                true => ALICE,
                false => "NoKey",
            };
            assert_eq!(got, want, "{:?} {:?}", signer.algorithm, keys.algorithm);
        }
    }
    let verifier = verifier(vec![provider(&key_set(&[RSA.jwk]))]);
    for algorithm in [
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ] {
        let token = RSA.sign(Header::new(algorithm), &claims());
        assert_eq!(bearer(&verifier, &token), ALICE, "{algorithm:?}");
    }
}

#[test]
fn what_anybody_could_have_made_is_refused() {
    let keys = key_set(&[RSA.jwk, P256.jwk]);
    let verifier = verifier(vec![provider(&keys)]);
    let payload = BASE64.encode(claims().to_string());
    let unsigned = |alg: &str| {
        let header = BASE64.encode(json!({"alg": alg}).to_string());
        format!("{header}.{payload}.")
    };
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS256", "hs256", "RS1", "ES512", "rs256",
    ] {
        assert_eq!(bearer(&verifier, &unsigned(alg)), "Algorithm", "{alg}");
    }
    assert_eq!(bearer(&verifier, &unsigned("RS256")), "Signature");
    // The public key taken for a shared secret.
    for secret in [RSA.jwk, RSA.pem, keys.as_str()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let key = EncodingKey::from_secret(secret.as_bytes());
            let token = encode(&Header::new(algorithm), &claims(), &key).unwrap();
            assert_eq!(bearer(&verifier, &token), "Algorithm");
        }
    }
    // Even where the key set holds a shared secret.
    let oct = r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#;
    let shared = self::verifier(vec![provider(&key_set(&[oct]))]);
    let key = EncodingKey::from_secret(b"secret");
    let token = encode(&Header::new(Algorithm::HS256), &claims(), &key).unwrap();
    assert_eq!(bearer(&shared, &token), "Algorithm");
    // A key that the token brings along.
    let jwk: Value = serde_json::from_str(P384.jwk).unwrap();
    let header = json!({"alg": "ES384", "jwk": jwk, "jku": "https://evil.example/keys"});
    let token = P384.raw(&header.to_string(), &claims().to_string());
    assert_eq!(bearer(&verifier, &token), "NoKey");
}

#[test]
fn forms() {
    let verifier = verifier(vec![provider(&key_set(&[P256.jwk]))]);
    let good = P256.token(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let long = "a".repeat(MAX_TOKEN_LEN + 1);
    let huge = format!("{good}{long}");
    for (token, want) in [
        (good.as_str(), ALICE),
        ("", "Form"),
        (".", "Form"),
        ("..", "Header"),
        ("...", "Form"),
        ("a.b", "Form"),
        (header, "Form"),
        (&format!("{header}.{payload}"), "Form"),
        (&format!("{header}.{payload}."), "Signature"),
        (&format!("{header}.{payload}.{signature}."), "Form"),
        (&format!("{header}.{payload}.{signature}.x.y"), "Form"),
        (&format!("{header}=.{payload}.{signature}"), "Form"),
        (&format!("{header}.{payload}.{signature}="), "Form"),
        (&format!("{header}.{payload} .{signature}"), "Form"),
        (&format!("{header}.{payload}.{signature}, Bearer x"), "Form"),
        (&format!("{header}.{header}.{signature}"), "Signature"),
        (&huge, "TooLong"),
    ] {
        let got = bearer(&verifier, token);
        let want = match want {
            // Another text was signed: the claims are not those of the issuer.
            "Signature" if token.starts_with(&format!("{header}.{header}")) => "UnknownIssuer",
            want => want,
        };
        assert_eq!(got, want, "{token:.60}");
    }
    // The same bytes spelt otherwise: the last character of base64 has bits to spare.
    let (head, last) = signature.split_at(signature.len() - 1);
    let other = match last {
        "A" => "B",
        "Q" => "R",
        "g" => "h",
        _ => "x",
    };
    assert_eq!(
        bearer(&verifier, &format!("{header}.{payload}.{head}{other}")),
        "Form"
    );
}

#[test]
fn claims_are_judged() {
    let mut planned = provider(&key_set(&[P256.jwk]));
    planned.audiences = vec!["shop".into(), "bank".into()];
    let verifier = verifier(vec![planned]);
    let skew = JwtProvider::CLOCK_SKEW.as_secs();
    for (name, value, want) in [
        ("iss", json!("https://issuer.example/"), "UnknownIssuer"),
        ("iss", json!("HTTPS://issuer.example"), "UnknownIssuer"),
        ("iss", json!(["https://issuer.example"]), "Payload"),
        ("iss", json!(null), "Payload"),
        ("sub", json!(1), "Payload"),
        ("exp", json!(NOW - skew - 1), "Expired"),
        ("exp", json!(NOW - skew), ALICE),
        ("exp", json!(NOW - 1), ALICE),
        ("exp", json!(0), "Expired"),
        ("exp", json!(-1), "Expired"),
        ("exp", json!(NOW as f64 + 0.5), ALICE),
        ("exp", json!("never"), "Payload"),
        ("exp", json!(null), "Payload"),
        ("exp", json!(1e300), ALICE),
        ("nbf", json!(NOW + skew), ALICE),
        ("nbf", json!(NOW + skew + 1), "NotYet"),
        ("nbf", json!(true), "Payload"),
        ("iat", json!(NOW + 1_000_000), ALICE),
        ("aud", json!("bank"), ALICE),
        ("aud", json!(["x", "bank"]), ALICE),
        ("aud", json!([]), "Audience"),
        ("aud", json!("Shop"), "Audience"),
        ("aud", json!("shop bank"), "Audience"),
        ("aud", json!({"shop": 1}), "Payload"),
        ("aud", json!(["shop", 1]), "Payload"),
    ] {
        let token = P256.token(&with(name, value.clone()));
        assert_eq!(bearer(&verifier, &token), want, "{name} {value}");
    }
    assert_eq!(TokenError::Audience.status(), 403);
    assert_eq!(TokenError::Expired.status(), 401);
}

#[test]
fn nothing_is_read_in_two_ways() {
    let verifier = verifier(vec![provider(&key_set(&[P256.jwk]))]);
    let payload = claims().to_string();
    for (header, payload, want) in [
        (r#"{"alg":"ES256"}"#, &*payload, ALICE),
        (r#"{"alg":"ES256","typ":"at+jwt"}"#, &payload, ALICE),
        (r#"{"alg":"ES256","alg":"none"}"#, &payload, "Header"),
        (r#"{"alg":"ES256","crit":["exp"]}"#, &payload, "Header"),
        (
            r#"{"alg":"ES256","crit":["b64"],"b64":false}"#,
            &payload,
            "Header",
        ),
        (r#"{"alg":["ES256"]}"#, &payload, "Header"),
        (r#"{"alg":"ES256","kid":1}"#, &payload, "Header"),
        (r#"{}"#, &payload, "Header"),
        (r#"["ES256"]"#, &payload, "Header"),
        (r#"{"alg":"ES256"}"#, "[]", "Payload"),
        (r#"{"alg":"ES256"}"#, "", "Payload"),
        (
            r#"{"alg":"ES256"}"#,
            r#"{"iss":"https://issuer.example","sub":"alice","sub":"root"}"#,
            "Payload",
        ),
        (
            r#"{"alg":"ES256"}"#,
            r#"{"iss":"https://issuer.example","sub":"alice","\u0073ub":"root"}"#,
            "Payload",
        ),
        // A token that never ends is one (RFC 7519, section 4.1.4: exp is optional).
        (
            r#"{"alg":"ES256"}"#,
            r#"{"iss":"https://issuer.example","sub":"alice"}"#,
            ALICE,
        ),
    ] {
        assert_eq!(
            bearer(&verifier, &P256.raw(header, payload)),
            want,
            "{header} {payload}"
        );
    }
}

#[test]
fn keys_are_chosen_by_name_and_purpose() {
    let named = |jwk: &str, more: Value| {
        let mut jwk: Value = serde_json::from_str(jwk).unwrap();
        for (name, value) in more.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk.to_string()
    };
    let token = |kid: Option<&str>| {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = kid.map(str::to_owned);
        P256.sign(header, &claims())
    };
    let a = named(P256.jwk, json!({"kid": "a"}));
    let other = named(P384.jwk, json!({"kid": "b"}));
    let set = |keys: &[&str]| verifier(vec![provider(&key_set(keys))]);
    for (keys, kid, want) in [
        (set(&[&a, &other]), Some("a"), ALICE),
        (set(&[&a, &other]), None, ALICE),
        (set(&[&a, &other]), Some("b"), "NoKey"),
        (set(&[&a, &other]), Some("c"), "NoKey"),
        (set(&[P256.jwk]), Some("c"), ALICE),
        (set(&[&named(P256.jwk, json!({"use": "sig"}))]), None, ALICE),
        (
            set(&[&named(P256.jwk, json!({"use": "enc"}))]),
            None,
            "NoKey",
        ),
        (
            set(&[&named(P256.jwk, json!({"key_ops": ["verify"]}))]),
            None,
            ALICE,
        ),
        (
            set(&[&named(P256.jwk, json!({"key_ops": ["encrypt"]}))]),
            None,
            "NoKey",
        ),
        (
            set(&[&named(P256.jwk, json!({"alg": "ES256"}))]),
            None,
            ALICE,
        ),
        (
            set(&[&named(P256.jwk, json!({"alg": "ES384"}))]),
            None,
            "NoKey",
        ),
        (
            set(&[&named(P256.jwk, json!({"kty": "XX"})), P256.jwk]),
            None,
            ALICE,
        ),
        (set(&[]), None, "NoKey"),
        (verifier(vec![provider("")]), None, "NoKey"),
        (verifier(vec![provider("{")]), None, "NoKey"),
        (verifier(vec![provider("{\"keys\":{}}")]), None, "NoKey"),
        (
            verifier(vec![provider(&format!("<html>{}", key_set(&[P256.jwk])))]),
            None,
            "NoKey",
        ),
        (
            verifier(vec![provider(&format!(
                "{}{}",
                key_set(&[P256.jwk]),
                " ".repeat(MAX_KEY_SET_BYTES)
            ))]),
            None,
            "NoKey",
        ),
    ] {
        assert_eq!(bearer(&keys, &token(kid)), want, "{kid:?}");
    }
}

#[test]
fn providers_each_vouch_for_their_own() {
    let of = |issuer: &str, keys: &str| JwtProvider {
        issuer: issuer.into(),
        ..provider(keys)
    };
    let mut second = of("second", &key_set(&[P384.jwk]));
    second.name = "origins-1".into();
    let both = verifier(vec![
        of("https://issuer.example", &key_set(&[P256.jwk])),
        second,
    ]);
    let first = P256.token(&claims());
    let other = P384.token(&with("iss", json!("second")));
    // Signed by one issuer, in the name of the other.
    let forged = P384.token(&claims());
    let stranger = P256.token(&with("iss", json!("third")));
    for (token, want) in [
        (&first, ALICE),
        (&other, "second/alice"),
        (&forged, "NoKey"),
        (&stranger, "UnknownIssuer"),
    ] {
        assert_eq!(bearer(&both, token), want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One changed byte anywhere, and the token is no longer the issuer's.
    #[test]
    fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), byte in "[A-Za-z0-9_.-]") {
        let verifier = verifier(vec![provider(&key_set(&[ED25519.jwk]))]);
        let token = ED25519.token(&claims());
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &byte);
        let got = bearer(&verifier, &changed);
        prop_assert_eq!(got == ALICE, changed == token, "{}", got);
    }

    #[test]
    fn any_text_is_judged(text in "\\PC{0,200}", query in "\\PC{0,200}") {
        let verifier = verifier(vec![provider(&key_set(&[P256.jwk]))]);
        let value = format!("Bearer {text}");
        if http::HeaderValue::from_str(&value).is_ok() {
            let got = ask_at(&verifier, &[("authorization", &value)], Some(&query), NOW);
            prop_assert_ne!(got, ALICE);
        }
    }
}

//! Which tokens prove an identity.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh_ca::{
    AttestError,
    attest::{MAX_TOKEN_LEN, TokenAttestor, TokenIssuer},
};
use mesh_core::identity::TrustDomain;
use mesh_tls::TlsContext;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

const HOUR: Duration = Duration::from_secs(3600);
/// A moment long ago, at which the clock of these tests stands.
const NOW: u64 = 1_000_000_000;

#[derive(Debug)]
struct StoppedClock(u64);

impl TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

fn at(seconds: u64) -> TlsContext {
    TlsContext::aws_lc().with_clock(Arc::new(StoppedClock(seconds)))
}

fn refusal(attestor: &TokenAttestor, token: &str) -> String {
    match attestor.verify(token).unwrap_err() {
        AttestError::Token(reason) => reason,
        error => panic!("{error}"),
    }
}

#[test]
fn a_token_names_a_service_account() {
    let issuer = TokenIssuer::generate("local", at(NOW)).unwrap();
    let token = issuer.mint("default", "web", HOUR).unwrap();
    let attestor = issuer.attestor(TrustDomain::default());
    let identity = attestor.verify(&token).unwrap();
    assert_eq!(
        identity.as_str(),
        "spiffe://cluster.local/ns/default/sa/web"
    );
}

#[test]
fn a_token_of_somebody_else_is_refused() {
    let issuer = TokenIssuer::generate("local", at(NOW)).unwrap();
    let attestor = issuer.attestor(TrustDomain::default());
    let other_key = TokenIssuer::generate("local", at(NOW)).unwrap();
    let token = other_key.mint("default", "web", HOUR).unwrap();
    assert_eq!(refusal(&attestor, &token), "InvalidSignature");
}

#[test]
fn names_that_make_no_identity_are_refused() {
    let issuer = TokenIssuer::generate("local", at(NOW)).unwrap();
    let attestor = issuer.attestor(TrustDomain::default());
    for (namespace, account) in [
        ("", "web"),
        ("a", ""),
        ("a", "b:c"),
        ("a", "../b"),
        ("a/b", "c"),
    ] {
        let token = issuer.mint(namespace, account, HOUR).unwrap();
        let reason = refusal(&attestor, &token);
        assert!(
            reason.starts_with("its subject makes no identity"),
            "{reason}"
        );
    }
}

/// Claims as JSON, signed with the right key: each case is what a mesh's own issuer never makes.
#[test]
fn claims() {
    let key = rcgen::KeyPair::generate().unwrap();
    let sign = |claims: &str, algorithm: Algorithm| {
        let claims: Claims = parse(claims);
        let key = match algorithm {
            Algorithm::HS256 => EncodingKey::from_secret(key.public_key_raw()),
            _ => EncodingKey::from_ec_der(&key.serialize_der()),
        };
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap()
    };
    let attestor = TokenAttestor::new(
        "local",
        key.public_key_raw(),
        TrustDomain::default(),
        at(NOW),
    );
    let good = format!(
        "iss=local sub=system:serviceaccount:a:b aud=istio-ca exp={}",
        NOW + 60
    );
    assert!(attestor.verify(&sign(&good, Algorithm::ES256)).is_ok());

    let check = |claims: &str, want: &str| {
        assert_eq!(
            refusal(&attestor, &sign(claims, Algorithm::ES256)),
            want,
            "{claims}"
        );
    };
    check(&good.replace("iss=local", "iss=other"), "InvalidIssuer");
    check(
        &good.replace("aud=istio-ca", "aud=other"),
        "InvalidAudience",
    );
    check(
        &good.replace("system:serviceaccount:a:b", "a"),
        "its subject is not a service account",
    );
    check(
        &good.replace("serviceaccount:a:b", "node:a"),
        "its subject is not a service account",
    );
    let expired = format!("exp={}", NOW - 31);
    check(
        &good.replace(&format!("exp={}", NOW + 60), &expired),
        "it has expired",
    );
    check(&format!("{good} nbf={}", NOW + 31), "it is not valid yet");

    // The public key is no secret: a token that uses it as one is a forgery.
    assert_eq!(
        refusal(&attestor, &sign(&good, Algorithm::HS256)),
        "InvalidAlgorithm"
    );
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    assert!(attestor.verify(unsigned).is_err());
    assert!(attestor.verify("").is_err());
    let long = "a".repeat(MAX_TOKEN_LEN + 1);
    assert_eq!(refusal(&attestor, &long), "it is longer than 16384 bytes");
}

#[test]
fn clocks_may_differ_a_little() {
    let issuer = TokenIssuer::generate("local", at(NOW)).unwrap();
    let token = issuer.mint("default", "web", HOUR).unwrap();
    let check = |seconds: u64, want: bool| {
        let attestor = issuer
            .attestor(TrustDomain::default())
            .with_context(at(seconds));
        assert_eq!(attestor.verify(&token).is_ok(), want, "at {seconds}");
    };
    check(NOW - 31, false);
    check(NOW - 30, true);
    check(NOW + 3600 + 29, true);
    check(NOW + 3600 + 30, false);
}

#[test]
fn keys_are_not_printed() {
    let issuer = TokenIssuer::generate("local", at(NOW)).unwrap();
    let text = format!("{issuer:?}");
    assert_eq!(text, r#"TokenIssuer { issuer: "local", key: "(secret)" }"#);
    let token = issuer.mint("default", "web", HOUR).unwrap();
    let evidence = mesh_ca::Evidence {
        token: Some(&token),
        peer: None,
    };
    assert!(!format!("{evidence:?}").contains(&token));
}

#[derive(serde::Serialize, Default)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
}

fn parse(text: &str) -> Claims {
    let mut claims = Claims::default();
    for (name, value) in text.split(' ').filter_map(|pair| pair.split_once('=')) {
        match name {
            "iss" => claims.iss = value.to_owned(),
            "sub" => claims.sub = value.to_owned(),
            "aud" => claims.aud = value.to_owned(),
            "exp" => claims.exp = value.parse().unwrap(),
            "nbf" => claims.nbf = Some(value.parse().unwrap()),
            _ => panic!("{name}"),
        }
    }
    claims
}

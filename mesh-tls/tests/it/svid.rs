//! The corpus: certificates that follow the X.509-SVID rules, and one for each way to break them.
//!
//! All chains lead to a believed root, so that a rule is the only thing that can refuse them.

use std::time::{Duration, SystemTime};

use mesh_core::identity::{SpiffeId, SpiffeIdError, TrustDomainError};
use mesh_tls::{
    CertificateDer, ExpectedIdentities, PeerRole, SvidVerifier, TlsContext, TrustBundles,
    VerifyError,
    svid::{self, BrokenRule},
};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
};

use crate::mint::{DNS, KEY_USAGE, Signer, URI, extension, names};

const GOOD: &str = "spiffe://td/ns/default/sa/web";

fn verify(
    bundles: TrustBundles,
    expected: ExpectedIdentities,
    chain: &[CertificateDer<'_>],
) -> Result<SpiffeId, VerifyError> {
    let verifier = SvidVerifier::new(bundles, expected, TlsContext::aws_lc().provider());
    let as_client = verifier.verify(chain, PeerRole::Client, SystemTime::now());
    let as_server = verifier.verify(chain, PeerRole::Server, SystemTime::now());
    // With several things wrong, each role may come upon another one first.
    assert_eq!(
        as_client.is_ok(),
        as_server.is_ok(),
        "both roles judge alike"
    );
    as_client
}

#[track_caller]
fn check(what: &str, alter: impl FnOnce(&mut CertificateParams), want: Result<(), BrokenRule>) {
    let root = Signer::root();
    let (leaf, _) = root.leaf(GOOD, alter);
    let got = verify(root.bundles("td"), ExpectedIdentities::Any, &[leaf]).map(drop);
    assert_eq!(got, want.map_err(VerifyError::Leaf), "{what}");
}

#[track_caller]
fn check_uri(uri: &[u8], want: Result<(), SpiffeIdError>) {
    let what = String::from_utf8_lossy(uri);
    let alter = |params: &mut CertificateParams| {
        params.custom_extensions = vec![names(&[(URI, uri)], true)];
    };
    check(&what, alter, want.map_err(BrokenRule::Identity));
}

#[test]
fn certificates_that_follow_the_rules() {
    check("plain", |_| {}, Ok(()));
    let uri_and_dns = names(&[(DNS, b"web"), (URI, GOOD.as_bytes())], true);
    check(
        "a DNS name besides",
        |p| p.custom_extensions = vec![uri_and_dns],
        Ok(()),
    );
    check(
        "no extended key usage",
        |p| p.extended_key_usages.clear(),
        Ok(()),
    );
    check(
        "key agreement besides",
        |p| p.key_usages.push(KeyUsagePurpose::KeyAgreement),
        Ok(()),
    );
    check(
        "declared to be a leaf",
        |p| p.is_ca = IsCa::ExplicitNoCa,
        Ok(()),
    );
    let not_critical = names(&[(URI, GOOD.as_bytes())], false);
    let with_subject = |p: &mut CertificateParams| {
        p.distinguished_name.push(DnType::CommonName, "web");
        p.custom_extensions = vec![not_critical];
    };
    check("a subject, and names not critical", with_subject, Ok(()));
}

#[test]
fn exactly_one_uri() {
    let two = [(URI, GOOD.as_bytes()), (URI, b"spiffe://td/other")];
    let same = [(URI, GOOD.as_bytes()), (URI, GOOD.as_bytes())];
    let web_second = [(URI, GOOD.as_bytes()), (URI, b"https://td/x")];
    let web_first = [(URI, &b"https://td/x"[..]), (URI, GOOD.as_bytes())];
    let check_names = |what, list: &[(u8, &[u8])], count| {
        let alter = |p: &mut CertificateParams| p.custom_extensions = vec![names(list, true)];
        check(what, alter, Err(BrokenRule::OneUri(count)));
    };
    check_names("two SPIFFE URIs", &two, 2);
    check_names("one URI twice", &same, 2);
    check_names("SPIFFE, then https", &web_second, 2);
    check_names("https, then SPIFFE", &web_first, 2);
    check_names("DNS only", &[(DNS, b"web")], 0);
    check(
        "no names",
        |p| p.custom_extensions.clear(),
        Err(BrokenRule::OneUri(0)),
    );
}

#[test]
fn grammar_of_the_identity() {
    use SpiffeIdError::*;
    let domain = |error| Err(TrustDomain(error));
    check_uri(b"spiffe://td/x", Ok(()));
    check_uri(b"", Err(Scheme));
    check_uri(b"https://td/x", Err(Scheme));
    check_uri(b"SPIFFE://td/x", Err(Scheme));
    check_uri(b"spiffe:/td/x", Err(Scheme));
    check_uri(b"spiffe://td", Err(NoPath));
    check_uri(b"spiffe://td/", Err(NoPath));
    check_uri(b"spiffe://td/x/", Err(EmptySegment));
    check_uri(b"spiffe://td//x", Err(EmptySegment));
    check_uri(b"spiffe://td/./x", Err(RelativeSegment));
    check_uri(b"spiffe://td/x/..", Err(RelativeSegment));
    check_uri(b"spiffe://td/a%2fb", Err(Character('%')));
    check_uri(b"spiffe://td/x?q=1", Err(Character('?')));
    check_uri(b"spiffe://td/x#f", Err(Character('#')));
    check_uri(b"spiffe://td/~x", Err(Character('~')));
    check_uri(b"spiffe://td/x y", Err(Character(' ')));
    check_uri(b"spiffe://td/x\0.evil", Err(Character('\0')));
    check_uri(b"spiffe://TD/x", domain(TrustDomainError::Character('T')));
    check_uri(
        b"spiffe://td:443/x",
        domain(TrustDomainError::Character(':')),
    );
    check_uri(
        b"spiffe://user@td/x",
        domain(TrustDomainError::Character('@')),
    );
    check_uri(b"spiffe:///x", domain(TrustDomainError::Empty));
    let long_domain = format!("spiffe://{}/x", "a".repeat(256));
    check_uri(long_domain.as_bytes(), domain(TrustDomainError::TooLong));
    let longest = format!("spiffe://td/{}", "a".repeat(2048 - 12));
    check_uri(longest.as_bytes(), Ok(()));
    check_uri(format!("{longest}a").as_bytes(), Err(TooLong));
}

#[test]
fn malformed_certificates() {
    #[track_caller]
    fn check_malformed(chain: &[CertificateDer<'_>], bundles: TrustBundles) {
        let error = verify(bundles, ExpectedIdentities::Any, chain).unwrap_err();
        let VerifyError::Leaf(BrokenRule::Malformed(_)) = error else {
            panic!("{error}");
        };
    }
    let root = Signer::root();
    let (leaf, _) = root.leaf(GOOD, |p| {
        p.custom_extensions = vec![names(&[(URI, b"spiffe://td/\xff")], true)];
    });
    check_malformed(&[leaf], root.bundles("td"));
    let (leaf, _) = root.leaf(GOOD, |p| {
        p.custom_extensions
            .push(names(&[(URI, b"spiffe://td/other")], true));
    });
    check_malformed(&[leaf], root.bundles("td"));
    let (leaf, _) = root.leaf(GOOD, |_| {});
    let trailing = CertificateDer::from([&leaf[..], b"x"].concat());
    check_malformed(&[trailing], root.bundles("td"));
    check_malformed(&[CertificateDer::from(&leaf[..100])], root.bundles("td"));
    check_malformed(&[CertificateDer::from(&b""[..])], root.bundles("td"));
}

#[test]
fn what_a_leaf_may_do() {
    use BrokenRule::*;
    let authority = IsCa::Ca(BasicConstraints::Unconstrained);
    check(
        "an authority",
        |p| p.is_ca = authority,
        Err(LeafIsAuthority),
    );
    let usage = |usage| move |p: &mut CertificateParams| p.key_usages.push(usage);
    check(
        "keyCertSign",
        usage(KeyUsagePurpose::KeyCertSign),
        Err(LeafSignsCertificates),
    );
    check(
        "cRLSign",
        usage(KeyUsagePurpose::CrlSign),
        Err(LeafSignsRevocationLists),
    );
    check("no key usage", |p| p.key_usages.clear(), Err(NoKeyUsage));
    let other = |p: &mut CertificateParams| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    check("no digitalSignature", other, Err(NoDigitalSignature));
    // The bit string 0b1: digitalSignature.
    let lax = extension(&KEY_USAGE, vec![3, 2, 7, 0x80], false);
    let not_critical = |p: &mut CertificateParams| {
        p.key_usages.clear();
        p.custom_extensions.push(lax);
    };
    check(
        "key usage not critical",
        not_critical,
        Err(KeyUsageNotCritical),
    );
    let only = |usage| move |p: &mut CertificateParams| p.extended_key_usages = vec![usage];
    check(
        "serverAuth only",
        only(ExtendedKeyUsagePurpose::ServerAuth),
        Err(HalfExtendedKeyUsage),
    );
    check(
        "clientAuth only",
        only(ExtendedKeyUsagePurpose::ClientAuth),
        Err(HalfExtendedKeyUsage),
    );
    check(
        "codeSigning only",
        only(ExtendedKeyUsagePurpose::CodeSigning),
        Err(HalfExtendedKeyUsage),
    );
    let lax = names(&[(URI, GOOD.as_bytes())], false);
    check(
        "names not critical",
        |p| p.custom_extensions = vec![lax],
        Err(NamesNotCritical),
    );
}

#[test]
fn what_a_signer_must_be() {
    #[track_caller]
    fn check_signer(
        what: &str,
        alter: impl FnOnce(&mut CertificateParams),
        want: Result<(), BrokenRule>,
    ) {
        let root = Signer::root();
        let between = root.intermediate(alter);
        let chain = [between.leaf(GOOD, |_| {}).0, between.certificate];
        let got = verify(root.bundles("td"), ExpectedIdentities::Any, &chain).map(drop);
        assert_eq!(got, want.map_err(VerifyError::Signer), "{what}");
    }
    let named = |uri: &'static str| {
        |p: &mut CertificateParams| {
            p.custom_extensions = vec![names(&[(URI, uri.as_bytes())], false)];
        }
    };
    check_signer("plain", |_| {}, Ok(()));
    check_signer("named as its trust domain", named("spiffe://td"), Ok(()));
    check_signer("named with a slash", named("spiffe://td/"), Ok(()));
    check_signer(
        "named with a path",
        named(GOOD),
        Err(BrokenRule::SignerHasPath),
    );
    let upper_case = BrokenRule::SignerIdentity(TrustDomainError::Character('T'));
    check_signer("malformed name", named("spiffe://Td"), Err(upper_case));
    check_signer(
        "a leaf",
        |p| p.is_ca = IsCa::NoCa,
        Err(BrokenRule::SignerIsNoAuthority),
    );
    let other = |p: &mut CertificateParams| p.key_usages = vec![KeyUsagePurpose::CrlSign];
    check_signer("no keyCertSign", other, Err(BrokenRule::SignerCannotSign));
    check_signer(
        "no key usage",
        |p| p.key_usages.clear(),
        Err(BrokenRule::SignerCannotSign),
    );
}

#[test]
fn a_signer_never_authenticates() {
    let root = Signer::root();
    let signer = root.intermediate(|p| {
        p.key_usages.push(KeyUsagePurpose::DigitalSignature);
        p.custom_extensions = vec![names(&[(URI, b"spiffe://td/ca")], true)];
    });
    let chain = [signer.certificate];
    let got = verify(root.bundles("td"), ExpectedIdentities::Any, &chain);
    assert_eq!(got, Err(VerifyError::Leaf(BrokenRule::LeafIsAuthority)));
}

#[test]
fn chains_and_time() {
    let id: SpiffeId = GOOD.parse().unwrap();
    let root = Signer::root();
    let check = |what: &str,
                 signer: &Signer,
                 alter: fn(&mut CertificateParams),
                 want: fn(&VerifyError) -> bool| {
        let (leaf, _) = signer.leaf(GOOD, alter);
        let error = verify(root.bundles("td"), ExpectedIdentities::Any, &[leaf]).unwrap_err();
        assert!(want(&error), "{what}: {error}");
    };
    let past = |p: &mut CertificateParams| {
        p.not_after = (SystemTime::now() - Duration::from_secs(5)).into()
    };
    let future = |p: &mut CertificateParams| {
        p.not_before = (SystemTime::now() + Duration::from_secs(60)).into()
    };
    check("expired", &root, past, |e| {
        matches!(e, VerifyError::Expired(_))
    });
    check("early", &root, future, |e| {
        matches!(e, VerifyError::NotYetValid(_))
    });
    check(
        "another root of the same name",
        &Signer::root(),
        |_| {},
        |e| matches!(e, VerifyError::Chain { .. }),
    );

    let (leaf, _) = root.leaf(GOOD, |_| {});
    let foreign = verify(root.bundles("other"), ExpectedIdentities::Any, &[leaf]).unwrap_err();
    assert_eq!(
        foreign,
        VerifyError::UnknownTrustDomain(id.trust_domain().clone())
    );
    let nobody = verify(root.bundles("td"), ExpectedIdentities::Any, &[]).unwrap_err();
    assert_eq!(nobody, VerifyError::NoCertificate);
}

/// The root of one trust domain cannot make identities of another, although both are believed.
#[test]
fn each_trust_domain_speaks_for_itself() {
    let (ours, theirs) = (Signer::root(), Signer::root());
    let bundles = ours
        .bundles("td")
        .with("other".parse().unwrap(), vec![theirs.certificate.clone()])
        .unwrap();
    let check = |signer: &Signer, uri: &str, want: bool| {
        let (leaf, _) = signer.leaf(uri, |_| {});
        let got = verify(bundles.clone(), ExpectedIdentities::Any, &[leaf]);
        assert_eq!(got.is_ok(), want, "{uri}");
    };
    check(&ours, "spiffe://td/x", true);
    check(&theirs, "spiffe://other/x", true);
    check(&theirs, "spiffe://td/x", false);
    check(&ours, "spiffe://other/x", false);
}

#[test]
fn only_who_was_expected() {
    let root = Signer::root();
    let (leaf, _) = root.leaf(GOOD, |_| {});
    let check = |expected: ExpectedIdentities, want: bool| {
        let got = verify(
            root.bundles("td"),
            expected.clone(),
            std::slice::from_ref(&leaf),
        );
        assert_eq!(got.is_ok(), want, "{expected}");
        if let Err(error) = got {
            assert!(matches!(error, VerifyError::Unexpected { .. }), "{error}");
        }
    };
    let id = |text: &str| text.parse::<SpiffeId>().unwrap();
    check(ExpectedIdentities::exactly(id(GOOD)), true);
    check(
        ExpectedIdentities::exactly(id("spiffe://td/ns/default/sa/web2")),
        false,
    );
    check(
        ExpectedIdentities::exactly(id("spiffe://td/ns/default/sa")),
        false,
    );
    check(ExpectedIdentities::OneOf([].into()), false);
    check(
        ExpectedIdentities::OneOf([id("spiffe://td/x"), id(GOOD)].into()),
        true,
    );
    check(
        ExpectedIdentities::TrustDomains(["td".parse().unwrap()].into()),
        true,
    );
    check(
        ExpectedIdentities::TrustDomains(["t".parse().unwrap()].into()),
        false,
    );
    check(ExpectedIdentities::TrustDomains([].into()), false);
}

/// A root that may not sign is refused when the bundle is made.
#[test]
fn roots_follow_the_rules_for_signers() {
    let check = |alter: fn(&mut CertificateParams), want: bool| {
        let root = Signer::root_with(alter);
        let bundle = TrustBundles::empty().with("td".parse().unwrap(), vec![root.certificate]);
        assert_eq!(bundle.is_ok(), want);
    };
    check(|_| {}, true);
    check(|p| p.is_ca = IsCa::NoCa, false);
    check(|p| p.key_usages = vec![KeyUsagePurpose::CrlSign], false);
    check(
        |p| p.custom_extensions = vec![names(&[(URI, GOOD.as_bytes())], false)],
        false,
    );
}

proptest! {
    /// No change to a certificate makes another identity of it.
    #[test]
    fn a_changed_certificate_is_nobody_else(at in 0usize..600, bit in 0u8..8) {
        let root = Signer::root();
        let (leaf, _) = root.leaf(GOOD, |_| {});
        let mut der = leaf.to_vec();
        let at = at % der.len();
        der[at] ^= 1 << bit;
        let got = verify(root.bundles("td"), ExpectedIdentities::Any, &[der.into()]);
        prop_assert!(got.is_err() || got == Ok(GOOD.parse().unwrap()));
    }

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(svid::identity_of(&bytes.clone().into()).is_err());
        prop_assert!(svid::check_signer(&bytes.into()).is_err());
    }
}

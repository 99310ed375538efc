//! What an authority issues, takes up and keeps.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use mesh_ca::{
    Authority, AuthorityError, AuthorityPem, Csr, DirectoryStore, IssuancePolicy, IssueError,
    Issued, KeyStore, MemoryStore, StoreError,
};
use mesh_core::identity::{SpiffeId, TrustDomain};
use mesh_tls::{ExpectedIdentities, LeafFacts, PeerRole, SvidVerifier, TlsContext};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn cluster_local() -> TrustDomain {
    TrustDomain::default()
}

fn web() -> SpiffeId {
    "spiffe://cluster.local/ns/default/sa/web".parse().unwrap()
}

fn take_up(pem: &AuthorityPem) -> Result<Authority, AuthorityError> {
    let policy = IssuancePolicy::default();
    Authority::new(cluster_local(), pem, policy, TlsContext::aws_lc())
}

fn made() -> AuthorityPem {
    Authority::generate(&cluster_local(), &TlsContext::aws_lc()).unwrap()
}

/// A request that asks for much more than it will get.
fn greedy_request() -> Csr {
    let mut params = CertificateParams::new(["admin.example".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "the administrator");
    let other = "spiffe://cluster.local/ns/kube-system/sa/admin";
    params
        .subject_alt_names
        .push(SanType::URI(other.try_into().unwrap()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let request = params.serialize_request(&KeyPair::generate().unwrap());
    Csr::from_der(request.unwrap().der()).unwrap()
}

fn verify(authority: &Authority, issued: &Issued) {
    let provider = TlsContext::aws_lc();
    let expected = ExpectedIdentities::exactly(issued.identity.clone());
    SvidVerifier::new(authority.bundles().clone(), expected, provider.provider())
        .verify(&issued.chain, PeerRole::Client, SystemTime::now())
        .unwrap();
}

#[test]
fn a_leaf_has_what_the_rules_say_and_nothing_the_request_says() {
    let authority = take_up(&made()).unwrap();
    let issued = authority.issue(&greedy_request(), &web(), None).unwrap();
    verify(&authority, &issued);

    let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    assert!(!leaf.is_ca());
    assert_eq!(leaf.subject().to_string(), "");
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(
        usage.critical && usage.value.flags == 1,
        "digitalSignature alone"
    );
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && extended.other.is_empty());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical && names.value.general_names.len() == 1);
    assert_eq!(
        LeafFacts::of(&issued.chain[0]).unwrap().uris,
        [web().as_str()]
    );

    let again = authority.issue(&greedy_request(), &web(), None).unwrap();
    let serial = |issued: &Issued| LeafFacts::of(&issued.chain[0]).unwrap().serial;
    assert_ne!(serial(&issued), serial(&again));
    assert_eq!(serial(&issued).len(), 32, "126 bits in 16 bytes");
}

#[test]
fn lifetimes() {
    let authority = take_up(&made()).unwrap();
    let check = |asked: Option<Duration>, want: Duration| {
        let issued = authority.issue(&greedy_request(), &web(), asked).unwrap();
        let facts = LeafFacts::of(&issued.chain[0]).unwrap();
        let now = SystemTime::now();
        let near = |moment: SystemTime, want: SystemTime| {
            let apart = moment
                .duration_since(want)
                .unwrap_or_else(|early| early.duration());
            assert!(apart < Duration::from_secs(5), "{asked:?}");
        };
        near(facts.not_before, now - Duration::from_secs(120));
        near(facts.not_after, now + want);
    };
    check(None, DAY);
    check(Some(DAY / 24), DAY / 24);
    check(Some(DAY * 365), DAY * 90);
}

#[test]
fn nothing_outlives_its_issuer() {
    let (pem, expires) = with_root(|params| {
        params.not_after = (SystemTime::now() + DAY / 2).into();
    });
    let authority = take_up(&pem).unwrap();
    let issued = authority.issue(&greedy_request(), &web(), None).unwrap();
    assert_eq!(LeafFacts::of(&issued.chain[0]).unwrap().not_after, expires);
    assert_eq!(issued.expires, expires);
}

#[test]
fn foreign_identities_are_refused() {
    let authority = take_up(&made()).unwrap();
    let foreign = "spiffe://other/ns/default/sa/web".parse().unwrap();
    let error = authority.issue(&greedy_request(), &foreign, None);
    assert!(matches!(error, Err(IssueError::ForeignTrustDomain { .. })));
}

/// Istio's `cacerts` with an intermediate: the chain leads over it, the root stays at home.
#[test]
fn an_intermediate_signs() {
    let pem = with_intermediate();
    let authority = take_up(&pem).unwrap();
    let issued = authority.issue(&greedy_request(), &web(), None).unwrap();
    assert_eq!((issued.chain.len(), issued.roots.len()), (2, 1));
    assert_eq!(issued.to_pem().len(), 3);
    verify(&authority, &issued);
}

#[test]
fn parts_that_do_not_fit() {
    let check = |what: &str, pem: AuthorityPem, want: fn(&AuthorityError) -> bool| {
        let error = take_up(&pem).unwrap_err();
        assert!(want(&error), "{what}: {error}");
    };
    let (ours, theirs) = (made(), made());
    let change = |change: fn(&mut AuthorityPem, &AuthorityPem)| {
        let mut pem = ours.clone();
        change(&mut pem, &theirs);
        pem
    };
    use AuthorityError::*;
    let other_key = change(|pem, other| pem.ca_key = other.ca_key.clone());
    check("another key", other_key, |e| matches!(e, KeyMismatch));
    let no_key = change(|pem, _| *pem.ca_key = "hello".to_owned());
    check("no key", no_key, |e| matches!(e, Key));
    let other_root = change(|pem, other| pem.root_cert = other.root_cert.clone());
    check("another root", other_root, |e| matches!(e, Unusable(_)));
    let no_root = change(|pem, _| pem.root_cert.clear());
    check("no root", no_root, |e| {
        matches!(
            e,
            Certificate {
                file: "root-cert.pem",
                ..
            }
        )
    });
    let no_certificate = change(|pem, _| pem.ca_cert.clear());
    check("no certificate", no_certificate, |e| {
        matches!(
            e,
            Certificate {
                file: "ca-cert.pem",
                ..
            }
        )
    });
    let (leaf, _) = with_root(|params| params.is_ca = IsCa::ExplicitNoCa);
    check("a leaf", leaf, |e| matches!(e, Roots(_)));
    let (past, _) = with_root(|params| params.not_after = (SystemTime::now() - DAY).into());
    check("expired", past, |e| matches!(e, Issue(_)));
}

#[test]
fn an_authority_is_kept() {
    let directory = Directory::new();
    let stores: [Box<dyn KeyStore>; 2] = [
        Box::new(MemoryStore::default()),
        Box::new(DirectoryStore::new(directory.0.join("cacerts"))),
    ];
    for store in stores {
        assert!(store.load().unwrap().is_none());
        let authority = made();
        store.save(&authority).unwrap();
        let kept = store.load().unwrap().unwrap();
        assert_eq!(kept.root_cert, authority.root_cert);
        assert_eq!(kept.ca_key, authority.ca_key);
        take_up(&kept).unwrap();
        assert!(matches!(store.save(&made()), Err(StoreError::Exists)));
    }
    let kept = directory.0.join("cacerts");
    let names: Vec<_> = fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert_eq!(names.len(), 4, "nothing is left lying about");
    for file in names {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn an_interrupted_save_is_taken_up_again() {
    let directory = Directory::new();
    fs::write(directory.0.join("ca-cert.pem"), "half").unwrap();
    fs::write(directory.0.join("ca-key.pem.new"), "half").unwrap();
    let store = DirectoryStore::new(&directory.0);
    assert!(store.load().unwrap().is_none());
    store.save(&made()).unwrap();
    take_up(&store.load().unwrap().unwrap()).unwrap();
}

#[test]
fn keys_are_not_printed() {
    let pem = made();
    let secret = pem.ca_key.lines().nth(1).unwrap();
    let store = MemoryStore::default();
    store.save(&pem).unwrap();
    let printed = [
        format!("{pem:?}"),
        format!("{store:?}"),
        format!("{:?}", take_up(&pem).unwrap()),
    ];
    for text in printed {
        assert!(!text.contains(secret), "{text}");
    }
}

fn with_root(alter: impl FnOnce(&mut CertificateParams)) -> (AuthorityPem, SystemTime) {
    let key = KeyPair::generate().unwrap();
    let mut params = signer_params();
    alter(&mut params);
    let root = params.self_signed(&key).unwrap();
    let expires = LeafFacts::of(root.der()).unwrap().not_after;
    let pem = AuthorityPem {
        ca_cert: root.pem(),
        ca_key: Zeroizing::new(key.serialize_pem()),
        cert_chain: String::new(),
        root_cert: root.pem(),
    };
    (pem, expires)
}

fn with_intermediate() -> AuthorityPem {
    let (root_params, root_key) = (signer_params(), KeyPair::generate().unwrap());
    let root = root_params.self_signed(&root_key).unwrap();
    let mut params = signer_params();
    params
        .distinguished_name
        .push(DnType::CommonName, "between");
    let key = KeyPair::generate().unwrap();
    let between = params
        .signed_by(&key, &Issuer::new(root_params, root_key))
        .unwrap();
    AuthorityPem {
        ca_cert: between.pem(),
        ca_key: Zeroizing::new(key.serialize_pem()),
        cert_chain: between.pem() + &root.pem(),
        root_cert: root.pem(),
    }
}

fn signer_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// A directory that is there for one test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mesh-ca-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

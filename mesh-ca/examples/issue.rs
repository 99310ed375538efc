//! Makes an authority, issues an identity to a key, and verifies what was issued.
//!
//! `cargo run -p mesh-ca --example issue`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use mesh_ca::{Authority, Csr, IssuancePolicy};
use mesh_core::identity::{SpiffeId, TrustDomain};
use mesh_tls::{ExpectedIdentities, LeafFacts, PeerRole, SvidVerifier, TlsContext};
use rcgen::{CertificateParams, KeyPair};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let context = TlsContext::aws_lc();
    let trust_domain = TrustDomain::default();
    let pem = Authority::generate(&trust_domain, &context)?;
    let policy = IssuancePolicy::default();
    let authority = Authority::new(trust_domain, &pem, policy, context.clone())?;
    println!("An authority speaks for {}.", authority.trust_domain());

    // The workload: a key of its own, and a request that claims to be somebody important.
    let key = KeyPair::generate()?;
    let request = CertificateParams::new(["admin.example".to_owned()])?.serialize_request(&key)?;
    let csr = Csr::from_pem(&request.pem()?)?;

    // Who it really is has been found out by an attestor; here we just say so.
    let reviews: SpiffeId = "spiffe://cluster.local/ns/default/sa/bookinfo-reviews".parse()?;
    let issued = authority.issue(&csr, &reviews, None)?;
    let facts = LeafFacts::of(&issued.chain[0])?;
    println!(
        "It issued serial {} to {}.",
        facts.serial,
        facts.uris.join(", ")
    );
    println!("Valid for {} h.", facts.lifetime().as_secs() / 3600);

    let verify = |expected: &SpiffeId| {
        let expected = ExpectedIdentities::exactly(expected.clone());
        SvidVerifier::new(authority.bundles().clone(), expected, context.provider()).verify(
            &issued.chain,
            PeerRole::Server,
            context.now(),
        )
    };
    println!("\nWho expects reviews:  {}", verify(&reviews)?);
    let ratings: SpiffeId = "spiffe://cluster.local/ns/default/sa/bookinfo-ratings".parse()?;
    if let Err(error) = verify(&ratings) {
        println!("Who expects ratings:  refused, {error}");
    }
    Ok(())
}

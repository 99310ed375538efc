//! Credentials in PEM files.

use std::{fs, path::PathBuf, sync::Arc};

use mesh_tls::{Credentials, CredentialsFiles, SourceError, TlsContext};
use rcgen::KeyPair;

use crate::mint::Signer;

const WEB: &str = "spiffe://td/web";

/// Three files that belong together, in a directory that is there for one test.
struct Directory {
    path: PathBuf,
    root: Signer,
}

impl Directory {
    fn new(test: &str) -> Self {
        let name = format!("mesh-tls-test-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        let root = Signer::root();
        let directory = Self { path, root };
        let (leaf, key) = directory.root.leaf(WEB, |_| {});
        directory.write("cert-chain.pem", &pem(&leaf));
        directory.write("key.pem", &key.serialize_pem());
        directory.write("root-cert.pem", &pem(&directory.root.certificate));
        directory
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path.join(name), text).unwrap();
    }

    fn load(&self) -> Result<Credentials, SourceError> {
        let provider = Arc::clone(TlsContext::aws_lc().provider());
        CredentialsFiles::in_directory(&self.path, provider).load()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[test]
fn files_that_belong_together() {
    let directory = Directory::new("together");
    let credentials = directory.load().unwrap();
    assert_eq!(credentials.identity().as_str(), WEB);
    assert_eq!(*credentials.bundles(), directory.root.bundles("td"));
}

#[test]
fn files_that_do_not() {
    let check = |name: &str, text: &str, want: &str| {
        let directory = Directory::new(&format!("broken-{}", want.len()));
        directory.write(name, text);
        let error = directory.load().unwrap_err();
        assert!(matches!(error, SourceError::Unusable(_)), "{error}");
        assert!(error.to_string().contains(want), "{error}");
    };
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    check("key.pem", &other_key, "the private key does not fit");
    check("key.pem", "", "there is no private key");
    check("cert-chain.pem", "", "there is no certificate");
    let half = "-----BEGIN CERTIFICATE-----\nMIIB\n";
    check("cert-chain.pem", half, "PEM text is malformed");
    let root = Signer::root();
    check("cert-chain.pem", &pem(&root.certificate), "does not fit");
    let (leaf, _) = root.leaf(WEB, |_| {});
    check(
        "root-cert.pem",
        &pem(&leaf),
        "the trust bundle cannot be used: root 0",
    );
}

#[test]
fn files_that_are_not_there() {
    let directory = Directory::new("missing");
    fs::remove_file(directory.path.join("key.pem")).unwrap();
    let error = directory.load().unwrap_err();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("key.pem"), "{error}");
}

fn pem(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", der))
}

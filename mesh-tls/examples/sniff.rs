//! Looks into the first bytes of TLS and HTTP connections.
//!
//! `cargo run -p mesh-tls --example sniff`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::sync::Arc;

use mesh_tls::{Sniff, sniff, sniff::sniff_http};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hello = client_hello("reviews.default.svc.cluster.local", &["h2", "http/1.1"])?;
    println!("A ClientHello of {} bytes arrives.", hello.len());
    for seen in [1, 5, hello.len() / 2, hello.len()] {
        println!("  after {seen:>4} bytes: {}", describe(&hello[..seen]));
    }

    let dripped = one_byte_records(&hello);
    println!(
        "\nThe same in records of one byte, {} bytes in all.",
        dripped.len()
    );
    for seen in [6, dripped.len() - 1, dripped.len()] {
        println!("  after {seen:>4} bytes: {}", describe(&dripped[..seen]));
    }

    println!("\nAnd what is not TLS:");
    let others = [
        "GET /productpage HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for text in others {
        println!("  {text:<32?} {}", describe(text.as_bytes()));
    }
    Ok(())
}

fn describe(bytes: &[u8]) -> String {
    match sniff(bytes) {
        Sniff::NeedMore => "need more".to_owned(),
        Sniff::Plaintext => format!("plaintext, {:?}", sniff_http(bytes)),
        Sniff::Tls(hello) => {
            let name = hello.server_name.as_deref().unwrap_or("nobody");
            let offered = hello.alpn.join(&b" and "[..]);
            format!("TLS for {name}, offering {}", offered.escape_ascii())
        }
    }
}

fn client_hello(name: &str, alpn: &[&str]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into()?)?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes)?;
    Ok(bytes)
}

fn one_byte_records(record: &[u8]) -> Vec<u8> {
    let (header, body) = record.split_at(5);
    body.iter()
        .flat_map(|&byte| [header[0], header[1], header[2], 0, 1, byte])
        .collect()
}

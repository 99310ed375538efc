use std::sync::Arc;

use proptest::prelude::*;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// What a real client sends first: one record with one ClientHello.
fn hello(server_name: &str, alpn: &[&str]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = server_name.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same message in records of at most `size` bytes.
fn fragmented(record: &[u8], size: usize) -> Vec<u8> {
    record[5..]
        .chunks(size)
        .flat_map(|chunk| {
            let length = u16::try_from(chunk.len()).unwrap().to_be_bytes();
            [&[22, 3, 1, length[0], length[1]], chunk].concat()
        })
        .collect()
}

#[test]
fn real_clients() {
    let check = |server_name: &str, alpn: &[&str], want_name: Option<&str>| {
        let want = Sniff::Tls(ClientHello {
            server_name: want_name.map(str::to_owned),
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
        });
        assert_eq!(sniff(&hello(server_name, alpn)), want);
    };
    let istio = "outbound_.9080_.v1_.reviews.default.svc.cluster.local";
    check(istio, &["istio-http/1.1", "istio", "http/1.1"], Some(istio));
    check("Example.COM", &["h2"], Some("example.com"));
    check("example.com", &[], Some("example.com"));
    check("127.0.0.1", &["h2"], None);
}

#[test]
fn bytes_that_are_not_tls() {
    let check = |bytes: &[u8], want| assert_eq!(sniff(bytes), want, "{bytes:?}");
    check(b"", Sniff::NeedMore);
    check(&[22], Sniff::NeedMore);
    check(&[22, 3], Sniff::NeedMore);
    check(&[22, 3, 1, 0, 9, 1], Sniff::NeedMore);
    check(b"GET / HTTP/1.1\r\n", Sniff::Plaintext);
    check(&[21, 3, 1], Sniff::Plaintext);
    check(&[22, 2], Sniff::Plaintext);
    check(&[22, 3, 9], Sniff::Plaintext);
    // A record without content, and one that is longer than any may be.
    check(&[22, 3, 1, 0, 0], Sniff::Plaintext);
    check(&[22, 3, 1, 0x40, 1], Sniff::Plaintext);
    // A ServerHello, and a ClientHello of 16 MiB.
    check(&[22, 3, 3, 0, 1, 2], Sniff::Plaintext);
    check(&[22, 3, 3, 0, 4, 1, 255, 255, 255], Sniff::Plaintext);
    // A ClientHello with nothing in it.
    check(&[22, 3, 3, 0, 4, 1, 0, 0, 0], Sniff::Plaintext);
}

#[test]
fn a_hello_that_never_ends_is_given_up() {
    let dripping: Vec<u8> = [22, 3, 1, 0, 1, 1]
        .into_iter()
        .chain([22, 3, 1, 0, 1, 0].into_iter().cycle())
        .take(MAX_SNIFF_LEN)
        .collect();
    assert_eq!(sniff(&dripping), Sniff::Plaintext);
}

#[test]
fn http() {
    use HttpSniff::*;
    let check = |text: &str, want| assert_eq!(sniff_http(text.as_bytes()), want, "{text:?}");
    check("", NeedMore);
    check("P", NeedMore);
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", NeedMore);
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Http2);
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12", Http2);
    check("PRI * HTTP/2.0\r\n\r\nXX", Other);
    check("G", NeedMore);
    check("GET", NeedMore);
    check("GET /a?b", NeedMore);
    check("GET /a HTT", NeedMore);
    check("GET /a HTTP/1.1\r\n", Http1);
    check("GET /a HTTP/1.0\r\n", Http1);
    check("\r\nGET /a HTTP/1.1\r\n", Http1);
    check("\r", NeedMore);
    check("POST http://a/b HTTP/1.1\r\n", Http1);
    check("CONNECT a:443 HTTP/1.1\r\n", Http1);
    check("M-SEARCH * HTTP/1.1\r\n", Http1);
    check("GET /a HTTP/0.9\r\n", Other);
    check("GET /a HTTP/2.0\r\n", Other);
    check("GET /a\r\n", Other);
    check("GET  HTTP/1.1\r\n", Other);
    check(" /a HTTP/1.1\r\n", Other);
    check("SSH-2.0-OpenSSH_9.2 Debian\r\n", Other);
    check("EHLO mail.example\r\n", Other);
    check("*1\r\n$4\r\nPING\r\n", Other);
    check("get foo bar\r\n", Other);
    check("\0\0\0\x04", Other);
    check(&format!("GET /{}", "a".repeat(MAX_SNIFF_LEN)), Http1);
    check(&"A".repeat(33), Other);
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = sniff(&bytes);
        let _ = sniff_http(&bytes);
    }

    #[test]
    fn any_damage_to_a_hello_is_survived(at in 0usize..300, byte: u8, cut in 0usize..300) {
        let mut bytes = hello("reviews.default.svc", &["h2", "http/1.1"]);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = sniff(&bytes);
        let _ = sniff(&bytes[..cut.min(bytes.len())]);
    }

    #[test]
    fn records_and_reads_do_not_matter(size in 1usize..600, cut in 0.0..1.0f64) {
        let whole = hello("reviews.default.svc", &["istio", "h2"]);
        let pieces = fragmented(&whole, size);
        prop_assume!(pieces.len() <= MAX_SNIFF_LEN);
        prop_assert_eq!(sniff(&pieces), sniff(&whole));
        let seen = (pieces.len() as f64 * cut) as usize;
        prop_assert_eq!(sniff(&pieces[..seen]), Sniff::NeedMore);
    }

    #[test]
    fn a_request_line_is_needed_to_its_version(
        method in "[A-Z]{1,17}", target in "/[!-~]{0,60}", minor in 0u8..2, cut in 0.0..1.0f64,
    ) {
        let line = format!("{method} {target} HTTP/1.{minor}\r\n");
        prop_assert_eq!(sniff_http(line.as_bytes()), HttpSniff::Http1);
        let decisive = line.len() - 3;
        let seen = (decisive as f64 * cut) as usize;
        prop_assert_eq!(sniff_http(&line.as_bytes()[..seen]), HttpSniff::NeedMore);
    }
}

use std::{fs, path::Path};

use mesh_core::dataplane::{Discovery, Terminal};

use super::*;

const PLAIN: &str = r#"
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: 9901 } }
node: { id: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", cluster: web.shop }
static_resources:
  listeners:
  - name: in
    address: { socket_address: { address: 127.0.0.1, port_value: 8080 } }
    tcp_backlog_size: 5
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: up
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 1s
"#;

#[test]
fn a_file_becomes_a_snapshot() {
    let bootstrap = Bootstrap::parse(PLAIN).unwrap();
    assert_eq!(bootstrap.admin, Some(([127, 0, 0, 1], 9901).into()));
    assert_eq!(bootstrap.node.unwrap().name, "web-1");
    let listener = &bootstrap.snapshot.listeners[0];
    assert!(
        matches!(&listener.filter_chains[0].terminal, Terminal::Tcp(tcp) if &*tcp.clusters[0].name == "up")
    );
    assert!(matches!(
        bootstrap.snapshot.clusters["up"].discovery,
        Discovery::Static(_)
    ));
    let ignored: Vec<_> = bootstrap.ignored.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(ignored, ["static_resources.listeners[0].tcp_backlog_size"]);
}

#[test]
fn what_is_wrong_is_said() {
    for (from, to, want) in [
        ("admin:", "admin: [", "not YAML"),
        ("stat_prefix: in", "stat_perfix: in", "stat_perfix"),
        (
            "connect_timeout: 1s",
            "connect_timeout: soon",
            "static_resources.clusters[0].connect_timeout",
        ),
        ("tcp_proxy.v3.TcpProxy", "tcp_proxy.v3.Nothing", "Nothing"),
        (
            "tcp_backlog_size: 5",
            "transparent: true",
            "static_resources.listeners[0].transparent",
        ),
    ] {
        let error = Bootstrap::parse(&PLAIN.replace(from, to))
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{to}: {error}");
    }
}

/// The files that benches run Envoy on, if they are beside this repository.
#[test]
fn bench_files_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bench/templates");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("SKIPPED: {} is not there", folder.display());
        return;
    };
    let mut seen = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("envoy-") {
            continue;
        }
        let text = filled_in(&fs::read_to_string(&path).unwrap());
        let bootstrap = Bootstrap::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(bootstrap.admin.is_some(), "{name}");
        assert_eq!(bootstrap.snapshot.listeners.len(), 1, "{name}");
        assert!(!bootstrap.snapshot.clusters.is_empty(), "{name}");
        seen += 1;
    }
    assert!(seen >= 13, "{seen}");
}

/// Placeholders are `@name@`; a line between `@for n@` and `@end@` is repeated with `@i@`.
fn filled_in(template: &str) -> String {
    let mut text = String::new();
    let mut repeat = false;
    for line in template.lines() {
        if line.contains("@for ") || line.contains("@end@") {
            repeat = line.contains("@for ");
            continue;
        }
        for i in 0..if repeat { 3 } else { 1 } {
            text.push_str(&line.replace("@i@", &i.to_string()));
            text.push('\n');
        }
    }
    for (name, value) in [
        ("@admin@", "9901"),
        ("@listen@", "8080"),
        ("@upstream@", "8081"),
        ("@cert@", "/tls/cert.pem"),
        ("@key@", "/tls/key.pem"),
        ("@ca@", "/tls/ca.pem"),
        ("@next_name@", "next.example"),
        ("@dir@", "/logs"),
        ("@n@", "3"),
    ] {
        text = text.replace(name, value);
    }
    text
}

//! Reads files of Istio and Kubernetes YAML, says what is wrong with them, and what they add up
//! to: `cargo run -p mesh-core --example check -- examples/bookinfo/*.yaml`

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program talks to its user"
)]

use std::{env, fs, process::ExitCode};

use mesh_core::{
    config::{ConfigSet, Problem},
    mesh::{Client, Mesh, MeshDefaults, read},
    name::Labels,
};

fn main() -> ExitCode {
    let defaults = MeshDefaults::default();
    let mut set = ConfigSet::default();
    let mut problems = Vec::new();
    for file in env::args().skip(1) {
        match fs::read_to_string(&file) {
            Ok(text) => {
                let parsed = read(&file, &text, &defaults);
                set = set.replace_file(&file, &parsed).0;
                problems.extend(parsed.problems);
            }
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    problems.extend(set.shadowed());
    let (mesh, found) = Mesh::resolve(&set, &defaults);
    problems.extend(found);

    for problem in &problems {
        println!("{problem}");
    }
    summarize(&set, &mesh);
    match problems.iter().any(Problem::is_error) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn summarize(set: &ConfigSet, mesh: &Mesh) {
    let files = set.files().count();
    println!("{} resources of {files} files", set.iter().count());
    for service in mesh.services() {
        let client = Client::Sidecar {
            namespace: &service.namespace,
            labels: &Labels::default(),
        };
        let ports = service
            .ports
            .iter()
            .map(|port| port.port.number.to_string());
        let by = match mesh.traffic_rules(&service.host, client) {
            Some(rules) => format!("by {}", rules.reference),
            None => "any instance".into(),
        };
        println!(
            "  {} port {}: {}",
            service.host,
            ports.collect::<Vec<_>>().join(", "),
            by,
        );
    }
    for gateway in mesh.gateways() {
        println!("  {} at {}", gateway.reference, gateway.selector.0);
    }
}

use mesh_core::config::{ConfigSet, parse};

use super::*;
use crate::local_mesh::{Block, Images, wanted};

fn pod(container: &str) -> PodPlan {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: web-v1, namespace: shop }}\nspec:\n  \
         selector: {{ matchLabels: {{ app: web }} }}\n  template:\n    \
         metadata: {{ labels: {{ app: web }} }}\n    spec:\n      serviceAccountName: web\n      \
         containers: [{container}]\n"
    );
    let set = ConfigSet::default()
        .replace_file("shop.yaml", &parse("shop.yaml", &text))
        .0;
    let (_, plan) = wanted(&set, &Images::default()).pods.pop_first().unwrap();
    PodPlan::clone(&plan)
}

fn command(words: &[&str]) -> Program {
    Program::Command(CommandLine {
        words: words.iter().map(|&word| word.into()).collect(),
        directory: "".into(),
    })
}

const WEB: &str = "{ name: web, image: examples-bookinfo-reviews-v3, \
                   env: [{ name: LOG, value: all }, { name: NODE_NAME, value: n1 }, \
                   { name: AT, valueFrom: { fieldRef: { fieldPath: status.podIP } } }], \
                   ports: [{ containerPort: 9080 }, { containerPort: 9443 }] }";

#[test]
fn applications_are_told_who_and_where_they_are() {
    let pod = pod(WEB);
    let ports = PrivatePorts([(9080, 40_001), (9443, 40_002)].into());
    let address = Ipv4Addr::new(127, 7, 1, 9);
    let env = environment(&pod, &pod.containers[0], address, &ports);
    for (name, value) in [
        ("PORT", "40001"),
        ("PORT_9080", "40001"),
        ("PORT_9443", "40002"),
        ("POD_IP", "127.7.1.9"),
        ("POD_NAME", &*pod.key.name),
        ("POD_NAMESPACE", "shop"),
        ("SERVICE_ACCOUNT", "web"),
        ("HTTP_PROXY", "http://127.7.1.9:15080"),
        ("http_proxy", "http://127.7.1.9:15080"),
        ("NO_PROXY", "localhost,127.0.0.1"),
        ("HOST_IP", "127.0.0.1"),
        ("LOG", "all"),
        ("NODE_NAME", "n1"),
        ("AT", "127.7.1.9"),
    ] {
        assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn every_port_gets_a_private_one_of_its_own() {
    let PrivatePorts(ports) = PrivatePorts::find(&pod(WEB)).unwrap();
    assert_eq!(ports.keys().copied().collect::<Vec<_>>(), [9080, 9443]);
    assert_ne!(ports[&9080], ports[&9443]);
}

#[tokio::test]
async fn our_services_run_in_this_process() {
    let block = Block::claim().unwrap();
    let address = block.pod(0).unwrap();
    let one_port = WEB.replace(", { containerPort: 9443 }", "");
    let (pod, nowhere) = (pod(&one_port), Path::new("/dev/null"));
    let ports = PrivatePorts::find(&pod).unwrap();
    let started = Applications::start(&pod, address, &ports, nowhere).await;
    let mut applications = started.ok().unwrap();
    applications.answering().await;
    applications.stop().await;
    assert!(TcpStream::connect((address, ports.0[&9080])).await.is_err());
}

#[tokio::test]
async fn a_process_that_ends_is_noticed() {
    let mut pod = pod(WEB);
    pod.containers[0].program = command(&["sh", "-c", "exit $((PORT > 0 ? 3 : 4))"]);
    let (address, nowhere) = (Ipv4Addr::LOCALHOST, Path::new("/dev/null"));
    let ports = PrivatePorts::find(&pod).unwrap();
    let started = Applications::start(&pod, address, &ports, nowhere).await;
    let mut applications = started.ok().unwrap();
    applications.answering().await;
    let status = applications.ended().await.unwrap();
    assert_eq!(status.code(), Some(3));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let mut pod = pod(WEB);
    pod.containers[0].program = command(&["/no/such/program"]);
    let (address, nowhere) = (Ipv4Addr::LOCALHOST, Path::new("/dev/null"));
    let started = Applications::start(&pod, address, &PrivatePorts::default(), nowhere).await;
    let error = started.err().unwrap().to_string();
    assert!(
        error.starts_with("cannot start \"/no/such/program\": "),
        "{error}"
    );
}

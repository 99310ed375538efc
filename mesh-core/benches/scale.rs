//! What planning a large mesh costs: from nothing, after an edit, after a change of instances, and
//! how large a plan is. Prints a table; every ratio is of numbers of the same run.
//!
//! `cargo bench -p mesh-core`

#![expect(clippy::unwrap_used, reason = "what fails here is a failed bench")]
#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use allocation_counter::measure;
use mesh_core::{
    config::{Change, ConfigSet, Spec, parse},
    dataplane::{Node, NodeKind, Snapshot},
    mesh::{Mesh, MeshDefaults, WorkloadAddress},
    plan::{PlanOptions, Planner},
};

/// How large a mesh is.
#[derive(Clone, Copy)]
struct Size {
    namespaces: usize,
    services: usize,
    pods: usize,
    /// Rules of each VirtualService.
    routes: usize,
    /// Every namespace sees only itself.
    is_scoped: bool,
}

fn main() {
    let size = Size {
        namespaces: 20,
        services: 1_000,
        pods: 10,
        routes: 3,
        is_scoped: false,
    };
    println!("1,000 services in 20 namespaces, 10 pods each, 1,000 sidecars");
    let full = changes("each sees all", size);
    let scoped = Size {
        is_scoped: true,
        ..size
    };
    changes("each namespace sees itself", scoped);
    let routes = Size { routes: 30, ..size };
    let more = changes("ten times the routes", routes);
    let ratio = more.endpoint.as_secs_f64() / full.endpoint.as_secs_f64();
    println!("an instance's change with ten times the routes: {ratio:.2} x the time");
    bytes();
}

/// A moment of this thread's own time on a processor, so that what else runs does not count; of
/// the clock, where the system does not tell.
#[derive(Clone, Copy)]
struct Moment {
    clock: Instant,
    processor: Option<Duration>,
}

impl Moment {
    fn now() -> Self {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let used = told.and_then(|text| text.split(' ').next()?.parse().ok());
        Self {
            clock: Instant::now(),
            processor: used.map(Duration::from_nanos),
        }
    }

    fn elapsed(self) -> Duration {
        match (Self::now().processor, self.processor) {
            (Some(now), Some(then)) => now - then,
            _ => self.clock.elapsed(),
        }
    }
}

struct Times {
    endpoint: Duration,
}

/// From nothing, then change by change.
fn changes(what: &str, size: Size) -> Times {
    println!("\n{what}:");
    let mut mesh = Running::new(written(size));
    let full = mesh.full();
    let edit = rules("service-0", 0, size.routes, "7s");
    let local = mesh.edit("a VirtualService that one namespace sees", full, &edit, ".");
    mesh.edit("a VirtualService that all see", full, &edit, "*");
    let endpoint = mesh.instance("an instance", full);
    let share = 100.0 * local.as_secs_f64() / full.as_secs_f64();
    println!(
        "  => {share:.1} % of everything for an edit that 1 of 20 namespaces sees (at most 5 %)"
    );
    Times { endpoint }
}

/// A control plane's state.
struct Running {
    set: ConfigSet,
    mesh: Option<Arc<Mesh>>,
    planner: Planner,
    nodes: Vec<Node>,
    plans: Vec<Arc<Snapshot>>,
}

impl Running {
    fn new(set: ConfigSet) -> Self {
        Self {
            set,
            mesh: None,
            planner: Planner::default(),
            nodes: Vec::new(),
            plans: Vec::new(),
        }
    }

    fn full(&mut self) -> Duration {
        let defaults = MeshDefaults::default();
        let mut resolve = Duration::ZERO;
        let mut plan = Duration::ZERO;
        let used = measure(|| {
            let start = Moment::now();
            let (mesh, problems) = Mesh::resolve(&self.set, &defaults);
            resolve = start.elapsed();
            assert!(problems.iter().all(|p| !p.is_error()), "{}", problems[0]);
            self.nodes = nodes(&mesh);
            self.mesh = Some(mesh);
            let start = Moment::now();
            self.plan();
            plan = start.elapsed();
        });
        println!(
            "  {:60} {:>9.1?} (resolve {resolve:.1?}, plan {plan:.1?}), peak {} MiB, kept {} MiB",
            "everything",
            resolve + plan,
            used.bytes_max >> 20,
            used.bytes_current >> 20
        );
        resolve + plan
    }

    fn plan(&mut self) -> usize {
        let mesh = self.mesh.as_ref().unwrap();
        let options = PlanOptions::default();
        let plan = |node| self.planner.plan(mesh, node, &options).0;
        let plans: Vec<_> = self.nodes.iter().map(plan).collect();
        let same = plans.iter().zip(&self.plans);
        let same = same.filter(|(new, old)| Arc::ptr_eq(new, old)).count();
        let changed = plans.len() - same;
        self.plans = plans;
        changed
    }

    fn edit(&mut self, what: &str, full: Duration, text: &str, to: &str) -> Duration {
        let edits = (0..ROUNDS).map(|round| {
            let timeout = format!("{}s", 8 + round);
            let text = text.replace("EXPORT", to).replace("7s", &timeout);
            let parsed = parse("ns-0-rules.yaml", &text);
            assert!(parsed.problems.is_empty(), "{}", parsed.problems[0]);
            Change::Put(parsed.resources[0].clone())
        });
        let edits: Vec<_> = edits.collect();
        self.quickest(what, full, edits)
    }

    fn instance(&mut self, what: &str, full: Duration) -> Duration {
        let pods = self.set.iter().filter(|r| matches!(r.spec, Spec::Pod(_)));
        let pod = pods.last().unwrap().clone();
        let comes_and_goes = (0..ROUNDS).map(|round| match round % 2 {
            0 => Change::Remove(pod.reference.clone()),
            _ => Change::Put(pod.clone()),
        });
        let changes = comes_and_goes.collect();
        self.quickest(what, full, changes)
    }

    /// The quickest of several changes: whatever else runs only makes them slower.
    fn quickest(&mut self, what: &str, full: Duration, changes: Vec<Change>) -> Duration {
        let steps = changes.into_iter().map(|change| self.step(change));
        let quickest = steps.min_by_key(Step::time).unwrap();
        let time = quickest.time();
        let Step {
            apply,
            resolve,
            plan,
            changed,
        } = quickest;
        println!(
            "  {what:44} {time:>9.1?} = {:>4.1} % (apply {apply:.1?}, resolve {resolve:.1?}, \
             plan {plan:.1?}), {changed} proxies",
            100.0 * time.as_secs_f64() / full.as_secs_f64()
        );
        time
    }

    fn step(&mut self, change: Change) -> Step {
        let start = Moment::now();
        self.set = self.set.apply([change]);
        let apply = start.elapsed();
        let before = self.mesh.as_ref().unwrap();
        let start = Moment::now();
        let fast = before.with_instances(&self.set);
        let next = || before.next(&self.set, &MeshDefaults::default()).0;
        self.mesh = Some(fast.unwrap_or_else(next));
        let resolve = start.elapsed();
        let start = Moment::now();
        let changed = self.plan();
        let plan = start.elapsed();
        Step {
            apply,
            resolve,
            plan,
            changed,
        }
    }
}

/// How often a change is made.
const ROUNDS: usize = 6;

/// What one change costs.
struct Step {
    apply: Duration,
    resolve: Duration,
    plan: Duration,
    changed: usize,
}

impl Step {
    fn time(&self) -> Duration {
        self.apply + self.resolve + self.plan
    }
}

/// How large a plan is where few of many services are used.
fn bytes() {
    println!("\nbytes of a sidecar's plan, as JSON and in memory:");
    let size = Size {
        namespaces: 1_000,
        services: 10_000,
        pods: 1,
        routes: 1,
        is_scoped: true,
    };
    let few = Size {
        namespaces: 1,
        services: 10,
        ..size
    };
    let open = Size {
        is_scoped: false,
        ..size
    };
    let all = plan_size("10,000 services, all seen", open);
    let used = plan_size("10,000 services, 10 seen", size);
    let alone = plan_size("10 services in all", few);
    println!(
        "  => 10 seen of 10,000 take {:.2} x what 10 of 10 take, and all {:.0} x",
        used as f64 / alone as f64,
        all as f64 / alone as f64
    );
}

fn plan_size(what: &str, size: Size) -> usize {
    let set = written(size);
    let (mesh, _) = Mesh::resolve(&set, &MeshDefaults::default());
    let node = &nodes(&mesh)[0];
    let mut plan = Snapshot::default();
    let used = measure(|| {
        plan = mesh_core::plan::plan(&mesh, node, &PlanOptions::default()).0;
    });
    let json = serde_json::to_vec(&plan).unwrap().len();
    println!("  {what:60} {json:>10} {:>10}", used.bytes_current);
    json
}

/// A sidecar for the first pod of every service.
fn nodes(mesh: &Mesh) -> Vec<Node> {
    let first = mesh.endpoints().workloads().iter();
    let first = first.filter(|workload| workload.name.ends_with("-0"));
    let node = |workload: &Arc<mesh_core::mesh::Workload>| Node {
        kind: NodeKind::Sidecar,
        addresses: match workload.addresses[0] {
            WorkloadAddress::Ip(ip) => vec![ip],
            WorkloadAddress::Dns(_) => Vec::new(),
        },
        name: workload.name.to_string(),
        namespace: workload.namespace.to_string(),
        service_account: workload.service_account.to_string(),
        workload: workload.workload_name.to_string(),
        labels: workload.labels.clone(),
        locality: workload.locality.clone(),
        cluster_id: "Kubernetes".into(),
        domain: "cluster.local".into(),
        http_proxy_port: None,
    };
    first.map(node).collect()
}

fn written(size: Size) -> ConfigSet {
    let mut set = ConfigSet::default();
    for namespace in 0..size.namespaces {
        let mut text = String::new();
        let services = size.services / size.namespaces;
        for number in 0..services {
            let service = namespace * services + number;
            text += &of_service(service, namespace, size.pods);
        }
        if size.is_scoped {
            let scope = "apiVersion: networking.istio.io/v1\nkind: Sidecar\n\
                 metadata: {name: default, namespace: ns-N}\n\
                 spec: {egress: [{hosts: [./*]}]}\n---\n";
            text += &scope.replace("ns-N", &format!("ns-{namespace}"));
        }
        let rule = |number| {
            let service = format!("service-{}", namespace * services + number);
            rules(&service, namespace, size.routes, "7s").replace("EXPORT", ".")
        };
        let rules: String = (0..services).map(rule).collect();
        for (file, text) in [("all", text), ("rules", rules)] {
            let file = format!("ns-{namespace}-{file}.yaml");
            let parsed = parse(&file, &text);
            assert!(parsed.problems.is_empty(), "{}", parsed.problems[0]);
            set = set.replace_file(&file, &parsed).0;
        }
    }
    set
}

fn of_service(number: usize, namespace: usize, pods: usize) -> String {
    let ip = |third: usize| format!("10.{}.{}.{}", third, number / 250, 1 + number % 250);
    let mut text = format!(
        "apiVersion: v1\nkind: Service\n\
         metadata: {{name: service-{number}, namespace: ns-{namespace}}}\n\
         spec: {{clusterIP: {}, selector: {{app: service-{number}}}, \
         ports: [{{port: 80, name: http}}]}}\n---\n",
        ip(255)
    );
    for pod in 0..pods {
        write!(
            text,
            "apiVersion: v1\nkind: Pod\n\
             metadata: {{name: service-{number}-{pod}, namespace: ns-{namespace}, \
             labels: {{app: service-{number}, version: v{}, security.istio.io/tlsMode: istio}}}}\n\
             spec: {{serviceAccountName: service-{number}, containers: [{{name: app}}]}}\n\
             status: {{podIP: {}, conditions: [{{type: Ready, status: 'True'}}]}}\n---\n",
            pod % 2,
            ip(pod)
        )
        .unwrap();
    }
    text
}

fn rules(service: &str, namespace: usize, routes: usize, timeout: &str) -> String {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {service}, namespace: ns-{namespace}}}\n\
         spec:\n  hosts: [{service}]\n  exportTo: ['EXPORT']\n  http:\n"
    );
    for route in 1..routes {
        write!(
            text,
            "  - match: [{{uri: {{prefix: /api/{route}/}}, \
             headers: {{end-user: {{exact: jason}}}}}}]\n    \
             timeout: {timeout}\n    route: [{{destination: {{host: {service}}}}}]\n"
        )
        .unwrap();
    }
    write!(
        text,
        "  - timeout: {timeout}\n    route: [{{destination: {{host: {service}}}}}]\n---\n"
    )
    .unwrap();
    text
}

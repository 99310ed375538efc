//! Both sides joined by a link that delays, reorders across types, repeats and breaks.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_core::dataplane::*;
use proptest::prelude::*;

use super::{order::PUSH, *};
use crate::Served;

/// Both sides and what is on its way between them.
struct World {
    follower: Follower,
    server: ServerStream,
    served: Arc<Served>,
    up: VecDeque<ClientMessage>,
    down: BTreeMap<ResourceType, VecDeque<ServerMessage>>,
    last_sent: Option<ServerMessage>,
    exposed: Option<Arc<Snapshot>>,
    awaits_reply: bool,
    refuse: Option<(ResourceType, Name)>,
    sent: usize,
    now: Instant,
}

impl World {
    fn new(snapshot: &Snapshot) -> Self {
        let mut world = Self {
            follower: Follower::default(),
            server: ServerStream::default(),
            served: Arc::new(Served::new(snapshot, None)),
            up: VecDeque::new(),
            down: BTreeMap::new(),
            last_sent: None,
            exposed: None,
            awaits_reply: false,
            refuse: None,
            sent: 0,
            now: Instant::now(),
        };
        world.connect();
        world
    }

    /// A new stream; what was on its way is lost.
    fn connect(&mut self) {
        self.server = ServerStream::default();
        self.up.clear();
        self.down.clear();
        self.last_sent = None;
        self.follower.connected();
    }

    fn serve(&mut self, snapshot: &Snapshot) {
        self.served = Arc::new(Served::new(snapshot, Some(&self.served)));
        self.push();
    }

    fn push(&mut self) {
        for message in self.server.push(&self.served) {
            self.sent += 1;
            self.last_sent = Some(message.clone());
            self.down
                .entry(message.resource_type)
                .or_default()
                .push_back(message);
        }
    }

    /// One message to the server.
    fn deliver_up(&mut self) -> bool {
        self.up
            .extend(std::iter::from_fn(|| self.follower.outgoing()));
        let Some(message) = self.up.pop_front() else {
            return false;
        };
        self.server.receive(message).unwrap();
        self.push();
        true
    }

    /// One message of one type to the client.
    fn deliver_down(&mut self, resource_type: ResourceType) -> bool {
        let Some(message) = self
            .down
            .get_mut(&resource_type)
            .and_then(VecDeque::pop_front)
        else {
            return false;
        };
        self.follower.receive(&message);
        true
    }

    fn look(&mut self) -> bool {
        if self.awaits_reply {
            return false;
        }
        let Progress::Update(snapshot) = self.follower.progress(self.now) else {
            return false;
        };
        check_consistent(&snapshot);
        self.exposed = Some(snapshot);
        self.awaits_reply = true;
        true
    }

    fn reply(&mut self) -> bool {
        if !std::mem::take(&mut self.awaits_reply) {
            return false;
        }
        let refusals = self.refuse.iter().map(|(resource_type, name)| Refusal {
            resource_type: *resource_type,
            name: name.clone(),
            reason: "for a test".into(),
        });
        self.follower.reply(&Verdict {
            refusals: refusals.collect(),
        });
        true
    }

    /// Everything that can still happen, in the order of an honest link.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let moved = self.look()
                || self.reply()
                || self.deliver_up()
                || PUSH
                    .into_iter()
                    .any(|resource_type| self.deliver_down(resource_type));
            if !moved {
                return;
            }
        }
        panic!("the two sides talk without end");
    }
}

/// No cluster without its endpoints, no listener without its routes, no route to nowhere.
fn check_consistent(snapshot: &Snapshot) {
    for name in snapshot.wanted_endpoints() {
        assert!(snapshot.endpoints.contains_key(name), "no endpoints {name}");
    }
    for name in snapshot.wanted_routes() {
        assert!(snapshot.routes.contains_key(name), "no routes {name}");
    }
    for table in snapshot.routes.values() {
        for route in table.virtual_hosts.iter().flat_map(|host| &host.routes) {
            let RouteAction::Forward(forward) = &route.action else {
                continue;
            };
            let ClusterChoice::Single(name) = &forward.cluster else {
                continue;
            };
            assert!(snapshot.clusters.contains_key(name), "no cluster {name}");
        }
    }
}

fn check_same(exposed: Option<&Arc<Snapshot>>, want: &Snapshot) {
    let exposed = exposed.expect("a snapshot was exposed");
    let want = Snapshot {
        version: exposed.version.clone(),
        ..want.clone()
    };
    assert_eq!(**exposed, want);
}

/// Clusters by index and kind; tables by index and target; one listener per table.
fn snapshot(clusters: &[(u8, u8)], tables: &[(u8, u8)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for &(index, kind) in clusters {
        let name = Name::from(format!("c{index}"));
        let mut cluster = Cluster::new(name.clone(), Discovery::Told(name.clone()));
        cluster.connect_timeout = Duration::from_secs(u64::from(kind % 2) + 1);
        let address = ([127, 0, 0, 1], 1000 + u16::from(kind / 2)).into();
        let endpoints = EndpointSet::single(name.clone(), address);
        snapshot.clusters.insert(name.clone(), cluster.into());
        snapshot.endpoints.insert(name, endpoints.into());
    }
    for &(index, target) in tables {
        let name = Name::from(format!("t{index}"));
        let (cluster, _) = clusters[usize::from(target) % clusters.len()];
        snapshot
            .routes
            .insert(name.clone(), table(&name, &format!("c{cluster}")).into());
        snapshot.listeners.push(listener(&name).into());
    }
    snapshot
}

fn table(name: &Name, cluster: &str) -> RouteTable {
    let route = Route {
        name: name.clone(),
        matches: RouteMatch::default(),
        action: RouteAction::Forward(Forward {
            cluster: ClusterChoice::Single(cluster.into()),
            ..Forward::default()
        }),
        headers: HeaderEdits::default(),
        fault: None,
        cors: None,
        operation: None,
        origin: None,
    };
    RouteTable {
        name: name.clone(),
        virtual_hosts: vec![VirtualHost {
            name: name.clone(),
            domains: vec!["*".into()],
            routes: vec![route],
            ..VirtualHost::default()
        }],
        ..RouteTable::default()
    }
}

fn listener(name: &Name) -> Listener {
    let http = HttpConnectionManager {
        stat_prefix: name.clone(),
        codec: HttpCodec::Auto,
        routes: RouteSource::Named(name.clone()),
        filters: vec![HttpFilter::Fault, HttpFilter::Cors],
        access_log: Vec::new(),
        server_name: "envoy".into(),
        server_header: ServerHeader::Overwrite,
        forward_client_cert: ForwardClientCert::Sanitize,
        use_remote_address: false,
        trusted_hops: 0,
        normalize_path: true,
        merge_slashes: false,
        escaped_slashes: EscapedSlashes::Keep,
        upgrades: Vec::new(),
        generate_request_id: true,
        preserve_external_request_id: false,
        stream_idle_timeout: None,
        request_headers_timeout: None,
        idle_timeout: None,
        max_request_headers_kb: None,
        max_concurrent_streams: None,
        tracing: None,
    };
    let chain = FilterChain {
        name: name.clone(),
        matches: ChainMatch::default(),
        tls: None,
        handshake_timeout: None,
        filters: Vec::new(),
        terminal: Terminal::Http(http),
    };
    Listener {
        name: name.clone(),
        address: ([127, 0, 0, 1], 80).into(),
        bind_to_port: true,
        direction: Direction::Outbound,
        use_original_dst: false,
        listener_filters: ListenerFilters::default(),
        filter_chains: vec![chain],
        default_filter_chain: None,
        access_log: Vec::new(),
    }
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let clusters = proptest::collection::btree_map(0u8..4, 0u8..4, 1..4);
    let tables = proptest::collection::btree_map(0u8..3, 0u8..4, 0..3);
    (clusters, tables).prop_map(|(clusters, tables)| {
        let clusters: Vec<_> = clusters.into_iter().collect();
        let tables: Vec<_> = tables.into_iter().collect();
        snapshot(&clusters, &tables)
    })
}

#[derive(Debug, Clone)]
enum Step {
    Serve(Snapshot),
    Up,
    Down(usize),
    Repeat,
    Look,
    Reply,
    Cut,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any_snapshot().prop_map(Step::Serve),
        6 => Just(Step::Up),
        10 => (0usize..5).prop_map(Step::Down),
        1 => Just(Step::Repeat),
        4 => Just(Step::Look),
        4 => Just(Step::Reply),
        1 => Just(Step::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_served_arrives(first in any_snapshot(), steps in proptest::collection::vec(any_step(), 0..80)) {
        let mut world = World::new(&first);
        let mut last = first;
        for step in steps {
            match step {
                Step::Serve(snapshot) => {
                    world.serve(&snapshot);
                    last = snapshot;
                }
                Step::Up => drop(world.deliver_up()),
                Step::Down(index) => drop(world.deliver_down(PUSH[index])),
                Step::Repeat => {
                    if let Some(message) = world.last_sent.clone() {
                        world.down.entry(message.resource_type).or_default().push_back(message);
                    }
                }
                Step::Look => drop(world.look()),
                Step::Reply => drop(world.reply()),
                Step::Cut => world.connect(),
            }
        }
        world.settle();
        check_same(world.exposed.as_ref(), &last);
        assert!(world.server.is_settled(&world.served));
    }
}

#[test]
fn the_same_again_is_not_sent_again() {
    let first = snapshot(&[(0, 0), (1, 0)], &[(0, 0)]);
    let mut world = World::new(&first);
    world.settle();
    let (sent, exposed) = (world.sent, world.exposed.clone().unwrap());
    world.serve(&first);
    world.settle();
    assert_eq!(world.sent, sent);
    assert!(Arc::ptr_eq(&exposed, world.exposed.as_ref().unwrap()));
}

#[test]
fn what_did_not_change_keeps_its_arc() {
    let mut world = World::new(&snapshot(&[(0, 0), (1, 0)], &[(0, 0)]));
    world.settle();
    let before = world.exposed.clone().unwrap();
    world.serve(&snapshot(&[(0, 0), (1, 1)], &[(0, 0)]));
    world.settle();
    let after = world.exposed.unwrap();
    assert!(Arc::ptr_eq(&before.clusters["c0"], &after.clusters["c0"]));
    assert!(!Arc::ptr_eq(&before.clusters["c1"], &after.clusters["c1"]));
    assert!(Arc::ptr_eq(&before.routes["t0"], &after.routes["t0"]));
}

#[test]
fn a_stream_after_a_restart_changes_nothing() {
    let first = snapshot(&[(0, 0)], &[(0, 0)]);
    let mut world = World::new(&first);
    world.settle();
    let before = world.exposed.clone().unwrap();
    let again = Served::new(&first, None);
    assert!(again.is_same(&world.served), "versions outlive a restart");
    world.served = Arc::new(again);
    world.connect();
    world.settle();
    assert!(Arc::ptr_eq(&before, &world.exposed.unwrap()));
}

#[test]
fn a_changed_cluster_brings_its_endpoints() {
    let mut world = World::new(&snapshot(&[(0, 0)], &[]));
    world.settle();
    let sent = world.sent;
    world.serve(&snapshot(&[(0, 1)], &[]));
    world.settle();
    assert_eq!(world.sent - sent, 2, "the cluster and its endpoints");
}

#[test]
fn a_refused_table_keeps_the_clusters_it_would_leave() {
    let mut world = World::new(&snapshot(&[(0, 0), (1, 0)], &[(0, 0)]));
    world.settle();
    world.refuse = Some((ResourceType::Routes, "t0".into()));
    world.serve(&snapshot(&[(1, 0)], &[(0, 0)]));
    world.settle();
    assert!(world.exposed.as_ref().unwrap().clusters.contains_key("c0"));
    assert!(world.server.is_settled(&world.served));
    world.refuse = None;
    let last = snapshot(&[(1, 0)], &[(0, 0), (1, 0)]);
    world.serve(&last);
    world.settle();
    // The same table is not sent again, so the old clusters wait for the next change of it.
    assert!(world.exposed.as_ref().unwrap().listeners.len() == 2);
}

#[test]
fn waits_are_bounded() {
    let mut first = snapshot(&[(0, 0)], &[(0, 0), (1, 0)]);
    first.routes.remove("t1");
    let nowhere = table(&"t0".into(), "nowhere");
    first.routes.insert("t0".into(), nowhere.into());
    let mut follower = Follower::default();
    let mut server = ServerStream::default();
    let served = Served::new(&first, None);
    follower.connected();
    let start = Instant::now();
    for _ in 0..10 {
        while let Some(message) = follower.outgoing() {
            server.receive(message).unwrap();
        }
        for message in server.push(&served) {
            follower.receive(&message);
        }
    }
    let wait = start + REFERENCE_WAIT;
    assert_eq!(follower.progress(start), Progress::Idle(Some(wait)));
    assert_eq!(
        follower.progress(wait),
        Progress::Idle(Some(start + RESOURCE_WAIT))
    );
    let Progress::Update(update) = follower.progress(start + RESOURCE_WAIT) else {
        panic!("no update")
    };
    assert_eq!(update.clusters.len(), 1);
}

#[test]
fn a_bad_resource_is_refused_beside_good_ones() {
    let good = snapshot(&[(0, 0), (1, 0)], &[]);
    let mut world = World::new(&good);
    world.settle();
    let mut lane: Vec<bytes::Bytes> = Vec::new();
    for (index, kind) in [(0, 1), (1, 1)] {
        let cluster = snapshot(&[(index, kind)], &[])
            .clusters
            .into_values()
            .next()
            .unwrap();
        lane.push(crate::codec::encode(&crate::codec::Resource::Cluster(
            cluster,
        )));
    }
    // Cut short, it is no protobuf any more.
    lane[0] = lane[0].slice(..lane[0].len() - 1);
    world.follower.receive(&ServerMessage {
        resource_type: ResourceType::Cluster,
        version: "2".into(),
        nonce: "bad".into(),
        resources: lane,
    });
    let Progress::Update(update) = world.follower.progress(world.now) else {
        panic!("no update")
    };
    assert_eq!(
        update.clusters["c1"].connect_timeout,
        Duration::from_secs(2)
    );
    world.follower.reply(&Verdict::default());
    let answers: Vec<_> = std::iter::from_fn(|| world.follower.outgoing()).collect();
    assert!(
        answers.iter().any(|message| matches!(
            &message.answer,
            Answer::Refused { nonce, .. } if nonce == "bad"
        )),
        "{answers:?}"
    );
}

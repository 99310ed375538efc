//! What is told of a call on paper is what becomes of it on the wire.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mesh_core::mesh::{Call, Caller, Question};
use mesh_examples::{
    local_mesh::{GatewayPorts, LocalMesh, LocalMeshOptions, ports},
    offline,
};
use mesh_proxy::telemetry::{Observer, RequestRecord, Side};
use mesh_routing::simulation::{Account, Simulation};
use tokio::{net::TcpSocket, time::timeout};

use crate::harness::{LIMIT, copied, eventually};

/// In place of the usual rules for reviews: everything that is asked about below.
const RULES: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - route:
    - {destination: {host: reviews, subset: v2}, weight: 80}
    - {destination: {host: reviews, subset: v3}, weight: 20}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: details}}]
  - match: [{headers: {end-user: {exact: slow}}}]
    fault: {delay: {fixedDelay: 0.5s, percentage: {value: 100}}}
    route: [{destination: {host: details}}]
  - route: [{destination: {host: details}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets}
spec:
  selector: {matchLabels: {app: reviews}}
  action: DENY
  rules: [{to: [{operation: {paths: [/reviews/secret]}}]}]
";

/// The gateway as a local mesh runs it: on paper nothing else tells whose account it has.
const GATEWAY: &str = "
apiVersion: v1
kind: Pod
metadata: {name: ingressgateway, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {serviceAccountName: istio-ingressgateway-service-account}
";

/// Draws on paper, and requests on the wire: enough to meet every instance that may be met, but
/// for once in a million walks.
const OFTEN: u64 = 100;
/// Requests of which a fifth goes elsewhere, give or take five standard deviations of seven.
const SHARED: u64 = 300;
const FIFTH: std::ops::RangeInclusive<u64> = 25..=95;

/// What every proxy told of requests, by their query.
#[derive(Default)]
struct Log(Mutex<BTreeMap<String, Vec<Told>>>);

/// What one proxy told of a request.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    is_source: bool,
    flags: String,
    details: String,
    called: Option<IpAddr>,
    caller: Option<String>,
    mutual: bool,
}

impl Observer for Log {
    fn request(&self, record: &RequestRecord) {
        let Some(query) = record.uri.query() else {
            return;
        };
        let upstream = record.upstream.as_ref();
        let peer = record.connection.peer.as_deref();
        let told = Told {
            is_source: record.side == Side::Source,
            flags: record.flags.to_string(),
            details: record.details.to_string(),
            called: upstream.and_then(|upstream| Some(upstream.address?.ip())),
            caller: peer.and_then(|peer| peer.0.as_ref().map(ToString::to_string)),
            mutual: record.connection.mutual_tls,
        };
        let mut log = self.0.lock().unwrap();
        log.entry(query.to_owned()).or_default().push(told);
    }
}

/// A mesh twice: on this machine, and on paper.
struct Both {
    mesh: LocalMesh,
    log: Arc<Log>,
    paper: Simulation,
}

/// A caller with a connection to its proxy.
struct Lane<'a> {
    both: &'a Both,
    from: &'a str,
    path: &'a str,
    host: &'a str,
    headers: &'a [(&'a str, &'a str)],
    connection: SendRequest<Empty<Bytes>>,
}

impl Both {
    async fn start() -> Self {
        let bookinfo = Path::new(env!("CARGO_MANIFEST_DIR")).join("bookinfo");
        let manifests = copied("paper", &[bookinfo]);
        fs::write(manifests.join("reviews.yaml"), RULES).unwrap();
        let gateway = copied("paper-gateway", &[]).join("pod.yaml");
        fs::write(&gateway, GATEWAY).unwrap();
        let log = Arc::<Log>::default();
        let options = LocalMeshOptions {
            gateway: GatewayPorts::Any,
            drain_time: Duration::from_millis(500),
            observer: Some(log.clone()),
            ..LocalMeshOptions::new(vec![manifests.clone()])
        };
        let mesh = timeout(LIMIT, LocalMesh::start(options)).await;
        let loaded = offline::load(&[manifests, gateway]).unwrap();
        assert_eq!(loaded.problems, []);
        Self {
            mesh: mesh.expect("a mesh starts in time").unwrap(),
            log,
            paper: Simulation::new(loaded.mesh),
        }
    }

    /// What is told on paper, for one throw of the dice.
    fn on_paper(&self, from: &str, url: &str, headers: &[(&str, &str)], seed: u64) -> Account {
        let caller = match from {
            "gateway" => Caller::parse_gateway("ingressgateway"),
            from => Caller::parse(from),
        };
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let question = Question {
            headers: headers.collect(),
            seed,
            ..Question::new(caller.unwrap(), Call::new("GET", url).unwrap())
        };
        self.paper.ask(&question).unwrap()
    }

    async fn lane<'a>(
        &'a self,
        from: &'a str,
        url: &'a str,
        headers: &'a [(&'a str, &'a str)],
    ) -> Lane<'a> {
        let (host, path) = url["http://".len()..].split_at(url[7..].find('/').unwrap());
        let socket = TcpSocket::new_v4().unwrap();
        let proxy = match from {
            "gateway" => self.mesh.gateway_address().unwrap(),
            from => {
                let address = self.mesh.pod(from).unwrap().address;
                socket.bind((address, 0).into()).unwrap();
                SocketAddr::from((address, ports::HTTP_PROXY))
            }
        };
        let stream = socket.connect(proxy).await.unwrap();
        let (connection, driver) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Lane {
            both: self,
            from,
            path,
            host,
            headers,
            connection,
        }
    }

    /// Asks on paper and on the wire, and compares: the answer, what each proxy tells of it, and
    /// who may be reached. Returns how often each was.
    async fn agree(
        &self,
        from: &str,
        url: &str,
        headers: &[(&str, &str)],
        often: u64,
    ) -> BTreeMap<String, u64> {
        let account = self.on_paper(from, url, headers, 0);
        let mut lane = self.lane(from, url, headers).await;
        let mut reached = BTreeMap::new();
        for number in 0..often {
            let (status, told) = lane.ask(number, account.hops.len()).await;
            assert_eq!(Some(status), account.status, "{url} {headers:?}\n{account}");
            for (told, hop) in told.iter().zip(&account.hops) {
                let decision = &hop.explanation.decision;
                let flags = told.flags.trim_matches('-');
                let told_of = (&*told.details, flags);
                let flags = decision.flags.join(",");
                assert_eq!(told_of, (&*decision.details, &*flags), "{url}\n{account}");
                let chain = hop.explanation.chain.as_ref().unwrap();
                assert_eq!(told.caller, chain.peer, "{url}\n{account}");
            }
            if account.hops.len() > 1 {
                assert_eq!(told[1].mutual, account.mutual_tls, "{url}\n{account}");
            }
            if let Some(workload) = told[0].called.map(|address| self.workload(address)) {
                *reached.entry(workload).or_default() += 1;
            }
        }
        let drawn = (0..OFTEN).map(|seed| self.on_paper(from, url, headers, seed));
        let drawn: BTreeSet<String> = drawn
            .filter_map(|account| account.sent()?.endpoint.clone()?.workload)
            .collect();
        let seen: BTreeSet<String> = reached.keys().cloned().collect();
        assert_eq!(seen, drawn, "{url} {headers:?}\n{account}");
        reached
    }

    fn workload(&self, address: IpAddr) -> String {
        let pods = self.mesh.pods();
        let pod = pods.iter().find(|pod| pod.address == address);
        let pod = pod.expect("a proxy calls pods");
        format!("{}/{}", pod.key.namespace, pod.workload)
    }
}

impl Lane<'_> {
    /// The status, and what so many proxies tell, the caller's own first.
    async fn ask(&mut self, number: u64, proxies: usize) -> (u16, Vec<Told>) {
        let user = self.headers.first().map_or("", |(_, value)| value);
        let query = format!("{}-{user}-{number}", self.from);
        let target = match self.from {
            "gateway" => format!("{}?{query}", self.path),
            _ => format!("http://{}{}?{query}", self.host, self.path),
        };
        let mut request = Request::get(target).header(HOST, self.host);
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        self.connection.ready().await.expect("connections are kept");
        let answer = timeout(LIMIT, self.connection.send_request(request)).await;
        let answer = answer.expect("an answer in time").unwrap();
        let status = answer.status().as_u16();
        answer.into_body().collect().await.unwrap();
        let key = query;
        let mut told = eventually("what proxies tell", async || {
            let log = self.both.log.0.lock().unwrap();
            let told = log.get(&key)?;
            (told.len() >= proxies).then(|| told.clone())
        })
        .await;
        self.both.log.0.lock().unwrap().remove(&key);
        told.sort_by_key(|told| !told.is_source);
        assert_eq!(told.len(), proxies, "{key}: {told:?}");
        (status, told)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wire_does_what_is_told_on_paper() {
    let both = Both::start().await;
    let page = "productpage-v1";
    let reviews = "http://reviews:9080/reviews/0";
    let details = "http://details:9080/details/0";
    let jason = [("end-user", "jason")];

    let reached = both.agree(page, reviews, &[], SHARED).await;
    let account = both.on_paper(page, reviews, &[], 0);
    let shares = &account.sent().unwrap().shares;
    let shares: Vec<_> = shares.iter().map(|s| (&*s.subset, s.weight)).collect();
    assert_eq!(shares, [("v2", 80), ("v3", 20)]);
    assert!(
        FIFTH.contains(&reached["default/reviews-v3"]),
        "{reached:?}"
    );

    let reached = both.agree(page, reviews, &jason, 5).await;
    assert_eq!(reached, [("default/reviews-v1".to_owned(), 5)].into());

    // The rule is not for what is called by another name.
    both.agree(page, "http://ratings:9080/ratings/0", &[], 2)
        .await;
    both.agree("reviews-v2", "http://ratings:9080/ratings/0", &[], 2)
        .await;
    both.agree("details-v1", reviews, &[], OFTEN).await;
    let account = both.on_paper(page, "http://reviews:9080/reviews/secret", &jason, 0);
    let denial = account.denied_by.as_ref().map(ToString::to_string);
    assert_eq!(
        denial.as_deref(),
        Some("AuthorizationPolicy default/no-secrets")
    );
    both.agree(page, "http://reviews:9080/reviews/secret", &jason, 2)
        .await;

    both.agree(page, details, &jason, 2).await;
    let begin = Instant::now();
    both.agree(page, details, &[("end-user", "slow")], 2).await;
    assert!(begin.elapsed() >= Duration::from_secs(1));

    both.agree("gateway", "http://127.0.0.1:8080/productpage", &[], 2)
        .await;
    both.agree("gateway", "http://127.0.0.1:8080/nowhere", &[], 2)
        .await;
    let ended = timeout(LIMIT, both.mesh.shutdown()).await;
    ended.expect("a mesh ends in time");
}

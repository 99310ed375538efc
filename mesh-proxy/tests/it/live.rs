//! Changes of configuration, and the end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::Method;
use mesh_core::dataplane::{Direction, PathMatch, RouteSource, Snapshot, VirtualHost};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Notify};

use crate::{
    plans::{
        chain, cluster, http, http_by, listener, outbound, plan, respond, route, simple, table, to,
        virtual_host,
    },
    running::{Running, Setup},
    wire::{Client, Origin, get, read_head, request, scripted},
};

#[tokio::test]
async fn changes_fail_no_request_and_cost_no_connection() {
    let (a, b) = (
        Origin::saying(200, "a").await,
        Origin::saying(200, "b").await,
    );
    let version = |name: &str| -> Snapshot {
        let routes = RouteSource::Named("9080".into());
        let mut plan = plan(
            vec![outbound(http_by(routes))],
            vec![cluster("a", &[a.address]), cluster("b", &[b.address])],
        );
        let hosts = vec![virtual_host(&["*"], vec![to(name)])];
        plan.routes
            .insert("9080".into(), Arc::new(table("9080", hosts)));
        plan
    };
    let running = Running::start(&version("a")).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (main, stopping) = (running.main(), Arc::clone(&stop));
    let load = tokio::spawn(async move {
        let mut client = Client::http1(main).await;
        let (mut asked, mut from_b) = (0, 0);
        while !stopping.load(Ordering::SeqCst) {
            let answer = client.send(request(Method::GET, "/", &[])).await;
            assert_eq!(answer.status, 200);
            asked += 1;
            from_b += usize::from(answer.text() == "b");
        }
        (asked, from_b)
    });
    for round in 0..1_000 {
        let name = if round % 2 == 0 { "b" } else { "a" };
        assert_eq!(running.proxy.apply(&version(name)).await.refusals, []);
    }
    // Both are in force once a request that began after the last change shows it.
    assert_eq!(get(running.main(), "/").await.text(), "a");
    stop.store(true, Ordering::SeqCst);
    let (asked, from_b) = load.await.unwrap();
    assert!(asked > 0 && from_b <= asked);
    assert!(
        a.connections() <= 2 && b.connections() <= 2,
        "{} {}",
        a.connections(),
        b.connections()
    );
}

#[tokio::test]
async fn what_is_refused_keeps_its_last_good_version() {
    let app = Origin::saying(200, "good").await;
    let good = |table_name: &str| {
        let mut plan = plan(
            vec![outbound(http_by(RouteSource::Named("9080".into())))],
            vec![cluster("app", &[app.address])],
        );
        let hosts = vec![virtual_host(&["*"], vec![to("app")])];
        plan.routes
            .insert("9080".into(), Arc::new(table(table_name, hosts)));
        plan
    };
    let running = Running::start(&good("9080")).await;
    let mut bad = good("9080");
    let mut rule = to("nowhere");
    rule.matches.path = PathMatch::Regex("(".into());
    let hosts = vec![virtual_host(&["*"], vec![rule])];
    bad.routes
        .insert("9080".into(), Arc::new(table("9080", hosts)));
    // Told again, it is refused again.
    for _ in 0..2 {
        let verdict = running.proxy.apply(&bad).await;
        let [refusal] = &verdict.refusals[..] else {
            panic!("{verdict:?}")
        };
        assert_eq!(&*refusal.name, "9080");
        assert_eq!(get(running.main(), "/").await.text(), "good");
    }
    assert_eq!(running.proxy.apply(&good("9080")).await.refusals, []);
}

#[tokio::test]
async fn a_bad_virtual_host_holds_no_other_edit_of_its_table_back() {
    let (a, b) = (
        Origin::saying(200, "a").await,
        Origin::saying(200, "b").await,
    );
    let version = |first: &str, second: Option<&str>| {
        let mut plan = plan(
            vec![outbound(http_by(RouteSource::Named("9080".into())))],
            vec![cluster("a", &[a.address]), cluster("b", &[b.address])],
        );
        let mut rule = to(second.unwrap_or("a"));
        if second.is_none() {
            rule.matches.path = PathMatch::Regex("(".into());
        }
        let named = |name: &str, rule| VirtualHost {
            name: name.into(),
            ..virtual_host(&[name], vec![rule])
        };
        let hosts = vec![named("first", to(first)), named("second", rule)];
        plan.routes
            .insert("9080".into(), Arc::new(table("9080", hosts)));
        plan
    };
    let running = Running::start(&version("a", Some("b"))).await;
    let verdict = running.proxy.apply(&version("b", None)).await;
    let [refusal] = &verdict.refusals[..] else {
        panic!("{verdict:?}")
    };
    assert_eq!(&*refusal.name, "9080");
    let said = &refusal.reason;
    assert!(said.starts_with("virtual host second: "), "{said}");
    let mut client = Client::http1(running.main()).await;
    for host in ["first", "second"] {
        let asked = request(Method::GET, "/", &[("host", host)]);
        assert_eq!(client.send(asked).await.text(), "b", "{host}");
    }
    assert_eq!(
        running.proxy.apply(&version("a", Some("a"))).await.refusals,
        []
    );
}

#[tokio::test]
async fn listeners_come_and_go() {
    let app = Origin::saying(200, "").await;
    let more = |names: &[&str]| {
        let listeners = names.iter().map(|name| {
            let terminal = mesh_core::dataplane::Terminal::Http(http(vec![to("app")]));
            listener(
                name,
                Direction::Outbound,
                vec![chain("c", Default::default(), terminal)],
            )
        });
        plan(listeners.collect(), vec![cluster("app", &[app.address])])
    };
    let running = Running::start(&more(&["main"])).await;
    running.proxy.apply(&more(&["main", "second"])).await;
    let second = running.at("second");
    assert_eq!(get(second, "/").await.status, 200);
    running.proxy.apply(&more(&["main"])).await;
    assert_eq!(running.handle.address_of("second"), None);
    assert_eq!(get(running.main(), "/").await.status, 200);
    while TcpStream::connect(second).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_end_lets_requests_finish() {
    let (go_on, arrived) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (waiting, arriving) = (Arc::clone(&go_on), Arc::clone(&arrived));
    let app = scripted(move |_, mut stream| {
        let (waiting, arriving) = (Arc::clone(&waiting), Arc::clone(&arriving));
        async move {
            read_head(&mut stream).await;
            arriving.notify_one();
            waiting.notified().await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let rules = vec![route("/idle", respond(200, "")), to("app")];
    let plan = plan(vec![outbound(http(rules))], vec![cluster("app", &[app])]);
    let running = Running::start(&plan).await;
    let main = running.main();
    let mut idle = Client::http1(main).await;
    idle.send(request(Method::GET, "/idle", &[])).await;
    let asking = tokio::spawn(async move { get(main, "/").await.text() });
    arrived.notified().await;
    running.signal.start();
    while TcpStream::connect(main).await.is_ok() {
        tokio::task::yield_now().await;
    }
    while idle.start(request(Method::GET, "/idle", &[])).await.is_ok() {}
    go_on.notify_one();
    assert_eq!(asking.await.unwrap(), "done");
    let told = running.finish().await;
    let by_app = |line: &&String| line.contains(" via_upstream ");
    assert_eq!(told.iter().filter(by_app).count(), 1, "{told:?}");
}

#[tokio::test]
async fn workers_share_a_port() {
    let app = Origin::saying(200, "").await;
    let plan = simple(to("app"), cluster("app", &[app.address]));
    let setup = Setup {
        workers: 2,
        ..Setup::default()
    };
    let running = Running::with(setup, &plan).await;
    for _ in 0..40 {
        assert_eq!(get(running.main(), "/").await.status, 200);
    }
    let total = |samples: &[crate::wire::Sample]| -> f64 {
        let requests = samples
            .iter()
            .filter(|sample| sample.name == "istio_requests_total");
        requests.map(|sample| sample.value).sum()
    };
    assert_eq!(total(&running.metrics().await), 40.0);
    let pages = running
        .page(mesh_proxy::admin::Pages::All, "/clusters")
        .await;
    let workers: serde_json::Value = serde_json::from_str(&pages.text()).unwrap();
    assert_eq!(workers.as_array().unwrap().len(), 2);
    assert_eq!(running.finish().await.len(), 40);
}

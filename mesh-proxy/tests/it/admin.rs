//! Pages for the people who run a proxy.

use mesh_proxy::admin::Pages;

use crate::{
    plans::{cluster, simple, to},
    running::Running,
    wire::{Origin, get},
};

#[tokio::test]
async fn pages_say_what_they_should() {
    let app = Origin::saying(200, "").await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app.address]))).await;
    get(running.main(), "/").await;
    let instance = app.address.to_string();
    let listening = running.main().to_string();
    for (pages, path, status, part) in [
        (Pages::All, "/ready", 200, "LIVE"),
        (Pages::All, "/", 200, "/config_dump"),
        (Pages::All, "/config_dump", 200, "\"generation\": 1"),
        (Pages::All, "/listeners", 200, listening.as_str()),
        (Pages::All, "/clusters", 200, instance.as_str()),
        (Pages::All, "/certs", 200, "\"own\": null"),
        (Pages::All, "/server_info", 200, "caller-0"),
        (Pages::All, "/nothing", 404, ""),
        (Pages::Health, "/healthz/ready", 200, "LIVE"),
        (Pages::Health, "/config_dump", 404, ""),
        (
            Pages::Metrics,
            "/stats/prometheus",
            200,
            "istio_requests_total{",
        ),
        (Pages::Metrics, "/config_dump", 404, ""),
    ] {
        let answer = running.page(pages, path).await;
        assert_eq!(answer.status, status, "{pages:?} {path}");
        assert!(answer.text().contains(part), "{path}: {}", answer.text());
        if answer.header("content-type") == Some("application/json") {
            serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap();
        }
    }
    running.signal.start();
    let answer = running.page(Pages::All, "/ready").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "DRAINING\n"));
}

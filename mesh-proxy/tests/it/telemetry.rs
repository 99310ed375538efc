//! What is told of requests.

use std::collections::BTreeMap;

use mesh_core::{
    dataplane::{AccessLog, AccessLogFilter, AccessLogFormat},
    expression::Expression,
};

use crate::{
    plans::{cluster, http, istio_log, outbound, plan, to},
    running::Running,
    wire::{Origin, get, get_with},
};

/// The fields of a line in Istio's format: quoted ones are one.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

#[tokio::test]
async fn istios_line_field_by_field() {
    let app = Origin::saying(201, "hello").await;
    let clusters = vec![cluster("outbound|9080||app", &[app.address])];
    let plan = plan(
        vec![outbound(http(vec![to("outbound|9080||app")]))],
        clusters,
    );
    let running = Running::start(&plan).await;
    let main = running.main();
    let headers = [
        ("user-agent", "test \"quoted\""),
        ("x-request-id", "7"),
        ("x-forwarded-for", "10.0.0.1"),
    ];
    get_with(main, "/a?b=c", &headers).await;
    let lines = running.finish().await;
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    let line = line.replace("\\\"", "'");
    let fields = fields(&line);
    let app_address = app.address.to_string();
    let main = main.to_string();
    let want = [
        None, // start time
        Some("GET /a?b=c HTTP/1.1"),
        Some("201"),
        Some("-"),
        Some("via_upstream"),
        Some("-"),
        Some("-"),
        Some("0"),
        Some("5"),
        None, // duration
        None, // time of the upstream
        Some("10.0.0.1"),
        Some("test 'quoted'"),
        Some("7"),
        Some("reviews"),
        Some(app_address.as_str()),
        Some("outbound|9080||app"),
        None, // our end towards the upstream
        Some(main.as_str()),
        None, // the caller
        Some("-"),
        Some("route"),
        Some("/"),
    ];
    assert_eq!(fields.len(), want.len(), "{fields:#?}");
    for (field, want) in fields.iter().zip(want) {
        match want {
            Some(want) => assert_eq!(field, want),
            None => assert!(!field.is_empty() && field != "-", "{fields:#?}"),
        }
    }
    let time = fields[0].trim_matches(['[', ']']);
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    for digits in [&fields[9], &fields[10]] {
        assert!(digits.parse::<u64>().is_ok(), "{digits}");
    }
}

#[tokio::test]
async fn json_lines_and_filters() {
    let json = AccessLog {
        format: AccessLogFormat::Json(BTreeMap::from([
            ("code".into(), "%RESPONSE_CODE%".into()),
            ("flags".into(), "%RESPONSE_FLAGS%".into()),
            ("path".into(), "%REQ(:PATH)%".into()),
            ("nothing".into(), "%REQ(X-NOTHING)%".into()),
        ])),
        filter: Some(AccessLogFilter::ResponseFlags(vec!["NC".into()])),
        ..istio_log()
    };
    let app = Origin::saying(200, "").await;
    let mut rules = vec![to("app"), to("nowhere")];
    rules[0].matches.path = mesh_core::dataplane::PathMatch::Prefix("/ok".into());
    let mut serving = http(rules);
    serving.access_log = vec![json];
    let plan = plan(
        vec![outbound(serving)],
        vec![cluster("app", &[app.address])],
    );
    let running = Running::start(&plan).await;
    for path in ["/ok", "/missing\"x"] {
        get(running.main(), path).await;
    }
    let lines = running.finish().await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["nothing"], serde_json::Value::Null);
    assert_eq!(line["flags"], "NC");
    assert_eq!(line["code"].to_string().trim_matches('"'), "503");
}

/// A log of the paths of requests for which a condition holds.
fn log_if(condition: &str) -> AccessLog {
    let condition = Expression::parse_condition(condition).unwrap();
    AccessLog {
        format: AccessLogFormat::Text("%REQ(:PATH)%".into()),
        filter: Some(AccessLogFilter::Expression(condition)),
        ..istio_log()
    }
}

#[tokio::test]
async fn only_what_an_expression_is_for_is_logged() {
    let app = Origin::saying(200, "").await;
    let mut rules = vec![to("app"), to("nowhere")];
    rules[0].matches.path = mesh_core::dataplane::PathMatch::Prefix("/ok".into());
    for (condition, want) in [
        ("response.code >= 500", vec!["/missing"]),
        ("request.url_path == '/ok'", vec!["/ok"]),
        ("request.headers['x-log'] == 'yes'", vec!["/ok"]),
        (
            "request.useragent == 'curl' && request.id != ''",
            vec!["/ok"],
        ),
        // Envoy's bit of "no cluster".
        ("response.flags == 16777216", vec!["/missing"]),
        ("xds.listener_direction == 2", vec!["/ok", "/missing"]),
        (
            "xds.cluster_name == 'app' || response.code == 503",
            vec!["/ok", "/missing"],
        ),
        ("!('x-log' in request.headers)", vec!["/missing"]),
        // What cannot be told logs nothing: there is no such header, no such number.
        ("request.headers['x-none'] == ''", vec![]),
        ("response.code / 0 == 1", vec![]),
    ] {
        let mut serving = http(rules.clone());
        serving.access_log = vec![log_if(condition)];
        let clusters = vec![cluster("app", &[app.address])];
        let running = Running::start(&plan(vec![outbound(serving)], clusters)).await;
        let headers = [
            ("x-log", "yes"),
            ("user-agent", "curl"),
            ("x-request-id", "7"),
        ];
        get_with(running.main(), "/ok", &headers).await;
        get(running.main(), "/missing").await;
        assert_eq!(running.finish().await, want, "{condition}");
    }
}

#[tokio::test]
async fn a_log_that_could_never_tell_is_refused_by_name() {
    let running = Running::start(&plan(Vec::new(), Vec::new())).await;
    for name in [
        "response.headers['x']",
        "request.headers[request.host]",
        "xds.virtual_host_name",
        "request.scheme",
    ] {
        let mut serving = http(vec![to("app")]);
        serving.access_log = vec![log_if(&format!("{name} == 'a'"))];
        let plan = plan(vec![outbound(serving)], Vec::new());
        let refusals = running.proxy.apply(&plan).await.refusals;
        let attribute = name.split('[').next().unwrap();
        assert!(refusals[0].reason.contains(attribute), "{refusals:?}");
    }
}

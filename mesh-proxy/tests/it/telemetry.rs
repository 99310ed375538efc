//! What is told of requests.

use std::collections::BTreeMap;

use mesh_core::dataplane::{AccessLog, AccessLogFilter, AccessLogFormat};

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

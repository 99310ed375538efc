use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::istio::{ProviderDefinition, TracingProvider},
    mesh::AuthorizerProvider,
};

/// Somebody who takes telemetry or decides on requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Its name in the mesh configuration.
    pub name: Arc<str>,
    /// What it is.
    pub kind: ProviderKind,
}

/// What a provider is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ProviderKind {
    /// Metrics for Prometheus to collect.
    Prometheus,
    /// A file of lines.
    FileLog {
        /// The file.
        path: Arc<str>,
        /// What a line says.
        format: LogFormat,
    },
    /// A collector of spans, by protocol.
    Spans {
        /// Such as `zipkin`.
        protocol: &'static str,
        /// Its host.
        service: String,
        /// Its port.
        port: u16,
        /// The longest tag it takes.
        max_tag_length: Option<u32>,
    },
    /// One that this mesh does not speak to, by the field that defines it.
    NotYet(&'static str),
    /// One that decides on requests and connections.
    Authorizer(Arc<AuthorizerProvider>),
}

/// What a line of a log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Istio's line.
    #[default]
    Istio,
    /// This text.
    Text(String),
    /// A JSON object with these values; none for Istio's.
    Json(Option<BTreeMap<String, String>>),
}

/// What the definitions mean, with what is wrong with each, by its place and field.
pub(in crate::mesh) fn providers(
    written: &[ProviderDefinition],
) -> (Vec<Provider>, Vec<(String, String)>) {
    let mut providers: Vec<Provider> = Vec::new();
    let mut wrong = Vec::new();
    for (i, definition) in written.iter().enumerate() {
        let field = format!("extensionProviders[{i}]");
        let mut kinds = kinds(definition).into_iter();
        let (kind, more) = (kinds.next(), kinds.next());
        match kind {
            _ if definition.name.is_empty() => wrong.push((field, "has no name".to_owned())),
            _ if named(&providers, &definition.name).is_some() => {
                let reason = format!("another provider is called {}", definition.name);
                wrong.push((format!("{field}.name"), reason));
            }
            None => wrong.push((field, "says nothing of what it is".to_owned())),
            Some(_) if more.is_some() => {
                wrong.push((field, "is two kinds of provider at once".to_owned()));
            }
            Some(Err((at, reason))) => wrong.push((format!("{field}.{at}"), reason)),
            Some(Ok(kind)) => providers.push(Provider {
                name: definition.name.as_str().into(),
                kind,
            }),
        }
    }
    (providers, wrong)
}

/// The provider of this name, without regard to case as in Istio.
pub(super) fn named<'a>(providers: &'a [Provider], name: &str) -> Option<&'a Provider> {
    let mut all = providers.iter();
    all.find(|provider| provider.name.eq_ignore_ascii_case(name))
}

/// The kinds of provider that a definition is, with what is wrong with each, by its field.
fn kinds(written: &ProviderDefinition) -> Vec<Result<ProviderKind, (String, String)>> {
    let mut kinds = Vec::new();
    if written.prometheus.is_some() {
        kinds.push(ProviderKind::Prometheus);
    }
    if let Some(file) = &written.envoy_file_access_log {
        let format = match &file.log_format {
            None => LogFormat::Istio,
            Some(format) => match (&format.text, &format.labels) {
                (Some(text), _) => LogFormat::Text(text.clone()),
                (None, labels) => LogFormat::Json(labels.clone()),
            },
        };
        kinds.push(ProviderKind::FileLog {
            path: file.path.as_str().into(),
            format,
        });
    }
    let spans = |protocol, written: &Option<TracingProvider>| {
        written.as_ref().map(|written| ProviderKind::Spans {
            protocol,
            service: written.service.clone(),
            port: written.port,
            max_tag_length: written.max_tag_length,
        })
    };
    kinds.extend(spans("opentelemetry", &written.opentelemetry));
    kinds.extend(spans("zipkin", &written.zipkin));
    kinds.extend(spans("datadog", &written.datadog));
    kinds.extend(spans("skywalking", &written.skywalking));
    let others = [
        ("lightstep", written.lightstep.is_some()),
        ("opencensus", written.opencensus.is_some()),
        ("stackdriver", written.stackdriver.is_some()),
        ("envoyHttpAls", written.envoy_http_als.is_some()),
        ("envoyTcpAls", written.envoy_tcp_als.is_some()),
        ("envoyOtelAls", written.envoy_otel_als.is_some()),
        ("sds", written.sds.is_some()),
    ];
    let others = others.into_iter().filter(|(_, is_written)| *is_written);
    kinds.extend(others.map(|(field, _)| ProviderKind::NotYet(field)));
    let kinds = kinds.into_iter().map(Ok);
    let http = written
        .envoy_ext_authz_http
        .as_ref()
        .map(|written| AuthorizerProvider::of_http(written).map_err(within("envoyExtAuthzHttp")));
    let grpc = written
        .envoy_ext_authz_grpc
        .as_ref()
        .map(|written| AuthorizerProvider::of_grpc(written).map_err(within("envoyExtAuthzGrpc")));
    let authorizers = http.into_iter().chain(grpc);
    let authorizers =
        authorizers.map(|read| read.map(|read| ProviderKind::Authorizer(Arc::new(read))));
    kinds.chain(authorizers).collect()
}

/// Puts a field in its place.
fn within(kind: &str) -> impl Fn((&str, String)) -> (String, String) {
    move |(field, reason)| (format!("{kind}.{field}"), reason)
}

//! Access logs ⇄ `envoy.config.accesslog.v3`, and tracing.

use std::{collections::BTreeMap, mem::take};

use mesh_core::{
    dataplane::{
        AccessLog, AccessLogFilter, AccessLogFormat, Fraction, SpanTag, SpanTagValue, Tracing,
    },
    expression::Expression,
};

use super::{
    any::{holds, pack, unpack},
    metadata::{object, read_text, text},
    reader::{Reader, Unread},
    scalar::{number, percent, read_percent},
};
use crate::proto::{accesslog, cel_filter, core, file_log, hcm, span_tags, stream_log, wkt};

use accesslog::access_log_filter::FilterSpecifier;
use core::substitution_format_string::Format;
use file_log::file_access_log;

const CEL_FILTER: &str = "envoy.access_loggers.extension_filters.cel";
const STDOUT: &str = "/dev/stdout";
const STDERR: &str = "/dev/stderr";

pub(super) fn access_log(value: &AccessLog) -> accesslog::AccessLog {
    let format = match &value.format {
        AccessLogFormat::Default => None,
        AccessLogFormat::Text(line) => Some(Format::TextFormatSource(core::DataSource {
            specifier: Some(core::data_source::Specifier::InlineString(format!(
                "{line}\n"
            ))),
            ..Default::default()
        })),
        AccessLogFormat::Json(fields) => Some(Format::JsonFormat(object(
            fields
                .iter()
                .map(|(key, value)| (key.as_str(), text(value.as_str()))),
        ))),
    };
    let format = format.map(|format| {
        file_access_log::AccessLogFormat::LogFormat(core::SubstitutionFormatString {
            format: Some(format),
            ..Default::default()
        })
    });
    accesslog::AccessLog {
        name: "envoy.access_loggers.file".into(),
        filter: value.filter.as_ref().and_then(filter),
        config_type: Some(accesslog::access_log::ConfigType::TypedConfig(pack(
            &file_log::FileAccessLog {
                path: value.path.clone(),
                access_log_format: format,
            },
        ))),
    }
}

pub(super) fn read_access_logs(
    r: &mut Reader,
    field: &str,
    wire: Vec<accesslog::AccessLog>,
) -> Vec<AccessLog> {
    r.each(field, wire, read_access_log)
        .into_iter()
        .flatten()
        .collect()
}

/// None for a logger that is not supported: it is ignored, since nothing but a log is lost.
fn read_access_log(r: &mut Reader, wire: accesslog::AccessLog) -> Option<AccessLog> {
    let Some(accesslog::access_log::ConfigType::TypedConfig(any)) = wire.config_type else {
        r.ignore("typed_config", format!("is missing for {}", wire.name));
        return None;
    };
    let (path, format) = if holds::<file_log::FileAccessLog>(&any) {
        let wire: file_log::FileAccessLog = unpack(r, &any)?;
        (wire.path, wire.access_log_format)
    } else if holds::<stream_log::StdoutAccessLog>(&any) {
        let wire: stream_log::StdoutAccessLog = unpack(r, &any)?;
        let stream_log::stdout_access_log::AccessLogFormat::LogFormat(format) =
            wire.access_log_format.unwrap_or_else(|| {
                stream_log::stdout_access_log::AccessLogFormat::LogFormat(
                    core::SubstitutionFormatString::default(),
                )
            });
        (
            STDOUT.into(),
            Some(file_access_log::AccessLogFormat::LogFormat(format)),
        )
    } else if holds::<stream_log::StderrAccessLog>(&any) {
        r.ignore(
            "typed_config",
            "the format of a log to stderr is Envoy's default",
        );
        (STDERR.into(), None)
    } else {
        r.ignore("typed_config", format!("{} is not supported", any.type_url));
        return None;
    };
    Some(AccessLog {
        path,
        format: r.within("access_log_format", |r| read_format(r, format)),
        filter: wire.filter.and_then(|wire| read_filter(r, wire)),
    })
}

#[expect(
    deprecated,
    reason = "older configurations still give the format in place"
)]
fn read_format(r: &mut Reader, wire: Option<file_access_log::AccessLogFormat>) -> AccessLogFormat {
    use file_access_log::AccessLogFormat as Wire;
    match wire {
        None => AccessLogFormat::Default,
        Some(Wire::Format(line)) if line.is_empty() => AccessLogFormat::Default,
        Some(Wire::Format(line)) => text_format(line),
        Some(Wire::JsonFormat(fields) | Wire::TypedJsonFormat(fields)) => json_format(r, fields),
        Some(Wire::LogFormat(mut wire)) => {
            let format = match wire.format.take() {
                None => AccessLogFormat::Default,
                Some(Format::TextFormat(line)) => text_format(line),
                Some(Format::JsonFormat(fields)) => json_format(r, fields),
                Some(Format::TextFormatSource(source)) => match source.specifier {
                    Some(core::data_source::Specifier::InlineString(line)) => text_format(line),
                    _ => {
                        r.ignore("text_format_source", "is not given in place");
                        AccessLogFormat::Default
                    }
                },
            };
            r.finish(wire, Unread::IGNORED);
            format
        }
    }
}

/// Lines end by themselves here; in Envoy the format says so.
fn text_format(mut line: String) -> AccessLogFormat {
    if line.ends_with('\n') {
        line.pop();
    }
    AccessLogFormat::Text(line)
}

fn json_format(r: &mut Reader, wire: wkt::Struct) -> AccessLogFormat {
    let mut fields = BTreeMap::new();
    for (key, value) in wire.fields {
        match read_text(value) {
            Some(value) => drop(fields.insert(key, value)),
            None => r.ignore(&key, "is not text"),
        }
    }
    AccessLogFormat::Json(fields)
}

fn filter(value: &AccessLogFilter) -> Option<accesslog::AccessLogFilter> {
    let specifier = match value {
        AccessLogFilter::ResponseFlags(flags) => {
            FilterSpecifier::ResponseFlagFilter(accesslog::ResponseFlagFilter {
                flags: flags.clone(),
            })
        }
        AccessLogFilter::Expression(expression) => {
            let config = pack(&cel_filter::ExpressionFilter {
                expression: expression.text().to_owned(),
                ..Default::default()
            });
            FilterSpecifier::ExtensionFilter(accesslog::ExtensionFilter {
                name: CEL_FILTER.into(),
                config_type: Some(accesslog::extension_filter::ConfigType::TypedConfig(config)),
            })
        }
        _ => return None,
    };
    Some(accesslog::AccessLogFilter {
        filter_specifier: Some(specifier),
    })
}

fn read_filter(r: &mut Reader, wire: accesslog::AccessLogFilter) -> Option<AccessLogFilter> {
    match wire.filter_specifier? {
        FilterSpecifier::ResponseFlagFilter(wire) => {
            Some(AccessLogFilter::ResponseFlags(wire.flags))
        }
        FilterSpecifier::ExtensionFilter(wire) => {
            let Some(accesslog::extension_filter::ConfigType::TypedConfig(any)) = wire.config_type
            else {
                r.ignore("filter", format!("{} has no configuration", wire.name));
                return None;
            };
            if !holds::<cel_filter::ExpressionFilter>(&any) {
                r.ignore("filter", format!("is not supported ({})", any.type_url));
                return None;
            }
            let wire: cel_filter::ExpressionFilter = unpack(r, &any)?;
            match Expression::parse_condition(&wire.expression) {
                Ok(expression) => Some(AccessLogFilter::Expression(expression)),
                Err(error) => {
                    r.ignore("filter.expression", error.to_string());
                    None
                }
            }
        }
        other => {
            r.ignore("filter", format!("is not supported ({other:?})"));
            None
        }
    }
}

pub(super) fn tracing(value: &Tracing) -> hcm::http_connection_manager::Tracing {
    hcm::http_connection_manager::Tracing {
        random_sampling: Some(percent(value.random_sampling)),
        custom_tags: value.tags.iter().map(span_tag).collect(),
        max_path_tag_length: value.max_path_tag_length.and_then(number),
        ..Default::default()
    }
}

pub(super) fn read_tracing(
    r: &mut Reader,
    mut wire: hcm::http_connection_manager::Tracing,
) -> Tracing {
    let random_sampling = read_percent(
        r,
        "random_sampling",
        take(&mut wire.random_sampling),
        Fraction::ALL,
    );
    let tags = r.each("custom_tags", take(&mut wire.custom_tags), read_span_tag);
    let max_path_tag_length = wire.max_path_tag_length.take().map(|bytes| bytes.value);
    r.finish(wire, Unread::IGNORED);
    Tracing {
        random_sampling,
        tags: tags.into_iter().flatten().collect(),
        max_path_tag_length,
    }
}

fn span_tag(tag: &SpanTag) -> span_tags::CustomTag {
    use span_tags::custom_tag::{Environment, Header, Literal, Type};
    let kind = match tag.value.clone() {
        SpanTagValue::Literal(value) => Type::Literal(Literal { value }),
        SpanTagValue::Environment { name, default } => Type::Environment(Environment {
            name,
            default_value: default,
        }),
        SpanTagValue::Header { name, default } => Type::RequestHeader(Header {
            name,
            default_value: default,
        }),
        SpanTagValue::Format(text) => Type::Value(text),
    };
    span_tags::CustomTag {
        tag: tag.name.clone(),
        r#type: Some(kind),
    }
}

/// None for a source of tags that is not supported: nothing but a tag is lost.
fn read_span_tag(r: &mut Reader, wire: span_tags::CustomTag) -> Option<SpanTag> {
    use span_tags::custom_tag::Type;
    let value = match wire.r#type {
        Some(Type::Literal(wire)) => SpanTagValue::Literal(wire.value),
        Some(Type::Environment(wire)) => SpanTagValue::Environment {
            name: wire.name,
            default: wire.default_value,
        },
        Some(Type::RequestHeader(wire)) => SpanTagValue::Header {
            name: wire.name,
            default: wire.default_value,
        },
        Some(Type::Value(text)) => SpanTagValue::Format(text),
        Some(Type::Metadata(_)) | None => {
            r.ignore("type", "is not supported");
            return None;
        }
    };
    Some(SpanTag {
        name: wire.tag,
        value,
    })
}

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use http::HeaderName;
use mesh_core::{
    dataplane::{AccessLog, AccessLogFilter, AccessLogFormat},
    expression::{Attribute, Expression},
};
use mesh_routing::expression;

use super::{
    Told,
    attributes::OWN_HEADERS,
    format::{Format, FormatError},
    sink::LogWriter,
};

/// An access log, ready to write.
#[derive(Debug)]
pub(crate) struct CompiledAccessLog {
    lines: Lines,
    /// Only records with one of these response flags.
    flags: Option<Vec<String>>,
    /// Only records for which this holds.
    condition: Option<Expression>,
    writer: LogWriter,
}

#[derive(Debug)]
enum Lines {
    Text(Format),
    Json(BTreeMap<String, Format>),
}

impl CompiledAccessLog {
    /// Envoy's own default line.
    const ENVOY_TEXT: &str = concat!(
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
        "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
        "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" ",
        "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"",
    );

    pub(crate) fn compile(planned: &AccessLog, writer: LogWriter) -> Result<Self, FormatError> {
        let lines = match &planned.format {
            AccessLogFormat::Default => Lines::Text(Format::compile(Self::ENVOY_TEXT)?),
            AccessLogFormat::Text(text) => {
                Lines::Text(Format::compile(text.strip_suffix('\n').unwrap_or(text))?)
            }
            AccessLogFormat::Json(values) => Lines::Json(
                values
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), Format::compile(value)?)))
                    .collect::<Result<_, FormatError>>()?,
            ),
        };
        let (flags, condition) = match &planned.filter {
            None => (None, None),
            Some(AccessLogFilter::ResponseFlags(names)) => (Some(names.clone()), None),
            Some(AccessLogFilter::Expression(condition)) => {
                if let Some(unknown) = condition.unknown_to(Attribute::is_logged) {
                    return Err(FormatError::Attribute(unknown.name()));
                }
                (None, Some(condition.clone()))
            }
            Some(other) => return Err(FormatError::Filter(format!("{other:?}"))),
        };
        Ok(Self {
            lines,
            flags,
            condition,
            writer,
        })
    }

    /// The request headers it wants of a record.
    pub(crate) fn request_headers(&self) -> Vec<HeaderName> {
        let mut names: Vec<HeaderName> = match &self.lines {
            Lines::Text(format) => format.request_headers().cloned().collect(),
            Lines::Json(values) => values
                .values()
                .flat_map(Format::request_headers)
                .cloned()
                .collect(),
        };
        let Some(condition) = &self.condition else {
            return names;
        };
        let asked = condition.keys_of(Attribute::RequestHeaders).into_iter();
        let own = OWN_HEADERS.iter();
        let own = own.filter(|(asked, _)| condition.unknown_to(|it| it != *asked) == Some(*asked));
        let asked = asked.chain(own.map(|(_, name)| *name));
        names.extend(asked.filter_map(|name| HeaderName::try_from(name).ok()));
        names
    }

    /// The way to the file its lines go to.
    pub(crate) fn writer(&self) -> &LogWriter {
        &self.writer
    }

    /// Whether a record is to be logged.
    pub(crate) fn wants(&self, told: Told<'_>) -> bool {
        self.flags
            .as_ref()
            .is_none_or(|names| told.flags().matches(names))
            && self
                .condition
                .as_ref()
                .is_none_or(|condition| expression::holds(condition, &told))
    }

    fn write(&self, told: Told<'_>, out: &mut String) {
        match &self.lines {
            Lines::Text(format) => format.write(told, out),
            Lines::Json(values) => write_json(values, told, out),
        }
        out.push('\n');
    }
}

fn write_json(values: &BTreeMap<String, Format>, told: Told<'_>, out: &mut String) {
    let object: serde_json::Map<String, serde_json::Value> = values
        .iter()
        .map(|(key, format)| {
            let mut text = String::new();
            format.write(told, &mut text);
            let value = if text == "-" {
                serde_json::Value::Null
            } else {
                text.into()
            };
            (key.clone(), value)
        })
        .collect();
    out.push_str(&serde_json::Value::Object(object).to_string());
}

/// One worker's lines on their way to the writer: handed over in batches, soon.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    lines: RefCell<String>,
    writer: LogWriter,
}

impl LogBuffer {
    /// Hand over at once from this size, in bytes.
    const BATCH: usize = 16 * 1024;
    /// Hand over after so long at the latest.
    const DELAY: Duration = Duration::from_millis(20);

    /// No lines yet.
    pub(crate) fn new(writer: LogWriter) -> Self {
        Self {
            lines: RefCell::default(),
            writer,
        }
    }

    /// Writes a line. Must run on a worker.
    pub(crate) fn log(self: &Rc<Self>, log: &CompiledAccessLog, told: Told<'_>) {
        let mut lines = self.lines.borrow_mut();
        let first = lines.is_empty();
        log.write(told, &mut lines);
        if lines.len() >= Self::BATCH {
            self.writer.send(std::mem::take(&mut *lines).into_bytes());
        } else if first {
            self.flush_soon();
        }
    }

    /// Hands over what is there.
    pub(crate) fn flush(&self) {
        let lines = self.lines.take();
        if !lines.is_empty() {
            self.writer.send(lines.into_bytes());
        }
    }

    fn flush_soon(self: &Rc<Self>) {
        let buffer = self.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Self::DELAY).await;
            buffer.flush();
        });
    }
}

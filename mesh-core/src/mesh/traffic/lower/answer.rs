//! What a proxy answers itself: redirects and direct responses.

use super::Lower;
use crate::{
    config::istio,
    mesh::{DirectResponse, Redirect, RedirectPort},
};

/// The largest body of a direct response, in bytes: Envoy's limit as Istio sets it.
const MAX_RESPONSE_BODY: usize = 1 << 20;

impl Lower<'_> {
    pub(super) fn redirect(&mut self, field: &str, written: &istio::Redirect) -> Option<Redirect> {
        let status = written
            .redirect_code
            .filter(|code| *code != 0)
            .unwrap_or(301);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let at = format!("{field}.redirectCode");
            self.findings.error(&at, format!("{status} is no redirect"));
            self.findings.advise("possible are 301, 302, 303, 307, 308");
        }
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        if !written.authority.is_empty() {
            self.authority(&format!("{field}.authority"), &written.authority);
        }
        let port = match (written.port, written.derive_port) {
            (Some(port), None) => Some(RedirectPort::Number(port)),
            (None, Some(istio::RedirectPort::FromProtocolDefault)) => {
                Some(RedirectPort::ProtocolDefault)
            }
            (None, Some(istio::RedirectPort::FromRequestPort)) => Some(RedirectPort::Request),
            (None, None) => None,
            (Some(_), Some(_)) => {
                let at = format!("{field}.derivePort");
                self.findings
                    .error(&at, "port is given too: one of both is allowed");
                None
            }
        };
        let redirect = Redirect {
            status,
            scheme: given(&written.scheme),
            authority: given(&written.authority),
            port,
            path: given(&written.uri),
            prefix: given(&written.prefix_rewrite),
        };
        if redirect.path.is_some() && redirect.prefix.is_some() {
            let at = format!("{field}.prefixRewrite");
            self.findings
                .error(&at, "uri is given too: one of both is allowed");
        }
        Some(redirect)
    }

    pub(super) fn respond(
        &mut self,
        field: &str,
        written: &istio::DirectResponse,
    ) -> Option<DirectResponse> {
        let status = self.status(&format!("{field}.status"), written.status.into())?;
        let body = written.body.clone().unwrap_or_default();
        let bytes = match (body.string, body.bytes) {
            (text, None) => text.unwrap_or_default().into_bytes(),
            (None, Some(base64)) => {
                use base64::Engine as _;
                let engine = &base64::engine::general_purpose::STANDARD;
                engine.decode(base64).unwrap_or_else(|_| {
                    let at = format!("{field}.body.bytes");
                    self.findings.error(&at, "is not base64");
                    Vec::new()
                })
            }
            (Some(_), Some(_)) => {
                let at = format!("{field}.body");
                self.findings
                    .error(&at, "only one of string, bytes is allowed");
                Vec::new()
            }
        };
        if bytes.len() > MAX_RESPONSE_BODY {
            let at = format!("{field}.body");
            self.findings
                .error(&at, format!("longer than {MAX_RESPONSE_BODY} bytes"));
        }
        Some(DirectResponse {
            status,
            body: bytes.into(),
        })
    }

    pub(super) fn status(&mut self, field: &str, status: i64) -> Option<u16> {
        let status_code = u16::try_from(status).ok();
        let valid = status_code.filter(|status| (200..600).contains(status));
        if valid.is_none() {
            self.findings
                .error(field, format!("{status} is no status between 200 and 599"));
        }
        valid
    }
}

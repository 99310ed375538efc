use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use mesh_core::{dataplane::CorsPolicy, name::Pattern};

use crate::{CompileError, Defect, RequestHead, compile_error::compile_all, predicate::TextTest};

/// Who may call from a browser (the Fetch standard's CORS protocol).
#[derive(Debug)]
pub struct Cors {
    any_origin: bool,
    origins: Box<[TextTest]>,
    credentials: bool,
    /// Where credentials are sent a `*` is no wildcard (Fetch, section 3.2.3): what is asked for is
    /// said back instead.
    echo_methods: bool,
    echo_headers: bool,
    /// What every allowed preflight is told.
    preflight: Box<[(HeaderName, HeaderValue)]>,
    expose: Option<HeaderValue>,
    forward_unmatched_preflights: bool,
}

/// What CORS has to say about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsAnswer {
    /// Nothing: it goes on, and its response stays as it is.
    Pass,
    /// It goes on, and its response gets these headers.
    Mark(CorsHeaders),
    /// It is a preflight, answered here with 200 and these headers.
    Answer(CorsHeaders),
}

/// Headers of a CORS response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsHeaders(Vec<(HeaderName, HeaderValue)>);

impl CorsHeaders {
    /// Writes them over whatever the destination said.
    pub fn apply(self, headers: &mut HeaderMap) {
        for (name, value) in self.0 {
            headers.insert(name, value);
        }
    }
}

impl Cors {
    /// Prepares a policy. Refuses values that headers cannot have.
    pub fn compile(policy: &CorsPolicy) -> Result<Self, CompileError> {
        let list = |field: &str, name: HeaderName, items: &[String]| {
            let text = items.join(",");
            match HeaderValue::from_str(&text) {
                _ if items.is_empty() => Ok(None),
                Ok(value) => Ok(Some((name, value))),
                Err(_) => Err(CompileError::from(Defect::HeaderValue(text)).within(field)),
            }
        };
        let credentials = policy.allow_credentials == Some(true);
        let is_any = |items: &[String]| items.iter().any(|item| item == "*");
        let methods = list(
            "allow_methods",
            header::ACCESS_CONTROL_ALLOW_METHODS,
            &policy.allow_methods,
        )?;
        let allowed = list(
            "allow_headers",
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            &policy.allow_headers,
        )?;
        let expose = list(
            "expose_headers",
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &policy.expose_headers,
        )?;
        let max_age = policy
            .max_age
            .map(|age| (header::ACCESS_CONTROL_MAX_AGE, age.as_secs().into()));
        Ok(Self {
            any_origin: policy.allow_origins.contains(&Pattern::Exact("*".into())),
            origins: compile_all("allow_origins", &policy.allow_origins, |origin| {
                TextTest::compile(origin, false)
            })?,
            credentials,
            echo_methods: credentials && is_any(&policy.allow_methods),
            echo_headers: credentials && is_any(&policy.allow_headers),
            preflight: methods.into_iter().chain(allowed).chain(max_age).collect(),
            expose: expose.map(|(_, value)| value),
            forward_unmatched_preflights: policy.forward_unmatched_preflights,
        })
    }

    /// What to do about a request.
    pub fn judge(&self, head: &RequestHead<'_>) -> CorsAnswer {
        let Some(origin) = head.headers.get(header::ORIGIN) else {
            return CorsAnswer::Pass;
        };
        let preflight = head.method == Method::OPTIONS
            && head
                .headers
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        match (self.allows(origin), preflight) {
            (true, true) => {
                let said = self.preflight.iter();
                let said = said.filter_map(|(name, value)| self.said(name, value, head));
                CorsAnswer::Answer(self.headers(origin, said))
            }
            (true, false) => {
                let expose = self.expose.clone();
                let expose = expose.map(|value| (header::ACCESS_CONTROL_EXPOSE_HEADERS, value));
                CorsAnswer::Mark(self.headers(origin, expose))
            }
            (false, true) if !self.forward_unmatched_preflights => {
                CorsAnswer::Answer(CorsHeaders::default())
            }
            (false, _) => CorsAnswer::Pass,
        }
    }

    /// A header of an answer to a preflight.
    fn said(
        &self,
        name: &HeaderName,
        value: &HeaderValue,
        head: &RequestHead<'_>,
    ) -> Option<(HeaderName, HeaderValue)> {
        let asked = match *name {
            header::ACCESS_CONTROL_ALLOW_METHODS if self.echo_methods => {
                header::ACCESS_CONTROL_REQUEST_METHOD
            }
            header::ACCESS_CONTROL_ALLOW_HEADERS if self.echo_headers => {
                header::ACCESS_CONTROL_REQUEST_HEADERS
            }
            _ => return Some((name.clone(), value.clone())),
        };
        let asked = head.headers.get(asked)?;
        Some((name.clone(), asked.clone()))
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.any_origin
            || origin
                .to_str()
                .is_ok_and(|origin| self.origins.iter().any(|test| test.matches(origin)))
    }

    fn headers(
        &self,
        origin: &HeaderValue,
        more: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> CorsHeaders {
        let credentials = self.credentials.then(|| {
            let yes = HeaderValue::from_static("true");
            (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes)
        });
        let allow = (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        CorsHeaders(
            std::iter::once(allow)
                .chain(credentials)
                .chain(more)
                .collect(),
        )
    }
}

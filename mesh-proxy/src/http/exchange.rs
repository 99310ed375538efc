//! The life of a request, top to bottom: received, routed, judged, sent, answered, told.

use std::{
    ops::{Deref, DerefMut},
    rc::Rc,
    time::Instant,
};

use http::{HeaderValue, Request, Response, StatusCode, Version, header, request::Parts};
use hyper::body::Incoming;
use mesh_routing::{Matched, RequestHead, access::Claims, action::EditFacts, router::Action};

use super::{
    attempt,
    body::ProxyBody,
    failure::{Failure, ResponseFlags},
    filters::{self, Flow},
    finish::{Finish, Sent},
    grpc, headers, reply,
    server::{ChainInForce, HttpConnection},
    upgrade::Upgrade,
};
use crate::{live::HttpChain, telemetry::RequestRecord};

/// A request on its way through the proxy.
pub(super) struct Exchange<'a> {
    pub(super) connection: &'a Rc<HttpConnection>,
    pub(super) chain: &'a Rc<ChainInForce>,
    pub(super) http: &'a HttpChain,
    /// The request without its body. The path is in one spelling, `host` is what was asked for.
    pub(super) head: Parts,
    /// One draw, of which every decision about this request takes its own.
    pub(super) seed: u64,
    pub(super) record: Untold,
    pub(super) upgrade: Option<Upgrade>,
    /// What its verified token says.
    pub(super) claims: Option<Claims>,
    /// What filters want to write on the answer.
    pub(super) on_response: filters::OnResponse,
}

/// The record of a request that is not over.
pub(super) struct Untold(Option<RequestRecord>);

/// An answer, and what it took.
pub(super) struct Answer {
    pub(super) response: Response<ProxyBody>,
    pub(super) sent: Option<Sent>,
}

/// Runs one request.
pub(super) async fn run(
    connection: &Rc<HttpConnection>,
    request: Request<Incoming>,
) -> Response<ProxyBody> {
    let chain = connection.chain_in_force();
    let Some(http) = chain.http() else {
        return reply::failure(&Failure::NoRoute, false);
    };
    let (head, body) = request.into_parts();
    let mut exchange = Exchange::begin(connection, &chain, http, head);
    let answer = exchange.answer(body).await;
    exchange.end(answer)
}

impl<'a> Exchange<'a> {
    fn begin(
        connection: &'a Rc<HttpConnection>,
        chain: &'a Rc<ChainInForce>,
        http: &'a HttpChain,
        head: Parts,
    ) -> Self {
        connection.activity.request_began();
        let mut record = RequestRecord::begin(Rc::clone(&connection.record), &head);
        record.grpc = grpc::is_grpc(&head.headers);
        Self {
            connection,
            chain,
            http,
            seed: connection.worker.draw(),
            head,
            record: Untold(Some(record)),
            upgrade: None,
            claims: None,
            on_response: filters::OnResponse::default(),
        }
    }

    async fn answer(&mut self, body: Incoming) -> Result<Answer, Failure> {
        if let Some(redirect) = headers::receive(self)? {
            return Ok(redirect.into());
        }
        let http = self.http;
        let mut matched = self.find_route();
        for filter in &http.shared.filters {
            match filters::apply(filter, self, matched.as_ref().ok()).await? {
                Flow::Continue => {}
                Flow::Answer(response) => return Ok(response.into()),
            }
            if filter.reroutes() && self.claims.is_some() {
                matched = self.find_route();
            }
        }
        let matched = matched?;
        match &matched.route.action {
            Action::Forward(forward) => attempt::forward(self, &matched, forward, body).await,
            Action::Redirect(redirect) => Ok(self.redirect(&matched, redirect.status()).into()),
            Action::Respond(direct) => {
                self.record.details = "direct_response".into();
                let status = StatusCode::from_u16(direct.status).unwrap_or(StatusCode::OK);
                let body = bytes::Bytes::copy_from_slice(&direct.body);
                Ok(self.edited(&matched, reply::plain(status, body)).into())
            }
        }
    }

    /// The rule for the request as it is now, and a note of it.
    fn find_route(&mut self) -> Result<Matched<'a>, Failure> {
        let router = self.http.router.as_deref().ok_or(Failure::NoRoute)?;
        let matched = router.route(&self.view(), self.seed);
        let route = matched.as_ref().ok();
        self.record.route = route.map(|matched| (Rc::clone(self.chain), matched.id));
        matched.map_err(|_| Failure::NoRoute)
    }

    /// The request as decisions see it.
    pub(super) fn view(&self) -> RequestHead<'_> {
        RequestHead {
            claims: self.claims.as_ref(),
            ..self.connection.view_of(&self.head)
        }
    }

    fn redirect(&mut self, matched: &Matched<'_>, status: StatusCode) -> Response<ProxyBody> {
        self.record.details = "direct_response".into();
        let location = matched.route.location(&self.view()).unwrap_or_default();
        let mut response = reply::plain(status, "");
        // What a caller sent ends up here; if it cannot stand in a header it is no location.
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        self.edited(matched, response)
    }

    fn edited(
        &self,
        matched: &Matched<'_>,
        mut response: Response<ProxyBody>,
    ) -> Response<ProxyBody> {
        let facts = EditFacts {
            request: Some(self.view()),
            protocol: Some(self.head.version),
            route_name: Some(&matched.planned.name),
            response_code: Some(response.status().as_u16()),
            ..self.connection.edit_facts()
        };
        matched.edit_response(None, response.headers_mut(), &facts);
        response
    }

    /// Completes the answer, and has it told of when its last byte is gone.
    fn end(mut self, answer: Result<Answer, Failure>) -> Response<ProxyBody> {
        let Answer { mut response, sent } = answer.unwrap_or_else(|failure| {
            self.record.flags.insert(failure.flags());
            self.record.details = failure.details();
            self.record.transport_failure = failure.transport_reason().map(str::to_owned);
            let mut response = reply::failure(&failure, self.record.grpc);
            let broken = matches!(failure, Failure::BadRequest { .. });
            if broken && self.head.version < Version::HTTP_2 {
                // Where a request cannot be trusted, neither can what follows it.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            response.into()
        });
        headers::send(&mut self, &mut response);
        self.record.status = Some(response.status());
        if self.record.grpc {
            self.record.grpc_status = grpc::status(response.headers());
        }
        let finish = Finish {
            connection: Rc::clone(self.connection),
            http: self.http.shared.clone(),
            record: self.record.tell(),
            sent,
        };
        response.map(|body| body.watched_by(Box::new(finish)))
    }
}

/// A caller that leaves before there is an answer is told of as well.
impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if self.record.0.is_none() {
            return;
        }
        headers::note(self);
        let mut record = self.record.tell();
        let now = Instant::now();
        record.duration = now - record.started;
        record.flags.insert(ResponseFlags::DOWNSTREAM_TERMINATION);
        record.details = "downstream_remote_disconnect".into();
        self.connection.activity.request_ended(now);
        let worker = &self.connection.worker;
        worker.tell(&record, &self.http.shared.access_log);
    }
}

impl Untold {
    fn tell(&mut self) -> RequestRecord {
        self.0.take().expect("a record is told of once, at the end")
    }
}

impl Deref for Untold {
    type Target = RequestRecord;

    fn deref(&self) -> &RequestRecord {
        self.0
            .as_ref()
            .expect("a record is told of once, at the end")
    }
}

impl DerefMut for Untold {
    fn deref_mut(&mut self) -> &mut RequestRecord {
        self.0
            .as_mut()
            .expect("a record is told of once, at the end")
    }
}

impl From<Response<ProxyBody>> for Answer {
    fn from(response: Response<ProxyBody>) -> Self {
        Self {
            response,
            sent: None,
        }
    }
}

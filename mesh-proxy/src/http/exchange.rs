//! The life of a request, top to bottom: received, routed, judged, sent, answered, told.

use std::rc::Rc;

use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use mesh_routing::{Matched, RequestHead, action::EditFacts, router::Action};

use super::{
    attempt,
    body::ProxyBody,
    failure::Failure,
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
    pub(super) record: RequestRecord,
    pub(super) upgrade: Option<Upgrade>,
    /// What filters want to write on the answer.
    pub(super) on_response: filters::OnResponse,
}

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
            record,
            upgrade: None,
            on_response: filters::OnResponse::default(),
        }
    }

    async fn answer(&mut self, body: Incoming) -> Result<Answer, Failure> {
        if let Some(redirect) = headers::receive(self)? {
            return Ok(redirect.into());
        }
        let http = self.http;
        let router = http.router.as_deref().ok_or(Failure::NoRoute);
        let matched = router.and_then(|router| {
            router
                .route(&self.view(), self.seed)
                .map_err(|_| Failure::NoRoute)
        });
        if let Ok(matched) = &matched {
            self.record.route = Some((Rc::clone(self.chain), matched.id));
        }
        for filter in &http.shared.filters {
            match filters::apply(filter, self, matched.as_ref().ok()).await? {
                Flow::Continue => {}
                Flow::Answer(response) => return Ok(response.into()),
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

    /// The request as decisions see it.
    pub(super) fn view(&self) -> RequestHead<'_> {
        self.connection.view_of(&self.head)
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
            reply::failure(&failure, self.record.grpc).into()
        });
        headers::send(&mut self, &mut response);
        self.record.status = Some(response.status());
        if self.record.grpc {
            self.record.grpc_status = grpc::status(response.headers());
        }
        let finish = Finish {
            connection: Rc::clone(self.connection),
            http: self.http.shared.clone(),
            record: self.record,
            sent,
        };
        response.map(|body| body.watched_by(Box::new(finish)))
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

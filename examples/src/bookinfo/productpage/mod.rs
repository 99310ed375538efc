//! The page a browser sees, and the same as JSON.
//!
//! `/productpage` always answers 200: whatever a neighbour fails to say is said on the page.

mod page;
mod session;
pub(super) mod sources;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, SET_COOKIE};
use http::{Method, Request, StatusCode};
use serde::Serialize;

use self::page::Page;
use self::session::User;
use self::sources::{Sources, Unavailable};
use super::app::App;
use super::reply::{Reply, body_of, json, not_found, trouble};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const LOGO: &str = include_str!("logo.svg");

/// The page brings all it needs, so a browser need not fetch, run or send to anything else.
const CONTENT_RULES: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
);

/// A book for sale.
#[derive(Debug, Serialize)]
struct Product {
    id: u32,
    title: &'static str,
    #[serde(rename = "descriptionHtml")]
    description_html: &'static str,
}

const PRODUCTS: [Product; 1] = [Product {
    id: 0,
    title: "The Comedy of Errors",
    description_html: "Twins parted by a shipwreck, each with a servant who has a twin of his own, \
        meet again in Ephesus, where nobody can tell who is who. It is among the first plays of \
        <b>William Shakespeare</b> and the shortest: all happens within one day. \
        <a href=\"https://en.wikipedia.org/wiki/The_Comedy_of_Errors\">More about the play</a>",
}];

/// The service; see the module.
#[derive(Debug)]
pub(crate) struct ProductPage {
    sources: Sources,
    pod_name: String,
    version: String,
}

impl ProductPage {
    pub(crate) fn new(app: App) -> Self {
        let (pod_name, version) = (app.pod_name.clone(), app.version.clone());
        Self {
            sources: Sources::new(app),
            pod_name,
            version,
        }
    }

    pub(crate) async fn answer(&self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::POST, "/login") => login(request.body()),
            (_, "/logout") => back_to_page(session::goodbye()),
            (&Method::GET | &Method::HEAD, _) => self.get(path, request).await,
            _ => trouble(
                StatusCode::METHOD_NOT_ALLOWED,
                "this page is read, apart from /login",
            ),
        }
    }

    async fn get(&self, path: &str, request: &Request<Bytes>) -> Reply {
        match path {
            "/" | "/index.html" => html(page::index()),
            "/productpage" => self.page(request).await,
            "/health" => body_of(StatusCode::OK, "text/plain", "Product page is healthy"),
            "/static/bookinfo.css" => asset("text/css", STYLE),
            "/static/bookinfo.js" => asset("text/javascript", SCRIPT),
            "/static/logo.svg" => asset("image/svg+xml", LOGO),
            "/api/v1/products" => json(StatusCode::OK, &PRODUCTS),
            _ => match path.strip_prefix("/api/v1/products/") {
                Some(rest) => self.product(rest, request).await,
                None => not_found(),
            },
        }
    }

    async fn page(&self, request: &Request<Bytes>) -> Reply {
        let headers = session::onward(request.headers());
        let product = &PRODUCTS[0];
        let (details, reviews) = tokio::join!(
            self.sources.details(product.id, headers.clone()),
            self.sources.reviews(product.id, headers.clone()),
        );
        html(
            Page {
                product,
                user: User::of(request.headers()),
                details: details.and_then(|answer| answer.parsed()),
                reviews: reviews.and_then(|answer| answer.parsed()),
                served_by: (&self.pod_name, &self.version),
            }
            .render(),
        )
    }

    /// `{id}`, `{id}/reviews` and `{id}/ratings` below `/api/v1/products/`.
    async fn product(&self, rest: &str, request: &Request<Bytes>) -> Reply {
        let (id, part) = rest.split_once('/').unwrap_or((rest, ""));
        let Ok(id) = id.parse() else {
            return trouble(StatusCode::BAD_REQUEST, "a product id is a number");
        };
        let headers = session::onward(request.headers());
        let answer = match part {
            "" => self.sources.details(id, headers).await,
            "reviews" => self.sources.reviews(id, headers).await,
            "ratings" => self.sources.ratings(id, headers).await,
            _ => return not_found(),
        };
        match answer {
            Ok(answer) => body_of(StatusCode::OK, "application/json", answer.body),
            Err(Unavailable { status, what, .. }) => trouble(status, what.apology()),
        }
    }
}

fn login(form: &Bytes) -> Reply {
    match User::from_form(form) {
        Some(user) => back_to_page(user.cookie()),
        None => trouble(
            StatusCode::BAD_REQUEST,
            "a user name is 1 to 64 letters, digits, spaces or any of . _ - @",
        ),
    }
}

/// 303, so that a reload of the page does not send the form again.
fn back_to_page(cookie: HeaderValue) -> Reply {
    let mut reply = body_of(StatusCode::SEE_OTHER, "text/plain", "");
    reply
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static("/productpage"));
    reply.headers_mut().insert(SET_COOKIE, cookie);
    reply
}

fn html(text: String) -> Reply {
    let mut reply = body_of(StatusCode::OK, HTML, text);
    reply
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, CONTENT_RULES);
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn asset(content_type: &'static str, text: &'static str) -> Reply {
    body_of(StatusCode::OK, content_type, text)
}

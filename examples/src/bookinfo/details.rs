//! Details: facts about a book, known by heart or asked from a public catalogue.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use serde::Deserialize;

use super::app::App;
use super::call::{Answer, CallError, Caller};
use super::forward::to_stranger;
use super::kind::BookSource;
use super::model::{Book, Health, Year};
use super::reply::{Reply, json, not_found, trouble};

/// How long the catalogue may take.
const CATALOGUE_PATIENCE: Duration = Duration::from_secs(5);
/// The play's entry in the catalogue.
const CATALOGUE_PATH: &str = "/books/v1/volumes?q=isbn:0486424618";
/// How much of a refusal is quoted.
const MAX_QUOTED_CHARS: usize = 200;

/// `GET /details/{id}`, `GET /health`.
#[derive(Debug)]
pub(crate) struct Details {
    app: App,
    source: BookSource,
    caller: Caller,
}

impl Details {
    pub(crate) fn new(app: App, source: BookSource) -> Self {
        Self {
            caller: Caller::new(app.proxy),
            app,
            source,
        }
    }

    pub(crate) async fn answer(&self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path();
        if path == "/health" {
            return json(
                StatusCode::OK,
                &Health {
                    status: "Details is healthy",
                },
            );
        }
        let Some(id) = path.strip_prefix("/details/") else {
            return not_found();
        };
        let Ok(id) = id.parse() else {
            return trouble(StatusCode::BAD_REQUEST, "a product id is a number");
        };
        match self.source {
            BookSource::Shelf => json(StatusCode::OK, &shelf(id)),
            BookSource::Catalogue { port } => self.ask(id, port, request.headers()).await,
        }
    }

    /// The catalogue's entry, or its refusal (often the proxy's) passed on with the words it used.
    async fn ask(&self, id: u32, port: u16, incoming: &HeaderMap) -> Reply {
        let authority = format!("{}:{port}", self.app.neighbours.catalogue);
        let headers = to_stranger(incoming);
        let asked = self
            .caller
            .get(&authority, CATALOGUE_PATH, headers, CATALOGUE_PATIENCE);
        match asked.await {
            Ok(answer) if answer.status == StatusCode::OK => match entry(id, &answer.body) {
                Some(book) => json(StatusCode::OK, &book),
                None => refused(
                    &authority,
                    StatusCode::BAD_GATEWAY,
                    "an entry we cannot read",
                ),
            },
            Ok(Answer { status, body }) => {
                let status_of_ours = match status.is_server_error() {
                    true => status,
                    false => StatusCode::BAD_GATEWAY,
                };
                let said = String::from_utf8_lossy(&body);
                let quoted: String = said.trim().chars().take(MAX_QUOTED_CHARS).collect();
                refused(&authority, status_of_ours, &format!("{status}: {quoted}"))
            }
            Err(error @ CallError::TimedOut(_)) => {
                refused(&authority, StatusCode::GATEWAY_TIMEOUT, &error.to_string())
            }
            Err(error) => refused(&authority, StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }
}

fn refused(authority: &str, status: StatusCode, why: &str) -> Reply {
    trouble(
        status,
        format!("the book catalogue at {authority} gave {why}"),
    )
}

fn shelf(id: u32) -> Book {
    Book {
        id,
        author: "William Shakespeare".to_owned(),
        year: Year::Number(1595),
        binding: "paperback".to_owned(),
        pages: 200,
        publisher: "PublisherA".to_owned(),
        language: "English".to_owned(),
        isbn_10: "1234567890".to_owned(),
        isbn_13: "123-1234567890".to_owned(),
    }
}

/// The part of the catalogue's answer that we show.
fn entry(id: u32, body: &[u8]) -> Option<Book> {
    let volumes: Volumes = serde_json::from_slice(body).ok()?;
    let volume = volumes.items.into_iter().next()?.volume_info;
    let isbn = |kind: &str| {
        let known = volume
            .industry_identifiers
            .iter()
            .find(|known| known.kind == kind);
        known.map_or_else(String::new, |known| known.identifier.clone())
    };
    let known_or = |is: bool, name: &str| if is { name } else { "unknown" }.to_owned();
    Some(Book {
        id,
        isbn_10: isbn("ISBN_10"),
        isbn_13: isbn("ISBN_13"),
        author: volume.authors.into_iter().next()?,
        year: Year::Date(volume.published_date),
        binding: known_or(volume.print_type == "BOOK", "paperback"),
        pages: volume.page_count,
        publisher: volume.publisher,
        language: known_or(volume.language == "en", "English"),
    })
}

#[derive(Deserialize)]
struct Volumes {
    items: Vec<Volume>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    volume_info: VolumeInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct VolumeInfo {
    authors: Vec<String>,
    published_date: String,
    print_type: String,
    page_count: u32,
    publisher: String,
    language: String,
    industry_identifiers: Vec<Identifier>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    identifier: String,
}

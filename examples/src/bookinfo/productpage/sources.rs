//! What the page asks of its neighbours, and how long it waits.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::bookinfo::app::App;
use crate::bookinfo::call::{Answer, CallError, Caller};
use crate::bookinfo::neighbour::Neighbour;

/// How long one call may take.
pub(in crate::bookinfo) const PATIENCE: Duration = Duration::from_secs(3);
/// Reviews are asked twice before giving up: together 6 s, less than reviews v2 itself waits for
/// ratings. The sample has the same flaw on purpose, to be found by injecting a delay.
pub(in crate::bookinfo) const REVIEWS_TRIES: u32 = 2;

/// The neighbours of the page.
#[derive(Debug)]
pub(super) struct Sources {
    app: App,
    caller: Caller,
}

/// What a neighbour tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Details,
    Reviews,
    Ratings,
}

/// A neighbour's answer: JSON, not yet looked into.
#[derive(Debug)]
pub(super) struct Told {
    what: What,
    pub(super) body: Bytes,
}

/// A neighbour did not answer as hoped.
#[derive(Debug)]
pub(super) struct Unavailable {
    pub(super) what: What,
    /// The neighbour's status, or 500 when there was none.
    pub(super) status: StatusCode,
    /// What happened, for those who look after the mesh.
    pub(super) cause: String,
}

impl What {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Details => "details",
            Self::Reviews => "reviews",
            Self::Ratings => "ratings",
        }
    }

    /// What a reader is told.
    pub(super) fn apology(self) -> String {
        format!(
            "Sorry, product {} are currently unavailable for this book.",
            self.name()
        )
    }
}

impl Told {
    /// The answer as the page understands it.
    pub(super) fn parsed<T: DeserializeOwned>(&self) -> Result<T, Unavailable> {
        serde_json::from_slice(&self.body).map_err(|error| Unavailable {
            what: self.what,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            cause: format!("an answer the page cannot read: {error}"),
        })
    }
}

impl Sources {
    pub(super) fn new(app: App) -> Self {
        Self {
            caller: Caller::new(app.proxy),
            app,
        }
    }

    pub(super) async fn details(&self, id: u32, headers: HeaderMap) -> Result<Told, Unavailable> {
        self.ask(What::Details, &self.app.neighbours.details, id, headers)
            .await
    }

    pub(super) async fn reviews(&self, id: u32, headers: HeaderMap) -> Result<Told, Unavailable> {
        let neighbour = &self.app.neighbours.reviews;
        for _ in 1..REVIEWS_TRIES {
            if let Ok(told) = self
                .ask(What::Reviews, neighbour, id, headers.clone())
                .await
            {
                return Ok(told);
            }
        }
        self.ask(What::Reviews, neighbour, id, headers).await
    }

    pub(super) async fn ratings(&self, id: u32, headers: HeaderMap) -> Result<Told, Unavailable> {
        self.ask(What::Ratings, &self.app.neighbours.ratings, id, headers)
            .await
    }

    async fn ask(
        &self,
        what: What,
        neighbour: &Neighbour,
        id: u32,
        headers: HeaderMap,
    ) -> Result<Told, Unavailable> {
        let path = format!("/{}/{id}", what.name());
        let unavailable = |status, cause| Unavailable {
            what,
            status,
            cause,
        };
        match self
            .caller
            .get(&neighbour.authority(), &path, headers, PATIENCE)
            .await
        {
            Ok(Answer {
                status: StatusCode::OK,
                body,
            }) => Ok(Told { what, body }),
            Ok(Answer { status, .. }) => {
                Err(unavailable(status, format!("answered {}", named(status))))
            }
            Err(error) => Err(unavailable(
                StatusCode::INTERNAL_SERVER_ERROR,
                explained(&error),
            )),
        }
    }
}

/// A status with its reason, where it has one.
fn named(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// An error and what caused it, in one line.
fn explained(error: &CallError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

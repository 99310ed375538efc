//! Reviews: what two readers wrote, with stars from ratings in some versions.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

use super::app::App;
use super::call::Caller;
use super::forward::to_neighbour;
use super::kind::StarColor;
use super::model::{Health, Rating, Ratings, Review, Reviews as Answer};
use super::reply::{Reply, json, not_found};

/// How long v2 waits for ratings: longer than productpage waits for reviews. This is the flaw that a
/// delay injected before ratings brings to light.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long v3 waits for ratings: the flaw mended.
const MENDED_PATIENCE: Duration = Duration::from_millis(2500);

const TEXTS: [(&str, &str); 2] = [
    (
        "Reviewer1",
        "Two pairs of twins, one town and not a calm minute. I laughed aloud on the train.",
    ),
    (
        "Reviewer2",
        "Great fun from the first mix-up to the last. Short, and lighter than his later plays.",
    ),
];

/// `GET /reviews/{id}`, `GET /health`.
#[derive(Debug)]
pub(crate) struct Reviews {
    app: App,
    stars: Option<StarColor>,
    caller: Caller,
}

impl Reviews {
    pub(crate) fn new(app: App, stars: Option<StarColor>) -> Self {
        Self {
            caller: Caller::new(app.proxy),
            app,
            stars,
        }
    }

    pub(crate) async fn answer(&self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path();
        if path == "/health" {
            return json(
                StatusCode::OK,
                &Health {
                    status: "Reviews is healthy",
                },
            );
        }
        let id = path
            .strip_prefix("/reviews/")
            .and_then(|id| id.parse::<u32>().ok());
        let Some(id) = id else { return not_found() };

        let mut reviews = Vec::with_capacity(TEXTS.len());
        let rated = match self.stars {
            Some(color) => Some((color, self.ratings(id, request.headers(), color).await)),
            None => None,
        };
        for (reviewer, text) in TEXTS {
            let rating = rated
                .as_ref()
                .map(|(color, ratings)| rating(reviewer, *color, ratings));
            reviews.push(Review {
                reviewer: reviewer.to_owned(),
                text: text.to_owned(),
                rating,
            });
        }
        let answer = Answer {
            id: id.to_string(),
            podname: self.app.pod_name.clone(),
            clustername: self
                .app
                .cluster_name
                .as_deref()
                .unwrap_or("null")
                .to_owned(),
            version: self.app.version.clone(),
            reviews,
        };
        json(StatusCode::OK, &answer)
    }

    /// The ratings of a product; `None` whatever went wrong, since reviews without stars are better
    /// than no reviews.
    async fn ratings(&self, id: u32, incoming: &HeaderMap, color: StarColor) -> Option<Ratings> {
        let patience = match color {
            StarColor::Black => PATIENCE,
            StarColor::Red => MENDED_PATIENCE,
        };
        let ratings = self.app.neighbours.ratings.authority();
        let path = format!("/ratings/{id}");
        let answer = self
            .caller
            .get(&ratings, &path, to_neighbour(incoming), patience)
            .await
            .ok()?;
        (answer.status == StatusCode::OK).then_some(())?;
        serde_json::from_slice(&answer.body).ok()
    }
}

fn rating(reviewer: &str, color: StarColor, ratings: &Option<Ratings>) -> Rating {
    let stars = ratings
        .as_ref()
        .and_then(|known| known.ratings.get(reviewer));
    match stars {
        Some(&stars) => Rating::Stars {
            stars,
            color: match color {
                StarColor::Black => "black".to_owned(),
                StarColor::Red => "red".to_owned(),
            },
        },
        None => Rating::Unavailable {
            error: "Ratings service is currently unavailable".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bookinfo::productpage::sources;

    /// A delay of 7 s before ratings must make the page give up on v2 and leave v3 without stars.
    #[test]
    fn v2_waits_longer_than_its_caller_and_v3_does_not() {
        let page = sources::PATIENCE * sources::REVIEWS_TRIES;
        let delay = Duration::from_secs(7);
        assert!(page < delay && delay < PATIENCE);
        assert!(MENDED_PATIENCE < sources::PATIENCE);
    }
}

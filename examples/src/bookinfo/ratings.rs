//! Ratings: stars by reviewer, kept in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use super::model::{Health, Ratings as Rated};
use super::reply::{Reply, json, not_found, trouble};

/// Products whose ratings may be changed by `POST`.
const MAX_RATED_PRODUCTS: usize = 1024;

/// `GET` and `POST /ratings/{id}`, `GET /health`.
#[derive(Debug, Default)]
pub(crate) struct Ratings {
    changed: Mutex<HashMap<u32, BTreeMap<String, u8>>>,
}

impl Ratings {
    pub(crate) fn answer(&self, request: &Request<Bytes>) -> Reply {
        let path = request.uri().path();
        if path == "/health" {
            return json(
                StatusCode::OK,
                &Health {
                    status: "Ratings is healthy",
                },
            );
        }
        let Some(id) = path.strip_prefix("/ratings/") else {
            return not_found();
        };
        let Ok(id) = id.parse() else {
            return trouble(StatusCode::BAD_REQUEST, "a product id is a number");
        };
        match *request.method() {
            Method::GET => json(StatusCode::OK, &self.of(id)),
            Method::POST => self.change(id, request.body()),
            _ => trouble(StatusCode::METHOD_NOT_ALLOWED, "ratings are read or posted"),
        }
    }

    fn of(&self, id: u32) -> Rated {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let ratings = changed.get(&id).cloned().unwrap_or_else(|| {
            [("Reviewer1", 5), ("Reviewer2", 4)]
                .map(|(who, stars)| (who.to_owned(), stars))
                .into()
        });
        Rated { id, ratings }
    }

    fn change(&self, id: u32, body: &Bytes) -> Reply {
        let Ok(ratings) = serde_json::from_slice::<BTreeMap<String, u8>>(body) else {
            return trouble(
                StatusCode::BAD_REQUEST,
                "ratings are JSON such as {\"Reviewer1\": 5}",
            );
        };
        {
            let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
            if changed.len() >= MAX_RATED_PRODUCTS && !changed.contains_key(&id) {
                return trouble(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "no room for more products",
                );
            }
            changed.insert(id, ratings);
        }
        json(StatusCode::OK, &self.of(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_read_and_posted() {
        let service = Ratings::default();
        let check = |method: &str, path: &str, body: &'static str, expected: u16| {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(body.into())
                .unwrap();
            assert_eq!(
                service.answer(&request).status(),
                expected,
                "{method} {path} {body}"
            );
        };
        check("GET", "/health", "", 200);
        check("GET", "/ratings/0", "", 200);
        check("GET", "/ratings/x", "", 400);
        check("GET", "/elsewhere", "", 404);
        check("POST", "/ratings/1", "{\"Reviewer1\": 2}", 200);
        check("POST", "/ratings/1", "five", 400);
        check("DELETE", "/ratings/1", "", 405);
        assert_eq!(service.of(0).ratings["Reviewer2"], 4);
        assert_eq!(service.of(1).ratings, [("Reviewer1".to_owned(), 2)].into());
    }

    #[test]
    fn memory_is_bounded() {
        let service = Ratings::default();
        let body = Bytes::from_static(b"{}");
        for id in 0..MAX_RATED_PRODUCTS as u32 {
            assert_eq!(service.change(id, &body).status(), StatusCode::OK);
        }
        let one_more = MAX_RATED_PRODUCTS as u32;
        assert_eq!(
            service.change(one_more, &body).status(),
            StatusCode::INSUFFICIENT_STORAGE
        );
        assert_eq!(service.change(0, &body).status(), StatusCode::OK);
    }
}

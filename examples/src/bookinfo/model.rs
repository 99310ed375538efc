//! The JSON the services exchange.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What details knows of a book.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) id: u32,
    pub(crate) author: String,
    pub(crate) year: Year,
    #[serde(rename = "type")]
    pub(crate) binding: String,
    pub(crate) pages: u32,
    pub(crate) publisher: String,
    pub(crate) language: String,
    #[serde(rename = "ISBN-10")]
    pub(crate) isbn_10: String,
    #[serde(rename = "ISBN-13")]
    pub(crate) isbn_13: String,
}

/// A year: our shelf writes a number, the public catalogue a date.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Year {
    Number(u32),
    Date(String),
}

/// Stars by reviewer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ratings {
    pub(crate) id: u32,
    pub(crate) ratings: BTreeMap<String, u8>,
}

/// Reviews of a book and who served them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reviews {
    /// A string, as in the sample.
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) podname: String,
    /// The text `null` where no cluster is named, as in the sample.
    #[serde(default)]
    pub(crate) clustername: String,
    /// Not in the sample: the version that answered.
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) reviews: Vec<Review>,
}

/// One review; without a rating when the version shows none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Review {
    pub(crate) reviewer: String,
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rating: Option<Rating>,
}

/// Stars, or why there are none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Rating {
    Stars { stars: u8, color: String },
    Unavailable { error: String },
}

/// What a service says when it cannot answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) error: String,
}

/// The answer to `/health`.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    pub(crate) status: &'static str,
}

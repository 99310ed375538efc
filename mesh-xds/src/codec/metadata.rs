//! Envoy's free-form metadata: how origins, services and labels travel.

use std::collections::HashMap;

use mesh_core::{dataplane::Origin, name::Labels};

use super::reader::Reader;
use crate::proto::{core, wkt};

/// Where Istio keeps what it says.
pub(super) const ISTIO: &str = "istio";
/// What chooses a transport socket.
pub(super) const TLS_LABELS: &str = "envoy.transport_socket_match";
/// What Envoy's own fields cannot say.
pub(super) const MESH: &str = "mesh";
/// The field of the resource that a rule came from.
const ORIGIN_FIELD: &str = "origin_field";

/// Metadata under construction; encodes to nothing while empty.
#[derive(Debug, Default)]
pub(super) struct MetadataWriter(HashMap<String, wkt::Struct>);

impl MetadataWriter {
    pub(super) fn put(&mut self, filter: &str, key: &str, value: wkt::Value) {
        self.0
            .entry(filter.to_owned())
            .or_default()
            .fields
            .insert(key.to_owned(), value);
    }

    pub(super) fn put_all(&mut self, filter: &str, fields: wkt::Struct) {
        self.0.insert(filter.to_owned(), fields);
    }

    pub(super) fn put_origin(&mut self, origin: Option<&Origin>) {
        if let Some(origin) = origin {
            self.put(ISTIO, "config", text(origin.path()));
            if let Some(field) = &origin.field {
                self.put(MESH, ORIGIN_FIELD, text(&**field));
            }
        }
    }

    pub(super) fn finish(self) -> Option<core::Metadata> {
        (!self.0.is_empty()).then(|| core::Metadata {
            filter_metadata: self.0,
            ..Default::default()
        })
    }
}

/// Metadata that arrived: fields are taken out one by one, the rest is reported as ignored.
#[derive(Debug, Default)]
pub(super) struct MetadataReader(core::Metadata);

impl MetadataReader {
    pub(super) fn new(wire: Option<core::Metadata>) -> Self {
        Self(wire.unwrap_or_default())
    }

    pub(super) fn take(&mut self, filter: &str, key: &str) -> Option<wkt::Value> {
        self.0.filter_metadata.get_mut(filter)?.fields.remove(key)
    }

    pub(super) fn take_text(&mut self, filter: &str, key: &str) -> Option<String> {
        self.take(filter, key).and_then(read_text)
    }

    pub(super) fn take_all(&mut self, filter: &str) -> wkt::Struct {
        self.0.filter_metadata.remove(filter).unwrap_or_default()
    }

    pub(super) fn take_origin(&mut self) -> Option<Origin> {
        let field = self.take_text(MESH, ORIGIN_FIELD);
        let origin = Origin::from_path(&self.take_text(ISTIO, "config")?)?;
        Some(match field {
            Some(field) => origin.at(field),
            None => origin,
        })
    }

    pub(super) fn finish(self, r: &mut Reader) {
        let mut unread: Vec<String> = self
            .0
            .filter_metadata
            .iter()
            .flat_map(|(filter, fields)| {
                fields
                    .fields
                    .keys()
                    .map(move |key| format!("metadata.filter_metadata.{filter}.{key}"))
            })
            .chain(
                self.0
                    .typed_filter_metadata
                    .keys()
                    .map(|key| format!("metadata.typed_filter_metadata.{key}")),
            )
            .collect();
        unread.sort();
        for field in unread {
            r.ignore(&field, "is not used");
        }
    }
}

pub(super) fn text(value: impl Into<String>) -> wkt::Value {
    wkt::Value {
        kind: Some(wkt::value::Kind::StringValue(value.into())),
    }
}

pub(super) fn read_text(value: wkt::Value) -> Option<String> {
    match value.kind? {
        wkt::value::Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

pub(super) fn list(values: Vec<wkt::Value>) -> wkt::Value {
    wkt::Value {
        kind: Some(wkt::value::Kind::ListValue(wkt::ListValue { values })),
    }
}

pub(super) fn read_list(value: wkt::Value) -> Vec<wkt::Value> {
    match value.kind {
        Some(wkt::value::Kind::ListValue(list)) => list.values,
        _ => Vec::new(),
    }
}

pub(super) fn object<K: Into<String>>(
    fields: impl IntoIterator<Item = (K, wkt::Value)>,
) -> wkt::Struct {
    wkt::Struct {
        fields: fields
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    }
}

pub(super) fn object_value(object: wkt::Struct) -> wkt::Value {
    wkt::Value {
        kind: Some(wkt::value::Kind::StructValue(object)),
    }
}

pub(super) fn read_object(value: wkt::Value) -> wkt::Struct {
    match value.kind {
        Some(wkt::value::Kind::StructValue(object)) => object,
        _ => wkt::Struct::default(),
    }
}

pub(super) fn labels(labels: &Labels) -> wkt::Struct {
    object(labels.iter().map(|(key, value)| (key, text(value))))
}

/// The entries of an object that are text.
pub(super) fn read_labels(wire: wkt::Struct) -> Labels {
    wire.fields
        .into_iter()
        .filter_map(|(key, value)| Some((key, read_text(value)?)))
        .collect()
}

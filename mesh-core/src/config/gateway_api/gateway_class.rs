#![expect(
    missing_docs,
    reason = "fields and values are the Gateway API's; its reference explains them"
)]

use serde::Deserialize;

use super::ObjectRef;

/// Who implements Gateways of this class (`GatewayClass`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClass {
    pub controller_name: String,
    pub parameters_ref: Option<ObjectRef>,
    pub description: String,
}

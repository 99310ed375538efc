use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a workload runs. An empty part is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Locality {
    /// Cloud region.
    pub region: String,
    /// Zone within the region.
    pub zone: String,
    /// Part of the zone, such as a rack.
    pub sub_zone: String,
}

/// `region/zone/sub_zone`, without empty parts at the end.
impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}/{}/{}", self.region, self.zone, self.sub_zone);
        f.write_str(text.trim_end_matches('/'))
    }
}
